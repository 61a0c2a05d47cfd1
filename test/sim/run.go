package sim

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing/synctest"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
)

// Result is what became of one run. It is also a line of what `make sim` writes.
type Result struct {
	Seed     uint64           `json:"seed"`
	Steps    int64            `json:"steps"`
	Hours    float64          `json:"hours"` // simulated
	Requests int              `json:"requests"`
	Grants   int              `json:"grants"`
	Counters map[string]int64 `json:"counters"`
	Trace    string           `json:"trace"` // hash over all steps and all records
	Failure  string           `json:"failure,omitempty"`
	Tail     []string         `json:"tail,omitempty"`
}

// tracing says what a run writes beside its result; nil is nothing.
type tracing struct {
	trace func(string) // every step
	logs  io.Writer    // what the brokers log
}

// simulate runs one seed for a simulated day. It must be called in a bubble of
// testing/synctest.
func simulate(seed uint64, to tracing) Result {
	w := newWorld(seed)
	w.trace.all, w.logs = to.trace, to.logs
	if err := w.build(); err != nil {
		w.fail("build", "%v", err)
		return w.result()
	}
	w.unfold()
	w.run(w.began.Add(horizon - access.SetupWithin))
	w.converge()
	return w.result()
}

// converge lets the world come to rest and looks at what is left: the second phase
// in which nothing goes wrong any more (L-01, L-02, L-03, L-06).
func (w *world) converge() {
	if w.failed == nil {
		w.calm = true
		w.storm = false
		for id, r := range w.replicas {
			if r == nil {
				w.start(id)
			}
		}
		w.disturb("", w.now())
		w.run(w.now().Add(swept + settled))
	}
	if w.failed == nil {
		w.rest()
	}
	w.close()
}

// close ends everything that runs: nobody is left to wait for anything.
func (w *world) close() {
	w.closed = true
	for _, r := range w.alive() {
		w.crash(r)
	}
	synctest.Wait()
	for _, st := range append(w.queue, w.arrived...) {
		switch {
		case st.done != nil:
			w.answer(st, "the end")
		case st.op == "answer": // of a commit, on its way
			st.do(st)
		}
	}
	w.queue, w.arrived = nil, nil
	w.people.Wait()
	for _, over := range w.overs {
		<-over
	}
	time.Sleep(time.Minute) // what a broker left to itself ends by its own deadline
}

// rest is what must hold when all is quiet.
func (w *world) rest() {
	o := &w.oracle
	for _, g := range w.store.Grants(true) {
		if w.leftToAPerson(g.ID) {
			continue
		}
		if a := w.askOf(g.Request); a != nil && g.State != access.Scheduled && g.ExpiresAt.Before(w.store.Now().Add(-o.slack)) {
			w.fail("L-01", "%s of %s is still %s, to end at %s", g.ID, a.name(), g.State, g.ExpiresAt)
		}
	}
	live := map[access.GrantID]bool{}
	for _, g := range w.store.Grants(true) {
		if !w.leftToAPerson(g.ID) {
			live[g.ID] = true
		}
	}
	if len(live) == 0 {
		for _, e := range w.store.Entitlements(true) {
			if e.State != access.Removing || !o.reported[e.ID] {
				w.fail("L-01", "%s is still %s (%s)", e.ID, e.State, e.LastError)
			}
		}
		for _, p := range w.targets.Privileges() {
			if id, ok := w.entitlementOf(p.Place, p.Tag); ok && !p.Usable && o.reported[id] {
				continue
			}
			w.fail("L-06", "%s %s %s is left at %s", p.Mechanism, p.Account, p.Right, p.Place)
		}
	}
	for _, r := range w.store.Requests() {
		if r.State == access.RequestPending && w.store.Now().After(r.ExpiresAt.Add(time.Minute)) {
			w.fail("L-02", "%s waits since %s", r.ID, r.CreatedAt)
		}
		if r.State == access.RequestTimedOut {
			w.sometimes("a request nobody decided")
		}
	}
	once := map[string]access.RequestID{}
	for _, r := range w.store.Requests() {
		if other, twice := once[r.Reason]; twice {
			w.fail("I-28", "%s and %s are both %s", other, r.ID, r.Reason)
		}
		once[r.Reason] = r.ID
		if o.versions[string(r.ID)] != r.Version {
			w.fail("I-15", "%s is version %d and the log says %d", r.ID, r.Version, o.versions[string(r.ID)])
		}
	}
	for _, g := range w.store.Grants(false) {
		if o.versions[string(g.ID)] != g.Version {
			w.fail("I-15", "%s is version %d and the log says %d", g.ID, g.Version, o.versions[string(g.ID)])
		}
	}
	o.reviews()
	o.promises(w.now())
}

// leftToAPerson reports whether a grant is ending, and all that it waits for is an
// account of our name that is not the one we made: it is left without login, a
// person was told, and until that person has looked nothing says that it is gone.
// A create that the network delivers twice makes such a one.
func (w *world) leftToAPerson(g access.GrantID) (is bool) {
	_ = w.store.View(context.Background(), func(tx broker.Tx) error {
		row, err := tx.Grant(g)
		if err != nil || row.State != access.Ending {
			return err
		}
		hs, err := tx.HoldsBy(g)
		for _, h := range hs {
			e, err := tx.Entitlement(h.Entitlement)
			switch {
			case err != nil:
				return err
			case e.State == access.Gone:
			case e.State == access.Removing && w.oracle.reported[e.ID]:
				is = true
			default:
				is = false
				return nil
			}
		}
		return err
	})
	return is
}

func (w *world) result() Result {
	r := Result{Seed: w.seed, Steps: w.steps, Hours: w.now().Sub(w.began).Hours(), Requests: len(w.asks), Counters: w.counts}
	for _, ev := range w.store.Log() {
		w.trace.sum.Write(fmt.Appendf(nil, "%s %s %d %d\n", ev.Type, ev.Entity, ev.Version, ev.At.UnixNano()))
	}
	r.Grants = len(w.store.Grants(false))
	r.Trace = w.trace.digest()
	if w.failed != nil {
		r.Failure, r.Tail = w.failed.Error(), w.trace.tail()
	}
	return r
}

// committed names in the trace what a transaction recorded.
func (w *world) committed(st *step) {
	log := w.store.Log()
	from := min(w.traced, len(log))
	w.traced = len(log)
	var b strings.Builder
	for i, ev := range log[from:] {
		if i == 4 {
			fmt.Fprintf(&b, "and %d more", len(log)-from-i)
			break
		}
		b.WriteString(string(ev.Type) + ":" + short(ev.Entity) + " ")
	}
	st.detail = strings.TrimSpace(b.String())
}
