package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"stint/internal/access"
)

// rules saves what a buggy program might. Each save is legal but for the rule
// that it breaks.
func rules(t *testing.T, s Store) {
	two := Approve
	two.Approvals = []access.Requirement{{From: []access.Subject{"group:dba"}, Count: 2}}
	var pending, voted, denied, free access.Request
	update(t, s, func(tx Tx) (err error) {
		if pending, err = Submit(tx, two); err != nil {
			return err
		}
		if denied, err = Submit(tx, access.Decision{}); err != nil {
			return err
		}
		if free, err = Submit(tx, Allow); err != nil {
			return err
		}
		if voted, err = Submit(tx, two); err != nil {
			return err
		}
		r, ev, err := voted.Vote(DBA, Asker, access.Vote{Approve: true, Seen: voted.Digest}, tx.Now())
		if err != nil {
			return err
		}
		voted = r
		return errors.Join(tx.SaveRequests(r), tx.Append(ev), tx.SavePrincipals(DBA))
	})
	live, ended, fresh := Active(t, s), Active(t, s), NewGrant(t, s, "w")
	update(t, s, func(tx Tx) (err error) { ended, err = End(tx, ended, access.ByPerson); return err })
	update(t, s, func(tx Tx) (err error) { ended, err = Vanish(tx, ended); return err })
	update(t, s, func(tx Tx) error {
		g, ev, err := ended.Grant.Finish(tx.Now())
		ended.Grant = g
		return errors.Join(err, tx.SaveGrants(g), tx.Append(ev))
	})
	now := storeNow(t, s)

	request := func(r access.Request, bend func(*access.Request)) func(Tx) error {
		r.Approvals = slices.Clone(r.Approvals)
		r.Version++
		bend(&r)
		return func(tx Tx) error { return tx.SaveRequests(r) }
	}
	grant := func(g access.Grant, bend func(*access.Grant)) func(Tx) error {
		g.Version++
		bend(&g)
		return func(tx Tx) error { return tx.SaveGrants(g) }
	}
	entitlement := func(e access.Entitlement, bend func(*access.Entitlement)) func(Tx) error {
		e.Version++
		bend(&e)
		return func(tx Tx) error { return tx.SaveEntitlements(e) }
	}
	hold := func(h access.Hold, bend func(*access.Hold)) func(Tx) error {
		bend(&h)
		return func(tx Tx) error { return tx.SaveHolds(h) }
	}
	vote := func(person access.Person, bend func(*access.Approval)) func(*access.Request) {
		return func(r *access.Request) {
			a := access.Approval{By: "user:x", Person: person, Approve: true, Duration: r.Duration, At: now, Request: r.Digest}
			bend(&a)
			r.Approvals = append(r.Approvals, a)
		}
	}
	newOne := func(r access.Request, bend func(*access.Grant)) func(Tx) error {
		return func(tx Tx) error {
			r, g, _, err := r.NewGrant(access.NewGrantID(now.UnixMilli(), entropy()), now)
			if err != nil {
				return fmt.Errorf("the case itself: %w", err)
			}
			bend(&g)
			if err := tx.SaveRequests(r); err != nil {
				return err
			}
			return tx.SaveGrants(g)
		}
	}
	other := access.NewEntitlementID(now.UnixMilli(), entropy())
	fullVote := vote("olga2", func(*access.Approval) {})

	for _, c := range []struct {
		name string
		kind access.Kind
		save func(Tx) error
	}{
		{"a request that begins cancelled", access.Internal, func(tx Tx) error {
			r := pending
			r.ID, r.State = access.NewRequestID(now.UnixMilli(), entropy()), access.RequestWithdrawn
			return tx.SaveRequests(r)
		}},
		{"a request that begins approved and needs approvals", access.Internal, func(tx Tx) error {
			r := pending
			r.ID, r.State = access.NewRequestID(now.UnixMilli(), entropy()), access.RequestIsGranted
			return tx.SaveRequests(r)
		}},
		{"approve without the approvals", access.Internal, request(pending, func(r *access.Request) { r.State = access.RequestIsGranted })},
		{"approve with too few", access.Internal, request(voted, func(r *access.Request) { r.State = access.RequestIsGranted })},
		{"approve what was denied", access.Internal, request(denied, func(r *access.Request) { r.State = access.RequestIsGranted })},
		{"ask for longer", access.Conflict, request(pending, func(r *access.Request) { r.Duration += time.Hour })},
		{"ask for somebody else", access.Conflict, request(pending, func(r *access.Request) { r.Person = "ben" })},
		{"another digest", access.Conflict, request(pending, func(r *access.Request) { r.Digest[0] ^= 1 })},
		{"need fewer approvals", access.Conflict, request(pending, func(r *access.Request) { r.Decision = Approve })},
		{"pend for longer", access.Conflict, request(pending, func(r *access.Request) { r.ExpiresAt = r.ExpiresAt.Add(time.Hour) })},
		{"decide in one's own cause", access.Internal, request(pending, vote("mira", func(*access.Approval) {}))},
		{"approve something else", access.Internal, request(pending, vote("ben", func(a *access.Approval) { a.Request[0] ^= 1 }))},
		{"approve for longer", access.Internal, request(pending, vote("ben", func(a *access.Approval) { a.Duration += time.Hour }))},
		{"vote on what is decided", access.Internal, request(denied, fullVote)},
		{"vote twice", access.Conflict, request(voted, vote(DBA.Person, func(*access.Approval) {}))},

		{"a grant of a pending request", access.Internal, func(tx Tx) error {
			g := live.Grant
			g.ID, g.Request, g.Version, g.State = access.NewGrantID(now.UnixMilli(), entropy()), pending.ID, 1, access.Provisioning
			return tx.SaveGrants(g)
		}},
		{"a grant that begins active", access.Internal, newOne(free, func(g *access.Grant) { g.State = access.Active })},
		{"a grant longer than its request", access.Internal, newOne(free, func(g *access.Grant) { g.Duration += time.Millisecond })},
		{"a grant of another person", access.Internal, newOne(free, func(g *access.Grant) { g.Person = "ben" })},
		{"a grant whose end is later than its duration", access.Internal, newOne(free, func(g *access.Grant) { g.ExpiresAt = g.SetupBy.Add(g.Duration + time.Millisecond) })},
		{"a grant without end", access.Internal, newOne(free, func(g *access.Grant) { g.ExpiresAt = time.Time{} })},
		{"a second grant of one request", access.Internal, func(tx Tx) error {
			g := fresh.Grant
			g.ID = access.NewGrantID(now.UnixMilli(), entropy())
			return tx.SaveGrants(g)
		}},
		{"raise the end", access.Internal, grant(live.Grant, func(g *access.Grant) { g.ExpiresAt = g.ExpiresAt.Add(time.Millisecond) })},
		{"raise end and duration without an extension", access.Internal, grant(live.Grant, func(g *access.Grant) {
			g.ExpiresAt, g.Duration = g.ExpiresAt.Add(time.Hour), g.Duration+time.Hour
		})},
		{"raise the end of what begins", access.Internal, grant(fresh.Grant, func(g *access.Grant) { g.ExpiresAt = g.ExpiresAt.Add(time.Millisecond) })},
		{"back to provisioning", access.Internal, grant(live.Grant, func(g *access.Grant) { g.State = access.Provisioning })},
		{"ended without ending", access.Internal, grant(live.Grant, func(g *access.Grant) { g.State = access.Ended })},
		{"revive an ended grant", access.Internal, grant(ended.Grant, func(g *access.Grant) { g.State = access.Active })},
		{"touch an ended grant", access.Internal, grant(ended.Grant, func(g *access.Grant) { g.EndNote = "x" })},
		{"hand a grant on", access.Conflict, grant(live.Grant, func(g *access.Grant) { g.Principal = "user:ben" })},
		{"skip a version", access.Conflict, grant(live.Grant, func(g *access.Grant) { g.Version++ })},
		{"end before all is gone", access.Internal, func(tx Tx) error {
			b := live
			b.Entitlements, b.Holds = slices.Clone(b.Entitlements), slices.Clone(b.Holds)
			b, err := End(tx, b, access.ByPerson)
			if err != nil {
				return err
			}
			b.Grant.State = access.Ended
			b.Grant.Version++
			return tx.SaveGrants(b.Grant)
		}},

		{"gone without removing", access.Internal, entitlement(live.Entitlements[0], func(e *access.Entitlement) { e.State = access.Gone })},
		{"back from its removal", access.Internal, entitlement(ended.Entitlements[0], func(e *access.Entitlement) { e.State = access.Present })},
		{"another key", access.Conflict, entitlement(live.Entitlements[0], func(e *access.Entitlement) { e.Key = "account:other" })},
		{"another place", access.Conflict, entitlement(live.Entitlements[0], func(e *access.Entitlement) { e.Target.Connection.Address = "db2:5432" })},
		{"never expiring", access.Internal, entitlement(live.Entitlements[0], func(e *access.Entitlement) { e.ExpiresAt = time.Time{} })},
		{"one that begins present", access.Internal, func(tx Tx) error {
			e := live.Entitlements[0]
			e.ID, e.Version, e.Key = other, 1, "account:x"
			return tx.SaveEntitlements(e)
		}},
		{"a second live one of a key", access.Conflict, func(tx Tx) error {
			e := fresh.Entitlements[0]
			e.ID = other
			return tx.SaveEntitlements(e)
		}},

		{"a hold of nobody", access.Internal, hold(live.Holds[0], func(h *access.Hold) { h.Grant = "grt_none" })},
		{"a hold on nothing", access.Internal, hold(live.Holds[0], func(h *access.Hold) { h.Entitlement = "ent_none" })},
		{"settled and not released", access.Internal, hold(live.Holds[0], func(h *access.Hold) { h.Settled = true })},
		{"take a release back", access.Internal, hold(ended.Holds[0], func(h *access.Hold) { h.ReleasedAt, h.Settled = time.Time{}, false })},
		{"unsettle", access.Internal, hold(ended.Holds[0], func(h *access.Hold) { h.Settled = false })},

		{"a credential of no grant", access.Internal, func(tx Tx) error {
			return tx.SaveSealed(access.Sealed{Grant: "grt_none", Entitlement: other, Blob: []byte("x"), At: now})
		}},
		{"a principal without a person", access.Internal, func(tx Tx) error {
			p := DBA
			p.Version, p.Person = 2, ""
			return tx.SavePrincipals(p)
		}},
		{"a principal of no kind", access.Internal, func(tx Tx) error {
			return tx.SavePrincipals(access.Principal{ID: "robot:x", Person: "x", Version: 1})
		}},
		{"a login that never was good", access.Internal, func(tx Tx) error {
			return tx.SaveLogin(access.Login{Token: digest(), Principal: DBA.ID, CreatedAt: now, ExpiresAt: now})
		}},
		{"a record that says nothing", access.Invalid, func(tx Tx) error { return tx.Append(access.Event{Type: "x", At: now, Version: 1}) }},
		{"a record with a secret", access.Internal, func(tx Tx) error {
			return tx.Append(access.Event{Type: "x", At: now, Entity: "thing", Version: 1, Actor: access.System, Facts: map[string]string{"password": "x"}})
		}},
	} {
		err := s.Update(context.Background(), func(tx Tx) error {
			if err := tx.SaveSetting("trace", []byte("x")); err != nil {
				return err
			}
			return c.save(tx)
		})
		switch {
		case err == nil:
			t.Errorf("%s: was stored", c.name)
		case access.KindOf(err) != c.kind:
			t.Errorf("%s: %v of kind %v, want %v", c.name, err, access.KindOf(err), c.kind)
		}
	}
	// All of it is still as it was.
	diff(t, read(t, s, func(tx Tx) (access.Request, error) { return tx.Request(pending.ID) }), pending)
	diff(t, read(t, s, func(tx Tx) (access.Request, error) { return tx.Request(voted.ID) }), voted)
	diff(t, read(t, s, func(tx Tx) (access.Grant, error) { return tx.Grant(live.Grant.ID) }), live.Grant)
	diff(t, read(t, s, func(tx Tx) (access.Grant, error) { return tx.Grant(ended.Grant.ID) }), ended.Grant)
	diff(t, read(t, s, func(tx Tx) ([]access.Hold, error) { return tx.HoldsBy(ended.Grant.ID) }), ended.Holds)
	if v := read(t, s, func(tx Tx) ([]byte, error) { return tx.Setting("trace") }); v != nil {
		t.Error("a refused change left a trace")
	}
}

