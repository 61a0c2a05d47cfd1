package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"stint/test/stage"
)

// documents are what an administrator writes: the resource, three ways of
// access to it, and who may ask for which. ADDRESS and CA are filled in.
const documents = `kind: Resource
name: orders-db
type: postgres
labels: {env: prod, team: orders}
criticality: high
owners: [group:dba]
connection: {address: "ADDRESS", database: orders, credential: orders-connector, sslmode: verify-full, ca: CA}
ceiling: {mechanisms: [account, group, enable], memberOf: [orders_read, orders_owner], accounts: [dba_admin], maxDuration: 8h}
---
kind: Role
name: reader
description: Read the orders tables
resources: {type: postgres, labels: {team: orders}}
mechanism: account            # an account is made for the grant, and removed after it
postgres: {memberOf: [orders_read], scramIterations: 4096}
maxDuration: 4h
---
kind: Role
name: orders-owner
description: Change the orders tables
resources: {names: [orders-db]}
mechanism: group              # one's own standing account joins, and leaves
postgres: {account: "{{ .person }}", memberOf: [orders_owner], sessions: end}
maxDuration: 1h
---
kind: Role
name: shared-admin
description: The shared administrator, one person at a time
resources: {names: [orders-db]}
mechanism: enable             # a dormant account gets a login and a fresh password, and loses both
postgres: {account: dba_admin}
exclusive: true
maxDuration: 30m
---
kind: Policy
name: orders-read
subjects: [group:platform]
roles: [reader]
when: request.duration <= duration("1h") && source.ip.inCIDR("127.0.0.0/8")
require:
  reason: {minLength: 10}
  approvals: [{from: [group:dba], count: 1}]
  maxDuration: 2h
---
kind: Policy
name: orders-peek             # a short look needs nobody
subjects: [group:platform]
roles: [reader]
when: request.duration <= duration("10s")
require: {reason: {minLength: 10}}
---
kind: Policy
name: orders-change
subjects: [group:platform]
roles: [orders-owner, shared-admin]
require:
  reason: {minLength: 10}
  ticket: {pattern: "^INC-[0-9]+$"}
---
kind: Policy
name: orders-emergency        # in an emergency nobody is waited for; another person reviews it
effect: breakGlass
subjects: [group:platform]
roles: [reader]
require: {reason: {minLength: 10}, maxDuration: 30m}
`

// demo is the scene and what was told so far.
type demo struct {
	*teller
	stage            *stage.Stage
	oracle           *stage.Oracle
	root, mira, omar *stage.Person

	asked string // the request of the first steps
	met   string // the grant that the crash met
	told  []told
	began time.Time
}

// told is a step for the summary.
type told struct {
	title string
	took  time.Duration
	lag   time.Duration
}

