package agent

import (
	"slices"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/envelope"
	"stint/internal/passkey/passkeytest"
	"stint/internal/roster"
)

// of makes an order be about something.
func of(m access.Mechanism, account string, rights []string, options map[string]string) func(*envelope.Call) {
	return func(c *envelope.Call) {
		o := &c.Orders[0]
		o.Mechanism, o.Account, o.Rights, o.Options = string(m), account, rights, options
	}
}

func lasts(d time.Duration) func(*envelope.Call) {
	return func(c *envelope.Call) { c.Orders[0].ExpiresAt = time.Now().Add(d).UTC().Round(0) }
}

// TestEndOfSomethingElse has a control plane end something that is not there, by the tag of
// what is. That ends with it; and where it is not seen to be gone it stays known, and ends
// on time.
func TestEndOfSomethingElse(t *testing.T) {
	r := newRig(t)
	r.host.strict = true
	group := of(access.Member, "deploy", []string{"dba"}, nil)
	if a := r.ask(envelope.Provision, "tag2", group, lasts(time.Hour)); a.Failure != nil {
		t.Fatalf("%+v", a.Failure)
	}
	if a := r.ask(envelope.Remove, "tag2", of(access.Token, "alice", nil, nil)); a.Failure != nil || r.host.has("tag2") {
		t.Errorf("it did not end as it was made: %+v", a)
	}
	r.host.set(func() {
		for _, m := range []access.Mechanism{access.Member, access.Token} {
			if !slices.Contains(r.host.removed, m) {
				t.Errorf("%s was not ended: %v", m, r.host.removed)
			}
		}
	})
	r.code(r.ask(envelope.Provision, "tag2", group), "removed-before")
	if a := r.ask(envelope.Provision, "tag1", group, lasts(5*time.Minute)); a.Failure != nil {
		t.Fatalf("%+v", a.Failure)
	}
	r.host.set(func() { r.host.stuck = true }) // it says that it is done, and it is there
	if a := r.ask(envelope.Remove, "tag1", of(access.Token, "alice", nil, nil)); a.Failure != nil || len(a.Results) != 1 {
		t.Fatalf("an end is never refused: %+v", a)
	}
	if held := r.ledger.Held(); !r.host.has("tag1") || len(held) != 1 || held[0].Mechanism != access.Member {
		t.Fatalf("the ledger has forgotten what is there: %+v", held)
	}
	r.host.set(func() { r.host.stuck = false })
	r.clock.turn(6 * time.Minute)
	r.goneWithin("tag1", 60*time.Second)
}

// TestPoisonedRenewal has a control plane repeat an order with what would keep it from ever
// ending. The ledger keeps what was made.
func TestPoisonedRenewal(t *testing.T) {
	r := newRig(t)
	r.host.strict = true
	group := of(access.Member, "deploy", []string{"dba"}, nil)
	before := func(text string) func(*envelope.Call) {
		return func(c *envelope.Call) { c.Orders[0].Before = text }
	}
	if a := r.ask(envelope.Provision, "tag1", group, before("good")); a.Failure != nil {
		t.Fatalf("%+v", a.Failure)
	}
	for _, fail := range []error{nil, access.Fail(access.Invalid, "bad-before", "it cannot be read")} {
		r.host.set(func() { r.host.fail = fail })
		a := r.ask(envelope.Provision, "tag1", group, before("x"), func(c *envelope.Call) {
			c.Options, c.Claim = map[string]string{"elsewhere": "yes"}, envelope.Claim{Installation: "inst", Epoch: 2, Proof: "other"}
		})
		if (a.Failure == nil) != (fail == nil) {
			t.Errorf("with %v: %+v", fail, a.Failure)
		}
		if e, _ := r.ledger.get("tag1"); e.Order.Before != "good" || e.State != made || len(e.Order.Rights) != 1 {
			t.Fatalf("with %v the ledger has %+v", fail, e)
		}
	}
	r.host.set(func() {
		if got := r.host.there["tag1"].Before; got != "good" {
			t.Errorf("made with %q", got)
		}
	})
	r.clock.turn(2 * time.Hour)
	r.goneWithin("tag1", 60*time.Second)
}

// TestFailedRenewal: what a renewal that failed would have changed is as it was, over a
// restart too.
func TestFailedRenewal(t *testing.T) {
	r := newRig(t)
	if a := r.ask(envelope.Provision, "tag1", of(access.Enable, "dba", nil, map[string]string{"a": "b", "c": "d"})); a.Failure != nil {
		t.Fatalf("%+v", a.Failure)
	}
	was, _ := r.ledger.get("tag1")
	r.host.set(func() { r.host.fail = access.Fail(access.Internal, "broke", "it broke") })
	r.ask(envelope.Provision, "tag1", of(access.Enable, "dba", nil, map[string]string{"a": "b"}), lasts(3*time.Hour), func(c *envelope.Call) { c.Options = map[string]string{"x": "y"} })
	for range 2 {
		if e, _ := r.ledger.get("tag1"); len(e.Order.Options) != 2 || len(e.Connection) != 0 || !e.End.At.Equal(was.End.At) || !e.Order.ExpiresAt.Equal(was.Order.ExpiresAt) {
			t.Errorf("%+v", e)
		}
		r.stop()
		r.start()
	}
	// And one that succeeds lengthens it, with the settings in which its holders agree.
	if a := r.ask(envelope.Provision, "tag1", of(access.Enable, "dba", nil, map[string]string{"a": "b"}), lasts(3*time.Hour)); a.Failure != nil {
		t.Fatalf("%+v", a.Failure)
	}
	if e, _ := r.ledger.get("tag1"); len(e.Order.Options) != 1 || !e.End.At.After(was.End.At.Add(time.Hour)) {
		t.Errorf("%+v", e)
	}
}

