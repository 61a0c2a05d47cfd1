package agent

import (
	"io/fs"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/envelope"
	"stint/internal/passkey/passkeytest"
	"stint/internal/roster"
)

// kept is a roster in memory.
type kept struct {
	roster roster.Roster
	err    error
}

func (k *kept) Roster() (roster.Roster, error) { return k.roster, k.err }

// approved is an order's proof, signed by the device's person.
func approved(d *passkeytest.Device, p access.Passkey, nonce byte) envelope.Proof {
	ask, err := access.DecodeAsk(access.EncodeAsk(access.Request{Principal: "user:mira", Person: "mira", Role: "admin", Duration: time.Hour, Nonce: [16]byte{nonce},
		Targets:     []access.Target{{Resource: "web1", Connection: access.Connection{Type: "host", Address: "web1:22"}}},
		Permissions: access.Permissions{Mechanism: access.Account}}))
	if err != nil {
		panic(err)
	}
	s := access.Statement{Request: ask.Digest, By: "user:omar", Person: "omar", Approve: true, Duration: time.Hour, At: time.Now().UTC().Truncate(time.Millisecond)}
	digest := s.Digest()
	return envelope.Proof{Grant: "grt_1", Ask: access.EncodeAsk(ask), Votes: []envelope.SignedVote{{Vote: access.EncodeStatement(s), Assertion: access.EncodeAssertion(d.Sign(p.ID, digest[:]))}}}
}

// TestControlPlaneAlone is a control plane in the wrong hands: it has the orders key, and
// makes nothing on a host that believes a passkey which it has not.
func TestControlPlaneAlone(t *testing.T) {
	d := passkeytest.Client()
	p := d.Passkey("user:omar", "omar", "laptop")
	p.ID, p.State = access.IDOf(p.Digest()), access.PasskeyActive
	file := &kept{roster: roster.Roster{Passkeys: []access.Passkey{p}, Ceiling: access.Ceiling{Rules: []access.CeilingRule{
		{Mechanisms: []access.Mechanism{access.Account}, Longest: 4 * time.Hour, Approvals: 1, Level: access.LevelClient, Fresh: time.Hour}}}}}
	r := newRig(t)
	r.stop()
	r.roster = file
	r.start()
	shows := func(ps ...envelope.Proof) func(*envelope.Call) {
		return func(c *envelope.Call) { c.Orders[0].Person, c.Orders[0].Proofs = "mira", ps }
	}
	nothing := func() {
		t.Helper()
		if r.host.makes != 0 || len(r.ledger.Held()) != 0 {
			t.Errorf("something was made: %d, %v", r.host.makes, r.ledger.Held())
		}
	}
	r.code(r.ask(envelope.Provision, "root"), "no-proof")
	nothing()
	r.code(r.ask(envelope.Provision, "", shows()), "no-tag")
	nothing()
	eve := passkeytest.Client()
	r.code(r.ask(envelope.Provision, "root", shows(approved(eve, p, 1))), "proof-too-weak")
	nothing()
	for _, m := range []access.Mechanism{access.Token, access.Elevate, access.Member, access.Enable} {
		r.code(r.ask(envelope.Provision, "root", shows(approved(d, p, 1)), func(c *envelope.Call) { c.Orders[0].Mechanism = string(m) }), "host-never")
	}
	nothing()
	for _, err := range []error{access.Fail(access.Denied, "loose-roster", "others can write it"), access.Fail(access.Denied, "roster-missing", "it is gone")} {
		file.err = err
		if a := r.ask(envelope.Provision, "root", shows(approved(d, p, 1))); a.Failure == nil || !strings.Contains(err.Error(), a.Failure.Code) && a.Failure.Code == "" {
			t.Errorf("with %v: %+v", err, a)
		}
		nothing()
	}
	file.err = nil

	// With a proof it is made, once, and a restart forgets nothing.
	one := approved(d, p, 1)
	if a := r.ask(envelope.Provision, "tag-1", shows(one)); a.Failure != nil || !r.host.has("tag-1") {
		t.Fatalf("with a proof: %+v", a.Failure)
	}
	r.code(r.ask(envelope.Provision, "tag-2", shows(one)), "used-before")
	r.stop()
	r.start()
	r.code(r.ask(envelope.Provision, "tag-2", shows(one)), "used-before")
	// The same again, as the control plane does that had no answer.
	if a := r.ask(envelope.Provision, "tag-1", shows(one), func(c *envelope.Call) { c.Orders[0].Account = "a" }); a.Failure != nil {
		t.Errorf("once more: %+v", a.Failure)
	}
	r.code(r.ask(envelope.Provision, "tag-1", shows(one), func(c *envelope.Call) {
		c.Orders[0].Account, c.Orders[0].ExpiresAt = "a", time.Now().Add(3*time.Hour).UTC().Round(0)
	}), "too-long")
	// What takes away is never judged, whatever became of the roster.
	file.err = access.Fail(access.Denied, "roster-missing", "it is gone")
	if a := r.ask(envelope.Remove, "tag-1"); a.Failure != nil || r.host.has("tag-1") {
		t.Errorf("taken away: %+v", a)
	}
	file.err = nil
	r.code(r.ask(envelope.Provision, "tag-1", shows(one)), "removed-before")
	// A host without one believes its control plane.
	file.err = fs.ErrNotExist
	if a := r.ask(envelope.Provision, "tag-3"); a.Failure != nil {
		t.Errorf("without a roster: %+v", a.Failure)
	}
}

// TestUsesAreKept writes the ledger anew and reads it: what was shown stays until it is too
// old to be shown.
func TestUsesAreKept(t *testing.T) {
	r := newRig(t)
	now := time.Now().UTC()
	for i, keep := range []time.Duration{time.Hour, -time.Hour} {
		if err := r.ledger.put(line{Use: &roster.Use{Request: access.Digest{byte(i)}, Tag: "t", Grant: "g", Until: now, Keep: now.Add(keep)}}); err != nil {
			t.Fatal(err)
		}
	}
	r.stop()
	l, err := OpenLedger(r.path, r.clock.clock())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.put(line{Epoch: 9}); err != nil { // which writes it anew
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = ReadLedger(r.path, r.clock.clock()); err != nil || len(l.uses) != 1 || l.uses[0].Request != (access.Digest{0}) || len(l.damage) > 0 {
		t.Errorf("kept: %+v, %v, %v", l.uses, l.damage, err)
	}
	r.start()
}
