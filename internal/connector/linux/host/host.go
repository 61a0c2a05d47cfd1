package host

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/connector/linux"
)

// Config says where things are on the host. What is empty is where it usually is.
type Config struct {
	// Keys is the folder that sshd reads: the principals, and user_ca.pub, the keys
	// that certificates of people are signed with.
	Keys string // /etc/ssh/stint
	// State is kept over a restart of the host, and nobody but root reads it.
	State string // /var/lib/stint-agent
	// Cgroup is the cgroup below which each order has one. It must not be one that
	// another program ends.
	Cgroup string // stint, in the hierarchy of version 2
	// Run is kept until the host restarts: the log-ins that are under way.
	Run string // /run/stint
	// Homes is where homes of accounts are made, and Spool has timed jobs.
	Homes, Spool string // /home, /var/spool
	// Walk are the folders in which programs with powers of their own are looked for.
	Walk []string // /
	// Lastlog is where log-ins are kept.
	Lastlog string // /var/log/lastlog
	// Etc has passwd, group, shadow and what else belongs to accounts.
	Etc string // /etc
	// SSHD is sshd's program and SSHDConfig the file that it is started with.
	SSHD, SSHDConfig string // /usr/sbin/sshd, /etc/ssh/sshd_config
	// PAM is the file of sshd's PAM service, and Hook the program in it that calls
	// PAMSession.
	PAM, Hook string // /etc/pam.d/sshd, /usr/bin/stint-agent

	// Now is the host's clock.
	Now func() time.Time // time.Now
}

// The cgroup of ours in each of the places where version 2 is mounted.
const cgroupName = "stint"

