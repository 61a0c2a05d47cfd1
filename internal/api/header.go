package api

import (
	"net/http"
	"strings"
)

// Schemes of the Authorization header. A person's token is bound to the device
// (RFC 9449 section 7.1); a service's may be used by each of its devices.
const (
	schemeUser    = "DPoP"
	schemeService = "Bearer"

	maxToken = 512
)

// ReadProof takes the proof from a call's headers: there must be exactly one.
func ReadProof(h http.Header) (string, error) {
	switch all := h.Values(HeaderProof); len(all) {
	case 0:
		return "", badProof("there is none")
	case 1:
		return all[0], nil
	}
	return "", badProof("there is more than one")
}

// ReadToken takes the token from a call's headers, and whether it is offered
// as a service's. Without exactly one good token it fails as Unauthenticated.
func ReadToken(h http.Header) (token Secret, service bool, err error) {
	fail := func(message string) (Secret, bool, error) {
		return "", false, &Error{Kind: Unauthenticated, Code: "no-token", Message: message, Next: "sign in with stint login"}
	}
	all := h.Values("Authorization")
	if len(all) == 0 {
		return fail("the call carries no token")
	}
	scheme, value, ok := strings.Cut(all[0], " ")
	if len(all) > 1 || !ok || value == "" || len(value) > maxToken || !plainToken(value) {
		return fail("the call does not carry one token")
	}
	switch {
	case strings.EqualFold(scheme, schemeUser):
		return Secret(value), false, nil
	case strings.EqualFold(scheme, schemeService):
		return Secret(value), true, nil
	}
	return fail("the call carries a token of an unknown scheme")
}

// plainToken allows what base64url and a prefix are made of.
func plainToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return true
}
