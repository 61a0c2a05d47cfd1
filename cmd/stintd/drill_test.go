package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"stint/internal/api"
	"stint/internal/audit"
	"stint/internal/pgtest"
	"stint/internal/program"
	"stint/internal/witness"
)

var (
	drills    = flag.Int("drills", 4, "how many restores TestRestoreDrills does")
	drillSeed = flag.Uint64("drill.seed", 0, "repeats the drills of a seed; 0: another each time")
)

// TestRestoreDrills takes a backup at a random point of a busy life, lives on,
// loses the store, and restores. On the target, a real PostgreSQL, nothing that had
// ended comes back, and nothing that is not Stint's is touched. (T-25, T-39, I-33)
func TestRestoreDrills(t *testing.T) {
	d := newDrill(t)
	seed := cmp.Or(*drillSeed, rand.Uint64())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var took time.Duration
	for n := range *drills {
		took = max(took, d.once(n, r))
		if testing.Verbose() { // not t.Log: what is logged is the result
			fmt.Printf("drill %d of %d: %d grants so far, %d had ended before the restore\n", n+1, *drills, d.made, d.endedBefore)
		}
	}
	t.Logf("%d drills: %d grants, %d ended before the restore, %d made after the backup, %d live in the backup, %d foreign things; 0 came back, 0 were removed; service back after %s at most",
		*drills, d.made, d.endedBefore, d.madeAfter, d.liveInBackup, d.planted, took.Round(time.Millisecond))
	// A few drills by chance may meet none that had ended; twenty do.
	if d.endedBefore == 0 && *drills >= 20 || d.madeAfter == 0 || d.liveInBackup == 0 || d.planted == 0 {
		t.Error("a situation that the drill is about never occurred")
	}
}

type drill struct {
	t       *testing.T
	dir     string
	pg      *pgtest.Server
	su      *pgx.Conn
	daemon  *daemon
	noor    *api.Client
	witness *witness.Witness
	key     string // of the log

	live    map[string]string // request to account on the target; empty for a membership
	foreign []string          // roles and memberships that others made

	made, endedBefore, madeAfter, liveInBackup, planted int
}

