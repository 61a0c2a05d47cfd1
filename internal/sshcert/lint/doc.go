// Package lint reads the bytes of an OpenSSH certificate and says what is wrong with
// them, before they are signed and once more after. It shares no code with what builds
// certificates, so that one mistake does not make both the certificate and its check:
//
//	decision ──► Want ─────────────────────────┐
//	    └──────► builder ──► bytes ──► Unsigned ┴─► signature ──► Signed ──► out
//
// It knows nothing of grants: what was decided comes in a Want, and a certificate is
// right when it says that and no more.
//
// Invariants:
//
//   - What is not understood is refused: fields, critical options, extensions, key
//     types, bytes after the end.
//   - A certificate without principals is a certificate for every account, and one
//     without an end is one for ever: neither passes, whatever was wanted.
//   - The key of a certificate, and that of its authority, is a plain key. SSH has no
//     chains; a certificate in either place is refused.
//
// The format is that of OpenSSH's PROTOCOL.certkeys.
package lint
