package sim

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

// targetSeam is the targets as one replica reaches them.
type targetSeam struct {
	r    *replica
	base connector.Connector
}

// how a call to a target ends for its caller.
type how int

const (
	answered how = iota // with what the target said
	silent              // nothing was heard; it may have happened
	notDone             // it did not happen, and the caller knows
	lying               // the target says it happened
	some                // the first of a batch happened; of the rest nothing is known
	gone                // the process is dead
)

// call parks one call. do has the effect, on the first n of a batch of size; what it
// leaves in the caller's variables is read only if the call was answered.
func (x targetSeam) call(ctx context.Context, op string, at access.Connection, what string, size int, do func(n int)) (how, int) {
	r, w := x.r, x.r.w
	if r.dead {
		return gone, 0
	}
	st := &step{by: r, op: op, label: at.Address, detail: what}
	result, n := silent, size
	left := false
	deadline, _ := ctx.Deadline()
	act := func(n int) {
		do(n)
		if op == "remove" && w.storm {
			w.sometimes("removal during a storm")
		}
	}
	st.wait = deadline
	st.do = func(st *step) {
		place := at.Place()
		patient := !left && ctx.Err() == nil
		switch {
		case r.dead && !st.creates():
			result = gone
			w.answer(st, "dead")
			return
		case !patient && !st.creates():
			w.answer(st, "nobody waits")
			return
		case w.targetDown(place):
			if st.fault == dropped || w.chance(0.5) { // packets go nowhere; the caller waits
				st.said = "down, silent"
				return
			}
			result = notDone
			w.answer(st, "down, refused")
			return
		}
		if !patient {
			// It lands although nobody waits for it.
			w.landing(st, deadline)
		}
		switch st.fault {
		case crashBefore:
			w.crash(r)
			result = gone
			w.answer(st, "dead")
			return
		case refused:
			result = notDone
			w.answer(st, "refused")
			return
		case dropped:
			st.said = "nothing"
			return
		case lied:
			w.sometimes("target says done and did nothing")
			result = lying
			w.answer(st, "done, it says")
			return
		case partial:
			if size > 1 {
				w.sometimes("a batch is done in part")
			}
			n = w.rng.IntN(size)
			act(n)
			result = some
			w.answer(st, fmt.Sprintf("%d of %d", n, size))
			return
		case stale:
			n = -1
		}
		act(n)
		result = answered
		switch st.fault {
		case unknown:
			w.sometimes(strings.Replace(op, "rotate", "provision", 1) + ": done, and nobody knows")
			result = silent
		case twice:
			if st.creates() {
				w.repeat(st, deadline, func() { act(size) })
			} else {
				act(size)
			}
			w.sometimes(strings.Replace(op, "rotate", "provision", 1) + ": done twice")
		case crashAfter:
			if st.creates() {
				w.sometimes("crash between create and record")
			}
			w.crash(r)
			result = gone
		}
		w.answer(st, [...]string{"answered", "unknown", "not done", "lie", "some", "dead"}[result])
	}
	w.park(st)
	select {
	case <-st.done:
		return result, n
	case <-ctx.Done():
		left = true
		return silent, 0
	}
}

func (x targetSeam) Type() string                         { return x.base.Type() }
func (x targetSeam) Schema() access.Schema                { return x.base.Schema() }
func (x targetSeam) Capabilities() connector.Capabilities { return x.base.Capabilities() }
func (x targetSeam) Forget(c access.Connection)           { x.base.Forget(c) }

func (x targetSeam) Check(ctx context.Context, t connector.Target) connector.Report {
	return x.base.Check(ctx, t)
}

// fails is the error of a call that was not answered.
func (h how) fails() error {
	switch h {
	case answered, lying, some:
		return nil
	case notDone:
		return &connector.Error{Outcome: connector.NotDone, Message: "the target refused the connection"}
	case gone:
		return errDead
	default:
		return &connector.Error{Outcome: connector.Unknown, Message: "the target did not answer", Cause: context.DeadlineExceeded}
	}
}

func (x targetSeam) Claim(ctx context.Context, t connector.Target, c connector.Claim) error {
	var err error
	if x.undisturbed(ctx, t.Connection.Place()) {
		return x.base.Claim(ctx, t, c)
	}
	if h, _ := x.call(ctx, "claim", t.Connection, "", 1, func(int) { err = x.base.Claim(context.Background(), t, c) }); h != answered {
		return h.fails()
	}
	return err
}

// undisturbed reports whether a look at a place needs no place in the order of steps, as
// reads of the store do not: it changes nothing, and nothing can happen to it. A claim is
// one nearly always. Sweeps, each minute of each place and replica, would else be two
// fifths of what happens.
func (x targetSeam) undisturbed(ctx context.Context, p access.Place) bool {
	r, w := x.r, x.r.w
	return w.script == nil && !w.storm && !r.dead && r.asleep.IsZero() && !w.targetDown(p) && ctx.Err() == nil
}

