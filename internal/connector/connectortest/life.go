package connectortest

import (
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

func life(s *scene, m access.Mechanism) {
	o := s.order(m)
	o, r := s.provision(o)
	if s.lends(m) && r.Credential.Empty() {
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
	} else if got.IsZero() && s.Connector().Capabilities().NativeExpiry && o.Mechanism != access.Member && !s.kept(o.Mechanism) {
		s.Error("the target does not end it by itself")
	} else if read := s.verify(o).Ends; !read.Equal(got) && o.Mechanism != access.Member {
		s.Errorf("read back that the target ends it by itself at %v, and it does at %v", read, got)
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
	if s.lends(m) && r3.Credential.Empty() || s.secret(m) && r3.Credential.Equal(r1.Credential) {
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
	if m == access.Checkout {
		o.Next = s.newSecret(o)
	}
	fresh, err := s.Connector().Provision(s.ctx, s.Target(), o)
	if err != nil {
		s.Fatalf("rotate: %v", err)
	}
	if live.Alive() {
		s.Error("a rotation left a session open")
	}
	if old, err := s.Session(o, r); err == nil && s.Connector().Capabilities().Certificates && m != access.Checkout {
		old.Close() // certificates end by their serial, or with the order
	} else if err == nil {
		old.Close()
		s.Error("the old credential still opens a session")
	}
	s.session(o, fresh)
	o.Renew = connector.Keep
	if m == access.Checkout {
		o.Secret, o.Next = o.Next, s.newSecret(o)
	}
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
