//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
)

const injectedDocuments = `
kind: Role
name: borrow-keeper
description: Work as the keeper of the orders, recorded
resources: {names: [orders-db]}
mechanism: checkout
postgres: {account: orders_keeper, through: gateway, maxRows: 100000}
maxDuration: 1h
---
kind: Policy
name: keepers
subjects: [group:platform]
roles: [borrow-keeper]
require: {maxDuration: 1h, recording: true}
---
kind: Policy
name: keepers-glass
effect: breakGlass
subjects: [group:reviewers]
roles: [borrow-keeper]
require: {reason: {minLength: 5}, maxDuration: 30m}
`

// TestInjected: an account of the vault is worked with through a gateway, by persons who are
// never shown its password; when one leaves, and when it comes back, it has another (T-52, T-55).
func TestInjected(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	d := newDatabaseScene(t, ctx)
	must(t, d.Target.Exec(ctx, "orders", "CREATE ROLE orders_keeper LOGIN PASSWORD 'known-to-too-many' IN ROLE orders_read"))
	must(t, d.Documents(ctx, injectedDocuments))
	must(t, d.As("root").Run(ctx, "admin", "vault", "add", "keeper", "--resource", "orders-db", "--account", "orders_keeper").Failed())
	verifier := func() string {
		t.Helper()
		said := ""
		must(t, eventually(ctx, func() error { // while it is rotated it has none
			var v api.VaultEntry
			if err := d.As("root").JSON(ctx, &v, "admin", "vault", "show", "keeper"); err != nil || v.State == "rotating" {
				return fmt.Errorf("it is %s: %w", v.State, err)
			}
			all := d.target(ctx, "SELECT coalesce(rolpassword, '') FROM pg_authid WHERE rolname = 'orders_keeper'")
			if len(all) != 1 || all[0] == "" {
				return fmt.Errorf("%d passwords", len(all))
			}
			said = all[0]
			return nil
		}))
		return said
	}

	// Two work as it at a time, and neither is shown anything.
	requests := map[string]string{}
	for _, who := range []string{"nils", "lars"} {
		r := d.run(ctx, who, "db", "orders-db", "--as", "borrow-keeper", "--for", "10m", "--why", "mend the orders", "--", "-Atc", "select count(*), session_user from orders")
		must(t, eventually(ctx, func() error {
			if r.Code != 0 {
				r = d.run(ctx, who, "db", "orders-db", "--as", "borrow-keeper", "--for", "10m", "--why", "mend the orders", "--", "-Atc", "select count(*), session_user from orders")
			}
			return r.Failed()
		}))
		if strings.TrimSpace(r.Out) != "40|orders_keeper" {
			t.Errorf("%s is told %q %q", who, r.Out, r.Err)
		}
		var held []api.Request
		must(t, d.As(who).JSON(ctx, &held, "get", "requests"))
		requests[who] = held[0].ID
		for _, args := range [][]string{{"credentials", held[0].ID}, {"checkout", "orders-db"}, {"secret", "read", "orders-db"},
			{"run", "orders-db", "--as", "borrow-keeper", "--for", "1m", "--why", "mend the orders", "--env", "P=password", "--", "env"}} {
			if r := d.run(ctx, who, args...); r.Code == 0 || !strings.Contains(r.Err, "stint db orders-db") {
				t.Errorf("%s is shown something by %s: %d %s %s", who, args, r.Code, r.Out, r.Err)
			}
		}
	}
	first := verifier()

	// One leaves: the session of the other ends with all of the account, and the next has its new password.
	uri, _, _, stop := d.proxy(ctx, "lars")
	defer stop()
	live := connectTo(t, ctx, uri)
	must(t, d.As("nils").Run(ctx, "end", requests["nils"], "--wait").Failed())
	if err := fails(ctx, live); err == nil {
		t.Error("a session goes on with the password of before")
	}
	second := verifier()
	if second == first {
		t.Error("one has left, and the password is the same")
	}
	again := connectTo(t, ctx, uri)
	var as string
	if must(t, again.QueryRow(ctx, "SELECT session_user::text").Scan(&as)); as != "orders_keeper" {
		t.Errorf("anew it is %s", as)
	}
	must(t, d.As("root").Run(ctx, "admin", "vault", "rotate", "keeper", "--why", "it was on a screen").Failed())
	must(t, eventually(ctx, func() error { // now, and who holds it goes on with the new one
		if verifier() == second {
			return errors.New("it is not rotated")
		}
		return nil
	}))
	if err := fails(ctx, again); err == nil {
		t.Error("rotated, and a session goes on")
	}
	again = connectTo(t, ctx, uri)
	if _, err := again.Exec(ctx, "ALTER ROLE current_user PASSWORD 'mine-now-123'"); err == nil || !strings.Contains(err.Error(), "go around the gateway") {
		t.Errorf("a password of their own: %v", err)
	}

	third := verifier()

	// It comes back: cut, another password, and the history tells who it was.
	must(t, d.As("lars").Run(ctx, "end", requests["lars"], "--wait").Failed())
	if err := fails(ctx, again); err == nil {
		t.Error("given back, and the session goes on")
	}
	var v api.VaultEntry
	must(t, eventually(ctx, func() error {
		if err := d.As("root").JSON(ctx, &v, "admin", "vault", "show", "keeper"); err != nil || v.State != "ready" {
			return fmt.Errorf("%s %w", v.State, err)
		}
		return nil
	}))
	if verifier() == third {
		t.Error("it came back, and the password is the same")
	}
	var used struct {
		Uses []struct{ Principal, Gateway, Session, Request string }
	}
	must(t, eventually(ctx, func() error {
		err := d.As("root").JSON(ctx, &used, "admin", "vault", "history", "keeper")
		if err == nil && len(used.Uses) < 4 {
			err = fmt.Errorf("%d uses", len(used.Uses))
		}
		return err
	}))
	for _, u := range used.Uses {
		if u.Gateway != "edge" || !strings.HasPrefix(u.Session, "ses_") || u.Principal != "user:nils" && u.Principal != "user:lars" {
			t.Errorf("used: %+v", u)
		}
	}
	must(t, eventually(ctx, func() error {
		if r := d.run(ctx, "rosa", "session", "search", "session_user from orders"); r.Code != 0 || !strings.Contains(r.Out, "session_user from orders") {
			return fmt.Errorf("found: %d %s %s", r.Code, r.Out, r.Err)
		}
		return nil
	}))

	// A drill of breaking the glass goes through the gateway as well.
	var rep struct {
		OK    bool
		Steps []struct {
			Name, Detail string
			OK           bool
		}
	}
	if r := d.As("rosa").JSON(ctx, &rep, "break-glass", "orders-db", "--drill", "--why", "quarterly drill"); r != nil || !rep.OK {
		t.Errorf("the drill: %v %+v", r, rep)
	}
	for _, x := range []string{first, second, third, verifier()} {
		d.noPassword(ctx, x)
	}
}
