package ident

import (
	"slices"
	"strings"

	"stint/internal/access"
)

// Provision is what a provider says of one of its subjects. It never has rights in
// Stint: no provider makes an administrator or an auditor.
type Provision struct {
	// Provider is who says it: the integration whose groups these are.
	Provider string
	// Name is for a user who is not there yet.
	Name string
	// Identities are who it is with providers; the first one is how it is found.
	Identities []access.Identity
	Groups     []access.Group
	// Manager replaces the manager that is there; nil leaves it.
	Manager *access.PrincipalID
	// Active enables a user whom the provider disabled. That somebody is not active is
	// the broker's: it ends what they hold.
	Active bool
}

// ProviderActor is who a provider is in the log. An integration is no principal: the
// name can sign in nowhere.
func ProviderActor(provider string) access.Actor {
	return access.Actor{Principal: access.PrincipalID("integration:" + provider)}
}

// Provide makes or changes a user as a provider says, with one event in the transaction
// if anything is different. A user of that name who has none of the identities is
// somebody else and is never touched: access.Conflict. What groups or a manager gave
// and give no more is for the caller to have decided again.
func Provide(tx Tx, by access.Actor, want Provision) (p access.Principal, changed bool, err error) {
	for _, i := range want.Identities {
		if err := i.Check(); err != nil {
			return p, false, err
		}
	}
	if len(want.Groups) > maxGroups {
		return p, false, tooManyGroups()
	}
	old, found, err := identified(tx, want.Identities)
	if err != nil {
		return p, false, err
	}
	if !found {
		return created(tx, by, want)
	}
	p = old
	for _, i := range want.Identities {
		// A second subject of one provider, or a first one for somebody who administers,
		// would be a way to sign in that no administrator agreed to.
		switch have := p.Subject(i.Provider); {
		case have == i.Subject || slices.Contains(p.Identities, i):
		case have != "":
			return p, false, access.Fail(access.Conflict, "other-subject", string(p.ID)+" is another subject of "+i.Provider).
				Because("an identity never changes by itself").Try("an administrator unlinks the old one: stint admin user unlink " + p.ID.Name())
		case (p.Admin || p.Auditor) && i.Provider != want.Provider:
			return p, false, access.Fail(access.Denied, "administrators-link", string(p.ID)+" has rights in Stint, and only an administrator links it to "+i.Provider).
				Try("stint admin user link " + p.ID.Name() + " --provider " + i.Provider + " --subject …")
		}
		p = p.Link(i)
	}
	p = p.Provide(want.Provider, want.Groups)
	if want.Manager != nil {
		p.Manager = *want.Manager
	}
	if want.Active && p.Disabled && p.DisabledBy == want.Provider {
		p.Disabled, p.DisabledBy = false, ""
	}
	what := changes(old, p)
	if len(what) == 0 {
		return p, false, nil
	}
	p.Version++
	if err := tx.SavePrincipals(p); err != nil {
		return p, false, err
	}
	return p, true, tx.Append(changedEvent(p, what, by, tx.Now()))
}

// identified finds who has one of the identities. Two who have one each are not the
// same person, whatever the provider says.
func identified(tx Tx, ids []access.Identity) (p access.Principal, found bool, err error) {
	for _, i := range ids {
		q, err := tx.PrincipalByIdentity(i)
		switch {
		case access.KindOf(err) == access.NotFound:
		case err != nil:
			return p, false, err
		case found && p.ID != q.ID:
			return p, false, identityTaken(i, q.ID)
		default:
			p, found = q, true
		}
	}
	return p, found, nil
}

// created makes a user, who has a name that nobody had before.
func created(tx Tx, by access.Actor, want Provision) (access.Principal, bool, error) {
	p := access.Principal{ID: access.NewPrincipalID(access.User, want.Name), Person: access.Person(want.Name), CreatedAt: tx.Now(), Version: 1}
	if _, err := checkNames(want.Name, nil); err != nil {
		return p, false, err
	}
	switch err := absent(tx, p.ID); {
	case access.KindOf(err) == access.Conflict:
		how := "stint admin user link " + want.Name
		if len(want.Identities) > 0 {
			how += " --provider " + want.Identities[0].Provider + " --subject " + want.Identities[0].Subject
		}
		return p, false, taken(p.ID).Because("it is not known to be the same person").Try("if it is, an administrator says so: " + how)
	case err != nil:
		return p, false, err
	}
	for _, i := range want.Identities {
		p = p.Link(i)
	}
	p = p.Provide(want.Provider, want.Groups)
	if want.Manager != nil {
		p.Manager = *want.Manager
	}
	if err := tx.SavePrincipals(p); err != nil {
		return p, false, err
	}
	return p, true, tx.Append(principalEvent(PrincipalCreated, p, by, tx.Now(), "by", want.Provider, "identities", identitiesText(p.Identities)))
}

// identitiesText lists identities for the log.
func identitiesText(ids []access.Identity) string {
	var out []string
	for _, i := range ids {
		out = append(out, i.Provider+" "+i.Subject)
	}
	return strings.Join(out, ", ")
}

// Enable lets a user sign in again whom the same provider disabled. Anybody else stays
// as they are.
func Enable(tx Tx, by access.Actor, id access.PrincipalID, provider string) error {
	old, err := tx.Principal(id)
	if err != nil || !old.Disabled || old.DisabledBy != provider {
		return err
	}
	p := old
	p.Disabled, p.DisabledBy, p.Version = false, "", old.Version+1
	if err := tx.SavePrincipals(p); err != nil {
		return err
	}
	return tx.Append(changedEvent(p, changes(old, p), by, tx.Now()))
}
