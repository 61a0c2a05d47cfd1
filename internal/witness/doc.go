// Package witness lets another host remember how far an audit log had got.
//
//	stintd ── Client ── add-checkpoint: old size, proof, checkpoint ──► Witness ── state file
//	          ◄── cosignature, or 409 with the size it knows, or 422 ──
//
// A witness keeps, for each log that it was told of, the newest checkpoint that it
// signed, and signs another one only if that continues it. So a log that was cut
// back, or written anew, shows, whoever has the log's key and its whole store. It
// is worth something only on another host, with another administrator: on the same
// one it is a copy.
//
// The protocol is C2SP tlog-witness, the signature C2SP tlog-cosignature
// (cosignature/v1, Ed25519), so that witnesses of others will do. Beyond it, a
// Witness shows the newest checkpoint that it signed.
//
// Invariants, each held by a test:
//
//  1. No two cosignatures of one witness are of logs of which neither is the
//     beginning of the other, and none is of a smaller log after that of a larger,
//     over crashes and restarts; but for what an operator has accepted by hand,
//     which the state file keeps as evidence.
//  2. What was signed is on the disk before the answer leaves.
//  3. Who sends garbage, slowly or much, costs bounded memory and time, and
//     changes nothing.
package witness
