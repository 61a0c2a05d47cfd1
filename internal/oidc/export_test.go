package oidc

import "encoding/json"

// ReadClaims is what becomes of verified claims.
func ReadClaims(at Provider, subject string, raw []byte) (Person, error) {
	var c claims
	if err := json.Unmarshal(raw, &c); err != nil {
		return Person{}, err
	}
	all := map[string]any{}
	if err := json.Unmarshal(raw, &all); err != nil {
		return Person{}, err
	}
	return person(at, subject, c, all)
}
