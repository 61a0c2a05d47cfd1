package broker_test

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/connector"
	"stint/internal/store"
)

// fingerprinted waits until the target was looked at.
func (in *rival) fingerprinted() {
	in.t.Helper()
	in.until("a fingerprint is there", func() bool {
		n := 0
		must(in.t, in.store.View(in.t.Context(), func(tx *store.Tx) error {
			taken, err := tx.FingerprintTimes(access.Place("postgres://" + in.server.Addr()))
			n = len(taken)
			return err
		}))
		return n > 0
	})
	in.clock.forward(time.Millisecond)
}

// answered waits for the answer about a grant.
func (in *rival) answered(name, id string) broker.View {
	in.t.Helper()
	ctx, cancel := context.WithTimeout(in.t.Context(), 30*time.Second)
	defer cancel()
	in.clock.forward(3 * time.Second)
	v, err := in.Wait(ctx, in.as(name), id, func(v broker.View) bool { return len(v.Residue) > 0 && v.Residue[0].State != access.ResiduePending })
	must(in.t, err)
	if len(v.Residue) != 1 || v.Residue[0].State == access.ResiduePending {
		in.t.Fatalf("no answer about %s: %+v", id, v.Residue)
	}
	return v
}

// session acts on the target with the role's own password.
func (r *rivals) session(t *testing.T, user, password string, sql ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), r.server.DSN(user, password, "app"))
	must(t, err)
	defer func() { _ = conn.Close(context.Background()) }()
	for _, s := range sql {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// TestResidue: an end is told at once, and what was left behind, or that it is
// nothing, soon after it; and nobody removes it.
func TestResidue(t *testing.T) {
	r := newRivals(t)
	r.exec("CREATE SCHEMA app AUTHORIZATION app_read", "CREATE TABLE app.t (id int)", "ALTER TABLE app.t OWNER TO app_read")
	a := r.first()
	a.fingerprinted()
	clean := a.held("noor", "reader")
	dirty := a.held("mira", "member")
	r.session(t, "mira", "mira", "GRANT SELECT ON app.t TO PUBLIC", "SET ROLE app_read", "CREATE FUNCTION app.door() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'")
	a.end("mira", dirty)
	if v, err := a.View(t.Context(), a.as("mira"), dirty); err != nil || access.SumResidue(v.Residue) != access.ResiduePending {
		t.Errorf("at its end: %+v, %v, want pending", v.Residue, err)
	}
	v := a.answered("mira", dirty)
	if res := v.Residue[0]; res.State != access.ResidueFound || len(res.Traces) != 2 || res.At.IsZero() {
		t.Errorf("left behind: %+v", res)
	}
	a.end("noor", clean)
	// Noor's account could do the same: it cannot be told who did.
	if res := a.answered("noor", clean).Residue[0]; res.State != access.ResidueFound {
		t.Errorf("who held the same at that time: %+v", res)
	}
	if got := r.query("SELECT proname FROM pg_proc WHERE proname = 'door'"); len(got) != 1 {
		t.Error("what was found was removed")
	}
	for _, x := range v.Residue[0].Traces {
		r.exec(x.Undo)
	}
	r.clock.forward(10 * time.Minute)
	id := a.held("noor", "reader")
	a.end("noor", id)
	if res := a.answered("noor", id).Residue[0]; res.State == access.ResidueUnknowable || strings.Contains(res.Note, "before") {
		t.Errorf("afterwards: %+v", res)
	}
	if n := a.Stats().Events[broker.GrantResidue]; n != 3 {
		t.Errorf("%d answers in the log, want 3", n)
	}
}

// examined is a simulated target that can be looked at, or not.
type examined struct {
	*target
	mu    sync.Mutex
	blind bool
	at    int      // readings so far
	look  func()   // is called while it is read, where it is set
	said  []string // of what broker logs as an error
}

// Handle keeps what the broker logs as an error.
func (x *examined) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
	x.mu.Lock()
	defer x.mu.Unlock()
	x.said = append(x.said, line)
	return nil
}

func (x *examined) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }
func (x *examined) WithAttrs([]slog.Attr) slog.Handler           { return x }
func (x *examined) WithGroup(string) slog.Handler                { return x }

func (x *examined) Fingerprint(context.Context, connector.Target) ([]byte, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.look != nil {
		x.look()
	}
	if x.blind {
		return nil, &connector.Error{Message: "it is dark"}
	}
	x.at++
	return strconv.AppendInt(nil, int64(x.at), 10), nil
}

func (x *examined) Residue(before, after []byte, os []connector.Order) ([]connector.Residue, error) {
	rs := make([]connector.Residue, len(os))
	for i := range rs {
		rs[i].State = access.ResidueNone
		if a, _ := strconv.Atoi(string(after)); string(before) >= string(after) || a < 2 {
			rs[i] = connector.Residue{State: access.ResidueUnknowable, Note: "compared with " + string(before)}
		}
	}
	return rs, nil
}