// open sets the scene.
func open(ctx context.Context, t *teller, bin, store string) (d *demo, err error) {
	d = &demo{teller: t, began: time.Now()}
	t.line(t.paint("1", "Stint: access for one task and one stint of time, and proof that it is gone"))
	t.line("")
	// The target keeps its promises to the disk, as a real one does.
	if d.stage, err = stage.Open(ctx, stage.Options{Bin: bin, Store: store, Fsync: true, Named: true}, "mira", "omar"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	s := d.stage
	d.root, d.mira, d.omar = s.As("root"), s.As("mira"), s.As("omar")
	if err := s.Credential(ctx, "orders-connector"); err != nil {
		return d, err
	}
	if err := s.Documents(ctx, documents); err != nil {
		return d, err
	}
	if err := s.Enrol(ctx, "mira", "--group", "platform"); err != nil {
		return d, err
	}
	if err := s.Enrol(ctx, "omar", "--group", "platform", "--group", "dba"); err != nil {
		return d, err
	}
	if err := s.Enrol(ctx, "olga", "--group", "dba"); err != nil { // else nobody could approve what omar asks for
		return d, err
	}
	if d.oracle, err = s.Oracle(); err != nil {
		return d, err
	}
	t.line("The target   PostgreSQL on " + s.Target.Addr() + " with the database orders, 40 orders in it")
	t.line("Stint        stintd at " + s.URL + ", its state in " + map[string]string{"sqlite": "SQLite", "postgres": "a PostgreSQL of its own"}[store])
	t.line("People       mira (platform) asks; omar (platform, dba) decides, and olga (dba) could; root administers")
	t.line(fmt.Sprintf("Ready        after %.1f s; a line with ✓ was checked by an exit code, or on the target itself", time.Since(d.began).Seconds()))
	return d, nil
}

// close ends everything and removes it.
func (d *demo) close() error {
	var errs []error
	if d.oracle != nil {
		errs = append(errs, d.oracle.Close())
	}
	return errors.Join(append(errs, d.stage.Close())...)
}

// summary is what was shown, how long it took, and how fast access went.
func (d *demo) summary() {
	d.line("\n" + d.paint("1", "What was shown") + "\n")
	d.line(d.paint("2", fmt.Sprintf("    %-58s %8s   %s", "STEP", "TOOK", "GONE AFTER")))
	for i, s := range d.told {
		lag := ""
		if s.lag > 0 {
			lag = ms(s.lag)
		}
		d.line(strings.TrimRight(fmt.Sprintf("%2d  %-58s %6.1f s   %s", i+1, s.title, s.took.Seconds(), lag), " "))
	}
	d.line(fmt.Sprintf("\n%d checks, all as they should be, in %.0f s. GONE AFTER: from the moment the access should end\n"+
		"(the crash: from the moment stintd served again) until the target itself showed nothing of it.", d.checks, time.Since(d.began).Seconds()))
}

// forBrowsers is what somebody at a browser gets without waiting for another person.
const forBrowsers = `kind: Policy
name: orders-look             # a quarter of an hour needs nobody; more takes a yes
subjects: [group:platform]
roles: [reader]
when: request.duration <= duration("15m")
require: {reason: {minLength: 10}}
`

// codes are for the first sign-in of people at a browser.
func (d *demo) codes(ctx context.Context, names ...string) (all []string, err error) {
	file := filepath.Join(d.stage.Dir, "browsers.yaml")
	if err := os.WriteFile(file, []byte(forBrowsers), 0o600); err != nil {
		return nil, err
	}
	if err := d.root.Run(ctx, "apply", "-f", file).Failed(); err != nil {
		return nil, err
	}
	for _, name := range names {
		var made struct {
			EnrollToken string `json:"enroll_token"`
		}
		if err := d.root.JSON(ctx, &made, "admin", "user", "enroll", name); err != nil {
			return nil, err
		}
		all = append(all, made.EnrollToken)
	}
	return all, nil
}

// invite says what to try.
func (d *demo) invite(ctx context.Context) error {
	bin, err := filepath.Abs(d.stage.Bin)
	if err != nil {
		return err
	}
	codes, err := d.codes(ctx, "mira", "omar")
	if err != nil {
		return err
	}
	d.line("\n" + d.paint("1", "Try it in a browser") + "   (it all runs until you press Enter or Ctrl-C here)\n")
	d.line("    " + d.paint("1", d.stage.URL+"/enroll") + "   and one of these codes, each good once:\n")
	d.line("    mira, who asks      " + codes[0])
	d.line("    omar, who approves  " + codes[1] + d.paint("2", "   # in another browser, or a private window"))
	d.line("\n    As mira: Request, orders-db, say why, Get access now. My access shows it, and ends it.")
	d.line("    15 minutes need nobody. Ask for 30, and it waits on omar's page Approvals.")
	d.line("\n" + d.paint("1", "Or in another terminal") + "\n")
	d.line("    export PATH=" + typed([]string{bin}) + ":$PATH STINT_SERVER=" + d.stage.URL)
	for _, part := range []struct {
		who   *stage.Person
		lines []string
	}{
		{d.mira, []string{
			`stint db orders-db --as reader --for 15m --why "look at the orders"      # 15 minutes need nobody`,
			`stint request orders-db --as reader --for 30m --why "find stuck orders"  # waits; let omar approve it`,
			`stint run orders-db --as shared-admin --for 5m --why "repair order 5" --ticket INC-5 -- psql`,
			`stint status`,
		}},
		{d.omar, []string{
			`stint approvals`,
			`stint approve req_… --for 5m`,
			`stint who-has orders-db`,
		}},
		{d.root, []string{
			`stint audit tail -f`,
			`stint revoke --all --why "that is enough"`,
			`stint policy explain orders-db --as reader --for 3h --user mira`,
			`stint apply --dry-run -f ` + filepath.Join(d.stage.Dir, "documents.yaml"),
		}},
	} {
		d.line("\n    export STINT_HOME=" + part.who.Home + d.paint("2", "   # now you are "+part.who.Name))
		for _, l := range part.lines {
			d.line("    " + l)
		}
	}
	return nil
}
