package broker

import (
	"context"
	"strings"
	"time"

	"stint/internal/access"
)

// Whoever can make an administrator can make one of themselves under another name, and so
// be both of two persons. So where there are two administrators, to give somebody an
// office takes both: it is a proposal like a grave change of documents. To take one away
// takes nobody. While there is but one administrator they act alone, in every mode:
// otherwise there would never be a second one. RFD 25.

// OfficeGiven reports that two persons gave a user an office. It is of the events from
// which whoever verifies the log reads who administers: its facts are theirs.
const OfficeGiven access.EventType = "principal.promoted"

// Office is what a user is to be given: rights in Stint, or, for one who has any, to be
// enabled again.
type Office struct {
	User    access.PrincipalID `json:"user"`
	Admin   bool               `json:"admin,omitempty"`
	Auditor bool               `json:"auditor,omitempty"`
	Author  bool               `json:"author,omitempty"`
	Enable  bool               `json:"enable,omitempty"`
	Unlock  bool               `json:"unlock,omitempty"`
	Why     string             `json:"why,omitempty"` // of the unlocking
}

// gains leaves of the office what the user does not have yet.
func (o Office) gains(p access.Principal) Office {
	o.Admin, o.Auditor, o.Author = o.Admin && !p.Admin, o.Auditor && !p.Auditor, o.Author && !p.Author
	holds := p.Admin || p.Auditor || p.Author || o.any()
	o.Enable, o.Unlock = o.Enable && p.Disabled && holds, o.Unlock && p.Lock.Is() && holds
	return o
}

// any reports whether there is a right among it.
func (o Office) any() bool { return o.Admin || o.Auditor || o.Author }

func (o Office) words() string {
	var to []string
	for _, x := range []struct {
		is   bool
		word string
	}{{o.Admin, "administers Stint"}, {o.Auditor, "reads the whole log"}, {o.Author, "writes policies"}, {o.Enable, "can sign in again"}, {o.Unlock, "is let in again: " + o.Why}} {
		if x.is {
			to = append(to, x.word)
		}
	}
	return string(o.User) + " " + strings.Join(to, ", ")
}

// GiveOffice proposes to give an office, where that takes two persons. It returns nil
// where one may give it alone, and where there is nothing to give.
func (b *Broker) GiveOffice(ctx context.Context, c Caller, o Office) (p *access.Proposal, err error) {
	if err := c.admin(); err != nil {
		return nil, err
	}
	err = b.update(ctx, func(tx Tx, fx *effects) error {
		p = nil
		two, err := OfficesTakeTwo(tx)
		if err != nil || !two {
			return err
		}
		who, err := tx.Principal(o.User)
		if missing(err) {
			return nil // who makes the change says so
		}
		if err != nil {
			return err
		}
		gives := o.gains(who)
		if !gives.any() && !gives.Enable {
			return nil
		}
		if err := mayHold(who); err != nil {
			return err
		}
		p, err = b.proposeThis(tx, fx, c, access.ProposesOffice, gives, 0, gives.words(), []string{"one administrator alone could make another one of themselves"})
		return err
	})
	return p, err
}

// OfficesTakeTwo reports whether it takes two persons to give an office: where two persons
// administer, unless two are never asked for. Whoever gives one alone asks in the
// transaction that gives it; of two who do so at the same time, one comes first and the
// other is asked for a second person.
func OfficesTakeTwo(tx interface {
	Now() time.Time
	Principals(kind access.PrincipalKind) ([]access.Principal, error)
	Setting(name string) ([]byte, error)
}) (bool, error) {
	s, err := readTwo(tx)
	if err != nil {
		return true, err
	}
	if s.Mode == TwoOff {
		return false, nil
	}
	ps, err := tx.Principals(access.User)
	persons := map[access.Person]bool{}
	for _, p := range ps {
		if p.Admin && p.Usable(tx.Now()) == nil {
			persons[p.Person] = true
		}
	}
	return len(persons) >= 2, err
}

func mayHold(p access.Principal) error {
	if p.ID.Kind() == access.User && !p.Outside() {
		return nil
	}
	return access.Fail(access.Conflict, "not-of-the-house", string(p.ID)+" holds no office").Because("only people of the house do")
}

// give carries out what two persons agreed on. Who approves is not who gains.
func (b *Broker) give(tx Tx, fx *effects, p access.Proposal, by access.Actor) error {
	o, err := read[Office](p)
	if err != nil {
		return err
	}
	who, err := tx.Principal(o.User)
	switch {
	case missing(err):
		return access.Fail(access.Conflict, "no-such-user", "there is no "+string(o.User)+" any more")
	case err != nil:
		return err
	case by.Person == who.Person:
		return access.Fail(access.Denied, "own-office", "nobody approves an office for themselves").Try("ask another administrator")
	case o.Unlock:
		return b.unlock(tx, fx, who, o.Why, map[string]string{"proposal": string(p.ID), "proposer": string(p.Principal)}, by)
	case who.Disabled && !o.Enable:
		return access.Fail(access.Conflict, "principal-disabled", string(o.User)+" is disabled")
	case who.DisabledBy != "":
		return access.Fail(access.Conflict, "disabled-elsewhere", string(o.User)+" was disabled by "+who.DisabledBy).Try("have them enabled there")
	}
	if err := mayHold(who); err != nil {
		return err
	}
	who.Admin, who.Auditor, who.Author = who.Admin || o.Admin, who.Auditor || o.Auditor, who.Author || o.Author
	who.Disabled = who.Disabled && !o.Enable
	who.Version++
	facts := map[string]string{"proposal": string(p.ID), "proposer": string(p.Principal), "person": string(who.Person)}
	for name, is := range map[string]bool{"admin": o.Admin, "auditor": o.Auditor, "author": o.Author} {
		if is {
			facts[name] = "true"
		}
	}
	if o.Enable {
		facts["disabled"] = "false"
	}
	fx.event(access.Event{Type: OfficeGiven, At: tx.Now(), Entity: string(who.ID), Version: who.Version, Actor: by, Facts: facts})
	return tx.SavePrincipals(who)
}

// ofDocuments reports whether a proposal is about documents.
func ofDocuments(p access.Proposal) bool {
	return p.Kind == access.ProposesDocuments || p.Kind == access.ProposesDeletion
}
