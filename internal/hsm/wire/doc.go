// Package wire is what stintd and stint-hsm say to each other: questions to a PKCS#11
// token and their answers, one after the other, over the standard input and output of
// stint-hsm.
//
//	frame    length (4 bytes, of what follows) ‖ version 1 (1) ‖ kind (1) ‖ number (8) ‖ fields
//	field    length (4) ‖ bytes
//
// Numbers are big endian. Both ends believe nothing: the one has a vendor's library in its
// memory, and the other is told by it.
//
// Invariants:
//
//   - Nothing longer than MaxFrame is read, and nothing is allocated for what a length
//     claims beyond that.
//   - What is accepted has the fields of its kind, and encodes again byte for byte.
//   - No way of printing a message shows its fields: one of them is the PIN.
package wire
