package hook

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"stint/internal/access"
	"stint/internal/connector"
)

// The notes on a target: whom it belongs to, and a mark for each order that has an account.
const (
	claimNote  = "claim"
	markPrefix = "mark-"
)

// mark says that an order has an account. It is stored on the target: members are only added.
type mark struct {
	Account  string `json:"account"`
	Creation string `json:"creation"` // tells this mark from a later one of the same order
}

// owner is the claim as it is stored.
type owner struct {
	Installation string `json:"installation"`
	Epoch        int64  `json:"epoch"`
	Proof        string `json:"proof,omitempty"`
}

// state is what the notes of a target say.
type state struct {
	claim string // as it is there
	marks map[access.Tag]mark
	texts map[access.Tag]string
}

// read reads the notes. What is not in our form is of nobody.
func (c *Connector) read(ctx context.Context, t connector.Target) (state, error) {
	a, err := c.call(ctx, t, question{Do: doNotes})
	if err != nil {
		return state{}, err
	}
	s := state{claim: a.Notes[claimNote], marks: map[access.Tag]mark{}, texts: map[access.Tag]string{}}
	for name, text := range a.Notes {
		tag, ok := strings.CutPrefix(name, markPrefix)
		if !ok || !validTag(access.Tag(tag)) {
			continue
		}
		var m mark
		if json.Unmarshal([]byte(text), &m) == nil && validAccount(m.Account) {
			s.marks[access.Tag(tag)], s.texts[access.Tag(tag)] = m, text
		}
	}
	return s, nil
}

// other reports whether an account is another order's.
func (s state) other(o connector.Order) bool {
	for tag, m := range s.marks {
		if m.Account == o.Account && tag != o.Tag {
			return true
		}
	}
	return false
}

// mine reports whether an order has its account.
func (s state) mine(o connector.Order) (mark, bool) {
	m, ok := s.marks[o.Tag]
	return m, ok && m.Account == o.Account
}

// swap puts a note in the place of another. It reports false where that one is not there.
func (c *Connector) swap(ctx context.Context, t connector.Target, name, old, next string) (bool, error) {
	a, err := c.call(ctx, t, question{Do: doNote, Note: name, Old: old, New: next})
	if err != nil {
		return false, err
	}
	return *a.Done, nil
}

// place puts the mark of an order on its account. One that is there is gone on with.
func (c *Connector) place(ctx context.Context, t connector.Target, o connector.Order) (mark, error) {
	m := mark{o.Account, newText()}
	text, err := json.Marshal(m)
	if err != nil {
		return m, err
	}
	done, err := c.swap(ctx, t, markPrefix+string(o.Tag), "", string(text))
	if err != nil {
		return m, err
	}
	// Of two orders that put their marks at the same time neither has the account.
	s, err := c.read(ctx, t)
	if err != nil {
		return m, err
	}
	seen, ok := s.mine(o)
	switch {
	case !ok:
		return m, &connector.Error{Message: "the mark of the order was taken away"}
	case s.other(o):
		if done {
			_, _ = c.swap(ctx, t, markPrefix+string(o.Tag), string(text), "")
		}
		return m, busy(o)
	}
	return seen, nil
}

func busy(o connector.Order) error {
	return &connector.Error{Outcome: connector.NotDone, Message: o.Account + " is lent by another order"}
}

func (c owner) String() string {
	b, _ := json.Marshal(c) // strings and a number
	return string(b)
}

// holder understands a claim; it is zero where that is not in our form.
func holder(text string) (o owner) {
	if json.Unmarshal([]byte(text), &o) != nil || o.Epoch < 0 {
		return owner{}
	}
	return o
}

// checkClaim compares what the target says with what we rely on. A target that nobody holds
// is no obstacle. A claim of this installation without a proof is of a version that wrote
// none, unless it says to be later than we are.
func checkClaim(text string, t connector.Target) error {
	if text == "" || t.Claim.Installation == "" {
		return nil
	}
	h := holder(text)
	genuine := h.Proof != "" && t.Genuine != nil && t.Genuine(connector.Claim{Installation: h.Installation, Epoch: h.Epoch, Proof: h.Proof})
	switch later := h.Epoch > t.Claim.Epoch; {
	case h.Installation != t.Claim.Installation, later && genuine:
		return access.Fail(access.Conflict, "claimed", "the target belongs to another installation of Stint").
			Because(fmt.Sprintf("its note %q names installation %s, epoch %d", claimNote, public(h.Installation), h.Epoch)).
			Try("if that one is gone, take the note away on the target")
	case !later && (h.Proof == "" || genuine):
		return nil
	}
	return access.Fail(access.Conflict, "claim-forged", "the target has a claim in the name of this installation, which it did not write").
		Try("find out who can write the notes of the target, and take the note " + claimNote + " away")
}

// Claim marks the target as belonging to one installation and epoch.
func (c *Connector) Claim(ctx context.Context, t connector.Target, want connector.Claim) error {
	if want.Installation == "" {
		return access.Fail(access.Invalid, "no-claim", "a claim names an installation")
	}
	text := owner{want.Installation, want.Epoch, want.Proof}.String()
	t.Claim = want
	for range 5 {
		s, err := c.read(ctx, t)
		if err == nil {
			err = checkClaim(s.claim, t)
		}
		if err != nil || s.claim == text {
			return err
		}
		done, err := c.swap(ctx, t, claimNote, s.claim, text)
		if err != nil || done {
			return err
		}
	}
	return access.Fail(access.Unavailable, "claim-contested", "others claim the target at the same time")
}
