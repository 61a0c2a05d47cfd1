// Package passkey checks what passkeys sign, offline: registrations and assertions of
// Web Authentication Level 3, with nothing but the bytes, the public key and what was
// expected. Everything else of the approvals that cannot be forged rests on it.
//
//	Register ──► a credential and its key, from what a browser made
//	Verify   ──► whether a key signed this challenge, for this site, with the person there
//	Roster   ──► the same for one vote, by the passkeys there are (access.Prover)
//	Propose, Vouch, Remove ──► the life of a passkey, back to the first of all
//	Chain    ──► all of it again, from the records of the audit log alone
//
// It is pure: no store, no network, no clock. It does not know who is signed in, and
// it trusts no attestation: who made an authenticator says nothing about whose it is.
//
// Invariants, each held by a test in this package:
//
//  1. What does not parse in the one way its specification has is refused: no
//     duplicate members, no trailing bytes, no other form of the same value.
//  2. An assertion counts for one challenge, one site and one key, with the person
//     present and verified. It is never looked up by what it says itself.
//  3. A passkey becomes active on the word of an older one of the same person, of two
//     administrators, or of one where there is no second; only the first of all, and
//     what a recovery code made, on nobody's. Those two are what a verifier pins.
//  4. What a Chain finds good depends on nothing but the records and the pins.
package passkey
