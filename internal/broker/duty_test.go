package broker_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/audit"
	"stint/internal/broker"
	"stint/internal/oncall"
	"stint/internal/store"
)

// Who is on call somewhere else is asked as long as an answer is good, and nobody once it
// is too old: a request is refused and says why, and what was held by a shift ends.
func TestOnCallElsewhere(t *testing.T) {
	in := newInstallation(t)
	ctx := t.Context()
	const docs = "kind: Integration\nname: pager\ntype: rota\naddress: https://rota.example.com\n---\n" +
		"kind: Schedule\nname: night\nintegration: pager\ncalendar: P1\npeople: {X1: user:noor, X2: user:mira}\nmaxAge: 5m\n---\n"
	in.apply(docs + guests("{approvals: [{from: ['oncall:night']}]}"))
	submit := func() (broker.View, error) { return in.Submit(ctx, in.as("gus"), ask("reader", time.Minute)) }
	_, err := submit()
	wantCode(t, err, "nobody-to-approve")
	if err == nil || !strings.Contains(err.Error(), "was not found out yet") {
		t.Errorf("got %v", err)
	}
	source := func() broker.DutySource {
		t.Helper()
		all, err := in.DutySources(ctx)
		must(t, err)
		if len(all) != 1 || all[0].Schedule != "night" || all[0].Integration.Address != "https://rota.example.com" {
			t.Fatalf("sources: %+v", all)
		}
		return all[0]
	}
	s := source()
	if !s.ReadAt.IsZero() {
		t.Errorf("never asked, and answered at %s", s.ReadAt)
	}
	keep := func(member string, problem error) {
		t.Helper()
		from, until := s.Now.Add(-time.Hour), s.Now.Add(24*time.Hour)
		must(t, in.KeepDuty(ctx, s, []oncall.Shift{{Member: member, From: from, Until: until}, {Member: "X9", From: from, Until: until}}, from, until, problem))
	}
	keep("X1", nil)
	v, err := submit()
	must(t, err)
	if n, m := in.waiting("noor"), in.waiting("mira"); n != 1 || m != 0 {
		t.Errorf("it waits for noor %d times, for mira %d", n, m)
	}
	keep("X2", nil) // a handover
	if n, m := in.waiting("noor"), in.waiting("mira"); n != 0 || m != 1 {
		t.Errorf("after the handover for noor %d, for mira %d", n, m)
	}
	keep("", errors.New("the server answers 503")) // what was known counts while it may
	v, err = in.yes("mira", v)
	must(t, err)
	in.until("gus", string(v.Request.ID), access.Active)
	keep("X2", nil)
	keep("X2", nil) // nothing new is no event
	kinds := ""
	must(t, in.verifyLog()) // which numbers it
	recs, err := in.store.Records(ctx, store.LogQuery{After: -1, Limit: 1000})
	must(t, err)
	for _, r := range recs {
		rec, err := audit.Decode(r.Body)
		must(t, err)
		e := rec.Event
		if e.Entity == "oncall/night" {
			kinds += string(e.Type) + "(" + e.Facts["on_call"] + e.Facts["why"] + ") "
			if e.Type == broker.DutyChanged && e.Facts["unknown"] != "X9" {
				t.Errorf("who is nobody here: %q", e.Facts["unknown"])
			}
		}
	}
	if kinds != "oncall.changed(user:noor) oncall.changed(user:mira) oncall.lost(the server answers 503) oncall.changed(user:mira) " {
		t.Errorf("the log has %s", kinds)
	}

	// An answer about another calendar counts for none.
	in.apply("kind: Schedule\nname: night\nintegration: pager\ncalendar: P2\npeople: {X1: user:noor, X2: user:mira}\nmaxAge: 5m\n")
	_, err = submit()
	wantCode(t, err, "nobody-to-approve")
	if s = source(); !s.ReadAt.IsZero() {
		t.Errorf("of the other calendar, read at %s", s.ReadAt)
	}
	// And one that covers no time after now is too old.
	now := s.Now
	must(t, in.KeepDuty(ctx, s, []oncall.Shift{{Member: "X1", From: now.Add(-time.Hour), Until: now.Add(time.Hour)}}, now.Add(-2*time.Hour), now.Add(-time.Hour), nil))
	_, err = submit()
	wantCode(t, err, "nobody-to-approve")
	if err == nil || !strings.Contains(err.Error(), "which counts for 5m") {
		t.Errorf("got %v", err)
	}
}
