// Package policy reads the documents of Stint (resources, roles, policies, integrations) and
// decides by them who may have which role, when, from where and for how long.
//
// Everything here is pure: documents, a question and the time go in, a decision
// comes out. There is no I/O and no clock, so that each decision can be repeated
// from what the audit log holds, and tested beside the policy.
//
//	files ── Parse ──► documents ── Merge, Remove ──► documents ── Compile ──► Set
//	                                                                            │
//	           Resolve, Decide, Explain, WhoCan, MayWrite, RunTests ◄───────────┘
//
// Invariants, each held by a test in this package:
//
//  1. Deny by default: without a policy that allows, the answer is no.
//  2. Deny overrides. A denying policy whose condition cannot be evaluated
//     denies; an allowing one whose condition cannot be evaluated is no path.
//  3. Each allowing policy is one complete path; the conditions of two are never
//     mixed. Among the paths whose requirements are met the one that asks for the
//     fewest approvals wins, then the first in document order.
//  4. A value over a cap is refused with the cap named, never clamped.
//  5. Documents are checked as a whole, and wholly before anything changes: a Set
//     holds no unknown name, no ill-typed condition, no unbounded duration.
//  6. Decide is total: it always ends, within a cost limit per condition, and a
//     fault of the engine itself denies.
//  7. A Set is immutable and safe for concurrent use.
//
// A document's `when` holds for asking and for starting; its `while` holds also
// for as long as the grant lives (Phase).
package policy
