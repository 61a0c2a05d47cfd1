// Package keys holds the seal key of an installation and everything that is
// sealed with it.
//
// The seal key is a line of text in a file of its own, outside the data folder, so
// that whoever has the data, or a backup of it, has only ciphertext. In the file it may
// be wrapped by a TPM or a PKCS#11 token (Wrapper), so that the file alone opens nothing
// either. All other keys
// are random, and are stored by the caller as blobs that the seal key sealed:
//
//	key file ── seal key ─┬─ HKDF per purpose ─► AES-256-GCM ─► sealed values
//	                      │                                       ├ connector credentials
//	                      │                                       ├ checkpoint key (Ed25519)
//	                      │                                       ├ authorities of SSH certificates (Ed25519)
//	                      │                                       └ tag key (HMAC-SHA256)
//	                      └─ HKDF ─► key id, in the head of each sealed value
//
// A credential for a person is not sealed with the seal key but to the person's
// device, with SealTo: the server can seal and cannot open.
//
// Invariants:
//
//   - A sealed value opens only for the purpose and at the place it was sealed for:
//     a row copied over another row does not open.
//   - The key file is readable by its owner only, and by nobody who could have put it
//     there in the owner's stead. Otherwise it is not read.
//   - The key file is never overwritten and never half written.
//   - No error, and no way of printing a value of this package, contains key
//     material or plaintext.
//
// The package is for Unix, as the server is: it relies on file modes, owners and
// hard links.
//
// The formats (key file, sealed value, tag) are stored for years. Each starts with
// a version; a new version is added, and the old one is read for as long as
// anything may hold it.
package keys
