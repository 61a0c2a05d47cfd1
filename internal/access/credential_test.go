package access

import "testing"

// Who could not be told apart from the users of a credential counts as one.
func TestUnused(t *testing.T) {
	c := Credential{Name: "login", Type: "fake", Address: "db1:1"}
	user := Entitlement{Target: Target{Resource: "db", Connection: Connection{Credential: "login"}}}
	other := Entitlement{Target: Target{Resource: "db", Connection: Connection{Credential: "another"}}}
	many := make([]Entitlement, c.Users().Limit)
	for name, tt := range map[string]struct {
		found []Entitlement
		free  bool
	}{
		"none": {nil, true}, "others": {[]Entitlement{other}, true}, "one": {[]Entitlement{other, user}, false}, "too many to tell": {many, false},
	} {
		if err := c.Unused(tt.found); (err == nil) != tt.free || err != nil && KindOf(err) != Conflict {
			t.Errorf("%s: %v", name, err)
		}
	}
	if q := c.Users(); q.Place != (Connection{Type: "fake", Address: "db1:1"}).Place() || len(q.States) != 4 {
		t.Errorf("users: %+v", q)
	}
}
