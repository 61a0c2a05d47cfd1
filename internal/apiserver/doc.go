// Package apiserver is the door to the control plane: JSON over HTTP, for
// people's command lines, services, administrators and CI.
//
//	connection ─► frame ─► shed ─► gate ─────────────────────► handler ─► broker, ident, log
//	              trace,   load    proof, login, replay, body, one of
//	              headers          right, rate                  routes()
//
// A handler gets a caller that the gate let in, and translates: wire to core on
// the way in, core to wire on the way out. It decides nothing.
//
// Beside the API there are doors with shapes of their own: what outside services tell
// (SCIM, security events, clicks in a chat), and the token endpoint, where workloads
// exchange what their platform says for a login (OAuth 2.0, RFC 8693).
//
// Invariants, each held by a test in this package:
//
//  1. Every route says who may call it. One that does not, does not start.
//  2. Every call that is not public carries a proof over method, address, query,
//     body and token, and each proof is good once.
//  3. A forwarded address or scheme counts only from a configured proxy.
//  4. Errors have one shape; what went wrong inside is in the log under the
//     answer's trace, and never in the answer.
//  5. Everything has an end: bodies, headers, reads, writes, waits, streams.
//  6. Under load, new work is shed; ending and revoking are not.
package apiserver
