// Package oidc finds out from an OpenID Connect provider who somebody is: it is a
// relying party of the authorization code flow. And it verifies the tokens with which
// issuers vouch for programs: ID tokens of pipelines and clusters, and JWT-SVIDs.
//
//	Begin ──► the browser goes to the provider ──► comes back ──► Finish ──► Person
//	                                                               │
//	                         discovery, keys, code for token ◄─────┘
//
//	a program shows a token ──► Machine ──► who its issuer says that it is
//
// It decides neither whether that person is known here nor what they may do, and
// keeps nothing but what providers publish about themselves, for ten minutes.
//
// Invariants, each held by the tests with a hostile provider in this package:
//
//  1. A person comes only of an ID token that the configured issuer signed with a key
//     it publishes, by an asymmetric algorithm, for our client alone, for this very
//     attempt of this very browser, and that is good now.
//  2. An answer of one provider is worth nothing where another was asked (RFC 9207,
//     and an address to come back to for each provider).
//  3. A code is redeemed only together with what its browser holds: PKCE (RFC 7636)
//     and nonce are derived from the browser's cookie and kept nowhere.
//  4. A person is known by issuer and subject. Name, mail address and groups are
//     claims: they never find anybody.
//  5. A token of a program holds by the same: its integration's issuer, by a key that it
//     publishes and the token cannot choose, for us alone, with an end, not used by
//     another. Of SPIFFE, a key that is for JWT-SVIDs and a subject of the trust domain.
//  6. What a provider sends is bounded in size and time, and it redirects us nowhere.
package oidc
