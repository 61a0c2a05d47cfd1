// Package clock decides what time it is, and whether that can be believed.
//
// There are two witnesses. The wall clock, PostgreSQL's or the host's, knows the
// date, and anybody who sets it can make it say anything. The monotonic clock of
// this host knows no date, and nobody sets it. A Keeper lays a line through them:
// it starts where the wall was, runs with the monotonic clock, and lets itself be
// drawn to the wall slowly. What the wall says beyond that is not believed.
//
//	wall  ├──behind──┤ -U │ line │ +U ├──ahead, near──┤ 5 s ├──far ahead──►
//	now      the line       the later one    the line, drawn       the line
//	                         of the two      to the wall slowly
//	        in doubt         trusted            in doubt          in doubt
//
// While in doubt, nothing new may be granted, and what was granted ends on the
// line. Doubt is over by itself when the wall is back within U of the line. A
// wall far away can also be accepted: by agreement of hosts whose own clocks say
// the same (Peers), or by persons (Keeper.Accept). The line is then set forward
// to it, or, since time never goes back, runs at half speed until it is caught up.
//
// Invariants, each held by a test of this package, whatever the wall does:
//
//  1. Reading.Now never goes back.
//  2. Unless a wall is accepted, Now is never further ahead of monotonic time
//     than U and one two-hundredth of the time that passed: no jump ends what
//     monotonic time says is live.
//  3. Nor is it further behind than one two-hundredth: no wall that is set back or
//     stands still keeps alive what monotonic time says is over.
//  4. With a wall that is right, Now is never ahead of it by more than U.
//  5. Nothing is trusted while the line runs at half speed: what is granted lives by
//     full time, if whoever accepts a wall that is behind sees to it that nothing lives.
//     That holds for what this one Keeper's owner grants. Another replica, with a
//     Keeper that trusts its wall, may grant meanwhile; what it granted would end
//     late here (docs/threat-model.md, known holes).
//  6. A trusted reading is within 2 U of the wall it was taken from: U for either.
//
// It is pure: no clock is read here, and nothing is shared. A caller that is
// concurrent holds a lock.
package clock
