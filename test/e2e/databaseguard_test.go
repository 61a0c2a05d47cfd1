//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
)

const guardDocuments = `
kind: Role
name: careful
description: Read and write the orders, and nothing besides
resources: {type: postgres}
mechanism: account
postgres: {memberOf: [orders_read], through: gateway, denyStatements: [ddl, privilege, server], denyTables: [hr.salaries], denyFunctions: [pg_sleep]}
maxDuration: 4h
---
kind: Policy
name: careful-people
subjects: [group:platform]
roles: [careful]
require: {maxDuration: 2h, recording: true}
`

// TestDatabaseGuard: psql, by stint db, under a role with a guard: what it denies is refused with
// the rule, recorded as refused, with the class of each statement, and an alarm; the session
// goes on.
func TestDatabaseGuard(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	d := newDatabaseScene(t, ctx)
	must(t, d.Documents(ctx, guardDocuments))
	if r := d.As("root").Run(ctx, "apply", "--dry-run", "-f", written(t, strings.Replace(guardDocuments, "through: gateway, ", "", 1))); r.Code == 0 || !strings.Contains(r.Out+r.Err, "denyStatements says nothing without through: gateway") {
		t.Errorf("a guard without a gateway: %d %s %s", r.Code, r.Out, r.Err)
	}
	if r := d.As("root").Run(ctx, "apply", "--dry-run", "-f", written(t, strings.Replace(guardDocuments, "[ddl,", "[dll,", 1))); r.Code == 0 || !strings.Contains(r.Out+r.Err, "ddl") {
		t.Errorf("a class that is none: %d %s %s", r.Code, r.Out, r.Err)
	}
	script := ""
	refused := map[string]string{
		"drop table orders":                                         "class ddl",
		"select 1 \\; drop table orders":                            "class ddl",
		"set role orders_read":                                      "class privilege",
		"copy (select 1) to program 'touch /tmp/never'":             "class code+server",
		"do $$ begin drop table orders; end $$":                     "class code",
		"with x as (select * from hr.\"salaries\") select * from x": "table hr.salaries",
		"prepare p as select pg_catalog.pg_sleep(0)":                "function pg_sleep",
		"select U&'x'":                                              "unknown",
	}
	for text := range refused {
		script += text + ";\n"
	}
	script += "select 'it goes on', count(*) from orders;\n"
	file := filepath.Join(t.TempDir(), "script.sql")
	must(t, os.WriteFile(file, []byte(script), 0o600))
	var out string
	must(t, eventually(ctx, func() error {
		r := d.run(ctx, "nils", "db", "orders-db", "--as", "careful", "--for", "10m", "--why", "with care", "--", "--no-psqlrc", "-At", "-v", "VERBOSITY=verbose", "-f", file)
		out = r.Out + r.Err
		if !strings.Contains(out, "it goes on|40") {
			return fmt.Errorf("%d %s", r.Code, out)
		}
		return nil
	}))
	if n := strings.Count(out, "42501: stint: refused"); n != len(refused) {
		t.Errorf("%d of %d are refused:\n%s", n, len(refused), out)
	}
	for text, rule := range refused {
		if !strings.Contains(out, "The guard is: "+rule+".") {
			t.Errorf("%s: nothing of %q in\n%s", text, rule, out)
		}
	}
	if n := d.target(ctx, "SELECT count(*)::text FROM pg_roles WHERE rolname = 'orders_read'"); n[0] != "1" {
		t.Error("the group is gone")
	}
	d.open(ctx, 0)
	all := d.sessions(ctx, false)
	id := all[0].ID
	must(t, eventually(ctx, func() error { // the gateway brings it within a second or so
		r := d.run(ctx, "rosa", "session", "show", id)
		for _, want := range []string{"[read] select 'it goes on'", "[ddl] drop table orders", "refused: class ddl", "[privilege] set role orders_read"} {
			if !strings.Contains(r.Out, want) {
				return fmt.Errorf("%q is not shown: %d %s %s", want, r.Code, r.Out, r.Err)
			}
		}
		return nil
	}))
	must(t, eventually(ctx, func() error {
		if r := d.run(ctx, "rosa", "session", "search", "[privilege]"); r.Code != 0 || !strings.Contains(r.Out, "set role orders_read") {
			return fmt.Errorf("found: %d %s %s", r.Code, r.Out, r.Err)
		}
		return nil
	}))
	ruth, err := d.Client(ctx, "ruth", "--group", "reviewers")
	must(t, err)
	shown := ""
	must(t, ruth.Screens(ctx, id, api.Play{}, func(s api.Screen) error {
		for _, line := range s.Lines {
			for _, run := range line {
				shown += run.Text
			}
			shown += "\n"
		}
		return nil
	}))
	if !strings.Contains(shown, "[read] select 'it goes on'") {
		t.Errorf("it is replayed as\n%s", shown)
	}
}

// written is a file with a text.
func written(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "documents.yaml")
	must(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}
