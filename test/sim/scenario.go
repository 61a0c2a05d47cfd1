package sim

import (
	"fmt"
	"slices"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
)

// scenario is a short story in which every single fault is tried at each step.
type scenario struct {
	name  string
	short bool // pairs of faults are tried, too
	play  func(w *world)
}

var scenarios = []scenario{
	{"account", true, func(w *world) {
		w.scripted(0, &ask{who: "mira", role: "reader", d: 15 * time.Second})
	}},
	{"approval", false, func(w *world) {
		w.scripted(0, &ask{who: "gus", role: "reader", d: 60 * time.Second, returns: true})
	}},
	{"group", false, func(w *world) { // one membership, held by two grants
		w.scripted(0, &ask{who: "paul", role: "owner", d: 15 * time.Second})
		w.scripted(4*time.Second, &ask{who: "paul", role: "owner", d: 25 * time.Second})
	}},
	{"enable", false, func(w *world) { // one account, lent to two
		w.scripted(0, &ask{who: "mira", role: "shared", d: 15 * time.Second})
		w.scripted(4*time.Second, &ask{who: "noor", role: "shared", d: 25 * time.Second})
	}},
	{"extension", false, func(w *world) {
		w.scripted(0, &ask{who: "mira", role: "reader", d: 20 * time.Second, extends: true})
	}},
	{"revoke", true, func(w *world) { // while one is provisioned and another is to start later
		w.scripted(0, &ask{who: "mira", role: "reader", d: 20 * time.Second})
		w.scripted(0, &ask{who: "pia", role: "owner", d: 20 * time.Second, ahead: 8 * time.Second})
		w.in(3*time.Second+15*time.Millisecond, "revoke", "", func() {
			w.people.Go(func() { w.revoke(1, broker.Selector{Role: "reader"}, func(a *ask) bool { return a.role == "reader" }) })
		})
	}},
}

// scripted lets somebody ask after everything has started, and do what the story says.
func (w *world) scripted(after time.Duration, a *ask) {
	a.scripted = true
	w.in(3*time.Second+after, "ask", a.who, func() { w.ask(a) })
}

// enact plays a scenario with the given faults at the given steps, the first of which
// is 1, and lists the operations of all steps.
func enact(s scenario, faults map[int64]fault, to tracing) (r Result, ops []string) {
	w := newWorld(7)
	w.trace.all, w.logs = to.trace, to.logs
	w.swarm = swarm{replicas: 2, places: 1}
	w.script = map[int64]fault{}
	if err := w.build(); err != nil {
		w.fail("build", "%v", err)
		return w.result(), nil
	}
	for id := range w.replicas {
		w.in(time.Duration(1+id*700)*time.Millisecond, "start", fmt.Sprint("r", id), func() { w.start(id) })
	}
	s.play(w)
	w.run(w.began.Add(2900 * time.Millisecond)) // the first sweeps are no part of the story
	from := w.io
	for n, f := range faults {
		w.script[from+n] = f
	}
	over := func() bool {
		return w.queued() == 0 && !slices.ContainsFunc(w.asks, func(a *ask) bool { return !a.refused && !a.decidedNo() && a.gone.IsZero() })
	}
	ended := func() bool { // all but what only a person may take away, who was told
		return !slices.ContainsFunc(w.store.Grants(true), func(g access.Grant) bool { return !w.leftToAPerson(g.ID) })
	}
	for range 600 {
		if w.run(w.now().Add(time.Second)); w.failed != nil || w.now().After(w.began.Add(35*time.Second)) && over() && ended() {
			break
		}
	}
	ops = slices.Clone(w.ops[from:])
	if w.failed == nil && !ended() {
		w.fail("L-01", "the story is not over after ten minutes")
	}
	w.converge()
	return w.result(), ops
}

// queued counts the steps of replicas that have not happened yet.
func (w *world) queued() (n int) {
	for _, st := range w.queue {
		if st.by != nil {
			n++
		}
	}
	return n
}

// trials are the faults that can be tried at a step.
func trials(op string) []fault {
	fs := menu(op)
	switch op {
	case "update":
		fs = append(slices.Clone(fs), lost)
	case "provision":
		fs = append(slices.Clone(fs), veryLate)
	}
	return fs
}