func (c Config) filled() Config {
	for _, f := range []struct {
		field *string
		usual string
	}{
		{&c.Keys, "/etc/ssh/stint"}, {&c.State, "/var/lib/stint-agent"}, {&c.Run, "/run/stint"}, {&c.Etc, "/etc"}, {&c.Homes, "/home"}, {&c.Spool, "/var/spool"}, {&c.Lastlog, "/var/log/lastlog"}, {&c.SSHD, "/usr/sbin/sshd"},
		{&c.SSHDConfig, "/etc/ssh/sshd_config"}, {&c.PAM, "/etc/pam.d/sshd"}, {&c.Hook, "/usr/bin/stint-agent"},
	} {
		if *f.field == "" {
			*f.field = f.usual
		}
	}
	if c.Cgroup == "" {
		c.Cgroup = filepath.Join("/sys/fs/cgroup", cgroupName)
		if _, err := os.Stat("/sys/fs/cgroup/unified/cgroup.procs"); err == nil {
			c.Cgroup = filepath.Join("/sys/fs/cgroup/unified", cgroupName)
		}
	}
	if c.Walk == nil {
		c.Walk = []string{"/"}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Connector acts on the host that it runs on.
type Connector struct {
	Config
	disk  disk
	tools tools
}

var (
	_ connector.Connector = (*Connector)(nil)
	_ connector.Beacon    = (*Connector)(nil)
	_ connector.Surveyor  = (*Connector)(nil)
	_ connector.Examiner  = (*Connector)(nil)
	_ connector.Salter    = (*Connector)(nil)
)

// New makes the connector of this host. It touches nothing before the first call.
func New(c Config) *Connector {
	return &Connector{Config: c.filled(), disk: disk{replace: replaceFile}, tools: tools{run: runTool, feed: feedTool}}
}

// work is how the steps of one mechanism are done. All but terminate run under the lock.
type work struct {
	observe   func(*subject) (connector.Before, error)
	provision func(context.Context, connector.Target, *subject) (connector.Receipt, error)
	revoke    func(context.Context, *subject) (foreign bool, err error)
	terminate func(context.Context, *subject) error
	remove    func(context.Context, *subject) error
	verify    func(*subject) (connector.Observation, error)
}

func (c *Connector) work(t connector.Target, s *subject) work {
	switch s.order.Mechanism {
	case access.Checkout:
		revoke := func(ctx context.Context, s *subject) (bool, error) { return false, c.revokeCheckout(ctx, t, s) }
		return work{c.observeCheckout, c.provisionCheckout, revoke, c.terminateCheckout, c.removeCheckout, c.verifyCheckout}
	case access.Account:
		none := func(*subject) (connector.Before, error) { return connector.Before{}, nil } // it changes nothing that is there
		return work{none, c.provisionAccount, c.revokeAccount, c.terminateAccount, c.removeAccount, c.verifyAccount}
	case access.Member:
		return work{c.observeGroup, c.provisionGroup, c.revokeGroup, c.terminateGroup, c.removeGroup, c.verifyGroup}
	case access.Enable:
		return work{c.observeEnable, c.provisionEnable, c.revokeEnable, c.terminateEnable, c.removeEnable, c.verifyEnable}
	case access.Elevate:
		return work{c.observeElevate, c.provisionElevate, c.revokeElevate, c.terminateElevate, c.removeElevate, c.verifyElevate}
	}
	return work{c.observeToken, c.provisionToken, c.revokeToken, c.terminateToken, c.removeToken, c.verifyToken}
}

// Type is "linux".
func (*Connector) Type() string { return linux.Type }

// Schema says what documents may contain.
func (*Connector) Schema() access.Schema { return linux.Schema() }

// Capabilities says what a host can and cannot do.
func (*Connector) Capabilities() connector.Capabilities { return linux.Capabilities() }

// Forget does nothing: there is no connection.
func (*Connector) Forget(access.Connection) {}

// Close does nothing: calls end with their contexts.
func (*Connector) Close() {}

// Observe reads what an order is about to change.
func (c *Connector) Observe(ctx context.Context, t connector.Target, o connector.Order) (connector.Before, error) {
	s := newSubject(o)
	if s.err != nil {
		return connector.Before{}, s.err
	}
	var b connector.Before
	err := c.locked(ctx, shared, func() (err error) {
		b, err = c.work(t, s).observe(s)
		return err
	})
	return b, err
}

// Provision makes the privilege of one order.
func (c *Connector) Provision(ctx context.Context, t connector.Target, o connector.Order) (connector.Receipt, error) {
	s := newSubject(o)
	switch {
	case s.err != nil:
		return connector.Receipt{}, failure(s.err)
	case !o.ExpiresAt.After(time.Unix(0, 0)):
		return connector.Receipt{}, refuse("an order without an end is never carried out", "")
	}
	var r connector.Receipt
	err := c.locked(ctx, exclusive, func() error {
		if err := c.checkHeld(t); err != nil {
			return err
		}
		var err error
		r, err = c.work(t, s).provision(ctx, t, s)
		return err
	})
	if err == nil && (o.Renew == connector.Rotate || r.Turned) {
		err = c.work(t, s).terminate(ctx, s)
	}
	if err == nil && r.Turned {
		err = c.settled(ctx, s)
	}
	if err != nil {
		return connector.Receipt{}, failure(err)
	}
	return r, nil
}

// Revoke makes certificates useless.
func (c *Connector) Revoke(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return c.each(ctx, os, func(ctx context.Context, s *subject) (foreign bool, err error) {
		err = c.locked(ctx, exclusive, func() error {
			if err := c.checkEnabled(t, s); err != nil {
				return err
			}
			foreign, err = c.work(t, s).revoke(ctx, s)
			return err
		})
		return foreign, err
	})
}

// TerminateSessions ends the live sessions.
func (c *Connector) TerminateSessions(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return c.each(ctx, os, func(ctx context.Context, s *subject) (bool, error) {
		// Ending sessions takes its time and is not done under the lock. A host that hangs
		// is told from one that has ended them all the same.
		if err := c.locked(ctx, shared, func() error { return nil }); err != nil {
			return false, err
		}
		return false, c.work(t, s).terminate(ctx, s)
	})
}

// Remove takes away what is left.
func (c *Connector) Remove(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return c.each(ctx, os, func(ctx context.Context, s *subject) (bool, error) {
		if s.order.Mechanism == access.Account {
			if err := c.clearAccount(ctx, s); err != nil {
				return false, err
			}
		}
		return false, c.locked(ctx, exclusive, func() error { return c.work(t, s).remove(ctx, s) })
	})
}

// Verify reads back.
func (c *Connector) Verify(ctx context.Context, t connector.Target, os []connector.Order) []connector.Observation {
	found := make([]connector.Observation, len(os))
	for i, o := range os {
		s := newSubject(o)
		err := s.err
		if err == nil {
			err = c.locked(ctx, shared, func() (err error) {
				found[i], err = c.work(t, s).verify(s)
				return err
			})
		}
		if err != nil {
			found[i] = connector.Observation{Sessions: -1, Err: err}
		}
	}
	return found
}

// each runs one step of the way out for the orders that make sense, one by one, and
// gives each of those that do not its own error.
func (c *Connector) each(ctx context.Context, os []connector.Order, step func(context.Context, *subject) (foreign bool, err error)) []connector.Result {
	rs := make([]connector.Result, len(os))
	for i, o := range os {
		s := newSubject(o)
		foreign, err := false, s.err
		if err == nil {
			foreign, err = step(ctx, s)
		}
		rs[i] = result(err)
		rs[i].Foreign = rs[i].Foreign || foreign
	}
	return rs
}
