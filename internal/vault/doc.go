// Package vault is the rules of vaulted secrets: the password, token, key or certificate of a privileged
// account that stays on a target, of which Stint alone is to know what it is.
//
// An entry stands for one account at one address. It holds versions of the account's
// secret, each ciphertext sealed for its very place (Entry.Place, number), so that a row
// or a version put in the place of another does not open. The package is pure: it sees no
// plaintext, asks no target and reads no clock. The broker does what it decides:
//
//	          Begin               Commit
//	(none) ──────────► pending ──────────► current ──────────► dead
//	          durable           the target says so:    the next one took its place,
//	          before the        the new one opens,     and its ciphertext is erased
//	          target is told    the old one does not
//
// Invariants, each proved by a property test:
//
//   - A secret is durable before any target is told of it, and is never forgotten while a
//     target may still have it: whatever happens on the way, the account opens with one of
//     those that are kept (current or pending).
//   - There is at most one pending secret, so that two rotations are never under way: who
//     comes second goes on with the one that is there.
//   - A secret becomes current only when it was seen to open, and is dead only when it was
//     seen not to, or is a certificate past its end. What is dead holds no ciphertext.
//   - An entry goes only while it is lent to nobody and nothing is pending.
package vault
