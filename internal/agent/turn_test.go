package agent

import (
	"bytes"
	"context"
	"os"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/crypt"
	"stint/internal/envelope"
	"stint/internal/roster"
)

// TestNextPasswords: an end brings the next password of a vaulted account to the host, and
// nothing of it into the ledger. Where the host has a roster, or the call is not for now,
// it brings none, and ends all the same.
func TestNextPasswords(t *testing.T) {
	verifier, err := crypt.Fresh([]byte("lent"), bytes.NewReader(make([]byte, 16)))
	if err != nil {
		t.Fatal(err)
	}
	next, err := crypt.Fresh([]byte("next"), bytes.NewReader(make([]byte, 16)))
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	lend := func(tag access.Tag) {
		t.Helper()
		if a := r.ask(envelope.Provision, tag, of(access.Checkout, "console", nil, nil), lasts(time.Hour), func(c *envelope.Call) { c.Orders[0].Secret = verifier }); a.Failure != nil {
			t.Fatalf("%+v", a.Failure)
		}
	}
	// told is what the host was told when one step of an end was ordered.
	told := func(m envelope.Method, tag access.Tag) (envelope.Result, []connector.Order) {
		t.Helper()
		r.host.set(func() { r.host.ended = nil })
		a := r.ask(m, tag, of(access.Checkout, "console", nil, nil), func(c *envelope.Call) { c.Orders[0].Secret, c.Orders[0].Next = verifier, next })
		if a.Failure != nil || len(a.Results) != 1 {
			t.Fatalf("%s: %+v", m, a)
		}
		var os []connector.Order
		r.host.set(func() { os = r.host.ended })
		return a.Results[0], os
	}
	set := func(os []connector.Order) bool { return len(os) == 1 && string(os[0].Next.Reveal()) == next }
	lend("tag1")
	r.host.set(func() {
		if o := r.host.there["tag1"]; string(o.Secret.Reveal()) != verifier {
			t.Error("the host was not told what it lends")
		}
	})
	text, err := os.ReadFile(r.ledger.path)
	if err != nil || !bytes.Contains(text, []byte("console")) || bytes.Contains(text, []byte("$6$")) {
		t.Errorf("the ledger has %s, %v", text, err)
	}
	for _, tag := range []access.Tag{"tag1", "unknown"} {
		for _, m := range []envelope.Method{envelope.Revoke, envelope.Remove} {
			if res, os := told(m, tag); res.Err != nil || !set(os) {
				t.Errorf("%s of %s: %+v, %+v", m, tag, res.Err, os)
			}
		}
	}

	lend("tag2")
	lend("tag3")
	r.stop()
	r.roster = &kept{roster: roster.Roster{}}
	r.start()
	if _, os := told(envelope.Revoke, "unknown2"); len(os) != 1 || !os[0].Next.Empty() || !os[0].Secret.Empty() {
		t.Errorf("a host with a roster is told of passwords: %+v", os)
	}
	r.code(r.ask(envelope.Observe, "tag4", of(access.Checkout, "console", nil, nil)), "host-never")
	r.code(r.ask(envelope.Provision, "tag4", of(access.Checkout, "console", nil, nil), func(c *envelope.Call) { c.Orders[0].Next = next }), "host-never")
	if res, os := told(envelope.Remove, "tag2"); res.Err != nil || len(os) != 1 || !os[0].Next.Empty() || r.host.has("tag2") {
		t.Errorf("what was lent before there was a roster: %+v, %+v", res.Err, os)
	}

	r.stop()
	r.roster = nil
	r.start()
	r.clock.turn(10 * time.Minute) // what is made now is ten minutes old
	if res, os := told(envelope.Remove, "tag3"); res.Err != nil || len(os) != 1 || !os[0].Next.Empty() || r.host.has("tag3") {
		t.Errorf("a call that is not for now: %+v, %+v", res.Err, os)
	}
	if res, os := told(envelope.Revoke, "unknown3"); res.Err == nil || len(os) != 0 {
		t.Errorf("a rotation that is not for now: %+v, %+v", res.Err, os)
	}
}