// extensionRaisesTheEnd goes the one legal way to a later end.
func extensionRaisesTheEnd(t *testing.T, s Store) {
	b := Active(t, s)
	update(t, s, func(tx Tx) error {
		ext, ev, err := access.Submit(Ask(tx.Now(), func(r *access.Request) { r.Extends, r.Duration = b.Grant.ID, 30*time.Minute }), Asker, Allow, tx.Now())
		if err != nil {
			return err
		}
		g, used, gev, err := b.Grant.Extend(ext, tx.Now())
		if err != nil {
			return err
		}
		b.Grant = g
		return errors.Join(tx.SaveRequests(ext), tx.SaveRequests(used), tx.SaveGrants(g), tx.Append(ev, gev))
	})
	diff(t, read(t, s, func(tx Tx) (access.Grant, error) { return tx.Grant(b.Grant.ID) }), b.Grant)
}

// scheduledGrantMayBeginLate: after a stop its set-up time moves, its end not.
func scheduledGrantMayBeginLate(t *testing.T, s Store, clock *Clock) {
	var b Bundle
	update(t, s, func(tx Tx) error {
		var evs []access.Event
		var err error
		b, evs, err = NewBundle(tx.Now(), func(r *access.Request) { r.Start = tx.Now().Add(80 * 24 * time.Hour) })
		b.Entitlements, b.Holds = nil, nil
		return errors.Join(err, SaveBundle(tx, "", []Bundle{b}, evs[:2]))
	})
	clock.Set(b.Grant.StartsAt.Add(b.Grant.Duration / 2))
	update(t, s, func(tx Tx) error {
		g, ev, err := b.Grant.Begin(tx.Now())
		return errors.Join(err, tx.SaveGrants(g), tx.Append(ev))
	})
}

