package host

import (
	"context"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

// A dormant account is one that has expired: PAM lets nobody in, by whatever method. A
// locked password alone keeps nobody out who has a key. Its password stays as it is:
// sessions open with a certificate.

const day = 24 * time.Hour

// lastDay is what chage takes for an account that must not be refused before at, in
// whatever zone the host counts its days. It is the host's coarse net: the line's own
// end is to the second.
func lastDay(at time.Time) int { return int(at.UTC().Unix()/86400) + 2 }

func (c *Connector) observeEnable(s *subject) (connector.Before, error) {
	a, err := c.standing(s)
	switch {
	case err != nil:
		return connector.Before{}, err
	case a.noShell():
		return connector.Before{}, noShell(a)
	}
	marked, err := c.enabled(a.name)
	if err != nil {
		return connector.Before{}, err
	}
	b := before{UID: a.uid, Expires: a.expires}
	switch {
	case marked != nil: // by another order, which knows how it was
		b.Expires = marked.Expires
	case !a.expired(c.Now()):
		return connector.Before{}, access.Fail(access.Denied, "not-dormant", a.name+" can log in already").
			Because("an account to enable is dormant: its privilege would outlive the grant").
			Try("on the host: usermod --lock --expiredate 1 " + a.name)
	}
	return b.state(false)
}

// enabled is the note of an order that has enabled the account.
func (c *Connector) enabled(name string) (*note, error) {
	all, err := c.notes()
	for _, n := range all {
		if n.Mechanism == access.Enable && n.Account == name {
			return &n, err
		}
	}
	return nil, err
}

func (c *Connector) provisionEnable(ctx context.Context, t connector.Target, s *subject) (connector.Receipt, error) {
	a, err := c.standing(s)
	if err != nil {
		return connector.Receipt{}, err
	}
	n, noted, err := c.readNote(s.order.Tag)
	switch {
	case err != nil:
		return connector.Receipt{}, err
	case a.noShell():
		return connector.Receipt{}, noShell(a)
	case !noted && s.order.Renew != connector.Keep:
		return connector.Receipt{}, nothingToRenew()
	case !noted:
		other, err := c.enabled(a.name)
		if err != nil {
			return connector.Receipt{}, err
		}
		n = note{Mechanism: access.Enable, Account: a.name, UID: a.uid, Expires: a.expires}
		switch {
		case other != nil:
			n.Expires = other.Expires
		case a.expired(c.Now()):
		case s.before.UID == a.uid && s.before.Expires >= 0:
			n.Expires = s.before.Expires // a first try that was lost has enabled it
		default:
			return connector.Receipt{}, refuse(a.name+" can log in already, and an account to enable is dormant", "on the host: usermod --lock --expiredate 1 "+a.name)
		}
		if err := c.writeNote(s.order.Tag, n); err != nil {
			return connector.Receipt{}, err
		}
	}
	if until := lastDay(s.order.ExpiresAt); a.expires >= 0 && a.expires < until {
		if err := c.tools.run(ctx, "usermod", "--expiredate", date(until), a.name); err != nil {
			return connector.Receipt{}, err
		}
	}
	return c.writeLine(t, s, a)
}

func date(days int) string { return time.Unix(int64(days)*86400, 0).UTC().Format(time.DateOnly) }

// revokeEnable puts the account's day back. Without a note the order has not enabled it,
// or the note is lost: what Observe saw was dormant, and is again.
func (c *Connector) revokeEnable(ctx context.Context, s *subject) (foreign bool, err error) {
	n, noted, err := c.readNote(s.order.Tag)
	if err != nil {
		return false, err
	}
	if err := c.revokeLines(s); err != nil {
		return false, err
	}
	if !noted {
		n = note{Account: s.login, UID: max(s.uid, s.before.UID), Expires: s.before.Expires}
		if n.Account == "" || s.before.UID < 0 {
			return false, nil
		}
	}
	a, ok, err := c.account(n.Account)
	switch {
	case err != nil || !ok:
		return false, err
	case a.uid != n.UID:
		return false, nil // another account: nothing of it is ours
	case a.expired(c.Now()):
		return false, nil
	}
	if other, err := c.otherEnabled(s.order.Tag, a.name); other || err != nil {
		return false, err
	}
	back := 1
	if n.Expires >= 0 {
		back = n.Expires
	}
	return false, c.tools.run(ctx, "usermod", "--expiredate", date(max(back, 1)), a.name)
}

func (c *Connector) otherEnabled(tag access.Tag, name string) (bool, error) {
	all, err := c.notes()
	for t, n := range all {
		if t != tag && n.Mechanism == access.Enable && n.Account == name {
			return true, err
		}
	}
	return false, err
}

// terminateEnable ends every process of the account: it was dormant, so none was there
// for another reason.
func (c *Connector) terminateEnable(ctx context.Context, s *subject) error {
	if err := c.kill(ctx, s.order.Tag); err != nil {
		return err
	}
	n, noted, err := c.readNote(s.order.Tag)
	if err != nil || !noted {
		return err
	}
	if other, err := c.otherEnabled(s.order.Tag, n.Account); other || err != nil {
		return err
	}
	return c.endAccount(ctx, n.Account, n.UID)
}

func (c *Connector) removeEnable(_ context.Context, s *subject) error {
	n, noted, err := c.readNote(s.order.Tag)
	if err != nil {
		return err
	}
	if noted {
		a, ok, err := c.account(n.Account)
		if err != nil {
			return err
		}
		if ok && a.uid == n.UID && !a.expired(c.Now()) {
			other, err := c.otherEnabled(s.order.Tag, n.Account)
			if err != nil {
				return err
			}
			if !other {
				return access.Fail(access.Conflict, "not-revoked", n.Account+" is still enabled")
			}
		}
	}
	if err := c.removeSessions(s); err != nil {
		return err
	}
	return c.dropNote(s.order.Tag)
}

func (c *Connector) verifyEnable(s *subject) (connector.Observation, error) {
	n, noted, err := c.readNote(s.order.Tag)
	if err != nil {
		return connector.Observation{}, err
	}
	o, err := c.verifyLine(s)
	if err != nil {
		return o, err
	}
	if !noted {
		if o.Presence == connector.Present {
			o.Presence, o.Ends, o.Err = connector.NotKnown, time.Time{}, access.Fail(access.Conflict, "no-note", "the order's line is there, and nothing is noted of it")
		}
		return o, nil
	}
	other, err := c.otherEnabled(s.order.Tag, n.Account)
	if err != nil {
		return o, err
	}
	if !other {
		ps, err := processes(func(i identity) bool { return i.of(n.UID) })
		if err != nil {
			return o, err
		}
		if o.Sessions == 0 && len(ps) > 0 {
			o.Sessions, o.LastActive = roots(ps), lastStart(ps).UTC()
		}
	}
	if o.Presence == connector.Absent {
		o.Presence, o.Err = connector.NotKnown, access.Fail(access.Pending, "note-left", "the order's line is gone, and the order is still noted")
	}
	return o, nil
}

func noShell(a account) error {
	return access.Fail(access.Denied, "no-shell", a.name+" has no shell to log in to").Because("its shell is " + a.shell)
}

func nothingToRenew() error {
	return refuse("there is nothing of this order on the host that could be renewed", "ask anew")
}
