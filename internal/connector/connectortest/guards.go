package connectortest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

func noEnd(s *scene, m access.Mechanism) {
	o := s.order(m)
	o.ExpiresAt = time.Time{}
	wantRefusal(s, o)
}

// otherClaim: where a later life holds the target, and proves it, nothing new is made,
// and what was made before ends all the same.
func otherClaim(s *scene, m access.Mechanism) {
	mine := sign(s.Target(), connector.Claim{Installation: "mine", Epoch: 2})
	later := sign(s.Target(), connector.Claim{Installation: "mine", Epoch: 3})
	c := s.Connector()
	if err := c.Claim(s.ctx, mine, mine.Claim); err != nil {
		s.Fatalf("claim: %v", err)
	}
	o := s.order(m)
	r, err := c.Provision(s.ctx, mine, o)
	if err != nil {
		s.Fatalf("provision on a target of one's own: %v", err)
	}
	live := s.session(with(o, r), r)
	if err := c.Claim(s.ctx, later, later.Claim); err != nil {
		s.Fatalf("claim of a later life: %v", err)
	}
	new := s.order(m)
	if _, err := c.Provision(s.ctx, mine, new); outcome(err) != connector.NotDone {
		s.Errorf("provision on another's target: %v", err)
	}
	s.wantGone(new, connector.Receipt{})
	o = with(o, r)
	os := []connector.Order{o}
	for _, got := range [][]connector.Result{c.Revoke(s.ctx, mine, os), c.TerminateSessions(s.ctx, mine, os), c.Remove(s.ctx, mine, os)} {
		if got[0].Outcome != connector.Done {
			s.Errorf("the end under a later claim: %s", describe(got[0]))
		}
	}
	s.wantGone(o, r)
	if live.Alive() {
		s.Error("a session outlives its end under a later claim")
	}
	if m != access.Enable {
		return
	}
	// The mark is gone, and somebody enables the account by hand: that is not ours to
	// judge for whoever was left behind.
	got := c.Revoke(s.ctx, mine, os)[0]
	if got.Outcome != connector.NotDone || got.Err == nil {
		s.Errorf("an account without our mark, under a later claim: %s", describe(got))
	}
}

// outcome of a Provision's error; any other error counts as unknown.
func outcome(err error) connector.Outcome {
	e, ok := err.(*connector.Error)
	switch {
	case err == nil:
		return connector.Done
	case !ok:
		return connector.Unknown
	}
	return e.Outcome
}

// wantRefusal: a provision that cannot be, says so for good and leaves nothing.
func wantRefusal(s *scene, o connector.Order) {
	s.Helper()
	_, err := s.Connector().Provision(s.ctx, s.Target(), o)
	if outcome(err) != connector.NotDone || !err.(*connector.Error).Permanent {
		s.Errorf("provision %q for %q: %v, want a permanent refusal", o.Rights, o.Account, err)
	}
}

// hostile names are data, in whatever place they stand.
func hostile(s *scene, m access.Mechanism) {
	for _, name := range []string{
		`x"; DROP ROLE victim; --`, `x'; SELECT 1; --`, `$$`, "a\x00b", "", "public", `"`, `\`, strings.Repeat("n", 300), "nobody-is-called-so",
	} {
		o := s.Order(m)
		if m == access.Account {
			o.Rights = []string{name}
		} else {
			o.Account = name
			if _, err := s.Connector().Observe(s.ctx, s.Target(), o); err == nil {
				s.Errorf("observe takes the account %q", name)
			}
		}
		wantRefusal(s, o)
	}
	for _, tag := range []access.Tag{"", "x", `"; DROP ROLE victim; --`, access.Tag(strings.Repeat("a", 43)), NewTag() + "a"} {
		o := s.Order(m)
		o.Tag = tag
		wantRefusal(s, o)
	}
	o := s.Order(m)
	o.Person = `é"'; --`
	if m == access.Account {
		o, r := s.provision(o)
		s.session(o, r)
		s.end(o)
		s.wantGone(o, r)
	}
}

