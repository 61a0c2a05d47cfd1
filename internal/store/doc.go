// Package store keeps what Stint knows: one SQLite file by default, or a
// PostgreSQL database that many equal replicas share.
//
//	Update ──► fn(*Tx) ──► rows + events, one commit ──► sequencer ──► numbered,
//	           (may run again)        │                               signed log
//	View ────► fn(*Tx), read only     └── unnumbered audit records        │
//	                                                      readers, exports, proofs
//
// It does not decide anything. It translates values of package access to rows
// and back; the only rules it has are those that the schema repeats, as checks
// and triggers, so that even a buggy binary cannot store a violation.
//
// Invariants, each held by a test in this package, on both databases:
//
//  1. Update commits all that fn wrote, its audit records included, or nothing.
//     When it returns nil the change is durable.
//  2. Transactions are serializable. On SQLite one goroutine writes; on
//     PostgreSQL isolation is SERIALIZABLE, and what it refuses runs again.
//  3. Update answers nil for a change that was committed, even when the answer
//     to COMMIT was lost, or says access.Unavailable with code
//     "commit-unknown". It never runs fn again while the first run might
//     still commit.
//  4. A transaction in which any write failed is never committed, whatever fn
//     makes of the error. Where several are committed together, one that fails
//     leaves the others as they are.
//  5. A save replaces exactly the version before, or, as bookkeeping, the same
//     version; anything else is access.Conflict.
//  6. Tx.Now never goes back, over restarts neither, and no clock that is set can
//     make it jump: package clock says what is believed, and Tx.Certain whether.
//  7. Audit records, their numbers, hashes and checkpoints are only added.
//     Readers see numbered records only, in one order without gaps, and in it
//     the versions of each entity ascend.
//  8. What is due is found by index: no call reads all live grants.
//
// Save in the order requests, grants, entitlements, holds, leases: what is named
// must exist, and a grant is checked against its request when it is written.
package store
