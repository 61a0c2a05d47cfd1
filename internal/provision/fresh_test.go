package provision_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/directory"
	"stint/internal/policy"
	"stint/internal/provision"
	"stint/internal/store"
)

var (
	corp = policy.Integration{Name: "corp", Type: directory.Type, Address: "ldaps://ldap.corp.example", Options: map[string]string{
		"users": "ou=people,dc=corp,dc=example", "freshFor": "600"}}
	ofCorp = access.Principal{ID: "user:mira", Identities: []access.Identity{{Provider: "corp", Subject: "1"}}}
)

// code is the code of an error; empty where there is none.
func codeOf(err error) string {
	var e *access.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// reads notes in the store when a directory was read, as the replica that has the turn does.
func reads(t *testing.T, st *store.Store, name string, ago time.Duration) {
	t.Helper()
	ctx := context.Background()
	must(t, st.BeginChannel(ctx, store.Channel{Name: name, Body: []byte("{}")}))
	_, err := st.TakeTurn(ctx, name, "elsewhere", time.Minute)
	must(t, err)
	var at time.Time
	must(t, st.View(ctx, func(tx *store.Tx) error { at = tx.Now().Add(-ago); return nil }))
	body, err := json.Marshal(provision.DirectoryState{Read: at})
	must(t, err)
	must(t, st.SaveChannel(ctx, "elsewhere", store.Channel{Name: name, Body: body}, nil))
}

// TestFreshAfterStart: a process that has read nothing itself, as after a start or
// without a turn, knows what any replica wrote; what nobody has read is refused; and who
// comes from no directory with a bound is never asked about.
func TestFreshAfterStart(t *testing.T) {
	w := newWorld(t)
	started := func() *provision.Directories { return &provision.Directories{} } // nothing of it runs
	d := started()
	ask := func(d *provision.Directories, is []policy.Integration, p access.Principal) error {
		return freshIn(t, w.store, d, is, p, 0)
	}
	if err := ask(d, []policy.Integration{corp}, ofCorp); codeOf(err) != "stale-directory" || access.KindOf(err) != access.Unavailable {
		t.Errorf("a directory that nobody has read: %v", err)
	}
	local := access.Principal{ID: "user:root"}
	unbound := corp
	unbound.Options = map[string]string{"users": corp.Options["users"]}
	scim := policy.Integration{Name: "corp", Type: "scim"}
	for what, err := range map[string]error{
		"somebody of no directory":    ask(d, []policy.Integration{corp}, local),
		"no directory at all":         ask(d, nil, ofCorp),
		"a directory without a bound": ask(d, []policy.Integration{unbound}, ofCorp),
		"another kind of provider":    ask(d, []policy.Integration{scim}, ofCorp),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}

	reads(t, w.store, "corp", 11*time.Minute)
	if err := ask(d, []policy.Integration{corp}, ofCorp); codeOf(err) != "stale-directory" {
		t.Errorf("read eleven minutes ago: %v", err)
	}
	reads(t, w.store, "corp", time.Minute)
	must(t, ask(d, []policy.Integration{corp}, ofCorp))
	must(t, ask(started(), []policy.Integration{corp}, ofCorp))
	short := corp
	short.Options = map[string]string{"users": corp.Options["users"], "freshFor": "10"}
	if err := ask(d, []policy.Integration{short}, ofCorp); codeOf(err) != "stale-directory" {
		t.Errorf("a shorter bound does not count at once: %v", err)
	}
	if err := freshIn(t, w.store, d, []policy.Integration{corp}, ofCorp, 10*time.Minute); codeOf(err) != "stale-directory" {
		t.Errorf("what is remembered goes stale: %v", err)
	}
	if err := freshIn(t, w.store, d, []policy.Integration{corp}, ofCorp, -time.Hour); codeOf(err) != "stale-directory" {
		t.Errorf("read in an hour from now: %v", err)
	}
}

// TestFreshWithoutStore: what cannot be looked up is refused, and a state of another
// version is none.
func TestFreshWithoutStore(t *testing.T) {
	away := access.Fail(access.Unavailable, "store-away", "the store is away")
	var d provision.Directories
	err := d.Fresh([]policy.Integration{corp}, ofCorp, time.Now(), func(string) ([]byte, error) { return nil, away })
	if codeOf(err) != "store-away" {
		t.Errorf("without the store: %v", err)
	}
	err = d.Fresh([]policy.Integration{corp}, ofCorp, time.Now(), func(string) ([]byte, error) { return []byte(`{"read": 7}`), nil })
	if codeOf(err) != "stale-directory" {
		t.Errorf("a state that cannot be read: %v", err)
	}
}
