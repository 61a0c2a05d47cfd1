// Package gateway holds what every data-plane process does, whatever it speaks: it
// asks the control plane for a permit, lives by the lease that comes with it, and
// ends the session in time.
//
//	Facts ──Open──► Permit ──► Session ── live ──────────────► over ──► closed
//	                             ▲         │  ▲                 ▲
//	                           Renew     stale, kept     end, cut, lease,
//	                         every 10 s  (onPartition)   recorder, peer, stop
//
// It cannot decide and it cannot provision: that code is not linked into it. What it
// holds is a short lease on grants that others gave, and the right to ask for one
// certificate of a session that it has open.
//
// Invariants, each held by a test of this package:
//
//  1. A session is over when its grant's time is, on this process's own clocks, with
//     the control plane gone. There are two clocks, wall and monotonic, and the one
//     that counted more time since the control plane spoke is believed. So a wall
//     that is set back keeps nothing alive, and neither does a machine that slept.
//  2. Time is counted from when a question was sent, never from when its answer came:
//     a slow answer makes a session shorter, not longer.
//  3. A session of which nothing was heard for Freshness is over, unless its permit
//     says that what runs may go on; then nothing new starts in it, and it ends no
//     later.
//  4. What is over stays over: no renewal brings it back.
//  5. A cut that arrives while a permit is on its way meets the session when it
//     arrives, too.
//  6. No lock is held while anybody is called.
package gateway
