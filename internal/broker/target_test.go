package broker_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

// target is a simulated target with a connector to it. It behaves as a real one
// must: conditional create, names derived from tags, sessions that outlive
// their account until they are ended. fault, when set, is asked before each
// call and after each effect.
type target struct {
	mu       sync.Mutex
	accounts map[string]*account
	members  map[string]string // "account in right" -> who granted it
	claim    connector.Claim
	next     int

	// fault may return an error before the effect (not done), or after it (done,
	// and the caller does not know). It is called without the lock.
	fault func(call string, when when, o connector.Order) error
	born  func(account string) // called when an account is created
	calls map[string]int
	// silent says that calls get no answer, for as long as they wait.
	silent bool
}

type when int

const (
	before when = iota
	after
)

type account struct {
	oid      string
	tag      access.Tag
	login    bool
	rights   []string
	sessions int
	active   time.Time // when a session last did something
	password int       // counts the passwords it has had
	dormant  bool
}

func newTarget() *target {
	return &target{accounts: map[string]*account{}, members: map[string]string{}, calls: map[string]int{}}
}

func (f *target) Type() string { return "fake" }

func (f *target) Schema() access.Schema {
	return access.Schema{Type: "fake", Mechanisms: []access.Mechanism{access.Account, access.Member, access.Enable}}
}

func (f *target) Capabilities() connector.Capabilities {
	return connector.Capabilities{Mechanisms: f.Schema().Mechanisms, Sweepable: true, SessionKill: true}
}

func (f *target) Check(context.Context, connector.Target) connector.Report {
	return connector.Report{Steps: []connector.Step{{Name: "is there", OK: true}}}
}

func (f *target) Forget(access.Connection) {}

