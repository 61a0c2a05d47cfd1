package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"stint/internal/api"
	"stint/test/stage"
)

// databaseDocuments are of sessions through a gateway, recorded as a role records that does
// not say strict.
const databaseDocuments = `
kind: Resource
name: orders-db
type: postgres
labels: {team: orders}
criticality: low
connection: {address: "ADDRESS", database: orders, credential: orders-connector, sslmode: verify-full, ca: CA}
---
kind: Role
name: worker
resources: {names: [orders-db]}
mechanism: account
postgres: {memberOf: [orders_owner], through: gateway, connectionLimit: 300}
maxDuration: 8h
---
kind: Policy
name: workers
subjects: ["*"]
roles: [worker]
require: {recording: true}
`

const (
	directLogin    = "bench_direct"
	directPassword = "the-benchmark's-own"
	benchScale     = 4 // of pgbench: 400,000 accounts
	manyClients    = 16
)

// way is one of the ways to the server: direct, through pgbouncer, through the gateway. The
// last is what is measured.
type way struct {
	name string
	env  []string // of libpq
}

func (w *way) dsn() string {
	words := map[string]string{"PGHOST": "host", "PGPORT": "port", "PGUSER": "user", "PGPASSWORD": "password", "PGDATABASE": "dbname", "PGSSLMODE": "sslmode", "PGSSLROOTCERT": "sslrootcert", "PGSSLCERT": "sslcert", "PGSSLKEY": "sslkey"}
	var all []string
	for _, e := range w.env {
		name, value, _ := strings.Cut(e, "=")
		if word := words[name]; word != "" {
			all = append(all, word+"='"+strings.ReplaceAll(value, "'", `\'`)+"'")
		}
	}
	return strings.Join(all, " ")
}

// databases are the servers, and the ways to them.
type databases struct {
	*stage.Stage
	boss    *api.Client
	gateway *stage.Gateway
	bouncer *bouncer
	tools   string // folder of pgbench and psql
	ways    []*way // direct, pgbouncer, gateway
}

// db measures sessions with PostgreSQL: direct, through pgbouncer, and through the gateway
// with every statement recorded, in turns; TLS and SCRAM on every leg. Clients, gateway,
// pgbouncer, stintd and the server share the processors.
func (b *bench) db(ctx context.Context, _ []string) (err error) {
	b.say("PostgreSQL, pgbouncer and a gateway, stintd on %s", b.store)
	d, err := b.openDatabases(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	for _, part := range []func(context.Context, *databases) error{b.transactions, b.bulk, b.idleAndCut, b.rotations} {
		if err := part(ctx, d); err != nil {
			return fmt.Errorf("%w\n%s\n%s", err, d.LogTail(5), d.gateway.LogTail(5))
		}
	}
	return b.requests(ctx)
}

func (b *bench) openDatabases(ctx context.Context) (d *databases, err error) {
	d = &databases{}
	if d.tools, err = toolsFolder(); err != nil {
		return nil, err
	}
	program, err := findBouncer()
	if err != nil {
		return nil, err
	}
	if d.Stage, err = stage.Open(ctx, stage.Options{Bin: b.bin, Store: b.store, Fsync: true, Config: noLimits}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	if err = errors.Join(d.Credential(ctx, "orders-connector"), d.Documents(ctx, databaseDocuments)); err != nil {
		return d, err
	}
	host, port, err := net.SplitHostPort(d.Target.Addr())
	if err != nil {
		return d, err
	}
	own := &way{name: "superuser", env: []string{"PGHOST=" + host, "PGPORT=" + port, "PGUSER=" + d.Target.User, "PGPASSWORD=" + d.Target.Password, "PGDATABASE=" + stage.Database}}
	b.say("pgbench's tables")
	if out, err := d.run(ctx, own, "pgbench", "-i", "-q", "-s", strconv.Itoa(benchScale), "-I", "dtGvp"); err != nil {
		return d, fmt.Errorf("pgbench -i: %w: %s", err, out)
	}
	if err := d.Target.Exec(ctx, stage.Database,
		"CREATE ROLE "+directLogin+" LOGIN PASSWORD '"+strings.ReplaceAll(directPassword, "'", "''")+"' IN ROLE orders_owner",
		fmt.Sprintf("CREATE UNLOGGED TABLE bulk AS SELECT n AS id, repeat(md5(n::text), 31) AS text FROM generate_series(1, %d) n", b.bulkMB*1000),
		"CREATE UNLOGGED TABLE bulk_in (LIKE bulk)",
		"GRANT ALL ON ALL TABLES IN SCHEMA public TO orders_owner", "CHECKPOINT"); err != nil {
		return d, err
	}
	d.ways = append(d.ways, &way{name: "direct", env: []string{"PGHOST=" + host, "PGPORT=" + port, "PGUSER=" + directLogin, "PGPASSWORD=" + directPassword, "PGDATABASE=" + stage.Database,
		"PGSSLMODE=verify-full", "PGSSLROOTCERT=" + d.Target.CAFile}})
	if d.bouncer, err = startBouncer(ctx, program, d.Target); err != nil {
		return d, err
	}
	d.ways = append(d.ways, &way{name: "pgbouncer", env: d.bouncer.env()})
	if d.gateway, err = d.Stage.Gateway(ctx, "edge"); err != nil {
		return d, err
	}
	if d.boss, err = d.Client(ctx, "boss", "--admin"); err != nil {
		return d, err
	}
	w, err := d.enter(ctx, d.boss)
	d.ways = append(d.ways, w)
	return d, err
}

// enter asks for access for somebody, and gives their way through the gateway.
func (d *databases) enter(ctx context.Context, c *api.Client) (*way, error) {
	r, err := c.Submit(ctx, api.Ask{Resource: "orders-db", Role: "worker", Duration: "1h", Reason: "to be measured"}, api.Wait{For: api.Ready, Time: 30 * time.Second})
	if err != nil {
		return nil, err
	}
	k, err := d.DatabaseKey(ctx, c, r.ID)
	if err != nil {
		return nil, err
	}
	file := func(name string) string { return filepath.Join(k.Folder, name) }
	return &way{name: "gateway", env: []string{"PGHOST=" + k.Host, "PGPORT=" + k.Port, "PGUSER=orders-db", "PGDATABASE=" + stage.Database,
		"PGSSLMODE=verify-full", "PGSSLROOTCERT=" + file("authority.pem"), "PGSSLCERT=" + file("cert.pem"), "PGSSLKEY=" + file("key.pem")}}, nil
}

func (d *databases) close() error {
	var errs []error
	if d.boss != nil {
		d.boss.Close()
	}
	if d.gateway != nil {
		errs = append(errs, d.gateway.Close())
	}
	if d.bouncer != nil {
		errs = append(errs, d.bouncer.close())
	}
	return errors.Join(append(errs, d.Stage.Close())...)
}

// toolsFolder is where pgbench and psql are, past Debian's wrappers.
func toolsFolder() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/pgbench")
	if err != nil {
		return "", err
	}
	slices.Sort(found)
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1]), nil
	}
	path, err := exec.LookPath("pgbench")
	if err != nil {
		return "", errors.New("there is no pgbench: apt-get install postgresql")
	}
	return filepath.Dir(path), nil
}

