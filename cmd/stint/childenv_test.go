package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stint/internal/api"
)

func TestLibpq(t *testing.T) {
	base := api.Credential{Type: "postgres", Username: "u", Password: "p w", Host: "::1", Port: 5433, Database: "orders"}
	got := base
	got.URI = "postgres://u:p%20w@[::1]:5433/orders?sslmode=verify-full&channel_binding=require&sslrootcert=%2Fetc%2Fca.pem"
	env, err := libpq(got)
	want := map[string]string{"PGHOST": "::1", "PGPORT": "5433", "PGUSER": "u", "PGPASSWORD": "p w", "PGDATABASE": "orders",
		"PGSSLMODE": "verify-full", "PGCHANNELBINDING": "require", "PGSSLROOTCERT": "/etc/ca.pem"}
	if diff := cmp.Diff(want, env); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	// What psql could not be told must not be left out in silence.
	for _, uri := range []string{"postgres://u:p%20w@h/orders?sslmode=require&service=other", "postgres://u:p%20w@h/orders?sslmode=require&sslmode=disable",
		"postgres://u:p w@h:port/%zz"} {
		bad := base
		bad.URI = api.Secret(uri)
		env, err := libpq(bad)
		if err == nil {
			t.Errorf("%s: got %v, want an error", uri, env)
		} else if strings.Contains(err.Error(), "p w") || strings.Contains(err.Error(), "p%20w") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
	if env, err := libpq(api.Credential{Type: "ssh"}); err != nil || len(env) != 0 {
		t.Errorf("another type: %v, %v", env, err)
	}
}

// TestPassedOn: nothing from before decides where a credential is sent.
func TestPassedOn(t *testing.T) {
	for _, name := range []string{"PGHOST", "PGHOSTADDR", "PGSERVICE", "PGSERVICEFILE", "PGPASSFILE", "PGSSLMODE", "PGREQUIREAUTH", "PGNEW", "STINT_TOKEN"} {
		if passedOn(name) {
			t.Errorf("%s is passed on", name)
		}
	}
	for _, name := range []string{"PATH", "HOME", "PGOPTIONS", "PGAPPNAME", "PAGER", "STINT_SERVER"} {
		if !passedOn(name) {
			t.Errorf("%s is not passed on", name)
		}
	}
}
