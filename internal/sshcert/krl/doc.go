// Package krl writes and reads OpenSSH's key revocation lists: the file that sshd's
// RevokedKeys names, by which certificates stop working before their end.
//
// What is written says serials and key ids of certificates, each under the authority
// that signed them, and is the same bytes for the same content. What is read may also
// revoke single keys, as lists of ssh-keygen do. Lists are not signed: whoever fetches
// one knows from where, and OpenSSH has given signatures of lists up.
//
// Invariants:
//
//   - A list never revokes by accident: serial 0, which stands for "no serial", and
//     the empty authority, which stands for "any", are not written.
//   - What is not understood is an error and never skipped, for it may revoke.
//   - Reading takes memory in proportion to the bytes that are read.
//
// The format is that of OpenSSH's PROTOCOL.krl.
package krl