// do runs one effect between the two moments at which it can go wrong.
func (f *target) do(ctx context.Context, call string, o connector.Order, effect func()) error {
	f.mu.Lock()
	f.calls[call]++
	fault, silent := f.fault, f.silent
	f.mu.Unlock()
	if silent {
		<-ctx.Done()
		return ctx.Err()
	}
	if fault != nil {
		if err := fault(call, before, o); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	f.mu.Lock()
	effect()
	f.mu.Unlock()
	if fault != nil {
		return fault(call, after, o)
	}
	return nil
}

func (f *target) Claim(ctx context.Context, _ connector.Target, c connector.Claim) (err error) {
	if e := f.do(ctx, "claim", connector.Order{}, func() {
		switch {
		case f.claim == connector.Claim{}, f.claim.Installation == c.Installation && c.Epoch >= f.claim.Epoch:
			f.claim = c
		default:
			err = access.Fail(access.Conflict, "claimed", "the target belongs to "+f.claim.Installation)
		}
	}); e != nil {
		return e
	}
	return err
}

func (f *target) Observe(ctx context.Context, _ connector.Target, o connector.Order) (b connector.Before, err error) {
	e := f.do(ctx, "observe", o, func() {
		a := f.accounts[o.Account]
		switch {
		case a == nil:
			err = access.Fail(access.NotFound, "no-account", "there is no account "+o.Account)
		case o.Mechanism == access.Member:
			b.Existing = f.members[o.Account+" in "+o.Rights[0]] == "somebody"
		case a.login:
			err = access.Fail(access.Denied, "not-dormant", o.Account+" is not dormant")
		}
	})
	return b, errors.Join(err, e)
}

func (f *target) name(o connector.Order) string {
	if o.Account != "" {
		return o.Account
	}
	return "stint_" + string(o.Tag)
}

func (f *target) Provision(ctx context.Context, _ connector.Target, o connector.Order) (r connector.Receipt, err error) {
	e := f.do(ctx, "provision", o, func() {
		name := f.name(o)
		a := f.accounts[name]
		switch o.Mechanism {
		case access.Member:
			if f.members[name+" in "+o.Rights[0]] == "" {
				f.members[name+" in "+o.Rights[0]] = "us"
			}
			r = connector.Receipt{Account: name}
			return
		case access.Account:
			if a == nil {
				f.next++
				a = &account{oid: fmt.Sprint(f.next), tag: o.Tag}
				f.accounts[name] = a
				if f.born != nil {
					f.born(name)
				}
			}
			a.rights = o.Rights
		}
		a.login = true
		if o.Renew == connector.Rotate {
			a.sessions = 0
		}
		r = connector.Receipt{Account: name, Creation: a.oid}
		if o.Renew != connector.Extend {
			a.password++
			r.Credential = access.NewSecret(fmt.Appendf(nil, `{"username":%q,"password":"p%d"}`, name, a.password))
		}
	})
	return r, e
}

func (f *target) batch(ctx context.Context, call string, os []connector.Order, effect func(o connector.Order, a *account)) []connector.Result {
	rs := make([]connector.Result, len(os))
	for i, o := range os {
		err := f.do(ctx, call, o, func() {
			a := f.accounts[f.name(o)]
			if a != nil && o.Creation != "" && a.oid != o.Creation {
				rs[i].Foreign = true
				return
			}
			if a != nil {
				effect(o, a)
			}
		})
		if rs[i].Err = err; err == nil && !rs[i].Foreign {
			rs[i].Outcome = connector.Done
		}
	}
	return rs
}

func (f *target) Revoke(ctx context.Context, _ connector.Target, os []connector.Order) []connector.Result {
	return f.batch(ctx, "revoke", os, func(o connector.Order, a *account) {
		if o.Mechanism == access.Member {
			for _, r := range o.Rights {
				if f.members[o.Account+" in "+r] == "us" {
					delete(f.members, o.Account+" in "+r)
				}
			}
			return
		}
		a.login = false
		a.password++
	})
}

func (f *target) TerminateSessions(ctx context.Context, _ connector.Target, os []connector.Order) []connector.Result {
	return f.batch(ctx, "terminate", os, func(_ connector.Order, a *account) { a.sessions = 0 })
}

func (f *target) Remove(ctx context.Context, _ connector.Target, os []connector.Order) []connector.Result {
	return f.batch(ctx, "remove", os, func(o connector.Order, a *account) {
		if o.Mechanism == access.Account {
			delete(f.accounts, f.name(o))
		}
	})
}

func (f *target) Verify(ctx context.Context, _ connector.Target, os []connector.Order) []connector.Observation {
	seen := make([]connector.Observation, len(os))
	for i, o := range os {
		seen[i].Err = f.do(ctx, "verify", o, func() {
			a := f.accounts[f.name(o)]
			there := a != nil && a.login
			if o.Mechanism == access.Member {
				there = f.members[o.Account+" in "+o.Rights[0]] != ""
			}
			if o.Mechanism == access.Account {
				there = a != nil
			}
			seen[i].Presence = connector.Absent
			if there {
				seen[i].Presence = connector.Present
			}
			if a != nil {
				if seen[i].Sessions = a.sessions; a.sessions > 0 {
					seen[i].LastActive = a.active
				}
			}
		})
		if seen[i].Err != nil {
			seen[i].Presence = connector.NotKnown
		}
	}
	return seen
}

func (f *target) Inventory(ctx context.Context, _ connector.Target) iter.Seq2[connector.Artefact, error] {
	return func(yield func(connector.Artefact, error) bool) {
		var found []connector.Artefact
		if err := f.do(ctx, "inventory", connector.Order{}, func() {
			for _, n := range slices.Sorted(maps.Keys(f.accounts)) {
				if a := f.accounts[n]; a.tag != "" {
					found = append(found, connector.Artefact{Mechanism: access.Account, Account: n, Tag: a.tag, Creation: a.oid, Ours: true})
				}
			}
			for _, m := range slices.Sorted(maps.Keys(f.members)) {
				account, right, _ := strings.Cut(m, " in ")
				found = append(found, connector.Artefact{Mechanism: access.Member, Account: account, Right: right, Ours: f.members[m] == "us", Standing: f.members[m] != "us"})
			}
		}); err != nil {
			yield(connector.Artefact{}, err)
			return
		}
		for _, a := range found {
			if !yield(a, nil) {
				return
			}
		}
	}
}

// left says what of ours is on the target: accounts that carry a tag, members
// that we granted, dormant accounts that can log in.
func (f *target) left() (left []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range slices.Sorted(maps.Keys(f.accounts)) {
		if a := f.accounts[n]; a.tag != "" || a.dormant && a.login {
			left = append(left, n)
		}
	}
	for _, m := range slices.Sorted(maps.Keys(f.members)) {
		if f.members[m] == "us" {
			left = append(left, m)
		}
	}
	return left
}

func (f *target) setFault(fault func(string, when, connector.Order) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

var _ connector.Connector = (*target)(nil)
var errSilent = context.DeadlineExceeded
var _ = time.Second
