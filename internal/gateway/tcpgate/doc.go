// Package tcpgate is the gateway for whatever else speaks TCP: it carries the bytes of
// whoever has a grant to one target, and counts them.
//
//	program ──TLS 1.3, the key of a device──► session ──TCP──► target
//
// It promises no more than that. It does not understand what passes, records none of it
// but how much it was and when, has no login to put in a person's place, and cannot tell
// the target from whoever else answers at its address: protocols that prove that prove it
// through the gateway, to the program.
//
// Invariants, each held by a test of this package:
//
//  1. Nothing is believed before TLS 1.3 has proven a key, and no byte reaches a target
//     before the control plane gave a permit and the recording has begun.
//  2. No byte passes in either direction once the session is over or while it is paused.
//     Both connections are closed within a second then, without any word in between: a
//     protocol that is not understood cannot be spoken into.
//  3. Memory is bounded by the buffers, and connections that say nothing are in nobody's way.
package tcpgate
