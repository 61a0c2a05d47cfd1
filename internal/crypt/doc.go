// Package crypt hashes the passwords of Linux accounts as crypt(3) does, so that a host
// can be told of a password, and compare it, without being given it.
//
// A host says by its Settings how it keeps a password; who knows the password hashes it
// in the same way (Like), and the host compares. Invariants:
//
//   - It writes one kind, SHA-512 (crypt(5), "$6$"), which every Linux verifies, with a
//     fresh salt; of what else there is it says that it does not know.
//   - What a host says is parsed and bounded before anything is computed.
//   - A Verifier holds nothing that is not in that one form, so that a line of shadow can
//     be made of it; it compares in constant time.
package crypt