// TestNeverWhatWasMade: that the connector takes what was made for no order at all does not
// let the ledger forget it.
func TestNeverWhatWasMade(t *testing.T) {
	for s, kept := range map[state]bool{made: true, intended: false} {
		r := newRig(t)
		r.host.strict = true
		e := entry{Tag: "tag1", State: s, Order: envelope.Order{Tag: "tag1", Mechanism: "group", Account: "deploy", Before: "x"}, End: r.clock.clock().deadline(time.Now().Add(time.Hour), time.Now())}
		if err := r.ledger.put(line{Entry: &e}); err != nil {
			t.Fatal(err)
		}
		if left := r.agent.endOwn(t.Context(), []access.Tag{"tag1"}); left["tag1"] == kept || len(r.ledger.Held()) == 1 != kept {
			t.Errorf("%s: %v, %+v", s, left, r.ledger.Held())
		}
	}
}

// TestTakeover has another order come under the tag of one that is there.
func TestTakeover(t *testing.T) {
	r := newRig(t)
	restart, options := []string{"/usr/bin/systemctl restart web"}, map[string]string{"runAs": "web"}
	if a := r.ask(envelope.Provision, "tag1", of(access.Elevate, "deploy", restart, options), lasts(8*time.Hour)); a.Failure != nil {
		t.Fatalf("%+v", a.Failure)
	}
	for name, other := range map[string]func(*envelope.Call){
		"other rights":      of(access.Elevate, "deploy", []string{"/bin/bash"}, options),
		"more rights":       of(access.Elevate, "deploy", append(slices.Clone(restart), "/bin/bash"), options),
		"other settings":    of(access.Elevate, "deploy", restart, map[string]string{"runAs": "root"}),
		"no settings":       of(access.Elevate, "deploy", restart, nil),
		"another account":   of(access.Elevate, "root", restart, options),
		"another mechanism": of(access.Token, "deploy", nil, nil),
		"another person": func(c *envelope.Call) {
			of(access.Elevate, "deploy", restart, options)(c)
			c.Orders[0].Person = "eve"
		},
	} {
		t.Run(name, func(t *testing.T) {
			r.T = t
			r.code(r.ask(envelope.Provision, "tag1", other, lasts(5*time.Minute)), "other-order")
		})
	}
	r.T = t
	if r.host.makes != 1 {
		t.Errorf("made %d times", r.host.makes)
	}
	// The same again, and for longer, is what a renewal does.
	if a := r.ask(envelope.Provision, "tag1", of(access.Elevate, "deploy", restart, options), lasts(9*time.Hour)); a.Failure != nil {
		t.Errorf("%+v", a.Failure)
	}
	// Who joins a membership may bring other settings; those of a shared account only fall away.
	for _, o := range []map[string]string{{"sessions": "keep"}, nil, {"sessions": "keep"}} {
		if a := r.ask(envelope.Provision, "tag2", of(access.Member, "deploy", []string{"dba"}, o)); a.Failure != nil {
			t.Errorf("%v: %+v", o, a.Failure)
		}
	}
	r.ask(envelope.Provision, "tag3", of(access.Enable, "dba", nil, map[string]string{"a": "b"}))
	r.code(r.ask(envelope.Provision, "tag3", of(access.Enable, "dba", nil, map[string]string{"a": "c"})), "other-order")
	// An account has its name from when it was made; the answer may have been lost.
	for _, name := range []string{"", "", "a"} {
		if a := r.ask(envelope.Provision, "tag4", of(access.Account, name, nil, nil)); a.Failure != nil {
			t.Errorf("%q: %+v", name, a.Failure)
		}
	}
	r.code(r.ask(envelope.Provision, "tag4", of(access.Account, "b", nil, nil)), "other-order")
}

// TestOneApprovalManyTags shows one approval for many tags at once: it makes one access.
func TestOneApprovalManyTags(t *testing.T) {
	d := passkeytest.Client()
	p := d.Passkey("user:omar", "omar", "laptop")
	p.ID, p.State = access.IDOf(p.Digest()), access.PasskeyActive
	r := newRig(t)
	r.stop()
	r.roster = &kept{roster: roster.Roster{Passkeys: []access.Passkey{p}, Ceiling: access.Ceiling{Rules: []access.CeilingRule{
		{Mechanisms: []access.Mechanism{access.Account}, Longest: 4 * time.Hour, Approvals: 1, Level: access.LevelClient, Fresh: time.Hour}}}}}
	r.start()
	r.clock.set(func() { r.clock.slow = 5 * time.Millisecond }) // whoever judges and then writes meets others that do
	for round := range byte(3) {
		one := approved(d, p, round)
		var texts []envelope.Sealed
		for i := range workers {
			texts = append(texts, r.seal(r.make(envelope.Provision, access.Tag("tag-"+string('a'+rune(round))+string('a'+rune(i))), func(c *envelope.Call) {
				c.Orders[0].Person, c.Orders[0].Proofs = "mira", []envelope.Proof{one}
			}), orders))
		}
		r.send(texts...)
		good := 0
		for range texts {
			if a := r.next(); a.Failure == nil {
				good++
			} else if a.Failure.Code != "used-before" {
				t.Errorf("%+v", a.Failure)
			}
		}
		if good != 1 {
			t.Fatalf("one approval made %d accesses", good)
		}
	}
}
