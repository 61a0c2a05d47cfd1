// Package signals reads Security Event Tokens (RFC 8417) of the Shared Signals
// Framework: an identity provider says that a session was revoked, a credential
// changed, a device is not compliant any more, an account was disabled. It verifies
// them, says what they mean for Stint, and fetches them by poll (RFC 8936) where the
// provider does not push (RFC 8935). What is done about them is not its business.
//
// Invariants, each held by a test in this package:
//
//  1. Only signatures by a key of the transmitter count, by algorithms with public
//     keys that are listed here; what the token says of keys is not followed.
//  2. Issuer and audience are compared as a whole, byte by byte. A token says what it
//     is (typ), so that no other JWT of the same issuer passes for one.
//  3. Who it is about is named by issuer and subject (RFC 9493 section 3.2.3). Mail
//     addresses, telephone numbers and opaque ids are refused: they are handed on, or
//     mean nothing here.
//  4. A token is refused when it is older than MaxAge, which is for how long its jti is
//     to be remembered.
package signals
