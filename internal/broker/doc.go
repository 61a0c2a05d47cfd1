// Package broker carries one request from the question to the proof that the
// access is gone.
//
// It decides nothing and invents no state: policy decides, package access says
// what follows, and the broker saves what access returns, value and event in one
// transaction. In the order in which a request meets them:
//
//	submit.go     who asks for what; policy's answer; the request is recorded
//	breakglass.go the same in an emergency; review.go: what another person says after
//	decide.go     people say yes or no
//	start.go      the grant, and the entitlements it intends, before any call
//	provision.go  a target is called, read back, and the grant becomes active
//	credential.go the holder sees the credential, after the log does
//	due.go        time is up
//	end.go        what a grant held is released; the last holder orders removal
//	remove.go     revoke, end sessions, remove, read back, finish
//	sweep.go      what is on targets and should not be
//	away.go       ending without the store (package ahead knows what ends next); journal.go: the record of it, later
//
// What only knows and answers has packages of its own: approvers, ahead, ticketdesk.
//
// Invariants:
//
//   - Intent, act, outcome: each in a transaction of its own, in this order.
//     After a crash the rows say what may exist.
//   - Everything due is found by looking at rows (due.go). Timers, wakes and
//     work handed over in memory only make it fast.
//   - Work on an entitlement is done under a lease with an owner of its own. An
//     outcome whose lease is lost is dropped; what it did carries a tag.
//   - The broker refuses no revocation: not for policy, not for the stop switch,
//     not while in doubt. It is tried for ever, at most 30 s apart. A connector
//     refuses one only where a later life of this very installation holds the
//     target: then we are the copy that was left behind.
//   - While the store takes no changes, what ends is ended from memory. That only
//     takes away, and never before the store's time says so.
//   - Each place has its own lanes, so that no target waits for another.
package broker
