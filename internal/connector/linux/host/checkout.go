package host

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/connector/linux"
	"stint/internal/crypt"
)

// A vaulted account is a standing one whose password the vault keeps. The host is told of
// a password by what shadow would have of it (crypt.Verifier), compares, and sets:
//
//	Provision          the account has the password that the vault knows; a note says whose it is
//	Revoke             it expires, so that nobody logs in by whatever method, and gets the next password
//	TerminateSessions  nobody is in who could set another
//	Remove             it is as it was before but for the password, and the note goes
//	Verify             shadow has what was set, and so nothing else opens
//
// An order without a next password leaves the account without one: so does an end by the
// host's own clock. Log-ins by a key are the account's own, and none of this order's.

// noPassword is a field of shadow that no password opens.
const noPassword = "!"

// firstPerson is the first uid of people; those below are the system's, and nobody's is the last.
const (
	firstPerson = 1000
	nobody      = 65534
)

// vaulted finds the account of an order, and refuses those that are never lent.
func (c *Connector) vaulted(s *subject) (account, error) {
	a, err := c.standing(s)
	if err != nil {
		return a, err
	}
	_, made := accountTag(a)
	switch {
	case made:
		return a, access.Fail(access.Denied, "protected-account", s.login+" was made for a grant, and ends with it").Try("name a standing account")
	case a.uid < firstPerson || a.uid == nobody:
		return a, access.Fail(access.Denied, "protected-account", s.login+" is an account of the system").
			Because("when a password comes back every process of the account is ended, and its service with them").Try("name an account of people, with a uid from " + strconv.Itoa(firstPerson))
	case a.noShell():
		return a, noShell(a)
	}
	return a, nil
}

// usable reports whether a password that fits opens the account.
func (c *Connector) usable(a account) bool { return !a.expired(c.Now()) && !a.aged(c.Now()) }

func (c *Connector) observeCheckout(s *subject) (connector.Before, error) {
	a, err := c.vaulted(s)
	if err != nil {
		return connector.Before{}, err
	}
	by, err := c.checkedOut(a.name)
	if err != nil {
		return connector.Before{}, err
	}
	if len(by) == 0 && a.expired(c.Now()) {
		return connector.Before{}, accountExpired(a)
	}
	return before{UID: a.uid, Expires: a.expires}.state(false)
}

func accountExpired(a account) error {
	return access.Fail(access.Denied, "account-expired", a.name+" has expired on the host").Try("let an administrator of the host run: chage -E -1 " + a.name)
}

// checkedOut are the orders that have the account, by their notes.
func (c *Connector) checkedOut(name string) (tags []access.Tag, err error) {
	all, err := c.notes()
	for t, n := range all {
		if (n.Mechanism == access.Checkout || n.Mechanism == access.Enable) && n.Account == name {
			tags = append(tags, t)
		}
	}
	return tags, err
}

// taken reports whether another order has the account.
func (c *Connector) taken(s *subject) (bool, error) {
	tags, err := c.checkedOut(s.login)
	for _, t := range tags {
		if t != s.order.Tag {
			return true, err
		}
	}
	return false, err
}

func (c *Connector) provisionCheckout(ctx context.Context, _ connector.Target, s *subject) (connector.Receipt, error) {
	a, err := c.vaulted(s)
	if err != nil {
		return connector.Receipt{}, err
	}
	n, noted, err := c.lentNote(s.order.Tag)
	if err != nil {
		return connector.Receipt{}, err
	}
	other, err := c.taken(s)
	turns := s.next.Set() != ""
	switch {
	case err != nil:
		return connector.Receipt{}, err
	case other:
		return connector.Receipt{}, &connector.Error{Outcome: connector.NotDone, Message: s.login + " is lent or enabled by another order"}
	case noted && n.UID != a.uid:
		return connector.Receipt{}, access.Fail(access.Conflict, "another-account", s.login+" is not the account that was lent").Try("ask anew")
	case !noted && s.order.Renew != connector.Keep:
		return connector.Receipt{}, nothingToRenew()
	}
	r := connector.Receipt{Account: a.name, Creation: strconv.Itoa(a.uid), Turned: turns}
	switch {
	case s.order.Renew == connector.Extend:
		r.Turned = false
		return r, nil
	case !turns && s.secret.Set() == "":
		return connector.Receipt{}, refuse("the vault has no secret for "+s.login, "add it: stint admin vault add")
	case !noted && a.expired(c.Now()):
		return connector.Receipt{}, accountExpired(a)
	case !turns && (!s.secret.Fits(a.password) || !c.usable(a)):
		return connector.Receipt{}, &connector.Error{Outcome: connector.NotDone, Message: "the password of " + s.login + " in the vault does not open it: somebody has changed it by hand", Cause: connector.ErrStale}
	}
	if !noted {
		n = note{Mechanism: access.Checkout, Account: a.name, UID: a.uid, Expires: a.expires}
		if err := c.writeNote(s.order.Tag, n); err != nil {
			return connector.Receipt{}, err
		}
	}
	if !turns {
		return r, nil
	}
	if err := c.setPassword(ctx, a.name, s.next.Set()); err != nil {
		return connector.Receipt{}, err
	}
	return r, c.reopen(ctx, a, n)
}

