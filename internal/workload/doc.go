// Package workload decides which service a program is by what its platform says of
// it: a pipeline by the claims of its ID token, a pod by those of its service account,
// a host by the names in its certificate.
//
//	token ──verified elsewhere──► Read ──► Claims ──► Conditions.Hold ──► this service
//
// It verifies no signature and knows no issuer; what it is given was verified.
//
// Invariants, each held by a test in this package:
//
//  1. All conditions hold, or none of it does. No condition at all holds for nobody.
//  2. A claim is compared as it is, byte for byte. One that is not there, is a list or
//     an object, is named twice, or could be read as two things, meets no condition.
//  3. A pattern says where it is open: "*" is a run within one part, between "/" and
//     ":", and "**" whatever follows a "/" or ":". So no pattern is met by a name that
//     only begins like the one that was meant.
//  4. What everybody in the world can get a token of, as with a forge that anybody can
//     open an account at, is bound to somebody's own there; see Open.
package workload

// The types of integration that vouch for workloads.
const (
	Type       = "workload" // an issuer of OpenID Connect ID tokens for machines
	TypeSPIFFE = "spiffe"   // a trust domain of SPIFFE
)
