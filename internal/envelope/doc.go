// Package envelope is the form in which orders of a control plane reach the agent of
// a host, and its answers come back.
//
//	control plane ── Call, signed with the orders key ──► agent
//	              ◄── Answer, signed with the agent's key ──
//
// A Call is one call of package connector, with the data of one target. On the wire
// it is text of three parts with dots between them: what it is and its version, the
// content in base64url, an Ed25519 signature over the first two. Who can carry it,
// and that is anybody who can reach the store or the network, can withhold it, and
// nothing else.
//
// Invariants:
//
//  1. What Open returns was signed, whole, by one of the keys that it was given,
//     and as a call or as an answer: neither passes for the other.
//  2. One text per content: what does not encode again byte for byte is refused, so
//     that names said twice, in another case or unknown have no meaning to anybody.
//  3. Every size is bounded before it is believed.
//  4. No error says more of what was refused than its form.
//
// Beside calls there is a Trust: what the sshd of a host shall believe, signed with the
// same key in answer to one question. And there is a Roll, by which one orders key names
// the next.
//
// The package keeps nothing. That an id is taken once, and that nothing removed
// comes back, is kept by package agent.
package envelope
