// Package api is the wire between a Stint client and the control plane: the
// JSON types, the paths, the proof that a call comes from a device, and a
// client that makes the calls. It decides nothing and knows no other package
// of Stint, so that a client links no server code.
//
//	Device ──signs──► Proof (one call, one use) ─┐
//	Client ──JSON, Idempotency-Key───────────────┼──► control plane
//	Device ◄──opens── SealedCredential ◄─────────┘
//
// Invariants:
//
//  1. A token alone is useless: each call carries a proof (RFC 9449) by the
//     device's key over method, URL, query, body and token, good for one use
//     within a short window. [VerifyProof] accepts nothing else.
//  2. A retry never does a thing twice: every call that changes something has
//     an Idempotency-Key, the same for all its attempts, while each attempt
//     has a proof of its own.
//  3. A credential travels only sealed to the device that asked
//     (HPKE, RFC 9180), bound to its grant.
//  4. Secrets have the type [Secret], or live in a type that hides them; no
//     error, log line or URL made here holds one.
//  5. A client speaks plain HTTP with loopback addresses only, and follows no
//     redirect.
//  6. Times are RFC 3339 UTC with milliseconds, null while unknown. Durations
//     are text like "1h30m".
//
// Rules of change: members and endpoints are only added. Clients ignore
// members they do not know; the server refuses them, because a member it does
// not understand might narrow what is asked.
package api
