package connectortest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

// Run runs every case for every mechanism.
func Run(t *testing.T, fresh func(*testing.T) World) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, m := range fresh(t).Connector().Capabilities().Mechanisms {
				if c.only == "" || c.only == m {
					t.Run(string(m), func(t *testing.T) { c.run(newScene(t, fresh(t)), m) })
				}
			}
		})
	}
	t.Run("Check", func(t *testing.T) { check(newScene(t, fresh(t))) })
	t.Run("CheckWithoutRevoke", func(t *testing.T) { checkWeak(newScene(t, fresh(t))) })
	t.Run("Claim", func(t *testing.T) { claim(newScene(t, fresh(t))) })
	t.Run("ClaimRace", func(t *testing.T) { claimRace(newScene(t, fresh(t))) })
	t.Run("Forget", func(t *testing.T) { forget(newScene(t, fresh(t))) })
}

// cases run for each mechanism, or for one.
var cases = []struct {
	name string
	only access.Mechanism
	run  func(*scene, access.Mechanism)
}{
	{"Life", "", life},
	{"Repeat", "", repeat},
	{"ConcurrentRepeats", "", concurrent},
	{"RevokeTwice", "", revokeTwice},
	{"RevokeNeverProvisioned", "", revokeNever},
	{"RevokeWithoutReceipt", "", revokeWithoutReceipt},
	{"RevokeAfterRestart", "", afterRestart},
	{"RemoveBeforeRevoke", "", removeFirst},
	{"Extend", "", extend},
	{"Rotate", "", rotate},
	{"Inventory", "", inventory},
	{"FailedAndNotDone", "", failedNotDone},
	{"FailedButDone", "", failedButDone},
	{"SilentTarget", "", silent},
	{"HostileNames", "", hostile},
	{"NoEnd", "", noEnd},
	{"OtherClaim", "", otherClaim},
	{"ObjectsOwned", access.Account, owned},
	{"Namesake", access.Account, namesake},
	{"Batch", access.Account, batch},
	{"GrantedBefore", access.Member, grantedBefore},
}

func life(s *scene, m access.Mechanism) {
	o := s.order(m)
	o, r := s.provision(o)
	if m != access.Member && r.Credential.Empty() {
		s.Fatal("the receipt has no credential")
	}
	s.wantPresent(o, r, 0)
	s.wantEnd(o, r, o.ExpiresAt)
	live := s.session(o, r)
	s.wantPresent(o, r, 1)
	if last := s.verify(o).LastActive; time.Since(last).Abs() > time.Minute {
		s.Errorf("the session was last active at %v", last)
	}
	s.end(o)
	if live.Alive() {
		s.Error("the session outlived its privilege")
	}
	s.wantGone(o, r)
	if m == access.Member {
		return // the owner may log in to the standing account, without the right
	}
	if after, err := s.Session(o, r); err == nil {
		after.Close()
		s.Error("the credential still opens a session")
	}
}

// wantEnd checks the target's own expiry, where there is one.
func (s *scene) wantEnd(o connector.Order, r connector.Receipt, want time.Time) {
	s.Helper()
	if got := s.State(o, r).Ends; !got.IsZero() && got.Sub(want).Abs() > time.Second {
		s.Errorf("the target ends it by itself at %v, want %v", got, want)
	} else if got.IsZero() && s.Connector().Capabilities().NativeExpiry && o.Mechanism != access.Member {
		s.Error("the target does not end it by itself")
	}
}

func repeat(s *scene, m access.Mechanism) {
	o := s.order(m)
	first, r1 := s.provision(o)
	again, r2 := s.provision(o) // the broker does not know of the first
	if r1.Account != r2.Account || r1.Creation != r2.Creation {
		s.Fatalf("a repeat made another: %s %s, then %s %s", r1.Account, r1.Creation, r2.Account, r2.Creation)
	}
	_, r3 := s.provision(first)
	if m != access.Member && (r3.Credential.Empty() || r3.Credential.Equal(r1.Credential)) {
		s.Error("a repeat gives no fresh credential")
	}
	s.session(again, r3)
	s.end(again)
	s.wantGone(again, r3)
}

func concurrent(s *scene, m access.Mechanism) {
	o := s.order(m)
	const n = 6
	receipts, errs := make([]connector.Receipt, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { receipts[i], errs[i] = s.Connector().Provision(s.ctx, s.Target(), o) })
	}
	wg.Wait()
	for i := range n {
		if errs[i] != nil {
			s.Fatalf("provision %d of %d at once: %v", i, n, errs[i])
		}
		if receipts[i].Creation != receipts[0].Creation {
			s.Fatalf("%d at once made %s and %s", n, receipts[0].Creation, receipts[i].Creation)
		}
	}
	o = with(o, receipts[0])
	s.wantPresent(o, receipts[0], 0)
	s.end(o)
	s.wantGone(o, receipts[0])
}

