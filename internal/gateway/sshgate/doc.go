// Package sshgate carries SSH sessions: it is a server towards the person and a client
// towards the target, and sees in between what is done.
//
//	person ──key that proved itself──► sshgate ──certificate of this session──► target
//	                                     │  host key as the permit says
//	                                     └─► Recorder, before anything is forwarded
//
// A person names the resource in the user name: RESOURCE, or LOGIN@RESOURCE. What they
// are and what they may is the control plane's answer (package gateway); nothing is
// decided here but what the permit's rules say of each channel and request.
//
// Invariants, each held by a test of this package:
//
//  1. Who somebody is, is the key that signed this connection's session identifier, or
//     the certificate of that key. A key that was offered leaves no trace.
//  2. A certificate counts when an authority's own key signed it, it names principals,
//     all its critical options are known, and neither it nor any key in it is revoked.
//     No certificate is an authority.
//  3. The target is who the permit says, by its key or by its authority, or nothing is
//     sent to it.
//  4. Nothing passes that is not recorded first: a channel or request of a kind that is
//     not known here is refused, and so is what the recorder does not take. Where the
//     recorder returns only when a record is durable, nothing is forwarded before it is.
//  5. When a session is over, no byte passes in either direction; those at a terminal are
//     told why; what runs on the target is sent a signal, and the connections are closed
//     within a second.
//  6. Those who do not sign in cost little: handshakes have a deadline and a number, and
//     do not stand in anybody's way.
//  7. What waits for a slow reader is bounded in bytes, by the windows of the channels.
//
// What it does not do: it does not understand shells. Who has a shell can do what the
// account can do, whatever the command rules say (see gateway.Rules).
package sshgate