// grantedBefore: what somebody else gave is never taken.
func grantedBefore(s *scene, m access.Mechanism) {
	o := s.Order(m)
	s.Grant(o)
	b, err := s.Connector().Observe(s.ctx, s.Target(), o)
	if err != nil {
		s.Fatalf("observe: %v", err)
	}
	if !b.Existing {
		s.Error("a privilege that is there is not seen")
	}
	o.Before = b.State
	o, r := s.provision(o)
	live := s.session(o, r)
	s.end(o)
	if !live.Alive() {
		s.Error("the end of a grant that gave nothing cut a session")
	}
	if s.Taken(o) {
		s.Error("a privilege that was there before was taken away")
	}
	// The same when the state before is lost.
	o, _ = s.provision(s.Order(m))
	o.Before = ""
	s.end(o)
}

// namesake: another object in the place of ours is locked and left alone.
func namesake(s *scene, m access.Mechanism) {
	o, r := s.provision(s.order(m))
	s.Replace(o, r)
	os := []connector.Order{o}
	got := s.Connector().Revoke(s.ctx, s.Target(), os)[0]
	if got.Outcome != connector.Done || !got.Foreign {
		s.Errorf("revoke of a namesake: %s", describe(got))
	}
	got = s.Connector().Remove(s.ctx, s.Target(), os)[0]
	if got.Outcome != connector.NotDone || !got.Foreign || got.Err == nil {
		s.Errorf("remove of a namesake: %s", describe(got))
	}
	if st := s.State(o, r); !st.Exists || !st.Foreign || st.Usable {
		s.Errorf("the namesake is %+v, want there, foreign and without login", st)
	}
	if v := s.verify(o); v.Presence == connector.Present || v.Gone() || v.Err == nil {
		s.Errorf("reading back a namesake: %+v", v)
	}
	if _, err := s.Connector().Provision(s.ctx, s.Target(), o); outcome(err) != connector.NotDone {
		s.Errorf("provision over a namesake: %v", err)
	}
}

func owned(s *scene, m access.Mechanism) {
	o, r := s.provision(s.order(m))
	live := s.session(o, r)
	s.Own(live, o)
	s.end(o)
	if live.Alive() {
		s.Error("the session outlived its privilege")
	}
	s.wantGone(o, r)
	s.end(o)
}

// batch: one order that cannot be carried out does not touch the others.
func batch(s *scene, m access.Mechanism) {
	const n = 200
	os := make([]connector.Order, n)
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range os {
		os[i] = s.Order(m)
	}
	for w := range 8 {
		wg.Go(func() {
			for i := w; i < n; i += 8 {
				r, err := s.Connector().Provision(s.ctx, s.Target(), os[i])
				os[i], errs[i] = with(os[i], r), err
			}
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			s.Fatalf("provision %d: %v", i, err)
		}
	}
	const bad, replaced = 77, 123
	good := os[bad]
	os[bad].Tag = "not-a-tag"
	s.Replace(os[replaced], connector.Receipt{Account: os[replaced].Account, Creation: os[replaced].Creation})
	c := s.Connector()
	for i, step := range []func(context.Context, connector.Target, []connector.Order) []connector.Result{c.Revoke, c.TerminateSessions, c.Remove} {
		rs := step(s.ctx, s.Target(), os)
		if len(rs) != n {
			s.Fatalf("step %d: %d results for %d orders", i, len(rs), n)
		}
		for j, r := range rs {
			if special := j == bad || j == replaced; !special && r != (connector.Result{Outcome: connector.Done}) {
				s.Errorf("step %d, order %d: %s", i, j, describe(r))
			}
		}
		if rs[bad].Outcome != connector.NotDone || rs[bad].Err == nil {
			s.Errorf("step %d, the bad order: %s", i, describe(rs[bad]))
		}
	}
	for j, v := range c.Verify(s.ctx, s.Target(), os) {
		if gone := j != bad && j != replaced; v.Gone() != gone {
			s.Errorf("order %d: %+v, want gone %v", j, v, gone)
		}
		// What is no order at all is told apart from what only cannot be proven gone.
		var refused *access.Error
		if isOrder := !errors.As(v.Err, &refused) || refused.Kind != access.Invalid && refused.Kind != access.Denied; isOrder != (j != bad) {
			s.Errorf("order %d: %+v, want an order %v", j, v, j != bad)
		}
	}
	s.end(good)
}
