package host

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strconv"

	"stint/internal/access"
	"stint/internal/connector"
)

// Inventory lists what carries our mark: the lines, and the cgroups without one.
func (c *Connector) Inventory(ctx context.Context, _ connector.Target) iter.Seq2[connector.Artefact, error] {
	return func(yield func(connector.Artefact, error) bool) {
		var found []connector.Artefact
		if err := c.locked(ctx, shared, func() (err error) {
			found, err = c.list()
			return err
		}); err != nil {
			yield(connector.Artefact{}, failure(err))
			return
		}
		for _, a := range found { // no lock is held while the caller thinks
			if !yield(a, nil) {
				return
			}
		}
	}
}

func (c *Connector) list() (found []connector.Artefact, err error) {
	logins, err := c.logins()
	if err != nil {
		return nil, err
	}
	accounts, err := c.accounts()
	if err != nil {
		return nil, err
	}
	uids := map[string]string{}
	for _, a := range accounts {
		if _, twice := uids[a.name]; !twice {
			uids[a.name] = strconv.Itoa(a.uid)
		}
	}
	lined := map[access.Tag]bool{}
	notes, err := c.notes()
	if err != nil {
		return nil, err
	}
	for _, a := range accounts {
		if tag, ok := accountTag(a); ok && !lined[tag] {
			lined[tag] = true
			found = append(found, connector.Artefact{Mechanism: access.Account, Account: a.name, Tag: tag, Creation: strconv.Itoa(a.uid),
				Ours: true, Detail: "an account made for a grant"})
		}
	}
	elevations, err := c.rules()
	if err != nil {
		return nil, err
	}
	for _, a := range elevations {
		if !lined[a.Tag] {
			lined[a.Tag] = true
			found = append(found, a)
		}
	}
	for tag, n := range notes {
		if lined[tag] {
			continue
		}
		lined[tag] = true
		a := connector.Artefact{Mechanism: n.Mechanism, Account: n.Account, Tag: tag, Creation: strconv.Itoa(n.UID), Ours: true}
		switch n.Mechanism {
		case access.Member:
			a.Detail = "a standing account that is lent a group"
			for _, a.Right = range n.Rights {
				found = append(found, a)
			}
			if len(n.Rights) > 0 {
				continue
			}
		case access.Enable:
			a.Detail = "a dormant account that is enabled"
		case access.Checkout:
			a.Detail = "a vaulted account that is lent or rotated"
		default:
			a.Detail = "what is left of an account made for a grant"
		}
		found = append(found, a)
	}
	here := map[access.Tag]bool{}
	for _, login := range logins {
		lines, err := c.readPrincipals(login)
		if err != nil {
			return nil, err
		}
		for _, text := range lines {
			tag, ok := markOf(text)
			if !ok || here[tag] || lined[tag] {
				continue
			}
			here[tag] = true
			found = append(found, connector.Artefact{Mechanism: access.Token, Account: login, Tag: tag, Creation: uids[login],
				Ours: true, Detail: "a line by which a certificate opens sessions of " + login})
		}
	}
	tags, err := c.cgroupTags()
	if err != nil {
		return nil, err
	}
	for _, tag := range tags {
		if !lined[tag] && !here[tag] {
			found = append(found, connector.Artefact{Mechanism: access.Token, Tag: tag, Ours: true, Detail: "the cgroup of sessions whose line is gone"})
		}
	}
	slices.SortStableFunc(found, func(a, b connector.Artefact) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Tag, b.Tag))
	})
	return found, nil
}
