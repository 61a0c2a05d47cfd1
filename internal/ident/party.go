package ident

import (
	"context"
	"time"

	"stint/internal/access"
	"stint/internal/moment"
)

// NewVendor is somebody of another company to invite.
type NewVendor struct {
	Name    string
	Groups  []string
	Sponsor string // a user's name: who of the house answers for them
	Company string
	Until   time.Time // the contract's end
}

// InviteVendor makes a vendor, and the invitation with which they sign in for the first
// time: a code that is good once, for access.InvitationFor and not beyond the contract.
// Who lost it, or comes too late, gets another with ReEnrol.
func (i *Ident) InviteVendor(ctx context.Context, by Caller, n NewVendor) (Enrolment, error) {
	if err := administers(by); err != nil {
		return Enrolment{}, err
	}
	groups, err := checkNames(n.Name, n.Groups)
	switch {
	case err != nil:
		return Enrolment{}, err
	case !access.ValidName(n.Sponsor):
		return Enrolment{}, badName("sponsor", n.Sponsor)
	}
	if err := access.CheckCompany(n.Company); err != nil {
		return Enrolment{}, err
	}
	code, hash, err := i.newSecret(codePrefix)
	if err != nil {
		return Enrolment{}, err
	}
	out := Enrolment{Principal: access.NewPrincipalID(access.User, n.Name), Code: code}
	err = i.store.Update(ctx, func(tx Tx) error {
		now := tx.Now()
		p := access.Principal{ID: out.Principal, Person: access.Person(n.Name), Groups: groups, Company: n.Company,
			Until: n.Until.UTC().Truncate(time.Millisecond), CreatedAt: now, Version: 1}
		if err := access.CheckContract(p.Until, now, access.MaxContract); err != nil {
			return err
		}
		if err := absent(tx, p.ID); err != nil {
			return err
		}
		s, err := answers(tx, n.Sponsor)
		if err != nil {
			return err
		}
		p.Sponsor = s.ID
		if err := tx.SavePrincipals(p); err != nil {
			return err
		}
		if err := tx.Append(principalEvent(PrincipalCreated, p, by.Actor, now)); err != nil {
			return err
		}
		out.ExpiresAt = codeUntil(p, now)
		return openEnrolment(tx, access.Enrolment{Code: hash, Principal: p.ID, ExpiresAt: out.ExpiresAt}, by.Actor)
	})
	if err != nil {
		return Enrolment{}, err
	}
	return out, nil
}

// codeUntil is how long a fresh code for somebody is good.
func codeUntil(p access.Principal, now time.Time) time.Time {
	if p.Sponsor == "" {
		return now.Add(EnrolmentFor)
	}
	if end := now.Add(access.InvitationFor); end.Before(p.Until) {
		return end
	}
	return p.Until
}

// answers is an employee of that name who can answer for another.
func answers(tx Tx, name string) (access.Principal, error) {
	p, err := tx.Principal(access.NewPrincipalID(access.User, name))
	if err != nil {
		return p, noSuchUser(name, err)
	}
	return p, p.MayAnswer(tx.Now())
}

// vouched refuses to let somebody in for whom nobody answers.
func vouched(tx Tx, p access.Principal) error {
	if p.AnsweredBy() == "" {
		return nil
	}
	by, err := tx.Principal(p.AnsweredBy())
	switch {
	case err == nil:
		return asSignIn(p.Answered(&by, tx.Now()))
	case access.KindOf(err) == access.NotFound:
		return asSignIn(p.Answered(nil, tx.Now()))
	}
	return err
}

// asSignIn is why somebody is not let in, as a door for signing in says it.
func asSignIn(err error) error {
	if err == nil {
		return nil
	}
	return access.Fail(access.Unauthenticated, "nobody-answers", "nobody answers for you just now").
		Because("who did so was disabled, or has left").Try("ask an administrator who your sponsor is now").Wrap(err)
}

// NewAgent is a program that acts for one human, to make or to renew.
type NewAgent struct {
	Name        string
	Groups      []string
	Responsible string // the user on whose account it does all it does
	For         time.Duration
}

// AddAgent makes an agent with an end, or renews one of the same human: a fresh token
// and end, and the tokens before are dead. It counts as its human wherever persons are
// counted, and it never has more than they could ask for.
func (i *Ident) AddAgent(ctx context.Context, by Caller, n NewAgent) (ServiceToken, error) {
	if err := administers(by); err != nil {
		return ServiceToken{}, err
	}
	groups, err := checkNames(n.Name, n.Groups)
	switch {
	case err != nil:
		return ServiceToken{}, err
	case !access.ValidName(n.Responsible):
		return ServiceToken{}, badName("responsible", n.Responsible)
	case n.For <= 0 || n.For > access.MaxAgentLife:
		return ServiceToken{}, access.Fail(access.Invalid, "bad-duration", "an agent's token is good for more than nothing and at most 90 days").
			Because(moment.Span(n.For) + " was asked").Try("renew it with the same command when the time comes")
	}
	token, hash, err := i.newSecret(tokenPrefix)
	if err != nil {
		return ServiceToken{}, err
	}
	out := ServiceToken{Principal: access.NewPrincipalID(access.Agent, n.Name), Token: token}
	err = i.store.Update(ctx, func(tx Tx) error {
		now := tx.Now()
		human, err := answers(tx, n.Responsible)
		if err != nil {
			return err
		}
		p := access.Principal{ID: out.Principal, Person: human.Person, Groups: groups, Responsible: human.ID,
			Until: now.Add(n.For), CreatedAt: now, Version: 1}
		p, event, err := reissue(tx, p, func(old access.Principal) bool { return old.Responsible == p.Responsible })
		if err != nil {
			return err
		}
		l := access.Login{Token: hash, Principal: p.ID, CreatedAt: now, ExpiresAt: p.Until, Kind: access.ServiceLogin}
		if err := tx.SaveLogin(l); err != nil {
			return err
		}
		out.ExpiresAt = p.Until
		return tx.Append(principalEvent(event, p, by.Actor, now), loginEvent(LoginCreated, l, 1, by.Actor, now))
	})
	if err != nil {
		return ServiceToken{}, err
	}
	return out, nil
}

// noOffice refuses to give a right of the house to a vendor.
func noOffice(p access.Principal) error {
	if p.Outside() && (p.Admin || p.Auditor || p.Author) {
		return access.Fail(access.Conflict, "not-of-the-house", string(p.ID)+" is a vendor, and holds no office").
			Because("who administers, audits or writes policies is of the house").Try("make them a user of their own: stint admin user add")
	}
	return nil
}