func timeNeverGoesBack(t *testing.T, s Store, clock *Clock) {
	clock.Set(clock.Now().Add(123456 * time.Nanosecond))
	last := storeNow(t, s)
	for i, step := range []time.Duration{time.Second, -time.Hour, 0, -time.Hour, time.Millisecond, 2*time.Hour + time.Microsecond} {
		clock.Set(clock.Now().Add(step))
		update(t, s, func(tx Tx) error {
			if now := tx.Now(); now.Before(last) || now.Nanosecond()%int(time.Millisecond) != 0 || now.Location() != time.UTC {
				t.Errorf("after a step of %v the store says %v, before it said %v", step, now, last)
			}
			last = tx.Now()
			return nil
		})
		if want := clock.Now().Truncate(time.Millisecond); i == 0 && !last.Equal(want) { // nobody has set the clock yet
			t.Errorf("the store says %v and its clock %v", last, want)
		}
	}
}

func viewsDoNotWrite(t *testing.T, s Store) {
	if err := s.View(context.Background(), func(tx Tx) error { return tx.SaveSetting("stop", []byte("x")) }); err == nil {
		t.Error("a view wrote")
	}
	if v := read(t, s, func(tx Tx) ([]byte, error) { return tx.Setting("stop") }); v != nil {
		t.Errorf("a view left %q", v)
	}
}

func oneRecordForEachVersion(t *testing.T, s Store) {
	now := storeNow(t, s)
	record := func(version int64) error {
		return s.Update(context.Background(), func(tx Tx) error {
			return tx.Append(access.Event{Type: "test.happened", At: now, Entity: "thing", Version: version, Actor: access.System})
		})
	}
	for _, version := range []int64{1, 3, 2} {
		if err := record(version); err != nil {
			t.Errorf("version %d: %v", version, err)
		}
		wantKind(t, record(version), access.Conflict)
	}
}
