package storetest

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"stint/internal/access"
)

// sessions keep every field, are listed by what selects them, and are lost when nobody
// names them; what is known of a recording is kept beside them.
func sessions(t *testing.T, s Store) {
	now := storeNow(t, s)
	b := Active(t, s)
	of := func(gateway string, bend func(*access.Session)) access.Session {
		x := access.Session{ID: access.NewSessionID(now.UnixMilli(), entropy()), Gateway: gateway, Protocol: access.SSH, Grant: b.Grant.ID, Request: b.Grant.Request, Principal: b.Grant.Principal,
			Person: b.Grant.Person, Role: b.Grant.Role, Resource: "web1", Address: "web1:22", Account: "deploy", Held: "ent_1", Source: netip.MustParseAddrPort("10.0.0.7:40000"), Key: "SHA256:k", OverAt: b.Grant.ExpiresAt}
		if bend != nil {
			bend(&x)
		}
		x, ev := x.Open(access.System, now)
		update(t, s, func(tx Tx) error {
			if err := tx.SaveSessions(x); err != nil {
				return err
			}
			return tx.Append(ev)
		})
		return x
	}
	one := of("edge", nil)
	kept := of("edge", func(x *access.Session) { x.Keeps, x.Strict = true, true })
	ran := of(access.HostCarrier("web1:22"), func(x *access.Session) {
		x.Protocol, x.Keeps, x.Command = access.Elevation, true, access.Command{Line: "/usr/bin/id -u", RunAs: "root", Terminal: true, Status: 3, Signal: "KILL"}
	})
	diff(t, read(t, s, func(tx Tx) (access.Session, error) { return tx.Session(ran.ID) }), ran)
	other := of("west", func(x *access.Session) { x.Resource = "web2" })
	list := func(q access.SessionQuery) (ids []access.SessionID) {
		for _, x := range read(t, s, func(tx Tx) ([]access.Session, error) { return tx.Sessions(q) }) {
			ids = append(ids, x.ID)
		}
		return ids
	}
	diff(t, read(t, s, func(tx Tx) (access.Session, error) { return tx.Session(kept.ID) }), kept)
	diff(t, list(access.SessionQuery{Prefix: one.ID}), []access.SessionID{one.ID})
	diff(t, list(access.SessionQuery{Prefix: "ses_"}), list(access.SessionQuery{}))
	for name, id := range map[string]access.SessionID{"none": "ses_ZZ", "hostile": "ses_%"} {
		if got := list(access.SessionQuery{Prefix: id}); len(got) != 0 {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := list(access.SessionQuery{Gateway: "edge", Live: true, Person: b.Grant.Person, Grant: b.Grant.ID, Resource: "web1", Since: now}); len(got) != 2 {
		t.Errorf("the live ones of a gateway: %v", got)
	}
	diff(t, list(access.SessionQuery{Resource: "web2"}), []access.SessionID{other.ID})
	diff(t, list(access.SessionQuery{Since: now.Add(time.Second)}), []access.SessionID{})
	diff(t, len(list(access.SessionQuery{Limit: 1})), 1)

	ctx := context.Background()
	stray := one
	stray.Grant = "grt_00000000000000000000000000"
	stray.ID, stray.Version = access.NewSessionID(now.UnixMilli(), entropy()), 1
	if s.Update(ctx, func(tx Tx) error { return tx.SaveSessions(stray) }) == nil {
		t.Error("a session of no grant is kept")
	}
	wantKind(t, s.Update(ctx, func(tx Tx) error { x := one; x.Version = 3; return tx.SaveSessions(x) }), access.Conflict)
	wantKind(t, s.Update(ctx, func(tx Tx) error { x := one; x.Version, x.Gateway = 2, "west"; return tx.SaveSessions(x) }), access.Conflict)
	wantKind(t, s.Update(ctx, func(tx Tx) error { return tx.SaveTape("ses_00000000000000000000000000", access.Tape{}) }), access.NotFound)

	tape := access.Tape{ID: string(one.ID), State: access.TapeRunning, Bytes: 7, Commands: 1}
	ended, ev, err := one.End(access.Actor{Principal: "user:ada"}, "why not", now)
	if err != nil {
		t.Fatal(err)
	}
	update(t, s, func(tx Tx) error {
		if err := tx.SaveTape(one.ID, tape); err != nil {
			return err
		}
		if err := tx.SaveSessions(ended); err != nil {
			return err
		}
		return tx.Append(ev)
	})
	ended.Recording = tape
	diff(t, read(t, s, func(tx Tx) (access.Session, error) { return tx.Session(one.ID) }), ended)
	for _, l := range read(t, s, func(tx Tx) ([]access.LiveSession, error) { return tx.LiveSessions("edge") }) {
		if l.State != access.Active || !l.ExpiresAt.Equal(b.Grant.ExpiresAt) || l.Over(now) != (l.ID == one.ID) {
			t.Errorf("%s: %s until %v, over %v", l.ID, l.State, l.ExpiresAt, l.Over(now))
		}
	}

	// Named or not: one that goes on by itself is lost only when its grant is over.
	lost := func(since time.Time) (ids []access.SessionID) {
		for _, x := range read(t, s, func(tx Tx) ([]access.Session, error) { return tx.LostSessions(since, 100) }) {
			ids = append(ids, x.ID)
		}
		return ids
	}
	update(t, s, func(tx Tx) error { return tx.RenewSessions("west") })
	diff(t, lost(now), []access.SessionID{})
	if got := lost(now.Add(time.Hour)); len(got) != 2 {
		t.Errorf("lost: %v", got)
	}
	gone, ev, err := ended.Close(access.SessionLost, "", now, 0, now)
	if err != nil {
		t.Fatal(err)
	}
	update(t, s, func(tx Tx) error {
		if err := tx.SaveSessions(gone); err != nil {
			return err
		}
		return tx.Append(ev)
	})
	diff(t, lost(now.Add(time.Hour)), []access.SessionID{other.ID})
	if got := list(access.SessionQuery{Live: true, Gateway: "edge"}); len(got) != 1 || got[0] != kept.ID {
		t.Errorf("live after one was closed: %v", got)
	}
}
