package agent

import (
	"bytes"
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
	if res, os := told(envelope.Revoke, "unknown2"); res.Err == nil || res.Err.Code != "host-never" || len(os) != 0 {
		t.Errorf("a host with a roster: %+v, %+v", res.Err, os)
	}
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
