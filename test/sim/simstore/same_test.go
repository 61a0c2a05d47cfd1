package simstore_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stint/internal/access"
	"stint/internal/store"
	"stint/internal/store/storetest"
	"stint/test/sim/simstore"
)

// TestSameAsSQLite runs random transactions on this store and on the real one
// with SQLite, legal ones and others, and compares every answer.
func TestSameAsSQLite(t *testing.T) {
	folder, n := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		p := newPair(rt, filepath.Join(folder, fmt.Sprint(n, ".db")))
		defer p.close()
		for range rapid.IntRange(5, 25).Draw(rt, "transactions") {
			p.clock.Set(p.clock.Now().Add(time.Duration(rapid.SampledFrom([]int{0, 0, 1, 700, 61_000, 1_800_000, 90_000_000}).Draw(rt, "pass")) * time.Millisecond))
			p.transact()
		}
	})
}

// pair is two stores that must say the same.
type pair struct {
	t     *rapid.T
	clock *storetest.Clock
	mem   *simstore.Store
	a, b  storetest.Store
	close func()
	ids   int64
}

func newPair(t *rapid.T, path string) *pair {
	p := &pair{t: t, clock: storetest.NewClock()}
	real, err := store.Open(context.Background(), store.Config{Path: path, Clock: p.clock.Now, Damaged: func(err error) { t.Errorf("damaged: %v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	p.mem = simstore.New(p.clock.Now)
	p.a, p.b, p.close = contract(p.mem), storetest.Of(real.Update, real.View), func() { _ = real.Close() }
	return p
}

// op is one call within a transaction. It depends on nothing but what was drawn.
type op struct {
	name    string
	call    func(tx storetest.Tx) (any, error)
	mayFail bool // an error of it dooms nothing
}

// answer is what a call said.
type answer struct {
	Op    string
	Value any
	Kind  access.Kind
	Code  string
}

func answered(name string, v any, err error) answer {
	a := answer{Op: name, Value: v}
	if err != nil {
		a.Value, a.Kind = nil, access.KindOf(err)
		var e *access.Error
		if errors.As(err, &e) {
			a.Code = e.Code
		}
	}
	return a
}

// transact runs the same calls in one transaction of each store.
func (p *pair) transact() {
	ops := make([]op, rapid.IntRange(1, 6).Draw(p.t, "calls"))
	for i := range ops {
		ops[i] = p.draw()
	}
	giveUp := rapid.IntRange(0, 9).Draw(p.t, "give up") == 0
	run := func(s storetest.Store) []answer {
		var said []answer
		err := s.Update(context.Background(), func(tx storetest.Tx) error {
			said = []answer{answered("now", tx.Now(), nil)}
			for _, o := range ops {
				v, err := o.call(tx)
				said = append(said, answered(o.name, v, err))
				if err != nil && !errors.Is(err, access.NotFound) && !o.mayFail {
					return err // the transaction is doomed; what comes later may say so in any way
				}
			}
			if giveUp {
				return access.Fail(access.Denied, "gave-up", "the caller gave up")
			}
			return nil
		})
		return append(said, answered("commit", nil, err))
	}
	if d := storetest.Diff(run(p.a), run(p.b)); d != "" {
		p.t.Fatalf("in memory (-) and SQLite (+) differ:\n%s", d)
	}
}

func (p *pair) entropy() (e access.Entropy) {
	p.ids++
	e[9], e[8] = byte(p.ids), byte(p.ids>>8)
	return e
}

func pick[T any](p *pair, what string, from []T) (v T, ok bool) {
	if len(from) == 0 {
		return v, false
	}
	return rapid.SampledFrom(from).Draw(p.t, what), true
}

func (p *pair) oneOf(what string, n int) bool { return rapid.IntRange(0, n-1).Draw(p.t, what) == 0 }

// draw draws a call.
func (p *pair) draw() op {
	draws := []func() (op, bool){
		p.grantBundle, p.grantBundle, p.request, p.vote, p.step, p.step, p.step, p.bentRequest, p.bentGrant, p.bentEntitlement, p.bentHold,
		p.lease, p.lease, p.lists, p.lists, p.dues, p.dues, p.find, p.people, p.settings, p.sealed, p.record,
	}
	for {
		if o, ok := rapid.SampledFrom(draws).Draw(p.t, "kind of call")(); ok {
			return o
		}
	}
}

func (p *pair) bend(r *access.Request) {
	r.ID = access.NewRequestID(p.clock.Now().UnixMilli(), p.entropy())
	r.Duration = rapid.SampledFrom([]time.Duration{time.Minute, time.Hour, 8 * time.Hour}).Draw(p.t, "duration")
	if p.oneOf("scheduled", 4) {
		r.Start = p.clock.Now().Add(time.Hour)
	}
	if p.oneOf("two targets", 4) {
		r.Targets = append(r.Targets, storetest.TargetNamed("stock-db"))
	}
	if p.oneOf("somebody else", 4) {
		r.Principal, r.Person = "user:ben", "ben"
	}
	if p.oneOf("idle", 4) {
		r.Endings.OnIdle = time.Minute
	}
	if p.oneOf("group", 4) {
		r.Permissions.Mechanism = access.Member
		for i := range r.Targets {
			r.Targets[i].Account = string(r.Person)
		}
	}
}

func (p *pair) grantBundle() (op, bool) {
	now := p.clock.Now().Truncate(time.Millisecond)
	r, asked, err := access.Submit(storetest.Ask(now, p.bend), storetest.Asker, storetest.Allow, now)
	if err != nil {
		return op{}, false
	}
	r, g, made, err := r.NewGrant(access.NewGrantID(now.UnixMilli(), p.entropy()), now)
	if err != nil {
		return op{}, false
	}
	b, evs := storetest.Bundle{Request: r, Grant: g}, []access.Event{asked, made}
	for _, e := range g.Plan() {
		e, h, ev := e.Intend(access.NewEntitlementID(now.UnixMilli(), p.entropy()), "tag", 1, g, now)
		b.Entitlements, b.Holds, evs = append(b.Entitlements, e), append(b.Holds, h), append(evs, ev)
	}
	owner := rapid.SampledFrom([]string{"", "w1", "w2"}).Draw(p.t, "owner")
	return op{name: "grant", call: func(tx storetest.Tx) (any, error) {
		return nil, storetest.SaveBundle(tx, owner, []storetest.Bundle{b}, evs)
	}}, true
}

func (p *pair) request() (op, bool) {
	d := rapid.SampledFrom([]access.Decision{storetest.Allow, storetest.Approve, {}}).Draw(p.t, "decision")
	r, ev, err := access.Submit(storetest.Ask(p.clock.Now().Truncate(time.Millisecond), p.bend), storetest.Asker, d, p.clock.Now().Truncate(time.Millisecond))
	return op{name: "request", call: func(tx storetest.Tx) (any, error) { return nil, errors.Join(tx.SaveRequests(r), tx.Append(ev)) }}, err == nil
}

func (p *pair) vote() (op, bool) {
	r, ok := pick(p, "request", p.mem.Requests())
	if !ok {
		return op{}, false
	}
	r, ev, err := r.Vote(storetest.DBA, storetest.Asker, access.Vote{Approve: !p.oneOf("no", 3), Note: "so", Seen: r.Digest}, p.clock.Now().Truncate(time.Millisecond))
	return op{name: "vote", call: func(tx storetest.Tx) (any, error) { return nil, errors.Join(tx.SaveRequests(r), tx.Append(ev)) }}, err == nil
}

// step is a legal step of a grant with all that it holds.
func (p *pair) step() (op, bool) {
	g, ok := pick(p, "grant", p.mem.Grants(true))
	if !ok {
		return op{}, false
	}
	var b storetest.Bundle
	b.Grant = g
	for _, h := range p.mem.Holds(false) {
		if h.Grant == g.ID {
			e, _ := p.mem.Entitlement(h.Entitlement)
			b.Holds, b.Entitlements = append(b.Holds, h), append(b.Entitlements, e)
		}
	}
	what := rapid.SampledFrom([]string{"begin", "activate", "activate", "end", "vanish", "finish"}).Draw(p.t, "step")
	return op{name: what, call: func(tx storetest.Tx) (any, error) {
		b := b
		b.Entitlements, b.Holds = slices.Clone(b.Entitlements), slices.Clone(b.Holds)
		var err error
		switch what {
		case "begin", "finish":
			g, ev, err := b.Grant.Begin(tx.Now())
			if what == "finish" {
				g, ev, err = b.Grant.Finish(tx.Now())
			}
			if err != nil {
				return nil, nil
			}
			return nil, errors.Join(tx.SaveGrants(g), tx.Append(ev))
		case "activate":
			if _, _, err := b.Grant.Activate(tx.Now()); err != nil {
				return nil, nil
			}
			_, err = storetest.Activate(tx, "w1", b)
		case "end":
			_, err = storetest.End(tx, b, access.ByPerson)
		case "vanish":
			_, err = storetest.Vanish(tx, b)
		}
		return nil, err
	}}, true
}

func (p *pair) bentRequest() (op, bool) {
	r, ok := pick(p, "request", p.mem.Requests())
	if !ok {
		return op{}, false
	}
	r.Approvals = slices.Clone(r.Approvals)
	r.Version += int64(rapid.IntRange(-1, 2).Draw(p.t, "version"))
	switch rapid.IntRange(0, 6).Draw(p.t, "bend") {
	case 0:
		r.State = rapid.SampledFrom([]access.RequestState{access.RequestPending, access.RequestIsGranted, access.RequestIsDenied, access.RequestTimedOut, "odd"}).Draw(p.t, "state")
	case 1:
		r.Grant = "grt_x"
	case 2:
		r.Duration += time.Second
	case 3:
		r.ExpiresAt = r.ExpiresAt.Add(time.Second)
	case 4:
		r.Extends = "grt_x"
	case 5:
		r.Person = "eve"
	}
	return op{name: "bent request", call: func(tx storetest.Tx) (any, error) { return nil, tx.SaveRequests(r) }}, true
}

func (p *pair) bentGrant() (op, bool) {
	g, ok := pick(p, "grant", p.mem.Grants(false))
	if !ok {
		return op{}, false
	}
	g.Version += int64(rapid.IntRange(-1, 2).Draw(p.t, "version"))
	switch rapid.IntRange(0, 7).Draw(p.t, "bend") {
	case 0:
		g.State = rapid.SampledFrom([]access.GrantState{access.Scheduled, access.Provisioning, access.Active, access.Ending, access.Ended, access.Failed, "odd"}).Draw(p.t, "state")
	case 1:
		g.ExpiresAt = g.ExpiresAt.Add(time.Duration(rapid.SampledFrom([]int{-1, 1, 3600_000}).Draw(p.t, "later")) * time.Millisecond)
	case 2:
		g.Duration += time.Hour
	case 3:
		g.Principal = "user:eve"
	case 4:
		g.ExpiresAt = time.Time{}
	case 5:
		g.Conditional = !g.Conditional
	case 6:
		g.SeenAt = p.clock.Now()
	}
	return op{name: "bent grant", call: func(tx storetest.Tx) (any, error) { return nil, tx.SaveGrants(g) }}, true
}

func (p *pair) bentEntitlement() (op, bool) {
	e, ok := pick(p, "entitlement", p.mem.Entitlements(false))
	if !ok {
		return op{}, false
	}
	e.Version += int64(rapid.IntRange(-1, 2).Draw(p.t, "version"))
	switch rapid.IntRange(0, 7).Draw(p.t, "bend") {
	case 0, 1:
		e.State = rapid.SampledFrom([]access.EntitlementState{access.Intended, access.Present, access.Refreshing, access.Removing, access.Gone, "odd"}).Draw(p.t, "state")
	case 2:
		e.NextAt = p.clock.Now().Add(time.Minute)
	case 3:
		e.NextAt = time.Time{}
	case 4:
		e.Key = rapid.SampledFrom([]string{"", "account:x"}).Draw(p.t, "key")
	case 5:
		e.ExpiresAt = time.Time{}
	case 6: // a new one, perhaps of the same key
		e.ID, e.Version = access.NewEntitlementID(p.clock.Now().UnixMilli(), p.entropy()), 1
	}
	return op{name: "bent entitlement", call: func(tx storetest.Tx) (any, error) { return nil, tx.SaveEntitlements(e) }}, true
}

func (p *pair) bentHold() (op, bool) {
	h, ok := pick(p, "hold", p.mem.Holds(false))
	if !ok {
		return op{}, false
	}
	switch rapid.IntRange(0, 4).Draw(p.t, "bend") {
	case 0:
		h.ReleasedAt = p.clock.Now()
	case 1:
		h.ReleasedAt = time.Time{}
	case 2:
		h.Settled = !h.Settled
	case 3:
		if g, ok := pick(p, "grant", p.mem.Grants(false)); ok {
			h.Grant = g.ID
		}
	}
	return op{name: "bent hold", call: func(tx storetest.Tx) (any, error) { return nil, tx.SaveHolds(h) }}, true
}