func (x targetSeam) Observe(ctx context.Context, t connector.Target, o connector.Order) (connector.Before, error) {
	var b connector.Before
	var err error
	if h, _ := x.call(ctx, "observe", t.Connection, about(o), 1, func(int) { b, err = x.base.Observe(context.Background(), t, o) }); h != answered {
		return connector.Before{}, h.fails()
	}
	return b, err
}

// Provision is the call that counts: before it has an effect, the intent must be
// on record; and it can land when nobody waits for it any more.
func (x targetSeam) Provision(ctx context.Context, t connector.Target, o connector.Order) (connector.Receipt, error) {
	var r connector.Receipt
	var err error
	x.r.w.asked(x.r, t.Connection.Place(), o)
	op := "provision"
	if o.Renew == connector.Rotate {
		op = "rotate"
	}
	h, _ := x.call(ctx, op, t.Connection, about(o), 1, func(int) {
		if until, ok := ctx.Deadline(); ok && x.r.w.now().After(until.Add(connector.Late)) {
			x.r.w.oracle.setsBack(o)
		}
		r, err = x.base.Provision(context.Background(), t, o)
		x.r.w.made(t.Connection.Place(), o, r, err)
	})
	switch h {
	case answered:
		return r, err
	case lying:
		name := o.Account
		if name == "" {
			name = "stint_not_there"
		}
		return connector.Receipt{Account: name, Creation: o.Creation}, nil
	default:
		return connector.Receipt{}, h.fails()
	}
}

func (x targetSeam) batch(ctx context.Context, op string, t connector.Target, os []connector.Order, do func([]connector.Order) []connector.Result) []connector.Result {
	rs := make([]connector.Result, len(os))
	h, n := x.call(ctx, op, t.Connection, about(os...), len(os), func(n int) {
		copy(rs, do(os[:n]))
	})
	switch h {
	case answered:
		return rs
	case lying:
		for i := range rs {
			rs[i] = connector.Result{Outcome: connector.Done}
		}
	default:
		from := 0
		if h == some {
			from, h = n, silent
		}
		for i := from; i < len(rs); i++ {
			rs[i] = connector.Result{Err: h.fails()}
			if h == notDone {
				rs[i].Outcome = connector.NotDone
			}
		}
	}
	return rs
}

func (x targetSeam) Revoke(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return x.batch(ctx, "revoke", t, os, func(os []connector.Order) []connector.Result {
		return x.base.Revoke(context.Background(), t, os)
	})
}

func (x targetSeam) TerminateSessions(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return x.batch(ctx, "terminate", t, os, func(os []connector.Order) []connector.Result {
		return x.base.TerminateSessions(context.Background(), t, os)
	})
}

func (x targetSeam) Remove(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return x.batch(ctx, "remove", t, os, func(os []connector.Order) []connector.Result {
		return x.base.Remove(context.Background(), t, os)
	})
}

func (x targetSeam) Verify(ctx context.Context, t connector.Target, os []connector.Order) []connector.Observation {
	seen := make([]connector.Observation, len(os))
	h, _ := x.call(ctx, "verify", t.Connection, about(os...), len(os), func(int) {
		copy(seen, x.base.Verify(context.Background(), t, os))
	})
	if h == answered {
		return seen
	}
	for i := range seen {
		seen[i] = connector.Observation{Sessions: -1, Err: h.fails()}
	}
	return seen
}

// Inventory lists; a stale list is the one that was given the last time.
func (x targetSeam) Inventory(ctx context.Context, t connector.Target) iter.Seq2[connector.Artefact, error] {
	if x.undisturbed(ctx, t.Connection.Place()) {
		return x.base.Inventory(ctx, t)
	}
	return func(yield func(connector.Artefact, error) bool) {
		type item struct {
			a   connector.Artefact
			err error
		}
		var list []item
		w, place := x.r.w, t.Connection.Place()
		h, _ := x.call(ctx, "inventory", t.Connection, "", 1, func(n int) {
			var arts []connector.Artefact
			for a, err := range x.base.Inventory(context.Background(), t) {
				list = append(list, item{a, err})
				arts = append(arts, a)
			}
			if old, ok := w.listed[place]; ok && n < 0 {
				w.sometimes("a stale list")
				list = nil
				for _, a := range old {
					list = append(list, item{a: a})
				}
			}
			w.listed[place] = arts
		})
		if h != answered {
			yield(connector.Artefact{}, h.fails())
			return
		}
		for _, i := range list {
			if !yield(i.a, i.err) {
				return
			}
		}
	}
}

// about says in the trace what orders are about.
func about(os ...connector.Order) string {
	var b strings.Builder
	for i, o := range os {
		if i > 3 {
			fmt.Fprintf(&b, " and %d more", len(os)-i)
			break
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(short(string(o.Entitlement)))
		if o.Account != "" {
			b.WriteString("=" + o.Account)
		}
	}
	return b.String()
}

// short is the end of an id, which is where ids differ.
func short(id string) string { return id[max(0, len(id)-6):] }

var _ connector.Connector = targetSeam{}
var _ = time.Second
