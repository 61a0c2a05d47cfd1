// Package hosts keeps which hosts have an agent, and carries calls to them.
//
//	connector ── Desk.Carry ──► waits ──► Desk.Poll ──► agent of the host
//	          ◄── answer ──────────────── Desk.Poll ◄── its answers
//
// A call waits in memory of the replica that makes it. Where there are several, one
// that no agent fetches there at once goes through the store as well, and so does an
// answer that comes to another replica than the one that waits. Nothing of a call is
// kept beyond that: who waits for an answer and gets none does not know what became
// of the call, and asks the host again.
//
// Invariants:
//
//  1. A host is enrolled with a code that an administrator had made for it, good once
//     and for a short time. What is kept of a code is its digest.
//  2. An agent is handed calls for its own host and can answer no other's. Calls and
//     answers are signed by others than this package, which believes neither.
//  3. Calls that end access go first, and nothing takes their room.
//  4. Carry says envelope.ErrNotSent only of a call that no agent was handed, nor
//     will be.
//  5. With the store away, agents that were known stay known, so that access can end.
package hosts
