package access

import (
	"errors"
	"strings"
	"testing"
)

// silent is a store of passkeys that cannot be asked now.
type silent struct{}

func (silent) Prove(Person, Digest, Assertion, bool) (Level, error) {
	return 0, Fail(Unavailable, "store-away", "the passkeys cannot be read")
}

// A vote whose passkey cannot be looked at is no vote that lapsed: whoever counts asks again,
// and ends nothing for it. And who is told that votes do not suffice hears how they are cast.
func TestRecountByPasskeys(t *testing.T) {
	r := submit(t, needs(of(LevelPasskey)))
	voted, _, err := r.Vote(ben, actorOf(ben), signed(t, r, ben, "pky_ben", Vote{Approve: true, Seen: r.Digest, Level: LevelConsole}), t0)
	if err != nil || voted.State != RequestIsGranted {
		t.Fatalf("%s, %v", voted.State, err)
	}
	reqs, voters := []Requirement{of(LevelPasskey)}, map[PrincipalID]Principal{ben.ID: ben}
	if err := voted.Recount(reqs, voters, passkeys(ben), t0); err != nil {
		t.Error(err)
	}
	wantCode(t, voted.Recount(reqs, voters, silent{}, t0), Unavailable, "store-away")
	err = voted.Recount(reqs, voters, passkeys(zoe), t0)
	wantCode(t, err, Denied, "approvals-lapsed")
	var said *Error
	if !errors.As(err, &said) || !strings.Contains(said.Why, "("+LevelPasskey.String()+")") {
		t.Errorf("it does not say how: %v", err)
	}
}

// A vote for somebody is one vote of the two, whichever of them votes first.
func TestQuorumCountsTwoForOne(t *testing.T) {
	two := []Requirement{{From: []Subject{"*"}, Count: 2}}
	own := func(p Person) Approval { return Approval{Person: p, Approve: true, Meets: []int{0}} }
	forZoe := Approval{Person: "ben", ForPerson: "zoe", Approve: true, Meets: []int{0}}
	for _, as := range [][]Approval{{forZoe, own("zoe")}, {own("zoe"), forZoe}, {forZoe, own("ben")}, {own("ben"), forZoe}} {
		if Quorum(two, as) {
			t.Errorf("two of %+v", as)
		}
	}
	if !Quorum(two, []Approval{forZoe, own("ada")}) {
		t.Error("a vote for somebody is none")
	}
}

// Who is on call is in the schedule's subject, and in no other.
func TestOnCallIsIn(t *testing.T) {
	p := Principal{ID: "user:ada", OnCall: []string{"primary"}, Groups: []Group{"secondary"}}
	for s, want := range map[Subject]bool{"oncall:primary": true, "oncall:secondary": false, "group:primary": false, "group:secondary": true, "*": true, "user:ada": true, "user:ben": false} {
		if p.In(s) != want {
			t.Errorf("in %s: %t", s, !want)
		}
	}
}

// A rotation that no lending asks for is a removal from its first moment, due at once, and
// takes turns with lendings.
func TestTurn(t *testing.T) {
	e, ev := Turn(Entitlement{Tag: "tag", Account: "dba"}, "ent_9", "suspicion", t0)
	if e.ID != "ent_9" || e.State != Removing || e.Version != 1 || !e.Observed || e.Mechanism != Checkout || e.Key != CheckoutKey("dba") {
		t.Errorf("%+v", e)
	}
	if !e.NextAt.Equal(t0) || !e.RemovingAt.Equal(t0) || !e.CreatedAt.Equal(t0) || !e.ExpiresAt.Equal(t0) {
		t.Errorf("%+v", e)
	}
	if ev.Type != EntitlementRemoving || ev.Entity != "ent_9" || ev.Facts["rotation"] != "suspicion" || ev.Facts["tag"] != "tag" {
		t.Errorf("event %+v", ev)
	}
}
