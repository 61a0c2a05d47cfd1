// Package carried is the connector for targets on which nothing is made: what people have of
// a web application, or of a port, are sessions through gateways, each of which the control
// plane permitted by itself. What there is to take away is the sessions.
//
// So the place to read back from is not the target but the Ledger, in which every session
// is written down before its gateway has the right to it, and closed when its gateway has said
// that no byte of it passes any more, or has not been heard of for longer than it goes on by
// itself. An order is gone when it is not wanted any more, so that no session begins by it,
// and none of its sessions is open there.
//
// It does not reach targets: who can is a gateway. It holds no secrets.
//
// Invariants, each held by a test of this package:
//
//  1. What is wanted is never read back as absent, and what has a session open, or of which
//     the ledger does not answer, never as gone.
//  2. It waits for sessions to close for a bounded time, and no longer than its context.
package carried