// run runs one of PostgreSQL's programs one way, and gives all that it said.
func (d *databases) run(ctx context.Context, w *way, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(d.tools, program), args...)
	cmd.Dir, cmd.Env = d.Dir, append([]string{"PATH=/usr/bin:/bin", "LC_ALL=C", "HOME=" + d.Dir, "PGGSSENCMODE=disable"}, w.env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// transactions are pgbench's: latencies at one client, throughput at many.
func (b *bench) transactions(ctx context.Context, d *databases) error {
	for _, script := range []struct {
		name, flag string
		trips      int // there and back
	}{{"select-only", "-S", 1}, {"simple-update", "-N", 5}} {
		b.say("pgbench %s", script.name)
		times, rate := map[*way]sample{}, map[*way]float64{}
		seconds := max(1, int(b.round.Seconds()+0.5))
		rounds := max(1, b.rounds-1)
		for round := range rounds {
			for i := range d.ways {
				w := d.ways[(i+round)%len(d.ways)]
				logged := filepath.Join(d.Dir, fmt.Sprintf("pgbench-%s-%s-%d", script.name, w.name, round))
				if out, err := d.run(ctx, w, "pgbench", "-n", script.flag, "-T", strconv.Itoa(seconds), "-c", "1", "-l", "--log-prefix="+logged); err != nil {
					return fmt.Errorf("pgbench, %s: %w: %s", w.name, err, out)
				}
				got, err := latencies(logged)
				if err != nil {
					return err
				}
				times[w] = append(times[w], got...)
				// pgbench's time runs while it connects, and is not counted in what it says.
				out, err := d.run(ctx, w, "pgbench", "-n", script.flag, "-T", strconv.Itoa(seconds+2), "-c", strconv.Itoa(manyClients), "-j", "2")
				if err != nil {
					return fmt.Errorf("pgbench, %s: %w: %s", w.name, err, out)
				}
				tps, err := perSecond(out)
				if err != nil {
					return err
				}
				rate[w] += tps / float64(rounds)
			}
		}
		direct, bouncer, gateway := d.ways[0], d.ways[1], d.ways[2]
		for _, w := range []*way{bouncer, gateway} {
			p50, p99 := times[w].p50()-times[direct].p50(), times[w].p99()-times[direct].p99()
			r := row{name: fmt.Sprintf("pgbench %s, 1 client, %s: p50 / p99 of a transaction", script.name, w.name), n: group(len(times[direct])) + " + " + group(len(times[w])),
				bare: pair(times[direct]), stint: pair(times[w]), ratio: fmt.Sprintf("%+.2f / %+.2f ms", float64(p50)/1e6, float64(p99)/1e6)}
			if w == gateway {
				r.goal, r.met = "≤ 0.3 / 1 ms more", reached(p50 <= 300*time.Microsecond && p99 <= time.Millisecond)
				if script.trips > 1 {
					r.name += fmt.Sprintf(", %d statements", script.trips)
					trips := time.Duration(script.trips)
					r.goal, r.met = "≤ 0.3 / 1 ms more a statement", reached(p50 <= trips*300*time.Microsecond && p99 <= trips*time.Millisecond)
				}
			}
			b.add(r)
		}
		share := rate[gateway] / rate[direct]
		b.add(row{name: fmt.Sprintf("pgbench %s, %d clients, beside direct", script.name, manyClients), bare: perSec(rate[direct]), stint: perSec(rate[gateway]),
			ratio: percent(share), goal: "≥ 70 %", met: reached(share >= 0.7)})
		share = rate[gateway] / rate[bouncer]
		b.add(row{name: fmt.Sprintf("pgbench %s, %d clients, beside pgbouncer", script.name, manyClients), bare: perSec(rate[bouncer]), stint: perSec(rate[gateway]),
			ratio: percent(share), goal: "≥ 85 %", met: reached(share >= 0.85)})
	}
	return nil
}

func percent(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }
func perSec(rate float64) string   { return group(int(rate)) + "/s" }
func mbPerSec(rate float64) string { return fmt.Sprintf("%.0f MB/s", rate) }
func kiloBytes(kb float64) string  { return fmt.Sprintf("%.0f kB", kb) }
func badLine(what, s string) error { return fmt.Errorf("pgbench says no %s: %q", what, s) }

// latencies reads pgbench's log of each transaction, "client number µs …".
func latencies(prefix string) (all sample, err error) {
	files, err := filepath.Glob(prefix + ".*")
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			words := strings.Fields(line)
			if len(words) < 3 {
				return nil, badLine("latency", line)
			}
			us, err := strconv.ParseInt(words[2], 10, 64)
			if err != nil {
				return nil, badLine("latency", line)
			}
			all = append(all, time.Duration(us)*time.Microsecond)
		}
	}
	if len(all) == 0 {
		return nil, badLine("latencies", prefix)
	}
	return all, nil
}

