// Package access is the core of Stint: its nouns and its rules.
//
// Everything here is pure. A transition takes a value, an input and the time,
// and returns the new value and the event that reports it; the caller commits
// both in one transaction. There is no I/O, no clock and no context, so every
// rule below can be tested, simulated and replayed.
//
//	request      pending ──► approved | denied | cancelled | expired
//
//	grant        scheduled ──► provisioning ──► active ──► ending ──► ended
//	                 │              └──────────────────────► ending ──► failed
//	                 └► ended
//
//	entitlement  intended ──► present ◄──► refreshing
//	                 └───────────┴──────────────┴──► removing ──► gone
//
// Invariants, each held by a property test in this package:
//
//  1. A grant exists only for a request that was approved, by policy alone or
//     by the persons policy asks for. The requesting person never counts.
//  2. Granted ⊆ approved ⊆ requested ⊆ the policy's cap: in targets, rights
//     and time.
//  3. An approval counts only for the digest of exactly what was asked.
//  4. A grant's end is finite: provisional when the grant is made, counted anew
//     when set-up begins, lowered when the grant becomes active, and from then
//     on raised only by an approved extension. Zero is not "for ever"; it is
//     refused.
//  5. Terminal states absorb. Every transition raises the version by one and
//     yields exactly one event that carries it.
//  6. Ending is legal in every state that is not terminal, whatever policy
//     says. An entitlement is gone only when its absence was read back and no
//     call that could recreate it can still be in flight.
//  7. Zero values are safe: a zero Outcome is unknown, a zero Decision denies.
package access