// setPassword has chpasswd write a field of shadow. It reads it, so that it is in no list of
// processes.
func (c *Connector) setPassword(ctx context.Context, name, field string) error {
	return c.tools.feed(ctx, name+":"+field+"\n", "chpasswd", "--encrypted")
}

// reopen gives the account the day of its expiry back.
func (c *Connector) reopen(ctx context.Context, a account, n note) error {
	if a.expires == n.Expires {
		return nil
	}
	day := ""
	if n.Expires >= 0 {
		day = date(n.Expires)
	}
	return c.tools.run(ctx, "usermod", "--expiredate", day, a.name)
}

// settled looks whether the account still has what a Provision set, when nobody is in it
// any more: a passwd that was under way may have written after.
func (c *Connector) settled(ctx context.Context, s *subject) error {
	return c.locked(ctx, shared, func() error {
		a, ok, err := c.account(s.login)
		if err == nil && (!ok || !s.next.Fits(a.password) || !c.usable(a)) {
			err = &connector.Error{Outcome: connector.Unknown, Message: "the new password of " + s.login + " was set and does not open it"}
		}
		return err
	})
}

// lentNote reads what is noted of an order that lends a password. A note of another
// mechanism is refused: its account was never lent, and has a password that nobody could
// set again.
func (c *Connector) lentNote(tag access.Tag) (n note, noted bool, err error) {
	n, noted, err = c.readNote(tag)
	if err == nil && noted && n.Mechanism != access.Checkout {
		err = refuse("what is noted under the order's tag is no password that was lent", "")
	}
	return n, noted, err
}

// lentAccount is the account that an order has; ok is false where it has none that is there.
func (c *Connector) lentAccount(s *subject) (a account, n note, noted, ok bool, err error) {
	n, noted, err = c.lentNote(s.order.Tag)
	if err != nil || !noted {
		return a, n, noted, false, err
	}
	a, ok, err = c.account(n.Account)
	return a, n, true, ok && a.uid == n.UID && a.uid >= firstPerson, err
}

// revokeCheckout lets the account expire, and gives it the next password.
func (c *Connector) revokeCheckout(ctx context.Context, t connector.Target, s *subject) error {
	a, _, noted, ok, err := c.lentAccount(s)
	if err != nil || noted && !ok {
		return err
	}
	if !noted {
		if s.next.Set() == "" || s.login == "" {
			return nil // nothing was lent by this order, or nobody knows what comes next
		}
		other, err := c.taken(s)
		if err != nil || other {
			return err
		}
		found, there, err := c.account(s.login)
		if err != nil || !there || s.order.Creation != "" && s.next.Fits(found.password) && c.usable(found) {
			return err // it is not there, or it was done before
		}
		if err := c.checkHeld(t); err != nil { // nothing of ours is there to end: this begins something
			return err
		}
		if a, err = c.vaulted(s); err != nil {
			return err
		}
		if a.expired(c.Now()) {
			return accountExpired(a)
		}
		if err := c.writeNote(s.order.Tag, note{Mechanism: access.Checkout, Account: a.name, UID: a.uid, Expires: a.expires}); err != nil {
			return err
		}
	}
	if !a.expired(c.Now()) {
		if err := c.tools.run(ctx, "usermod", "--expiredate", date(1), a.name); err != nil {
			return err
		}
	}
	return c.giveNext(ctx, s, a)
}

// giveNext sets the order's next password, or none, where the account has another.
func (c *Connector) giveNext(ctx context.Context, s *subject, a account) error {
	switch set := s.next.Set(); {
	case set == "" && a.password == noPassword, s.next.Fits(a.password):
		return nil
	case set == "":
		return c.setPassword(ctx, a.name, noPassword)
	default:
		return c.setPassword(ctx, a.name, set)
	}
}

// terminateCheckout ends every process of the account: on one that several may know nobody
// can tell whose they are.
func (c *Connector) terminateCheckout(ctx context.Context, s *subject) error {
	a, _, _, ok, err := c.lentAccount(s)
	if err != nil || !ok {
		return err
	}
	return c.endAccount(ctx, a.name, a.uid)
}