func perSecond(out string) (float64, error) {
	_, rest, _ := strings.Cut(out, "\ntps = ")
	number, _, _ := strings.Cut(rest, " ")
	tps, err := strconv.ParseFloat(number, 64)
	if err != nil || tps <= 0 {
		return 0, badLine("throughput", out)
	}
	return tps, nil
}

// bulk is COPY of one table, out and in, by psql.
func (b *bench) bulk(ctx context.Context, d *databases) error {
	b.say("COPY of %d MB", b.bulkMB)
	file := filepath.Join(d.Dir, "bulk.copy")
	if out, err := d.run(ctx, d.ways[0], "psql", "-Xqc", `\copy bulk to '`+file+`'`); err != nil {
		return fmt.Errorf("copy: %w: %s", err, out)
	}
	st, err := os.Stat(file)
	if err != nil {
		return err
	}
	size := float64(st.Size()) / 1e6
	rounds := max(1, b.rounds-1)
	for _, x := range []struct{ what, sql string }{{"out", `\copy bulk to '/dev/null'`}, {"in", `\copy bulk_in from '` + file + `'`}} {
		took := map[*way]time.Duration{}
		for round := range rounds {
			for i := range d.ways {
				w := d.ways[(i+round)%len(d.ways)]
				if err := d.Target.Exec(ctx, stage.Database, "TRUNCATE bulk_in"); err != nil {
					return err
				}
				begin := time.Now()
				if out, err := d.run(ctx, w, "psql", "-Xqc", x.sql); err != nil {
					return fmt.Errorf("copy %s, %s: %w: %s", x.what, w.name, err, out)
				}
				took[w] += time.Since(begin)
			}
		}
		rate := func(w *way) float64 { return size * float64(rounds) / took[w].Seconds() }
		for _, w := range d.ways[1:] {
			share := rate(w) / rate(d.ways[0])
			r := row{name: fmt.Sprintf("COPY %s of %.0f MB, %s", x.what, size, w.name), n: strconv.Itoa(rounds), bare: mbPerSec(rate(d.ways[0])), stint: mbPerSec(rate(w)), ratio: percent(share)}
			if w.name == "gateway" {
				r.goal, r.met = "≥ 80 %", reached(share >= 0.8)
			}
			b.add(r)
		}
	}
	return nil
}