func (x *examined) set(blind bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.blind = blind
}

func (x *examined) readings() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.at
}

// dark starts an installation with a simulated target, which can be looked at or not.
func dark(t *testing.T) (in *installation, x *examined, now *clock) {
	t.Helper()
	in, err := prepare(t, t.TempDir())
	must(t, err)
	must(t, in.store.Close())
	in.t = t
	now = &clock{now: time.Now().Truncate(time.Millisecond)}
	if in.store, err = store.Open(t.Context(), store.Config{Path: in.path, Clock: now.read}); err != nil {
		t.Fatal(err)
	}
	x = &examined{target: in.target, blind: true}
	in.Broker, err = broker.New(broker.Config{
		Store: memory{in.store}, Connectors: map[string]connector.Connector{"fake": x}, Tagger: in.tagger, Vault: in.keys,
		SealTo:       func(_ []byte, _ string, plain []byte) ([]byte, error) { return plain, nil },
		Installation: "test", Epoch: 1, Replica: "one", Alone: true, Log: slog.New(x),
	})
	must(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var g errgroup.Group
	g.Go(func() error { return in.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		must(t, errors.Join(g.Wait(), in.store.Close()))
	})
	return in, x, now
}

// TestResidueInTheDark: without a fingerprint from before, and where the target
// cannot be looked at any more, the answer is that there is none; until it is
// given up, it is looked for.
func TestResidueInTheDark(t *testing.T) {
	in, x, now := dark(t)
	answer := func(v broker.View) access.Residue {
		t.Helper()
		id := string(v.Request.ID)
		_, err := in.End(t.Context(), in.as("mira"), id, "done")
		must(t, err)
		in.until("mira", id, access.Ended)
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			now.forward(10 * time.Second)
			if v, err := in.View(t.Context(), in.as("mira"), id); err == nil && access.SumResidue(v.Residue) != access.ResiduePending {
				return v.Residue[0]
			}
		}
		t.Fatalf("no answer about %s", id)
		return access.Residue{}
	}
	first := in.hold("mira", "reader", time.Hour)
	x.set(false)
	if r := answer(first); r.State != access.ResidueUnknowable || !strings.Contains(r.Note, "before") {
		t.Errorf("without a reading from before: %+v", r)
	}
	second := in.hold("mira", "reader", time.Hour)
	if r := answer(second); r.State != access.ResidueNone || r.Attempts != 0 {
		t.Errorf("with one: %+v", r)
	}
	third := in.hold("mira", "reader", time.Hour)
	x.set(true)
	n := x.readings()
	if r := answer(third); r.State != access.ResidueUnknowable || r.Attempts != 10 || !strings.Contains(r.Note, "dark") || x.readings() != n {
		t.Errorf("in the dark: %+v", r)
	}
}

// TestResidueAnsweredMeanwhile: what another replica has found out while this one tried in
// vain is said once, and the others' answers are put off all the same.
func TestResidueAnsweredMeanwhile(t *testing.T) {
	in, x, now := dark(t)
	first, second := in.hold("mira", "reader", time.Hour), in.hold("mira", "owner", time.Hour)
	answered := false
	x.mu.Lock()
	x.look = func() {
		if answered {
			return
		}
		if err := in.store.Update(t.Context(), func(tx *store.Tx) error {
			rs, err := tx.ResiduesOf(first.Grant.ID, second.Grant.ID)
			if err != nil || len(rs) < 2 {
				return err
			}
			answered = true
			r := rs[0]
			if r.Grant != first.Grant.ID {
				r = rs[1]
			}
			r.State, r.At, r.DueAt = access.ResidueNone, tx.Now(), time.Time{}
			return tx.SaveResidues(r)
		}); err != nil {
			t.Error(err)
		}
	}
	x.mu.Unlock()
	for _, v := range []broker.View{first, second} {
		_, err := in.End(t.Context(), in.as("mira"), string(v.Request.ID), "done")
		must(t, err)
		in.until("mira", string(v.Request.ID), access.Ended)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		now.forward(time.Second)
		one, err := in.View(t.Context(), in.as("mira"), string(first.Request.ID))
		must(t, err)
		other, err := in.View(t.Context(), in.as("mira"), string(second.Request.ID))
		must(t, err)
		if one.Residue[0].State == access.ResidueNone && other.Residue[0].State == access.ResiduePending && other.Residue[0].Attempts > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v, %+v", one.Residue, other.Residue)
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.said) > 0 {
		t.Errorf("the log says %q", x.said)
	}
}