// removeCheckout gives the account back.
func (c *Connector) removeCheckout(ctx context.Context, s *subject) error {
	a, n, noted, ok, err := c.lentAccount(s)
	switch {
	case err != nil || !noted:
		return err
	case !ok:
		return c.dropNote(s.order.Tag)
	}
	if err := c.mayClear(a); err != nil {
		return err
	}
	if err := c.giveNext(ctx, s, a); err != nil { // who was in may have set another since
		return err
	}
	if err := c.reopen(ctx, a, n); err != nil {
		return err
	}
	return c.dropNote(s.order.Tag)
}

func (c *Connector) verifyCheckout(s *subject) (o connector.Observation, err error) {
	a, _, noted, ok, err := c.lentAccount(s)
	if err != nil {
		return o, err
	}
	if noted {
		if ok {
			ps, err := processes(func(i identity) bool { return i.of(a.uid) })
			if err != nil {
				return o, err
			}
			if len(ps) > 0 {
				o.Sessions, o.LastActive = roots(ps), lastStart(ps).UTC()
			}
		}
		switch {
		case !ok:
			o.Err = access.Fail(access.Pending, "note-left", "the account is gone, and the order is still noted")
		case a.expired(c.Now()):
			o.Err = access.Fail(access.Pending, "mark-left", a.name+" cannot log in, and is not given back yet")
		default:
			o.Presence = connector.Present
		}
		return o, nil
	}
	other, err := c.taken(s)
	if err != nil {
		return o, err
	}
	o.Presence = connector.Absent
	a, ok, err = c.account(s.login)
	switch opens := ok && c.usable(a); {
	case err != nil:
		return o, err
	case other || !ok: // what it is now is another order's
	case s.next.Set() != "" && opens && s.next.Fits(a.password):
		o.Turned = true
	case s.next.Set() != "":
		o.Presence, o.Err = connector.NotKnown, access.Fail(access.Pending, "not-turned", "the next password of "+a.name+" does not open it yet")
	case opens && s.order.Creation != "" && s.secret.Fits(a.password):
		o.Presence, o.Err = connector.NotKnown, access.Fail(access.Conflict, "secret-lives", "the password of "+a.name+" that was lent still opens it")
	}
	return o, nil
}

// Salts says how the host keeps the passwords of the orders' accounts.
func (c *Connector) Salts(ctx context.Context, _ connector.Target, os []connector.Order) (out []string, err error) {
	err = c.locked(ctx, shared, func() error {
		as, err := c.accounts()
		if err != nil {
			return err
		}
		known := map[string]string{}
		for _, a := range as {
			if _, twice := known[a.name]; !twice && a.uid >= firstPerson {
				known[a.name] = crypt.Settings(a.password)
			}
		}
		for _, o := range os {
			settings := ""
			if o.Mechanism == access.Checkout && linux.ValidTag(o.Tag) {
				settings = known[o.Account]
			}
			out = append(out, settings)
		}
		return nil
	})
	if err != nil && access.KindOf(err) == access.Internal {
		err = access.Fail(access.Unavailable, "host-failed", said(err)).Wrap(err)
	}
	return out, err
}

// Shut says of which accounts no password opens them. One that is only locked does not
// count: what was lent would open it when somebody unlocks it.
func (c *Connector) Shut(ctx context.Context, _ connector.Target, os []connector.Order) (out []bool, err error) {
	err = c.locked(ctx, shared, func() error {
		for _, o := range os {
			a, ok, err := c.account(o.Account)
			if err != nil {
				return err
			}
			out = append(out, !ok || a.shadowed && a.password != "" && strings.Trim(a.password, "!*") == "")
		}
		return nil
	})
	if err != nil && access.KindOf(err) == access.Internal {
		err = access.Fail(access.Unavailable, "host-failed", said(err)).Wrap(err)
	}
	return out, err
}

// aged reports whether the password is so old that a log-in only changes it.
func (a account) aged(now time.Time) bool {
	today := int(now.UTC().Unix() / 86400)
	return a.changed == 0 || a.changed > 0 && a.longest >= 0 && today > a.changed+a.longest
}

// parseVerifier reads what an order says of a password.
func parseVerifier(s access.Secret) (crypt.Verifier, error) {
	if s.Empty() {
		return crypt.Verifier{}, nil
	}
	v, err := crypt.Parse(string(s.Reveal()))
	if err != nil {
		return v, access.Fail(access.Invalid, "bad-verifier", "the order does not say a password as the host keeps it").Because(fmt.Sprint(err))
	}
	return v, nil
}
