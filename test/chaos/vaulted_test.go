package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"stint/internal/pgtest"
	"stint/test/stage"
)

// TestOracle: what must never be found is found, where it is.
func TestOracle(t *testing.T) {
	ctx, done := context.WithTimeout(t.Context(), 3*time.Minute)
	defer done()
	target := pgtest.Start(t, pgtest.Options{})
	do := func(sql ...string) {
		t.Helper()
		if err := target.Exec(ctx, "postgres", sql...); err != nil {
			t.Fatal(err)
		}
	}
	do("CREATE DATABASE " + stage.Database)
	do("CREATE ROLE vaulted_0 LOGIN PASSWORD 'now'")
	w := &vaultWorld{Stage: &stage.Stage{Target: target}}
	defer w.forget()
	a := &account{name: "vaulted_0"}
	says := func(want string) {
		t.Helper()
		open, err := w.notWhole(ctx)
		if err != nil || !strings.Contains(strings.Join(open, "; "), want) || want == "" && len(open) > 0 {
			t.Errorf("it finds %q, %v; want %q", open, err, want)
		}
	}
	kept := func() scram {
		t.Helper()
		look, err := w.look(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var text string
		if err := look.QueryRow(ctx, "SELECT rolpassword FROM pg_authid WHERE rolname = 'vaulted_0'").Scan(&text); err != nil {
			t.Fatal(err)
		}
		v, err := parseVerifier(text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}

	says("")
	if v := kept(); !v.is("now") || v.is("before") {
		t.Error("whose verifier it is, is not known")
	}
	if is, err := w.opens(ctx, a, "now"); err != nil || !is {
		t.Errorf("the account's own password does not open it: %v", err)
	}
	if is, err := w.opens(ctx, a, "before"); err != nil || is {
		t.Errorf("another password opens it: %v", err)
	}
	do("ALTER ROLE vaulted_0 PASSWORD 'before'")
	if v := kept(); v.is("now") || !v.is("before") {
		t.Error("a secret that is the account's again is not found")
	}

	do("ALTER ROLE vaulted_0 NOLOGIN")
	says("cannot log in")
	if n, err := w.withoutLogin(ctx); n != 1 || err != nil {
		t.Errorf("%d accounts without a login, %v", n, err)
	}
	if _, err := w.opens(ctx, a, "before"); err == nil {
		t.Error("that an account has no login is taken for a password that does not open it")
	}
	do("ALTER ROLE vaulted_0 LOGIN PASSWORD NULL")
	says("has no password")
	do("ALTER ROLE vaulted_0 PASSWORD 'now' VALID UNTIL '2001-01-01'")
	says("is valid until")
	do("ALTER ROLE vaulted_0 VALID UNTIL 'infinity'", "CREATE ROLE stintmark_checkout_x")
	says("there is stintmark_checkout_x")
	do("DROP ROLE stintmark_checkout_x")
	says("")
	in, err := pgx.Connect(ctx, target.DSN("vaulted_0", "now", "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close(context.WithoutCancel(ctx)) }()
	says("has sessions")
}

// TestVerifier: what is no verifier is told from one.
func TestVerifier(t *testing.T) {
	for _, text := range []string{"", "md5d41d8cd98f00b204e9800998ecf8427e", "SCRAM-SHA-256$x:AA==$AA==:AA==", "SCRAM-SHA-256$1:!$AA==:AA==", "SCRAM-SHA-256$1:AA==$!:AA=="} {
		if _, err := parseVerifier(text); err == nil {
			t.Errorf("%q is taken for a verifier", text)
		}
	}
}