func newDrill(t *testing.T) *drill {
	d := &drill{t: t, dir: t.TempDir(), live: map[string]string{}}
	d.pg = pgtest.Start(t, pgtest.Options{})
	var err error
	d.su, err = pgx.Connect(t.Context(), d.pg.SuperuserDSN("postgres"))
	must(t, err)
	t.Cleanup(func() { must(t, d.su.Close(context.Background())) })
	d.sql(prepareTarget)

	d.serve(false)
	d.noor = d.daemon.first()
	lk, err := d.noor.LogKey(t.Context())
	must(t, err)
	d.key = lk.Key
	d.daemon.end()

	// The witness lives on "another host": its own key and state.
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	d.witness, err = witness.New(witness.Config{Name: "witness.test", Key: key, State: filepath.Join(d.dir, "witness.json"), New: true, Logs: []string{d.key}, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(func() { must(t, d.witness.Close()) })
	srv := httptest.NewServer(d.witness.Handler())
	t.Cleanup(srv.Close)
	must(t, os.WriteFile(filepath.Join(d.dir, "stintd.yaml"), []byte("witnesses:\n  - {url: '"+srv.URL+"', key: '"+d.witness.Key()+"'}\n"), 0o600))
	d.serve(true)
	register(t, d.noor, d.pg)
	return d
}

// register makes a server of PostgreSQL a resource that everybody may read, after
// prepareTarget.
func register(t *testing.T, c *api.Client, pg *pgtest.Server) {
	t.Helper()
	_, err := c.SetCredential(t.Context(), "orders", api.CredentialSet{Type: "postgres", Address: pg.Addr(), Username: "stint_connector", Password: "pw-of-the-connector"})
	must(t, err)
	_, err = c.Apply(t.Context(), api.Apply{Files: []api.File{{Name: "orders.yaml", Text: fmt.Sprintf(`kind: Resource
name: orders-db
type: postgres
connection: {address: %q, database: postgres, credential: orders, sslmode: disable}
ceiling: {mechanisms: [account, group], memberOf: [orders_read, orders_owner], maxDuration: 8h}
---
kind: Role
name: reader
resources: {names: [orders-db]}
mechanism: account
postgres: {memberOf: [orders_read]}
maxDuration: 4h
---
kind: Role
name: owner
resources: {names: [orders-db]}
mechanism: group
postgres: {account: "{{ .person }}", memberOf: [orders_owner]}
maxDuration: 4h
---
kind: Policy
name: all
subjects: ["*"]
roles: [reader, owner]
`, pg.Addr())}}})
	must(t, err)
}

// prepareTarget is what an administrator does on a target beforehand.
const prepareTarget = `CREATE ROLE orders_read NOLOGIN; CREATE ROLE orders_owner NOLOGIN; CREATE ROLE noor LOGIN;
	CREATE ROLE stint_connector LOGIN CREATEROLE PASSWORD 'pw-of-the-connector'; GRANT pg_signal_backend, pg_read_all_stats TO stint_connector`

func (d *drill) data() string { return filepath.Join(d.dir, "data") }

func (d *drill) serve(witnessed bool) {
	var args []string
	if witnessed {
		args = []string{"--config", filepath.Join(d.dir, "stintd.yaml")}
	}
	d.daemon = start(d.t, d.data(), args...)
	if d.noor != nil {
		d.noor.Server = d.daemon.url
	}
}

func (d *drill) sql(qs ...string) {
	d.t.Helper()
	for _, q := range qs {
		if _, err := d.su.Exec(d.t.Context(), q); err != nil {
			d.t.Fatalf("%s: %v", q, err)
		}
	}
}

// rows lists what a query gives.
func (d *drill) rows(q string) []string {
	d.t.Helper()
	rs, err := d.su.Query(d.t.Context(), q)
	must(d.t, err)
	list, err := pgx.CollectRows(rs, pgx.RowTo[string])
	must(d.t, err)
	return list
}

const (
	rolesSQL   = "SELECT rolname FROM pg_roles WHERE rolname ~ '^(stint|hand)_' AND rolname NOT IN ('stint_connector', 'stint_claim', 'stint_claim_proof') ORDER BY 1"
	membersSQL = "SELECT r.rolname || ' in ' || g.rolname FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member JOIN pg_roles g ON g.oid = m.roleid WHERE r.rolname ~ '^(hand_|noor)' ORDER BY 1"
)

// ask gets access and remembers it.
func (d *drill) ask(role string) {
	d.t.Helper()
	r, err := d.noor.Submit(d.t.Context(), api.Ask{Resource: "orders-db", Role: role, Duration: "1h", Reason: "a drill, and nothing else"}, api.Wait{For: api.Ready, Time: 30 * time.Second})
	if err != nil || r.Grant == nil || r.Grant.State != "active" {
		d.t.Fatalf("asking for %s: %+v, %v", role, r, err)
	}
	d.made++
	account := ""
	if role == "reader" {
		c, err := d.noor.Credential(d.t.Context(), r.ID)
		must(d.t, err)
		account = c.Username
	}
	d.live[r.ID] = account
}

func (d *drill) end(id string) {
	d.t.Helper()
	_, err := d.noor.End(d.t.Context(), id)
	must(d.t, err)
	_, err = d.noor.Request(d.t.Context(), id, api.Wait{For: api.Ended, Time: 30 * time.Second})
	must(d.t, err)
	delete(d.live, id)
}

// ids lists the requests that are live, sorted: a seed gives the same life again.
func (d *drill) ids() []string {
	ids := make([]string, 0, len(d.live))
	for id := range d.live {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// some does random things, the way people do.
func (d *drill) some(r *rand.Rand, steps int) {
	for range steps {
		ids := d.ids()
		switch x := r.IntN(10); {
		case x < 5:
			d.ask("reader")
		case x < 7 && !slices.ContainsFunc(ids, func(id string) bool { return d.live[id] == "" }) && !slices.Contains(d.rows(membersSQL), "noor in orders_owner"):
			d.ask("owner")
		case x < 9 && len(ids) > 0:
			d.end(ids[r.IntN(len(ids))])
		}
	}
}

// plant makes things that are not Stint's, some that look as if they were.
func (d *drill) plant(n int) {
	for _, id := range d.ids() {
		if d.live[id] == "" { // the membership that Stint lends has ended before a person gives it by hand
			d.end(id)
		}
	}
	d.sql(fmt.Sprintf("CREATE ROLE hand_%d LOGIN IN ROLE orders_owner", n), fmt.Sprintf("CREATE ROLE stint_by_hand_%d LOGIN", n),
		fmt.Sprintf("CREATE ROLE stint_noor_%026d_%016d LOGIN IN ROLE orders_read", n, n), "GRANT orders_owner TO noor")
	d.foreign = append(d.foreign, fmt.Sprintf("hand_%d", n), fmt.Sprintf("stint_by_hand_%d", n), fmt.Sprintf("stint_noor_%026d_%016d", n, n))
	d.planted += 4
}

// once is one drill. It tells how long it took from the start of the restored
// server until it granted again.
func (d *drill) once(n int, r *rand.Rand) time.Duration {
	t := d.t
	d.foreign = nil
	file := filepath.Join(d.dir, fmt.Sprintf("%d.backup", n))
	d.some(r, 2+r.IntN(5))
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	must(t, err)
	must(t, errors.Join(d.noor.Backup(t.Context(), f), f.Close()))
	inBackup := d.ids()
	d.liveInBackup += len(inBackup)
	before, kept := d.made, d.head().Size
	d.ask("reader") // so that every restore loses something that was witnessed
	d.some(r, 1+r.IntN(6))
	d.madeAfter += d.made - before
	d.plant(n)
	d.witnessed(kept)
	for _, id := range inBackup {
		if _, still := d.live[id]; !still {
			d.endedBefore++
		}
	}
	if r.IntN(2) == 0 { // something is still live when the disk breaks
		d.ask("reader")
	}
	d.daemon.end()

	if code, out := run(t, "restore", file, "--data", d.data()); code != program.Failure || !strings.Contains(out, "--replace") {
		t.Fatalf("over a store that is there: exit %d\n%s", code, out)
	}
	if code, out := run(t, "restore", file, "--data", d.data(), "--replace"); code != program.Done {
		t.Fatalf("restore: exit %d\n%s", code, out)
	}
	began := time.Now()
	d.serve(true)
	q, err := d.noor.Quarantine(t.Context())
	if err != nil || !q.Quarantined || q.Kind != "restored" {
		t.Fatalf("after a restore: %+v, %v", q, err)
	}
	_, err = d.noor.Submit(t.Context(), api.Ask{Resource: "orders-db", Role: "reader", Duration: "1h", Reason: "too early for anybody"}, api.Wait{})
	var refused *api.Error
	if !errors.As(err, &refused) || refused.Code != "quarantined" {
		t.Fatalf("asking in quarantine: %v", err)
	}
	for deadline := time.Now().Add(time.Minute); !q.Clean || q.Witnessed == 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the quarantine does not come to be clean: %+v\n%s", q, d.daemon.out)
		}
		q, err = d.noor.Quarantine(t.Context())
		must(t, err)
	}
	if q.Witnessed <= q.Kept {
		t.Errorf("the gap of the log is not known: kept %d, witnessed %d", q.Kept, q.Witnessed)
	}
	d.oracle(n)
	done, err := d.noor.AcceptQuarantine(t.Context(), api.QuarantineAccept{Why: "a drill"})
	if err != nil || !done.Over {
		t.Fatalf("accept: %+v, %v", done, err)
	}
	clear(d.live)
	d.ask("reader")
	took := time.Since(began)
	d.oracle(n)
	for _, id := range d.ids() {
		d.end(id)
	}
	// The log is whole, says what happened, and does not continue what was witnessed.
	var log bytes.Buffer
	must(t, d.noor.AuditExport(t.Context(), &log))
	report, err := audit.Verify(bytes.NewReader(log.Bytes()), d.key, nil)
	must(t, err)
	if len(report.Restores) == 0 || report.Types["log.gap"] == 0 {
		t.Errorf("the log tells of %d restores and %d gaps", len(report.Restores), report.Types["log.gap"])
	}
	seen, _, err := audit.OpenWitnessed([]byte(d.witness.Newest(report.Checkpoint.Origin)), d.key, nil)
	must(t, err)
	if _, err := audit.Verify(bytes.NewReader(log.Bytes()), d.key, &seen); err == nil {
		t.Error("the restored log passes for a continuation of what was witnessed")
	}
	// The witness's operator is told, and accepts; the next life is witnessed.
	if _, _, err := d.witness.Accept(report.Signed); err != nil {
		t.Fatal(err)
	}
	d.sql("REVOKE orders_owner FROM noor")
	for _, role := range d.foreign {
		d.sql("DROP ROLE " + role)
	}
	return took
}

// head is the newest signed checkpoint of the log.
func (d *drill) head() audit.Checkpoint {
	d.t.Helper()
	signed, err := d.noor.AuditCheckpoint(d.t.Context())
	must(d.t, err)
	cp, err := audit.OpenCheckpoint([]byte(signed.Checkpoint), d.key)
	must(d.t, err)
	return cp
}

// witnessed waits until the witness knows records that a log of size kept lacks.
func (d *drill) witnessed(kept int64) {
	d.t.Helper()
	want := d.head()
	for deadline := time.Now().Add(20 * time.Second); want.Size <= kept; want = d.head() { // records get their numbers a moment later
		if time.Now().After(deadline) {
			d.t.Fatalf("the log does not grow beyond %d records\n%s", kept, d.daemon.out)
		}
		time.Sleep(20 * time.Millisecond)
	}
	// Shown here as stintd does each minute: a drill does not wait so long.
	d.daemon.end()
	d.serve(true)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if text := d.witness.Newest(want.Origin); text != "" {
			if cp, _, err := audit.OpenWitnessed([]byte(text), d.key, nil); err == nil && cp.Size >= want.Size {
				return
			}
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("the witness does not know the log's head\n%s", d.daemon.out)
		}
	}
}

// oracle looks at the target as its superuser: what is there is what others made,
// and what was granted since.
func (d *drill) oracle(n int) {
	d.t.Helper()
	want := slices.Clone(d.foreign)
	q, err := d.noor.Quarantine(d.t.Context())
	must(d.t, err)
	if !q.Quarantined { // until then what d remembers as live is of the life that was lost
		for _, account := range d.live {
			want = append(want, account)
		}
	}
	slices.Sort(want)
	if got := d.rows(rolesSQL); !slices.Equal(got, want) {
		d.t.Errorf("drill %d: roles on the target\n%q, want\n%q", n, got, want)
	}
	members := []string{fmt.Sprintf("hand_%d in orders_owner", n), "noor in orders_owner"}
	if got := d.rows(membersSQL); !slices.Equal(got, members) {
		d.t.Errorf("drill %d: memberships on the target %q, want %q", n, got, members)
	}
}