// vaulting is a host that compares passwords: of every account it says what was tried.
type vaulting struct {
	*host
	shut  bool
	tried []connector.Order
	asked int
}

func (h *vaulting) Salts(_ context.Context, _ connector.Target, os []connector.Order) ([]string, error) {
	h.set(func() { h.asked++ })
	out := make([]string, len(os))
	for i := range out {
		out[i] = "$6$salt$"
	}
	return out, nil
}

func (h *vaulting) Shut(_ context.Context, _ connector.Target, os []connector.Order) (out []bool, err error) {
	for range os {
		h.set(func() { out = append(out, h.shut) })
	}
	return out, nil
}

func (h *vaulting) Verify(ctx context.Context, t connector.Target, os []connector.Order) []connector.Observation {
	h.set(func() { h.tried = append(h.tried, os...) })
	seen := h.host.Verify(ctx, t, os)
	for i := range seen {
		seen[i].Turned = !os[i].Next.Empty()
	}
	return seen
}

// TestJudgedHostsCompareNothing: who has the orders key of a host with a roster is told of
// no salt and has no password compared. What was lent counts as taken away only where no
// password opens the account, and an order that speaks of none says no more than before.
func TestJudgedHostsCompareNothing(t *testing.T) {
	guess, err := crypt.Fresh([]byte("guess"), bytes.NewReader(make([]byte, 16)))
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	h := &vaulting{host: r.host}
	restart := func(roster Rosters) {
		r.stop()
		r.roster, r.as = roster, h
		r.start()
	}
	ask := func(m envelope.Method, secret, next string) envelope.Answer {
		t.Helper()
		a := r.ask(m, "any", of(access.Checkout, "console", nil, nil), func(c *envelope.Call) { c.Orders[0].Secret, c.Orders[0].Next = secret, next })
		if a.Failure != nil {
			t.Fatalf("%s: %+v", m, a.Failure)
		}
		return a
	}
	restart(nil)
	if a := ask(envelope.Salts, "", ""); len(a.Salts) != 1 || a.Salts[0] == "" {
		t.Errorf("without a roster: %+v", a.Salts)
	}
	if v := ask(envelope.Verify, "", guess).Observations[0]; !v.Turned {
		t.Errorf("without a roster: %+v", v)
	}

	restart(&kept{roster: roster.Roster{}})
	h.set(func() { h.tried, h.asked = nil, 0 })
	if a := ask(envelope.Salts, "", ""); len(a.Salts) != 1 || a.Salts[0] != "" || h.asked != 0 {
		t.Errorf("it tells %q", a.Salts)
	}
	for _, shut := range []bool{false, true} {
		h.set(func() { h.shut = shut })
		for _, words := range [][2]string{{guess, ""}, {"", guess}, {guess, guess}} {
			v := ask(envelope.Verify, words[0], words[1]).Observations[0]
			want, presence := connector.ErrNever, connector.NotKnown
			if shut {
				want, presence = connector.ErrShut, connector.Absent
			}
			if v.Turned || v.Presence != uint8(presence) || !connector.Says(v.Err.Err(), want) {
				t.Errorf("shut %t: %+v, %+v", shut, v, v.Err)
			}
			// Neither kind is one by which an order says that it was never carried out.
			if kind := access.KindOf(v.Err.Err()); kind == access.Denied || kind == access.Invalid {
				t.Errorf("shut %t: it is %v", shut, kind)
			}
		}
	}
	h.set(func() {
		for _, o := range h.tried {
			if !o.Secret.Empty() || !o.Next.Empty() {
				t.Errorf("the host was given something to compare: %+v", o)
			}
		}
	})
	if v := ask(envelope.Verify, "", "").Observations[0]; v.Err != nil || v.Presence != uint8(connector.Absent) {
		t.Errorf("of no password: %+v", v)
	}
}
