package host

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strconv"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/connector/linux"
)

// credential is what the holder gets: where to go, as whom, and for which principal to
// have a certificate signed. It holds no secret.
type credential struct {
	Type      string `json:"type"`
	Host      string `json:"host"`
	Port      uint16 `json:"port"`
	Username  string `json:"username"`
	Principal string `json:"principal"`
}

func place(t connector.Target, s *subject) (access.Secret, error) {
	host, port, err := net.SplitHostPort(t.Connection.Address)
	n, e := strconv.ParseUint(port, 10, 16)
	if err != nil || e != nil || host == "" || n == 0 {
		return access.Secret{}, access.Fail(access.Invalid, "bad-address", "the resource's address is not HOST:PORT").Because("it is " + strconv.Quote(short(t.Connection.Address)))
	}
	b, err := json.Marshal(credential{linux.Type, host, uint16(n), s.login, linux.Principal(s.order.Tag)})
	return access.NewSecret(b), err
}

// open finds the account whose sessions an order opens, and refuses those that could
// not log in.
func (c *Connector) open(s *subject) (account, error) {
	a, err := c.standing(s)
	switch {
	case err != nil:
		return a, err
	case a.expired(c.Now()):
		return a, access.Fail(access.Denied, "account-expired", s.login+" has expired on the host").Try("let an administrator of the host run: chage -E -1 " + s.login)
	case a.noShell():
		return a, noShell(a)
	}
	return a, nil
}

// observeToken checks that there is an account to open sessions of. The line is the
// order's own, so that there is no state before it.
func (c *Connector) observeToken(s *subject) (connector.Before, error) {
	_, err := c.open(s)
	return connector.Before{}, err
}

func (c *Connector) provisionToken(_ context.Context, t connector.Target, s *subject) (connector.Receipt, error) {
	a, err := c.open(s)
	if err != nil {
		return connector.Receipt{}, err
	}
	return c.writeLine(t, s, a)
}

// writeLine puts the order's line where sshd reads it. The cgroup comes first: a host
// that cannot end sessions opens none.
func (c *Connector) writeLine(t connector.Target, s *subject, a account) (r connector.Receipt, err error) {
	r = connector.Receipt{Account: a.name, Creation: strconv.Itoa(a.uid)}
	if s.order.Renew != connector.Extend {
		if r.Credential, err = place(t, s); err != nil {
			return connector.Receipt{}, err
		}
	}
	lines, err := c.readPrincipals(s.login)
	if err != nil {
		return connector.Receipt{}, err
	}
	ours := marked(lines, s.order.Tag)
	if len(ours) == 0 && s.order.Renew != connector.Keep {
		return connector.Receipt{}, nothingToRenew()
	}
	want := line{tag: s.order.Tag, ends: s.order.ExpiresAt.UTC().Truncate(time.Second), opt: s.opt}
	for _, text := range ours { // an end is never lowered: a call can arrive late
		if l, ok := parseLine(text); ok && l.ends.After(want.ends) {
			want.ends = l.ends
		}
	}
	if err := c.makeCgroup(s.order.Tag); err != nil {
		return connector.Receipt{}, err
	}
	if len(ours) == 1 && ours[0] == want.String() {
		return r, nil
	}
	if err := c.writePrincipals(s.login, append(unmarked(lines, s.order.Tag), want.String())); err != nil {
		// Without the line the cgroup says nothing; where the line is there all the same, the
		// hook makes it anew.
		return connector.Receipt{}, errors.Join(err, c.removeCgroup(s.order.Tag))
	}
	return r, nil
}

func (c *Connector) revokeToken(_ context.Context, s *subject) (foreign bool, err error) {
	return false, c.revokeLines(s)
}

func (c *Connector) terminateToken(ctx context.Context, s *subject) error {
	return c.kill(ctx, s.order.Tag)
}

func (c *Connector) removeToken(_ context.Context, s *subject) error { return c.removeSessions(s) }

func (c *Connector) verifyToken(s *subject) (connector.Observation, error) { return c.verifyLine(s) }

// revokeLines takes the line away. A log-in that has not passed the PAM hook by then is
// refused there.
func (c *Connector) revokeLines(s *subject) error {
	logins, err := c.where(s)
	if err != nil {
		return err
	}
	for _, login := range logins {
		lines, err := c.readPrincipals(login)
		if err != nil {
			return err
		}
		others := unmarked(lines, s.order.Tag)
		if len(others) == len(lines) {
			continue
		}
		if err := c.writePrincipals(login, others); err != nil {
			return err
		}
	}
	return nil
}

// removeSessions takes away the empty cgroup.
func (c *Connector) removeSessions(s *subject) error {
	found, err := c.lines(s)
	if err != nil {
		return err
	}
	if len(found) > 0 {
		return access.Fail(access.Conflict, "not-revoked", "the order's line is still in the file of "+s.login)
	}
	n, _, err := c.sessions(s.order.Tag)
	if err != nil {
		return err
	}
	if n > 0 {
		return access.Fail(access.Conflict, "sessions-open", "sessions of the order still run: "+strconv.Itoa(n))
	}
	return c.removeCgroup(s.order.Tag)
}

// lines are those of an order, wherever they can be.
func (c *Connector) lines(s *subject) (found []string, err error) {
	logins, err := c.where(s)
	for _, login := range logins {
		var ls []string
		if ls, err = c.readPrincipals(login); err != nil {
			break
		}
		found = append(found, marked(ls, s.order.Tag)...)
	}
	return found, err
}

// verifyLine reads the line and the cgroup back. It is strict on both sides: a line
// that is there and not as ordered is neither present nor gone.
func (c *Connector) verifyLine(s *subject) (connector.Observation, error) {
	found, err := c.lines(s)
	if err != nil {
		return connector.Observation{}, err
	}
	var o connector.Observation
	if o.Sessions, o.LastActive, err = c.sessions(s.order.Tag); err != nil {
		return connector.Observation{}, err
	}
	if len(found) == 0 {
		if o.Presence = connector.Absent; c.hasCgroup(s.order.Tag) {
			o.Presence, o.Err = connector.NotKnown, access.Fail(access.Pending, "cgroup-left", "the line is gone and the cgroup of its sessions is still there")
		}
		return o, nil
	}
	l, ok := parseLine(found[0])
	a, e := c.standing(s)
	switch {
	case len(found) > 1 || !ok || !s.order.ExpiresAt.IsZero() && line{l.tag, l.ends, s.opt}.String() != found[0]:
		o.Err = access.Fail(access.Conflict, "line-changed", "the order's line for "+s.login+" is not as it was ordered")
	case e != nil:
		o.Err = e
	case a.expired(c.Now()):
		o.Err = access.Fail(access.Conflict, "account-expired", s.login+" has expired on the host")
	case !l.ends.After(c.Now()):
		o.Err = access.Fail(access.Expired, "line-expired", "the order's line for "+s.login+" has expired")
	default:
		o.Presence, o.Ends = connector.Present, l.ends
	}
	return o, nil
}
