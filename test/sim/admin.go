package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/policy"
)

var discard = slog.New(slog.DiscardHandler)

func mapsKeys[K cmp.Ordered, V any](m map[K]V) iter.Seq[K] {
	return func(yield func(K) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// rules are the policy and the switches as those who set them were told.
type rules struct {
	denied    map[string]time.Time // "group role": since when an answer said so
	disabled  map[string]time.Time
	wentAt    map[string]time.Time // when somebody was last disabled, back or not
	stopped   bool
	switching bool // somebody stops grants, or lets them go on
	stoppedAt time.Time
	edits     int
	ends      []ending // revocations, heard of or not
	// four is what the approvals for guests may have needed, and until when.
	least []need
	now   int // approvals that guests need as far as known
	// contracts are those of vendors.
	contracts map[string]*contract
	standIns  []*standIn
}

type need struct {
	n     int
	until time.Time // zero: still
}

// ending is something that may end grants, and from when to when it was on its way.
type ending struct {
	why         access.EndReason
	sent, heard time.Time // heard zero: not yet
	hits        func(*ask) bool
}

func (r *rules) start(began time.Time) {
	r.denied, r.disabled, r.wentAt, r.now = map[string]time.Time{}, map[string]time.Time{}, map[string]time.Time{}, 1
	r.least = []need{{n: 1}}
	r.contracts = map[string]*contract{}
	for _, who := range vendors {
		end := began.Add(firstContract)
		r.contracts[who] = &contract{latest: end, soonest: end, all: []time.Time{end}}
	}
}

// against is when the person's access was last known to be forbidden; zero if it is not.
func (r *rules) against(a *ask) (t time.Time) {
	sooner := func(d time.Time, ok bool) {
		if ok && (t.IsZero() || d.Before(t)) {
			t = d
		}
	}
	for _, who := range []string{a.who, sponsors[a.who]} {
		d, ok := r.disabled[who]
		sooner(d, ok)
	}
	if c := r.contracts[a.who]; c != nil {
		sooner(c.latest, !c.latest.After(time.Now()))
	}
	for _, g := range groups[a.who] {
		d, ok := r.denied[string(g)+" "+string(a.role)]
		sooner(d, ok)
	}
	return t
}

// spoilt reports whether somebody who said yes was disabled since. With them went their
// passkeys, and what these signed counts no more, also when they are back and somebody
// else gives the vote that was still missing.
func (r *rules) spoilt(a *ask) bool {
	return slices.ContainsFunc(a.votes, func(b ballot) bool {
		for who, at := range r.wentAt {
			if b.approve && at.After(b.sent) && (who == b.by || slices.Contains(standIns, b.by)) {
				return true
			}
		}
		return false
	})
}

func (r *rules) isDisabled(who string) bool { _, ok := r.disabled[who]; return ok }

// needed is the least number of approvals that may have sufficed since the given time.
func (r *rules) needed(a *ask, since time.Time) int {
	switch {
	case a.role == "writer":
		return 2
	case groups[a.who][0] == "platform", sponsors[a.who] != "", a.glass, a.ticket != "":
		return 0
	}
	least := 99
	for _, n := range r.least {
		if n.until.IsZero() || !n.until.Before(since) {
			least = min(least, n.n)
		}
	}
	return least
}

// admin is a call of an administrator on some replica, again until it is answered.
func (w *world) admin(n int, do func(context.Context, *replica) error) (err error, sure bool) {
	a := &ask{w: w, rng: rand.New(rand.NewPCG(w.seed, uint64(9_000_000+n)))}
	return a.call(do)
}

// holds reports whether what an administrator was told of an entity is so: the answer to a
// call can be older than a failover that took back what it tells of.
func (w *world) holds(entity string, sent time.Time, err error) bool {
	return err == nil && !w.oracle.took(entity, sent)
}

func (w *world) nextChore() {
	d := w.between(10*time.Minute, 50*time.Minute)
	if w.storm {
		d = w.between(10*time.Second, 2*time.Minute)
	}
	n := int(w.seq)
	w.in(d, "chore", "", func() {
		if w.calm {
			return
		}
		w.nextChore()
		who, place, role := pick(w.sched, requesters), w.rng.IntN(len(w.places)), pick(w.sched, []access.RoleName{"reader", "owner", "shared"})
		stop, back := w.between(5*time.Second, 4*time.Minute), w.between(10*time.Second, 10*time.Minute)
		switch w.rng.IntN(7) {
		case 0:
			w.people.Go(func() { w.revoke(n, broker.Selector{User: who}, func(a *ask) bool { return a.who == who }) })
		case 1:
			w.people.Go(func() { w.revoke(n, broker.Selector{Role: string(role)}, func(a *ask) bool { return a.role == role }) })
		case 2:
			w.people.Go(func() {
				w.revoke(n, broker.Selector{Resource: fmt.Sprint("db", place)}, func(a *ask) bool { return a.place == place })
			})
		case 3:
			if w.chance(0.4) {
				w.people.Go(func() { w.revoke(n, broker.Selector{All: true}, func(*ask) bool { return true }) })
				return
			}
			if a := w.someAsk(); a != nil {
				w.people.Go(func() { w.revoke(n, broker.Selector{Grant: string(a.id)}, func(b *ask) bool { return a == b }) })
			}
		case 4:
			w.people.Go(func() { w.stopSwitch(n, stop) })
		case 5:
			w.people.Go(func() { w.disable(n, who, back) })
		case 6:
			if w.chance(0.3) {
				w.people.Go(func() { w.askMore(n, back) })
				return
			}
			group := groups[who][len(groups[who])-1]
			w.people.Go(func() { w.freeze(n, string(group), role, back) })
		}
	})
}

func (w *world) someAsk() *ask {
	var live []*ask
	for _, a := range w.asks {
		if a.id != "" && a.over.IsZero() && a.state == access.RequestIsGranted {
			live = append(live, a)
		}
	}
	if len(live) == 0 {
		return nil
	}
	return live[w.rng.IntN(len(live))]
}

// expects notes that something may end grants from now on, and returns the note.
func (w *world) expects(why access.EndReason, hits func(*ask) bool) int {
	w.rules.ends = append(w.rules.ends, ending{why: why, sent: time.Now(), hits: hits})
	return len(w.rules.ends) - 1
}

func (w *world) revoke(n int, s broker.Selector, hits func(*ask) bool) {
	e := w.expects(access.ByPerson, hits)
	var were []*ask // who was told to hold it, before
	for _, a := range w.asks {
		// What was told before a failover that lost commits may be no grant any more,
		// and a revocation does not reach a request that is undecided again.
		if hits(a) && a.over.IsZero() && !a.active.IsZero() && !a.forgot(a.active) {
			were = append(were, a)
		}
	}
	setup := slices.ContainsFunc(w.store.Grants(true), func(g access.Grant) bool { return g.State == access.Provisioning })
	var got []access.GrantID
	err, sure := w.admin(n, func(ctx context.Context, r *replica) (err error) {
		got, err = r.Revoke(ctx, caller1("root"), s, "an exercise")
		return err
	})
	// Without the store a revocation reaches what that replica knows ahead, and says what
	// that is (RFD 12); with it, all.
	ahead := slices.ContainsFunc(got, w.inJournal)
	w.rules.ends[e].heard = time.Now()
	if err == nil {
		w.sometimes("revoked by a person")
		if setup {
			w.sometimes("revoked while provisioning")
		}
		for _, a := range were {
			if a.over.IsZero() && (!ahead || slices.Contains(got, a.grant)) {
				a.over, a.why = time.Now(), access.ByPerson
			}
		}
	}
	if sure && errors.Is(err, access.Internal) {
		w.fail("revocation", "a revocation was refused: %v", err)
	}
}

func (w *world) stopSwitch(n int, for_ time.Duration) {
	if w.rules.switching { // the retries of who lifts one stop would lift the next
		return
	}
	w.rules.switching = true
	defer func() { w.rules.switching = false }()
	sent := time.Now()
	err, _ := w.admin(n, func(ctx context.Context, r *replica) error {
		return r.SetStop(ctx, caller1("root"), true, "an exercise")
	})
	if w.holds("stop", sent, err) && !w.rules.stopped {
		w.rules.stopped, w.rules.stoppedAt = true, time.Now()
		w.sometimes("grants are stopped")
	}
	e := w.expects(access.ByPolicy, func(*ask) bool { return true })
	time.Sleep(for_)
	w.rules.stopped = false
	w.untilSure(n, func(ctx context.Context, r *replica) error {
		return r.SetStop(ctx, caller1("root"), false, "it is over")
	})
	w.rules.ends[e].heard = time.Now()
}

// untilSure calls until there was an answer: what is undone must be undone.
func (w *world) untilSure(n int, do func(context.Context, *replica) error) {
	for range 100 {
		if _, sure := w.admin(n, do); sure {
			return
		}
		n++
	}
	w.fail("L-07", "an administrator got no answer in a hundred calls")
}

func (w *world) disable(n int, who string, for_ time.Duration) {
	if w.rules.isDisabled(who) || sponsors[who] != "" {
		return
	}
	e := w.expects(access.ByPolicy, func(a *ask) bool {
		return a.who == who || sponsors[a.who] == who || slices.ContainsFunc(a.votes, func(b ballot) bool { return b.by == who || slices.Contains(standIns, b.by) })
	})
	id := access.NewPrincipalID(access.User, who)
	sent := time.Now()
	w.rules.wentAt[who] = sent
	err, _ := w.admin(n, func(ctx context.Context, r *replica) error { return r.Disable(ctx, caller1("root"), id, "gone") })
	if w.holds(string(id), sent, err) {
		w.outlived(who)
		w.rules.disabled[who] = time.Now()
		w.sometimes("a user is disabled")
	}
	time.Sleep(for_)
	delete(w.rules.disabled, who)
	_ = w.comesBack(who) // as sign-in does when somebody comes back
	w.rules.ends[e].heard = time.Now()
}

// freeze denies a role to a group for a while.
func (w *world) freeze(n int, group string, role access.RoleName, for_ time.Duration) {
	key := group + " " + string(role)
	if _, ok := w.rules.denied[key]; ok {
		return
	}
	name := "freeze-" + group + "-" + string(role)
	e := w.expects(access.ByPolicy, func(a *ask) bool {
		return a.role == role && slices.Contains(groups[a.who], access.Group(group))
	})
	text := fmt.Sprintf("kind: Policy\nname: %s\neffect: deny\nsubjects: [group:%s]\nroles: [%s]\n", name, group, role)
	waiting, sent := w.waiting(), time.Now()
	err, _ := w.admin(n, func(ctx context.Context, r *replica) error {
		_, err := r.Apply(ctx, caller1("root"), []policy.File{{Name: "freeze.yaml", Text: text}}, false)
		return err
	})
	w.rules.edits++
	if w.holds("documents", sent, err) {
		w.rules.denied[key] = time.Now()
		w.sometimes("policy edit")
		if waiting {
			w.sometimes("policy edit between approve and activate")
		}
	}
	time.Sleep(for_)
	delete(w.rules.denied, key)
	w.untilSure(n+1, func(ctx context.Context, r *replica) error {
		_, err := r.Delete(ctx, caller1("root"), policy.KindPolicy, name, false)
		if errors.Is(err, access.NotFound) {
			return nil
		}
		return err
	})
	w.rules.ends[e].heard = time.Now()
}

// waiting reports whether something is approved and not active yet.
func (w *world) waiting() bool {
	return slices.ContainsFunc(w.store.Grants(true), func(g access.Grant) bool {
		return g.State == access.Provisioning || g.State == access.Scheduled
	})
}

// askMore lets guests need two approvals for a while.
func (w *world) askMore(n int, for_ time.Duration) {
	if w.rules.now != 1 {
		return
	}
	w.rules.now = 2
	waiting := w.waiting()
	e := w.expects(access.ByPolicy, func(a *ask) bool { return groups[a.who][len(groups[a.who])-1] == "guests" })
	apply := func(k int) func(context.Context, *replica) error {
		return func(ctx context.Context, r *replica) error {
			_, err := r.Apply(ctx, caller1("root"), []policy.File{{Name: "guests.yaml", Text: needs("guests-ask", "guests", "reader, owner", k)}}, false)
			return err
		}
	}
	for _, a := range w.asks { // somebody decides at the very moment
		if a.voting && a.state == access.RequestPending {
			v := &ask{w: w, n: a.n, rng: rand.New(rand.NewPCG(w.seed, uint64(2_000_000+n)))}
			w.people.Go(func() { w.vote(a, v, approvers[a.n%len(approvers)]) })
		}
	}
	sent := time.Now()
	err, _ := w.admin(n, apply(2))
	w.rules.edits++
	if w.holds("documents", sent, err) {
		w.rules.need(2)
		w.sometimes("policy edit")
		if waiting {
			w.sometimes("policy edit between approve and activate")
		}
	}
	time.Sleep(for_)
	if err == nil {
		w.rules.need(1)
	} else {
		w.rules.least = append(w.rules.least, need{n: 1})
	}
	w.untilSure(n+1, apply(1))
	w.rules.now = 1
	w.rules.ends[e].heard = time.Now()
}

// mayEnd reports whether the person's grant may have ended for the reason, at the
// given time or shortly before.
func (r *rules) mayEnd(a *ask, why access.EndReason, since time.Time) bool {
	return slices.ContainsFunc(r.ends, func(e ending) bool {
		return e.why == why && e.hits(a) && (e.heard.IsZero() || !e.heard.Before(since))
	})
}

var _ = strings.TrimSpace