func revokeTwice(s *scene, m access.Mechanism) {
	o, r := s.provision(s.order(m))
	s.end(o)
	s.end(o)
	s.wantGone(o, r)
}

func revokeNever(s *scene, m access.Mechanism) {
	o := s.order(m)
	s.end(o)
	s.wantGone(o, connector.Receipt{})
	s.provision(o) // and it can still be made
}

// revokeWithoutReceipt is the end of an order whose provision never answered.
func revokeWithoutReceipt(s *scene, m access.Mechanism) {
	o := s.order(m)
	known, r := s.provision(o)
	live := s.session(known, r)
	s.end(o)
	if live.Alive() {
		s.Error("the session outlived its privilege")
	}
	s.wantGone(o, r)
	s.wantGone(known, r)
}

func afterRestart(s *scene, m access.Mechanism) {
	o, r := s.provision(s.order(m))
	s.session(o, r)
	s.Restart()
	s.end(o)
	s.wantGone(o, r)
}

// removeFirst: Remove by itself takes nothing that can still be used.
func removeFirst(s *scene, m access.Mechanism) {
	o, r := s.provision(s.order(m))
	live := s.session(o, r)
	got := s.Connector().Remove(s.ctx, s.Target(), []connector.Order{o})[0]
	if got.Outcome != connector.NotDone || got.Err == nil {
		s.Errorf("removing what was not revoked: %s", describe(got))
	}
	if !live.Alive() {
		s.Error("a refused removal cut the session")
	}
	s.end(o)
	s.wantGone(o, r)
}

func extend(s *scene, m access.Mechanism) {
	o, r := s.provision(s.order(m))
	live := s.session(o, r)
	o.Renew, o.ExpiresAt = connector.Extend, o.ExpiresAt.Add(time.Hour)
	later, err := s.Connector().Provision(s.ctx, s.Target(), o)
	if err != nil {
		s.Fatalf("extend: %v", err)
	}
	if !later.Credential.Empty() || !live.Alive() {
		s.Error("an extension changed the credential or ended the session")
	}
	s.wantPresent(o, r, 1)
	s.wantEnd(o, r, o.ExpiresAt)
	earlier := o
	earlier.ExpiresAt = o.ExpiresAt.Add(-30 * time.Minute)
	if _, err := s.Connector().Provision(s.ctx, s.Target(), earlier); err != nil {
		s.Errorf("a late repeat of an earlier extension: %v", err)
	}
	s.wantEnd(o, r, o.ExpiresAt) // never lowered
	s.session(o, r)              // with the credential of before
	s.end(o)
	s.wantGone(o, r)
	if _, err := s.Connector().Provision(s.ctx, s.Target(), o); err == nil && m != access.Member {
		s.Error("an extension made what was gone")
	}
}

func rotate(s *scene, m access.Mechanism) {
	if m == access.Member {
		return // there is no credential of ours to rotate
	}
	o, r := s.provision(s.order(m))
	live := s.session(o, r)
	o.Renew = connector.Rotate
	fresh, err := s.Connector().Provision(s.ctx, s.Target(), o)
	if err != nil {
		s.Fatalf("rotate: %v", err)
	}
	if live.Alive() {
		s.Error("a rotation left a session open")
	}
	if old, err := s.Session(o, r); err == nil {
		old.Close()
		s.Error("the old credential still opens a session")
	}
	s.session(o, fresh)
	o.Renew = connector.Keep
	s.end(o)
	s.wantGone(o, fresh)
}

func inventory(s *scene, m access.Mechanism) {
	o, r := s.provision(s.order(m))
	find := func() (found []connector.Artefact) {
		for a, err := range s.Connector().Inventory(s.ctx, s.Target()) {
			if err != nil {
				s.Fatalf("inventory: %v", err)
			}
			if a.Tag == o.Tag || a.Account == r.Account {
				found = append(found, a)
			}
		}
		return found
	}
	found := find()
	if len(found) != 1 {
		s.Fatalf("the inventory lists %d artefacts of the order, want 1: %+v", len(found), found)
	}
	a := found[0]
	if !a.Ours || a.Standing || a.Tag != o.Tag || a.Account != r.Account || a.Creation != r.Creation || a.Mechanism != m {
		s.Errorf("the inventory says %+v", a)
	}
	// A sweep removes with what the inventory says, and nothing else.
	swept := connector.Order{Tag: a.Tag, Mechanism: a.Mechanism, Account: a.Account, Creation: a.Creation}
	if a.Right != "" {
		swept.Rights = []string{a.Right}
	}
	s.end(swept)
	s.wantGone(o, r)
	if found := find(); len(found) != 0 {
		s.Errorf("after the removal the inventory lists %+v", found)
	}
}

