package trial

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"stint/internal/api"
	"stint/test/stage"
)

// documents: every mechanism, none of it exclusive, so that they overlap.
const documents = `kind: Resource
name: orders-db
type: postgres
owners: [group:dba]
connection: {address: "ADDRESS", database: orders, credential: orders-connector, sslmode: verify-full, ca: CA}
---
kind: Role
name: reader
resources: {names: [orders-db]}
mechanism: account
postgres: {memberOf: [orders_read], scramIterations: 4096}
maxDuration: 1h
---
kind: Role
name: asked-reader
resources: {names: [orders-db]}
mechanism: account
postgres: {memberOf: [orders_read], scramIterations: 4096}
maxDuration: 1h
---
kind: Role
name: owner
resources: {names: [orders-db]}
mechanism: group
postgres: {account: "{{ .person }}", memberOf: [orders_owner], sessions: end}
maxDuration: 1h
---
kind: Role
name: admin
resources: {names: [orders-db]}
mechanism: enable
postgres: {account: dba_admin}
maxDuration: 1h
---
kind: Policy
name: at-once
subjects: [group:platform]
roles: [reader, owner, admin]
---
kind: Policy
name: asked
subjects: [group:platform]
roles: [asked-reader]
require: {approvals: [{from: [group:dba], count: 1}]}
`

// spans are for how long the load asks; durations are of whole seconds.
var spans = []time.Duration{time.Second, time.Second, 2 * time.Second, 3 * time.Second}

// quiet is how soon after its end everything must be gone, and the records must
// say so, whatever happened to the process that made it (docs/rfd/0011-replicas.md).
const quiet = 5 * time.Second

// World is the stage and those who act on it.
type World struct {
	Stage    *stage.Stage
	oracle   *stage.Oracle
	Rand     *rand.Rand
	ledger   *ledger
	askers   []*actor  // users and services in group platform
	deciders []*actor  // users in group dba
	boss     *actor    // an administrator
	logKey   string    // of the audit log, as it was when the first of them signed in
	since    time.Time // until when the requests were compared last
}

// actor is somebody who makes calls.
type actor struct {
	*api.Client
	principal string
	person    string
	user      bool
}

// Open opens a stage with a target that has every mechanism, and people on it.
func Open(ctx context.Context, opt stage.Options, r *rand.Rand) (w *World, err error) {
	people := []string{"ann", "ben", "cleo", "dan"}
	w = &World{Rand: r, ledger: newLedger()}
	opt.Config += "limits: {reads_per_second: 10000, writes_per_second: 10000, burst: 10000}\n"
	if w.Stage, err = stage.Open(ctx, opt, people...); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	if w.oracle, err = w.Stage.Oracle(); err != nil {
		return w, err
	}
	if err := w.Stage.Credential(ctx, "orders-connector"); err != nil {
		return w, err
	}
	if err := w.Stage.Documents(ctx, documents); err != nil {
		return w, err
	}
	for i, name := range people {
		a, err := w.user(ctx, name, "--group", "platform")
		if err != nil {
			return w, err
		}
		// Half of them ask again, with the same idempotency key, for as long as a
		// restart takes; the others take no answer for one.
		a.Patience = -1
		if i%2 == 0 {
			a.Patience = 15 * time.Second
		}
		w.askers = append(w.askers, a)
	}
	for _, name := range []string{"ci", "cron"} {
		c, err := w.Stage.ServiceClient(ctx, name, "--group", "platform", "--owner", "ann", "--for", "24h")
		if err != nil {
			return w, err
		}
		w.askers = append(w.askers, &actor{Client: c, principal: "service:" + name, person: "ann"})
	}
	for _, name := range []string{"omar", "pia"} {
		a, err := w.user(ctx, name, "--group", "dba")
		if err != nil {
			return w, err
		}
		w.deciders = append(w.deciders, a)
	}
	if w.boss, err = w.user(ctx, "boss", "--admin"); err != nil {
		return w, err
	}
	key, err := w.boss.LogKey(ctx)
	w.logKey, w.since = key.Key, time.Now()
	return w, err
}

func (w *World) user(ctx context.Context, name string, flags ...string) (*actor, error) {
	c, err := w.Stage.Client(ctx, name, flags...)
	return &actor{Client: c, principal: "user:" + name, person: name, user: true}, err
}

// Close ends everything.
func (w *World) Close() error {
	var errs []error
	if w.oracle != nil {
		errs = append(errs, w.oracle.Close())
	}
	return errors.Join(append(errs, w.Stage.Close())...)
}

// Keep leaves the state where it is, and writes beside stintd's state what was found, what the
// target says, and the log to its end, from which one sees what each grant waited for.
func (w *World) Keep(t *Trial) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	w.Stage.Keep = true
	left, err := w.oracle.Left(ctx)
	if err != nil {
		left = err.Error()
	}
	return errors.Join(
		w.Stage.As("root").Run(ctx, "audit", "export", "--out", "violated.jsonl").Failed(),
		os.WriteFile(filepath.Join(w.Stage.Dir, "violations.txt"), []byte(strings.Join(t.Violations, "\n")+"\n\non the target: "+left+"\n"), 0o600),
		os.WriteFile(filepath.Join(w.Stage.Dir, "ledger.txt"), []byte(w.ledger.String()), 0o600),
		os.WriteFile(filepath.Join(w.Stage.Dir, "target.log"), []byte(w.Stage.Target.Log()), 0o600),
	)
}

// pick chooses one of a list.
func pick[T any](r *rand.Rand, of []T) T { return of[r.IntN(len(of))] }

func seconds(d time.Duration) string { return fmt.Sprintf("%.2fs", d.Seconds()) }
