// Package sshcert makes OpenSSH certificates: it takes what was decided, a Spec, and
// gives the bytes that an authority signed. It decides nothing and keeps nothing; time
// and randomness come in.
//
//	Spec ──► build ──► lint.Unsigned ──► sign ──► lint.Signed ──► Certificate
//
// The two checks are by package lint, which reads the exact bytes and has no code in
// common with the builder. Package krl is the list of the certificates that were taken
// back.
//
// Invariants:
//
//   - Nothing is signed that lint refuses, and nothing leaves that it refuses.
//   - An authority signs certificates of one kind: one of users never makes a host's.
//   - A certificate has a principal, an end, and a serial that is not zero.
package sshcert
