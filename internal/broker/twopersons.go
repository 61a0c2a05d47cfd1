package broker

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"stint/internal/access"
)

// TwoPersons says when a grave change of the configuration takes two persons.
type TwoPersons string

// The modes. The zero value is auto.
const (
	// TwoAuto: as soon as two persons can sign in who administer or write policies.
	TwoAuto TwoPersons = "auto"
	// TwoOn: always. Who is alone can only take away.
	TwoOn TwoPersons = "on"
	// TwoOff: never.
	TwoOff TwoPersons = "off"
)

// TwoPersonsSet reports that the mode was changed.
const TwoPersonsSet access.EventType = "twopersons.set"

const twoPersonsSetting = "two-persons"

// twoSetting is the mode as it is stored, and as a proposal holds it.
type twoSetting struct {
	Mode    TwoPersons `json:"mode"`
	Why     string     `json:"why"`
	Version int64      `json:"version,omitempty"`
}

func readTwo(tx interface {
	Setting(name string) ([]byte, error)
}) (s twoSetting, err error) {
	v, err := tx.Setting(twoPersonsSetting)
	if err != nil {
		return s, err
	}
	if v == nil {
		return twoSetting{Mode: TwoAuto}, nil
	}
	if err := json.Unmarshal(v, &s); err != nil || s.Mode.rank() < 0 {
		return twoSetting{Mode: TwoOn, Why: "the setting cannot be read", Version: s.Version}, nil // in doubt, two
	}
	return s, nil
}

// rank orders the modes: a higher one asks for two persons whenever a lower one does.
func (m TwoPersons) rank() int {
	switch m {
	case TwoOff:
		return 0
	case TwoAuto:
		return 1
	case TwoOn:
		return 2
	}
	return -1
}

// twoPersons reports whether grave changes take two persons now.
func twoPersons(tx Tx) (bool, error) {
	s, err := readTwo(tx)
	switch {
	case err != nil:
		return true, err
	case s.Mode == TwoAuto:
		n, err := keepers(tx)
		return n >= 2, err
	}
	return s.Mode == TwoOn, nil
}

// keepers counts the persons who administer or write policies and can sign in.
func keepers(tx Tx) (int, error) {
	ps, err := tx.Principals(access.User)
	persons := map[access.Person]bool{}
	for _, p := range ps {
		if (p.Admin || p.Author) && p.Usable(tx.Now()) == nil {
			persons[p.Person] = true
		}
	}
	return len(persons), err
}

// TwoPersonsState is whether grave changes take two persons, and why.
type TwoPersonsState struct {
	Mode    TwoPersons
	InForce bool
	Keepers int    // persons who administer or write policies
	Why     string // who set the mode said so
}

// TwoPersonsState tells it.
func (b *Broker) TwoPersonsState(ctx context.Context) (out TwoPersonsState, err error) {
	err = b.Store.View(ctx, func(tx Tx) error {
		s, err := readTwo(tx)
		if err != nil {
			return err
		}
		out = TwoPersonsState{Mode: s.Mode, Why: s.Why}
		if out.Keepers, err = keepers(tx); err != nil {
			return err
		}
		out.InForce, err = twoPersons(tx)
		return err
	})
	return out, err
}

// SetTwoPersons changes the mode. To ask for two persons less often takes two persons
// itself, where two are asked for; then it is a proposal.
func (b *Broker) SetTwoPersons(ctx context.Context, c Caller, mode TwoPersons, why string) (p *access.Proposal, err error) {
	switch {
	case c.admin() != nil:
		return nil, c.admin()
	case mode.rank() < 0:
		return nil, access.Fail(access.Invalid, "bad-mode", strconv.Quote(string(mode))+" is no way to ask for two persons").Try("use auto, on or off")
	case strings.TrimSpace(why) == "":
		return nil, access.Fail(access.Invalid, "no-reason", "say why").Try("say it with --why")
	}
	err = b.update(ctx, func(tx Tx, fx *effects) error {
		p = nil
		have, err := readTwo(tx)
		if err != nil || have.Mode == mode {
			return err
		}
		two, err := twoPersons(tx)
		if err != nil {
			return err
		}
		next := twoSetting{Mode: mode, Why: why}
		if two && mode.rank() < have.Mode.rank() {
			p, err = b.proposeThis(tx, fx, c, access.ProposesSetting, next, have.Version, "two persons: "+string(have.Mode)+" to "+string(mode),
				[]string{"it would let one person alone change what takes two now"})
			return err
		}
		return b.setTwo(tx, fx, next, c.Actor)
	})
	return p, err
}

func (b *Broker) setTwo(tx Tx, fx *effects, s twoSetting, by access.Actor) error {
	have, err := readTwo(tx)
	if err != nil {
		return err
	}
	s.Version = have.Version + 1
	v, err := json.Marshal(s)
	if err != nil {
		return err
	}
	fx.event(access.Event{Type: TwoPersonsSet, At: tx.Now(), Entity: "two-persons", Version: s.Version, Actor: by,
		Facts: map[string]string{"mode": string(s.Mode), "mode_before": string(have.Mode), "why": s.Why}})
	return tx.SaveSetting(twoPersonsSetting, v)
}

// carry does what an approved proposal says that is not about documents.
func (b *Broker) carry(tx Tx, fx *effects, p access.Proposal, by access.Actor) error {
	switch p.Kind {
	case access.ProposesOffice:
		return b.give(tx, fx, p, by)
	case access.ProposesSetting:
		s, err := read[twoSetting](p)
		if err != nil {
			return err
		}
		have, err := readTwo(tx)
		switch {
		case err != nil:
			return err
		case have.Version != p.Base:
			return access.Fail(access.Conflict, "base-moved", "the setting has changed since this was proposed").Try("whoever proposed it proposes it again")
		}
		return b.setTwo(tx, fx, twoSetting{Mode: s.Mode, Why: s.Why}, by)
	}
	return access.Fail(access.Internal, "unknown-proposal", "the proposal is of a kind that this version does not know").Because(string(p.Kind))
}