// idleAndCut opens sessions that do nothing, and takes their grant away.
func (b *bench) idleAndCut(ctx context.Context, d *databases) error {
	b.say("%d idle sessions", b.idle)
	const each = 250 // of a grant, which may have 256
	var people []*pgx.ConnConfig
	for i := range (b.idle + each - 1) / each {
		c, err := d.Client(ctx, fmt.Sprintf("worker%d", i))
		if err != nil {
			return err
		}
		defer c.Close()
		w, err := d.enter(ctx, c)
		if err != nil {
			return err
		}
		config, err := pgx.ParseConfig(w.dsn())
		if err != nil {
			return err
		}
		people = append(people, config)
	}
	before, _ := resident(d.gateway.Pid())
	all := &sessions{}
	defer all.close()
	opening := time.Now()
	if err := share(ctx, manyClients, b.idle, func(ctx context.Context, _, i int) error {
		c, err := pgconn.ConnectConfig(ctx, &people[i%len(people)].Config)
		var no *pgconn.PgError
		for errors.As(err, &no) && no.Code == "53300" && time.Since(opening) < b.patience(2*time.Minute) { // a gateway may call 100 times a second
			if err := pause(ctx, 100*time.Millisecond); err != nil {
				return err
			}
			c, err = pgconn.ConnectConfig(ctx, &people[i%len(people)].Config)
		}
		if err != nil {
			return err
		}
		s, err := asSession(c)
		if err == nil {
			all.add(s)
		}
		return err
	}); err != nil {
		return err
	}
	took := time.Since(opening)
	if err := pause(ctx, 5*time.Second); err != nil { // what opening left to do is done
		return err
	}
	after, _ := resident(d.gateway.Pid())
	memory := (after - before) * 1024 / float64(b.idle)
	b.add(row{name: fmt.Sprintf("opening %s sessions, %d at once", group(b.idle), manyClients), n: group(b.idle), stint: perSec(float64(b.idle) / took.Seconds())})
	b.add(row{name: fmt.Sprintf("memory of the gateway for each of %s idle sessions", group(b.idle)), n: group(b.idle), bare: kiloBytes(before*1024) + " in all without", stint: kiloBytes(memory),
		goal: "≤ 150 kB", met: reached(memory <= 150)})
	begin := time.Now()
	if _, err := d.boss.Revoke(ctx, api.RevokeAsk{Resource: "orders-db", Why: "the measurement is over"}); err != nil {
		return err
	}
	within, done := context.WithTimeout(ctx, b.patience(time.Minute))
	defer done()
	cut, err := all.wait(within, begin)
	if err != nil {
		return err
	}
	b.add(row{name: fmt.Sprintf("%s sessions cut at once, from the call on: p50 / p99 / last", group(b.idle)), n: group(len(cut)), stint: pair(cut) + " / " + ms(cut.max()),
		goal: "p99 ≤ 1 s", met: reached(cut.p99() <= time.Second)})
	return nil
}

// patience is how long something may take on a machine as slow as the flags say.
func (b *bench) patience(d time.Duration) time.Duration { return time.Duration(float64(d) * b.slack) }

// requests are of the gateway for web applications, by the benchmark of its package.
func (b *bench) requests(ctx context.Context) error {
	b.say("HTTP requests")
	got, err := goBenchOn(ctx, 2, "./internal/gateway/httpgate", "^BenchmarkRequest$", b.round)
	if err != nil {
		return err
	}
	direct, through := got["BenchmarkRequest/direct"], got["BenchmarkRequest/gateway"]
	if direct == nil || through == nil {
		return errors.New("internal/gateway/httpgate has no BenchmarkRequest with direct and gateway")
	}
	text := func(m map[string]float64) string {
		return fmt.Sprintf("%.2f ms / %.2f ms", m["p50-ms"], m["p99-ms"])
	}
	more := through["p50-ms"] - direct["p50-ms"]
	b.add(row{name: "an HTTP request in a connection that is there: p50 / p99", n: group(int(through["n"])), bare: text(direct), stint: text(through), ratio: fmt.Sprintf("%+.2f ms", more),
		goal: "p50 ≤ 0.5 ms more", met: reached(more <= 0.5)})
	return nil
}