func noEnd(s *scene, m access.Mechanism) {
	o := s.order(m)
	o.ExpiresAt = time.Time{}
	wantRefusal(s, o)
}

func otherClaim(s *scene, m access.Mechanism) {
	mine, other := s.Target(), s.Target()
	mine.Claim = connector.Claim{Installation: "mine", Epoch: 3}
	other.Claim = connector.Claim{Installation: "mine", Epoch: 2} // a clone of an earlier day
	if err := s.Connector().Claim(s.ctx, mine, mine.Claim); err != nil {
		s.Fatalf("claim: %v", err)
	}
	o := s.order(m)
	if _, err := s.Connector().Provision(s.ctx, other, o); outcome(err) != connector.NotDone {
		s.Errorf("provision on another's target: %v", err)
	}
	s.wantGone(o, connector.Receipt{})
	r, err := s.Connector().Provision(s.ctx, mine, o)
	if err != nil {
		s.Fatalf("provision on a target of one's own: %v", err)
	}
	o = with(o, r)
	os := []connector.Order{o}
	c := s.Connector()
	for _, got := range [][]connector.Result{c.Revoke(s.ctx, other, os), c.TerminateSessions(s.ctx, other, os), c.Remove(s.ctx, other, os)} {
		if got[0].Outcome != connector.NotDone {
			s.Errorf("a clone's call: %s", describe(got[0]))
		}
	}
	s.wantPresent(o, r, 0)
	s.end(o)
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
	}
	s.end(good)
}

func check(s *scene) {
	rep := s.Connector().Check(s.ctx, s.Target())
	for _, st := range rep.Steps {
		if !st.OK {
			s.Errorf("%s: %s (%s)", st.Name, st.Detail, st.Fix)
		}
	}
	if !rep.OK() {
		s.Error("a target that is as it should be does not pass")
	}
	for a, err := range s.Connector().Inventory(s.ctx, s.Target()) {
		if err != nil || a.Ours {
			s.Errorf("the check left %+v (%v)", a, err)
		}
	}
}

func checkWeak(s *scene) {
	s.Weaken()
	rep := s.Connector().Check(s.ctx, s.Target())
	if rep.OK() {
		s.Error("a login that cannot end access passes")
	}
	for _, st := range rep.Steps {
		if !st.OK && st.Fix == "" {
			s.Errorf("%q failed (%s) and names no remedy", st.Name, st.Detail)
		}
	}
}

func claim(s *scene) {
	c, t := s.Connector(), s.Target()
	for _, step := range []struct {
		name string
		as   connector.Claim
		want error
	}{
		{"the first", connector.Claim{Installation: "one", Epoch: 1}, nil},
		{"the same again", connector.Claim{Installation: "one", Epoch: 1}, nil},
		{"another installation", connector.Claim{Installation: "two", Epoch: 9}, access.Conflict},
		{"a later epoch", connector.Claim{Installation: "one", Epoch: 2}, nil},
		{"an earlier epoch", connector.Claim{Installation: "one", Epoch: 1}, access.Conflict},
		{"nobody", connector.Claim{}, access.Invalid},
	} {
		err := c.Claim(s.ctx, t, step.as)
		if step.want == nil && err != nil || step.want != nil && !errors.Is(err, step.want) {
			s.Errorf("claim by %s: %v, want %v", step.name, err, step.want)
		}
	}
}

// claimRace: of many that claim at once one wins, and all agree on which.
func claimRace(s *scene) {
	const n = 8
	won := make([]bool, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			won[i] = s.Connector().Claim(s.ctx, s.Target(), connector.Claim{Installation: fmt.Sprint("racer", i), Epoch: 1}) == nil
		})
	}
	wg.Wait()
	winners := 0
	for i := range n {
		if won[i] {
			winners++
		}
	}
	if winners != 1 {
		s.Errorf("%d of %d claimed the target at once", winners, n)
	}
}

func forget(s *scene) {
	t := s.Target()
	o, r := s.provision(s.order(access.Account))
	s.Connector().Forget(t.Connection)
	s.wantPresent(o, r, 0) // it connects anew
	s.end(o)
}
