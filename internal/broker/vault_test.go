package broker_test

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/connector"
	"stint/internal/keys"
	"stint/internal/policy"
	"stint/internal/vault"
	"stint/test/sim/simstore"
)

// lender is a target with one account that logs in with a secret, as the connector for
// PostgreSQL leaves it after each of its calls.
type lender struct {
	*target
	mu       sync.Mutex
	secret   string // empty: none opens it
	login    bool
	marks    map[access.Tag]bool
	sessions int
	stuck    atomic.Bool // nothing can be ended of accounts that are not dba
	away     atomic.Bool // nothing can be ended
	judges   bool        // it takes no secrets by orders, and compares none
}

func (l *lender) Schema() access.Schema {
	return access.Schema{Type: "fake", Mechanisms: []access.Mechanism{access.Checkout}, Connection: map[string]access.Option{
		access.SecretOption: {Doc: "what its accounts open with", Values: []string{"password", "certificate"}}}}
}

func (l *lender) Capabilities() connector.Capabilities {
	return connector.Capabilities{Mechanisms: l.Schema().Mechanisms, Sweepable: true, SessionKill: true}
}

func (l *lender) opens(s access.Secret) bool {
	return l.login && l.secret != "" && l.secret == string(s.Reveal())
}

func (l *lender) Observe(context.Context, connector.Target, connector.Order) (connector.Before, error) {
	return connector.Before{State: "{}"}, nil
}

func (l *lender) Provision(_ context.Context, _ connector.Target, o connector.Order) (connector.Receipt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := connector.Receipt{Account: "dba", Creation: "7"}
	if l.judges {
		return r, &connector.Error{Outcome: connector.NotDone, Permanent: true, Message: "this host never does that"}
	}
	for m := range l.marks {
		if m != o.Tag {
			return r, &connector.Error{Outcome: connector.NotDone, Message: "lent by another order"}
		}
	}
	if o.Renew == connector.Extend {
		return r, nil
	}
	lent := o.Secret
	l.marks[o.Tag] = true
	if !o.Next.Empty() {
		lent, l.secret, l.login, r.Turned = o.Next, string(o.Next.Reveal()), true, true
	}
	if o.Renew == connector.Rotate {
		l.sessions = 0
	}
	if !l.opens(lent) {
		return r, &connector.Error{Outcome: connector.NotDone, Message: "it does not open", Cause: connector.ErrStale}
	}
	l.sessions++ // the borrower's
	r.Credential = access.NewSecret(fmt.Appendf(nil, `{"username":"dba","password":%q}`, lent.Reveal()))
	return r, nil
}

func (l *lender) each(os []connector.Order, do func(connector.Order) error) []connector.Result {
	l.mu.Lock()
	defer l.mu.Unlock()
	rs := make([]connector.Result, len(os))
	for i, o := range os {
		if l.away.Load() || l.stuck.Load() && o.Account != "dba" {
			rs[i] = connector.Result{Outcome: connector.NotDone, Err: errors.New("stuck")}
			continue
		}
		if l.judges {
			o.Secret, o.Next = access.Secret{}, access.Secret{}
		}
		if rs[i].Err = do(o); rs[i].Err == nil {
			rs[i].Outcome = connector.Done
		} else {
			rs[i].Outcome = connector.NotDone
		}
	}
	return rs
}

func (l *lender) Revoke(_ context.Context, _ connector.Target, os []connector.Order) []connector.Result {
	return l.each(os, func(o connector.Order) error {
		if !l.marks[o.Tag] && (o.Next.Empty() || o.Creation != "" && l.opens(o.Next)) {
			return nil
		}
		l.marks[o.Tag], l.login, l.secret = true, false, string(o.Next.Reveal())
		return nil
	})
}

func (l *lender) TerminateSessions(_ context.Context, _ connector.Target, os []connector.Order) []connector.Result {
	return l.each(os, func(o connector.Order) error {
		if l.marks[o.Tag] && !l.login {
			l.sessions = 0
		}
		return nil
	})
}

func (l *lender) Remove(_ context.Context, _ connector.Target, os []connector.Order) []connector.Result {
	return l.each(os, func(o connector.Order) error {
		if !l.marks[o.Tag] {
			return nil
		}
		if l.login || l.sessions > 0 {
			return errors.New("it is in use")
		}
		if !o.Next.Empty() {
			l.login, l.secret = true, string(o.Next.Reveal())
		}
		delete(l.marks, o.Tag)
		return nil
	})
}

func (l *lender) Verify(_ context.Context, _ connector.Target, os []connector.Order) []connector.Observation {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := make([]connector.Observation, len(os))
	for i, o := range os {
		v := &seen[i]
		switch marked := l.marks[o.Tag]; {
		case marked && l.login:
			v.Presence, v.Sessions = connector.Present, l.sessions
		case marked:
			v.Sessions, v.Err = l.sessions, errors.New("locked")
		case l.judges && o.Secret.Empty() && o.Next.Empty():
			v.Presence = connector.Absent
		case l.judges && l.secret == "":
			v.Presence, v.Err = connector.Absent, connector.ErrShut
		case l.judges:
			v.Err = connector.ErrNever
		case !o.Next.Empty() && l.opens(o.Next):
			v.Presence, v.Turned = connector.Absent, true
		case !o.Next.Empty():
			v.Err = access.Fail(access.Pending, "not-turned", "it does not open yet")
		case o.Creation != "" && l.opens(o.Secret):
			v.Err = errors.New("what was lent opens")
		default:
			v.Presence = connector.Absent
		}
	}
	return seen
}

func (l *lender) Inventory(context.Context, connector.Target) iter.Seq2[connector.Artefact, error] {
	return func(yield func(connector.Artefact, error) bool) {
		l.mu.Lock()
		var tags []access.Tag
		for m := range l.marks {
			tags = append(tags, m)
		}
		l.mu.Unlock()
		for _, m := range tags {
			if !yield(connector.Artefact{Mechanism: access.Checkout, Account: "dba", Creation: "7", Tag: m, Ours: true}, nil) {
				return
			}
		}
	}
}

// process is one life of a broker: after so many steps it is dead, and neither its store
// nor its target hears of it again. The step at which it dies has its effect or not.
type process struct {
	connector.Connector
	store  *simstore.Store
	left   *atomic.Int64 // steps; below zero: it lives
	dead   atomic.Bool
	done   bool // the last step has its effect
	killed chan struct{}
}

var errDead = access.Fail(access.Unavailable, "store-dead", "this process was killed")

// step reports whether a step may have its effect, and whether its outcome is heard of.
func (p *process) step() (does, hears bool) {
	if p.dead.Load() {
		return false, false
	}
	if p.left.Load() < 0 {
		return true, true
	}
	if p.left.Add(-1) > 0 {
		return true, true
	}
	if p.dead.Swap(true) {
		return false, false
	}
	close(p.killed)
	return p.done, false
}

func (p *process) Update(ctx context.Context, fn func(broker.Tx) error) error {
	does, hears := p.step()
	if !does {
		return errDead
	}
	err := p.store.Update(ctx, fn)
	if !hears {
		return errDead
	}
	return err
}

func (p *process) View(ctx context.Context, fn func(broker.Tx) error) error {
	if p.dead.Load() {
		return errDead
	}
	return p.store.View(ctx, fn)
}

func (p *process) Provision(ctx context.Context, t connector.Target, o connector.Order) (r connector.Receipt, err error) {
	does, hears := p.step()
	if does {
		r, err = p.Connector.Provision(ctx, t, o)
	}
	if !hears {
		return connector.Receipt{}, &connector.Error{Message: "killed"}
	}
	return r, err
}

func (p *process) batch(os []connector.Order, do func() []connector.Result) []connector.Result {
	does, hears := p.step()
	rs := make([]connector.Result, len(os))
	if does {
		rs = do()
	}
	if !hears {
		rs = make([]connector.Result, len(os))
	}
	return rs
}

func (p *process) Revoke(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return p.batch(os, func() []connector.Result { return p.Connector.Revoke(ctx, t, os) })
}

func (p *process) TerminateSessions(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return p.batch(os, func() []connector.Result { return p.Connector.TerminateSessions(ctx, t, os) })
}

func (p *process) Remove(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return p.batch(os, func() []connector.Result { return p.Connector.Remove(ctx, t, os) })
}

func (p *process) Verify(ctx context.Context, t connector.Target, os []connector.Order) []connector.Observation {
	if does, hears := p.step(); !does || !hears {
		return make([]connector.Observation, len(os))
	}
	return p.Connector.Verify(ctx, t, os)
}

// bank is an installation with a vault, whose processes are killed.
type bank struct {
	*broker.Broker
	t      *testing.T
	target *lender
	store  *simstore.Store
	keys   *keys.Keys
	tagger *keys.Tagger
	lives  int
	now    *process
	stop   context.CancelFunc
	wg     sync.WaitGroup
}

const bankDocuments = `
kind: Resource
name: db
type: fake
criticality: high
connection: {address: "127.0.0.1:1", credential: login}
---
kind: Role
name: borrow
resources: {names: [db]}
mechanism: checkout
fake: {account: dba}
maxDuration: 4h
---
kind: Policy
name: at-once
subjects: [group:platform]
roles: [borrow]
require: {maxDuration: 2h}
`

// openBank is called within a bubble.
func openBank(t *testing.T) *bank {
	b := &bank{t: t, target: &lender{target: newTarget(), secret: "imported", login: true, marks: map[access.Tag]bool{}}, store: simstore.New(time.Now)}
	k, err := keys.Create(filepath.Join(t.TempDir(), "seal.key"))
	must(t, err)
	blob, err := k.NewTagKey()
	must(t, err)
	b.keys = k
	b.tagger, err = k.Tagger(blob)
	must(t, err)
	must(t, b.store.Update(t.Context(), func(tx broker.Tx) error { return tx.SavePrincipals(people()...) }))
	b.live(-1, false)
	must(t, b.SetCredential(t.Context(), b.as("root"), access.Credential{Name: "login", Type: "fake", Address: "127.0.0.1:1", Username: "stint"}, access.NewSecret([]byte("pw"))))
	_, err = b.Apply(t.Context(), b.as("root"), []policy.File{{Name: "bank.yaml", Text: bankDocuments}}, false)
	must(t, err)
	t.Cleanup(func() {})
	return b
}

func (b *bank) as(name string) broker.Caller { return (&installation{}).as(name) }

// live begins a life of so many steps.
func (b *bank) live(steps int64, done bool) {
	b.t.Helper()
	b.lives++
	p := &process{Connector: b.target, store: b.store, left: new(atomic.Int64), done: done, killed: make(chan struct{})}
	p.left.Store(-1)
	x, err := broker.New(broker.Config{Store: p, Connectors: map[string]connector.Connector{"fake": p}, Tagger: b.tagger, Vault: b.keys,
		SealTo: func(_ []byte, info string, plain []byte) ([]byte, error) {
			return []byte(info + "|" + string(plain)), nil
		},
		Installation: "test", Epoch: 1, Replica: fmt.Sprintf("life-%d", b.lives), Alone: true, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	must(b.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	b.Broker, b.now, b.stop = x, p, cancel
	b.wg.Go(func() { _ = x.Run(ctx) })
	p.left.Store(steps)
}

// entry is what the vault has.
func (b *bank) entry() (v vault.Entry) {
	b.t.Helper()
	must(b.t, b.store.View(context.Background(), func(tx broker.Tx) (err error) { v, err = tx.Vaulted("dba"); return err }))
	return v
}

func (b *bank) plain(v vault.Entry, s vault.Version) string {
	b.t.Helper()
	plain, err := b.keys.Open(vault.Purpose, v.Place(s.Number), s.Sealed)
	must(b.t, err)
	return string(plain)
}

// known fails where the account opens with something that the vault does not have.
func (b *bank) known(when string) {
	b.t.Helper()
	v := b.entry()
	b.target.mu.Lock()
	secret := b.target.secret
	b.target.mu.Unlock()
	for _, s := range v.Secrets {
		if s.State != vault.Dead && b.plain(v, s) == secret {
			return
		}
	}
	b.t.Fatalf("%s: the account has a secret that nobody knows: %+v", when, v)
}

// settled waits until nothing is lent and nothing is rotated, and fails where it is locked.
func (b *bank) settled(when string) {
	b.t.Helper()
	for range 600 {
		v := b.entry()
		busy := v.Stand() != vault.Ready
		must(b.t, b.store.View(context.Background(), func(tx broker.Tx) error {
			_, err := tx.LiveEntitlement(v.At, v.Key())
			busy = busy || err == nil
			return nil
		}))
		if !busy {
			c, _ := v.Current()
			b.target.mu.Lock()
			defer b.target.mu.Unlock()
			if !b.target.login || len(b.target.marks) > 0 || b.target.sessions > 0 || b.target.secret != b.plain(v, c) {
				b.t.Fatalf("%s: settled, and the account is login %v, marks %v, sessions %d, its own secret %v", when, b.target.login, b.target.marks, b.target.sessions, b.target.secret == b.plain(v, c))
			}
			return
		}
		time.Sleep(time.Second)
	}
	b.t.Fatalf("%s: it does not settle: %+v", when, b.entry())
}

// borrow asks for the account; what fails because the process is dead is nobody's business.
func (b *bank) borrow(name string, d time.Duration) access.RequestID {
	v, err := b.Submit(context.Background(), b.as(name), broker.Ask{Resource: "db", Role: "borrow", Duration: d, Reason: "look at stuck orders"})
	if err != nil {
		return ""
	}
	return v.Request.ID
}

// TestT55FiveHundredKills: processes are killed five hundred times in the middle of lending,
// giving back, rotating and healing, each at a step of its own, before or after the step
// had its effect. At each death the vault knows what opens the account; and after the next
// life has gone on, the account is not locked, and what was lent is dead.
func TestT55FiveHundredKills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openBank(t)
		_, err := b.AddVaulted(t.Context(), b.as("root"), broker.Vaulting{Name: "dba", Resource: "db", Account: "dba"})
		must(t, err)
		b.settled("the first secret")
		rng := rand.New(rand.NewPCG(47, 48))
		const kills = 500
		died := 0
		for trial := 0; died < kills; trial++ {
			if trial > 4*kills {
				t.Fatalf("only %d of %d lives were cut short", died, trial)
			}
			when := fmt.Sprintf("trial %d", trial)
			b.stop()
			b.live(rng.Int64N(28)+1, rng.IntN(2) == 0)
			byHand := false
			switch rng.IntN(5) {
			case 0:
				_, _ = b.RotateVaulted(context.Background(), b.as("root"), "dba", "suspicion")
			case 1: // one of two leaves
				id := b.borrow("mira", 20*time.Second)
				b.borrow("noor", 40*time.Second)
				time.Sleep(time.Second)
				if id != "" {
					_, _ = b.End(context.Background(), b.as("mira"), string(id), "done")
				}
			case 2: // somebody has changed it by hand
				b.target.mu.Lock()
				b.target.secret, byHand = "by hand", true
				b.target.mu.Unlock()
				b.borrow("mira", 5*time.Second)
			default:
				if id := b.borrow("mira", 5*time.Second); id != "" && rng.IntN(2) == 0 {
					time.Sleep(100 * time.Millisecond)
					_, _ = b.End(context.Background(), b.as("mira"), string(id), "done")
				}
			}
			select {
			case <-b.now.killed:
				died++
			case <-time.After(30 * time.Second):
			}
			b.stop()
			synctest.Wait()
			b.target.mu.Lock()
			b.target.sessions = min(b.target.sessions, 2)
			untouched := b.target.secret == "by hand"
			b.target.mu.Unlock()
			if !byHand || !untouched {
				b.known(when)
			}
			b.live(-1, false)
			if byHand && untouched { // nobody has noticed yet; the next who borrows it does
				b.borrow("noor", 2*time.Second)
				time.Sleep(5 * time.Second)
			}
			b.settled(when)
		}
		b.stop()
		b.wg.Wait()
		t.Logf("%d kills, %d secrets", died, b.entry().Next()-1)
	})
}

// TestVaultDoors: who may put what into the vault, and take it out; and nothing that it
// gives out has ciphertext.
func TestVaultDoors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openBank(t)
		ctx := t.Context()
		add := broker.Vaulting{Name: "dba", Resource: "db", Account: "dba", Secret: access.NewSecret([]byte("imported")), RotateEvery: time.Hour}
		wants := func(what string, err error, want access.Kind) {
			t.Helper()
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, want %s", what, err, want)
			}
		}
		_, err := b.AddVaulted(ctx, b.as("mira"), add)
		wants("by a member", err, access.Denied)
		wrong := add
		wrong.Secret = access.NewSecret([]byte("guessed"))
		_, err = b.AddVaulted(ctx, b.as("root"), wrong)
		wants("a secret that does not open", err, access.Invalid)
		if id := b.borrow("mira", time.Minute); id != "" {
			t.Error("what is not in the vault is lent")
		}
		_, err = b.AddVaulted(ctx, b.as("root"), add)
		must(t, err)
		wrong = add
		wrong.Name = "other"
		_, err = b.AddVaulted(ctx, b.as("root"), wrong)
		wants("an account twice", err, access.Conflict)
		_, err = b.Vaulted(ctx, b.as("mira"), "dba")
		wants("looked at by a member", err, access.Denied)
		vs, err := b.Vaulted(ctx, b.as("root"), "dba")
		must(t, err)
		if len(vs) != 1 || vs[0].Secrets[0].Sealed != nil || vs[0].Stand() != vault.Ready {
			t.Errorf("%+v", vs)
		}
		_, err = b.RotateVaulted(ctx, b.as("root"), "dba", "")
		wants("without a reason", err, access.Invalid)
		_, err = b.Vaulted(ctx, b.as("root"), "dbb")
		wants("a name that is not there", err, access.NotFound)

		time.Sleep(2 * time.Hour) // its time comes
		b.settled("rotated by itself")
		if v := b.entry(); v.Next() < 3 {
			t.Errorf("it was not rotated by itself: %+v", v)
		}
		ready := b.entry()
		id := b.borrow("mira", 10*time.Minute)
		time.Sleep(time.Second)
		before := b.entry()
		if before.Stand() != vault.Out {
			t.Errorf("lent, and %s", before.Stand())
		}
		if before.Next() != ready.Next() || !before.DriftAt.IsZero() {
			t.Errorf("what opened the account was not lent as it is: %+v", before)
		}
		_, err = b.RemoveVaulted(ctx, b.as("root"), "dba")
		wants("what is lent", err, access.Conflict)
		first, err := b.Credential(ctx, b.as("mira"), string(id))
		must(t, err)
		shown := func() (n int) {
			for _, ev := range b.store.Log() {
				if ev.Type == access.CredentialShown {
					n++
				}
			}
			return n
		}
		known := func(x access.Sealed) bool { return x.Rev == first.Newest().Rev }
		if again, err := b.CredentialAnew(ctx, b.as("mira"), string(id), known); err != nil || !again.Unchanged || shown() != 1 {
			t.Errorf("what is known is shown again: %+v, %v, shown %d times", again, err, shown())
		}
		_, err = b.RotateVaulted(ctx, b.as("root"), "dba", "it was on a screen")
		must(t, err)
		time.Sleep(30 * time.Second)
		if anew, err := b.CredentialAnew(ctx, b.as("mira"), string(id), known); err != nil || anew.Unchanged || shown() != 2 {
			t.Errorf("a new one is not shown: %v, shown %d times", err, shown())
		}
		if v := b.entry(); v.Stand() != vault.Out || v.Next() != before.Next()+1 {
			t.Errorf("on suspicion, while it is lent: %+v", v)
		}
		got, err := b.Credential(ctx, b.as("mira"), string(id))
		must(t, err)
		v := b.entry()
		c, _ := v.Current()
		if want := b.plain(v, c); len(got.Sealed) != 1 || !containsText(got.Sealed[0].Blob, want) {
			t.Error("who holds it was not given the new one")
		}
		_, err = b.End(ctx, b.as("mira"), string(id), "done")
		must(t, err)
		b.settled("given back")
		_, err = b.RemoveVaulted(ctx, b.as("root"), "dba")
		must(t, err)
		b.stop()
		b.wg.Wait()
	})
}

// judge has the target take no secrets by orders from now on, or again.
func (b *bank) judge(yes bool) {
	b.target.mu.Lock()
	defer b.target.mu.Unlock()
	b.target.judges = yes
}

// until waits until the entry is so.
func (b *bank) until(what string, so func(vault.Entry) bool) {
	b.t.Helper()
	for range 3600 {
		if so(b.entry()) {
			return
		}
		time.Sleep(time.Second)
	}
	b.t.Fatalf("never: %s: %+v", what, b.entry())
}

// free reports that no entitlement of the account is live.
func (b *bank) free() (free bool) {
	b.t.Helper()
	v := b.entry()
	must(b.t, b.store.View(context.Background(), func(tx broker.Tx) error {
		_, err := tx.LiveEntitlement(v.At, v.Key())
		free = err != nil
		return nil
	}))
	return free
}

func (b *bank) logged(kind access.EventType) (n int) {
	for _, ev := range b.store.Log() {
		if ev.Type == kind {
			n++
		}
	}
	return n
}

// TestVaultOfAJudgedTarget: a target begins to take no secrets by orders while an account of
// it is in the vault. What was lent ends, without a password, and is told once; what nobody
// has can be taken out, in the midst of the rotation that is not done; and what is lent, or
// may open still, cannot.
func TestVaultOfAJudgedTarget(t *testing.T) {
	open := func(t *testing.T) *bank {
		b := openBank(t)
		_, err := b.AddVaulted(t.Context(), b.as("root"), broker.Vaulting{Name: "dba", Resource: "db", Account: "dba"})
		must(t, err)
		b.settled("the first secret")
		return b
	}
	shut := func(b *bank) { b.stop(); b.wg.Wait() }
	t.Run("lent", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := open(t)
			defer shut(b)
			id := b.borrow("mira", time.Hour)
			b.until("lent", func(v vault.Entry) bool { return v.Out != "" })
			b.judge(true)
			_, err := b.RemoveVaulted(t.Context(), b.as("root"), "dba")
			if !errors.Is(err, access.Conflict) {
				t.Errorf("what is lent was taken out: %v", err)
			}
			_, err = b.End(t.Context(), b.as("mira"), string(id), "done")
			must(t, err)
			b.until("emptied", func(v vault.Entry) bool { return v.Out == "" && !v.NeverAt.IsZero() })
			v := b.entry()
			if _, known := v.Current(); known || !strings.Contains(v.Trouble, "none") || b.target.secret != "" {
				t.Errorf("%+v", v)
			}
			asked := b.logged(access.EntitlementGone)
			time.Sleep(10 * 24 * time.Hour) // it is asked again, ever more rarely, and not told again
			for _, ev := range b.store.Log() {
				if ev.Type == vault.Emptied && !strings.Contains(ev.Facts["said"], "none") {
					t.Errorf("it does not say why: %v", ev.Facts)
				}
			}
			if n := b.logged(vault.Emptied); n != 1 {
				t.Errorf("told %d times", n)
			}
			if n := b.logged(access.EntitlementGone) - asked; n < 10 || n > 20 {
				t.Errorf("asked %d times in ten days", n)
			}
			if n := b.logged(broker.RemovalTrouble); n != 0 {
				t.Errorf("%d troubles beside the one that says what it is", n)
			}
			// A target that takes secrets again gets the one that waits.
			b.judge(false)
			_, err = b.RotateVaulted(t.Context(), b.as("root"), "dba", "the roster is gone")
			must(t, err)
			b.settled("the roster is gone")
			b.judge(true)
			_, err = b.RotateVaulted(t.Context(), b.as("root"), "dba", "again")
			must(t, err)
			b.until("refused", func(v vault.Entry) bool { return !v.NeverAt.IsZero() })
			_, err = b.RemoveVaulted(t.Context(), b.as("root"), "dba")
			must(t, err)
		})
	})
	t.Run("emptied and taken out", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := open(t)
			defer shut(b)
			id := b.borrow("mira", time.Hour)
			b.until("lent", func(v vault.Entry) bool { return v.Out != "" })
			b.judge(true)
			_, err := b.End(t.Context(), b.as("mira"), string(id), "done")
			must(t, err)
			b.until("emptied", func(v vault.Entry) bool { return v.Out == "" && !v.NeverAt.IsZero() })
			v, err := b.RemoveVaulted(t.Context(), b.as("root"), "dba")
			must(t, err)
			for _, s := range v.Secrets {
				if s.State != vault.Dead || s.Sealed != nil {
					t.Errorf("%d is %s, and kept", s.Number, s.State)
				}
			}
		})
	})
	t.Run("not lent", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := open(t)
			defer shut(b)
			has := b.target.secret
			b.judge(true)
			_, err := b.RotateVaulted(t.Context(), b.as("root"), "dba", "it was on a screen")
			must(t, err)
			b.until("refused", func(v vault.Entry) bool { return !v.NeverAt.IsZero() })
			if b.free() {
				t.Error("a rotation that was not done is over")
			}
			_, err = b.RemoveVaulted(t.Context(), b.as("root"), "dba")
			must(t, err)
			for range 600 {
				if b.free() {
					break
				}
				time.Sleep(time.Second)
			}
			if !b.free() || b.target.secret != has || !b.target.login {
				t.Errorf("free %t, the account was changed %t", b.free(), b.target.secret != has)
			}
		})
	})
	t.Run("lent, and what it is marked by is lost", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := open(t)
			defer shut(b)
			id := b.borrow("mira", time.Hour)
			b.until("lent", func(v vault.Entry) bool { return v.Out != "" })
			b.target.mu.Lock()
			b.target.judges, b.target.sessions = true, 0
			clear(b.target.marks)
			b.target.mu.Unlock()
			_, err := b.End(t.Context(), b.as("mira"), string(id), "done")
			must(t, err)
			b.until("refused", func(v vault.Entry) bool { return !v.NeverAt.IsZero() })
			if b.entry().Out == "" || b.free() {
				t.Error("what may open still counts as taken away")
			}
			if _, err := b.RemoveVaulted(t.Context(), b.as("root"), "dba"); !errors.Is(err, access.Conflict) {
				t.Errorf("it was taken out: %v", err)
			}
			b.target.mu.Lock()
			b.target.secret = "" // as the error says: by hand
			b.target.mu.Unlock()
			b.until("emptied", func(v vault.Entry) bool { return v.Out == "" })
			_, err = b.RemoveVaulted(t.Context(), b.as("root"), "dba")
			must(t, err)
		})
	})
}

// TestT55SwappedRowsDoNotOpen: ciphertext in the place of another's opens nothing, and is
// not lent.
func TestT55SwappedRowsDoNotOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openBank(t)
		_, err := b.AddVaulted(t.Context(), b.as("root"), broker.Vaulting{Name: "dba", Resource: "db", Account: "dba"})
		must(t, err)
		b.settled("the first secret")
		must(t, b.store.Update(t.Context(), func(tx broker.Tx) error {
			v, err := tx.Vaulted("dba")
			if err != nil {
				return err
			}
			other := vault.Entry{Name: "other", At: v.At, Account: "other", Kind: vault.Password}
			for i := range v.Secrets {
				if v.Secrets[i].State == vault.Current {
					if v.Secrets[i].Sealed, err = b.keys.Seal(vault.Purpose, other.Place(v.Secrets[i].Number), []byte("imported")); err != nil {
						return err
					}
				}
			}
			return tx.SaveVault(v)
		}))
		id := b.borrow("mira", 2*time.Minute)
		if id == "" {
			t.Fatal("nothing was asked for, so nothing could be lent")
		}
		time.Sleep(time.Minute)
		got, err := b.Credential(t.Context(), b.as("mira"), string(id))
		must(t, err)
		if len(got.Sealed) != 1 || containsText(got.Sealed[0].Blob, "imported") {
			t.Error("a secret of another place was lent")
		}
		b.stop()
		b.wg.Wait()
	})
}

// TestT55SwappedKindsDoNotOpen: ciphertext of a secret of one kind opens nothing where the row
// says that it is of another; and an entry of another kind than its resource is not lent.
func TestT55SwappedKindsDoNotOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openBank(t)
		_, err := b.AddVaulted(t.Context(), b.as("root"), broker.Vaulting{Name: "dba", Resource: "db", Account: "dba"})
		must(t, err)
		b.settled("the first secret")
		v := b.entry()
		c, _ := v.Current()
		for _, kind := range []vault.Kind{vault.Token, vault.Key, vault.Certificate} {
			other := v
			other.Kind = kind
			if _, err := b.keys.Open(vault.Purpose, other.Place(c.Number), c.Sealed); err == nil {
				t.Errorf("a password opens as a %s", kind)
			}
		}
		must(t, b.store.Update(t.Context(), func(tx broker.Tx) error {
			v, err := tx.Vaulted("dba")
			if err != nil {
				return err
			}
			v.Kind = vault.Token
			return tx.SaveVault(v)
		}))
		_, err = b.Submit(t.Context(), b.as("mira"), broker.Ask{Resource: "db", Role: "borrow", Duration: time.Minute, Reason: "look at stuck orders"})
		if err == nil {
			time.Sleep(time.Minute)
		}
		if b.entry().Out != "" {
			t.Error("a secret of another kind was lent")
		}
		b.stop()
		b.wg.Wait()
	})
}

// certify has the accounts of the bank open with certificates.
func (b *bank) certify() {
	b.t.Helper()
	text := strings.Replace(bankDocuments, `{address: "127.0.0.1:1", credential: login}`, `{address: "127.0.0.1:1", credential: login, secret: certificate}`, 1)
	_, err := b.Apply(b.t.Context(), b.as("root"), []policy.File{{Name: "bank.yaml", Text: text}}, false)
	must(b.t, err)
}

// TestCertificateIsReplacedInTime: a certificate is replaced when a third of its time is left,
// be it one that Stint made, or one that somebody brought.
func TestCertificateIsReplacedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openBank(t)
		b.certify()
		brought, until, err := vault.NewCertificate("dba", crand.Reader, time.Now().Add(30*time.Minute-vault.CertificateLife)) // good for half an hour
		must(t, err)
		b.target.secret = string(brought.Reveal())
		began := time.Now()
		v, err := b.AddVaulted(t.Context(), b.as("root"), broker.Vaulting{Name: "dba", Resource: "db", Account: "dba", Secret: brought})
		must(t, err)
		if c, _ := v.Current(); !c.NotAfter.Equal(until) || v.Kind != vault.Certificate {
			t.Errorf("%s, good until %s, and not until %s", v.Kind, c.NotAfter, until)
		}
		for b.entry().Next() < 3 && time.Since(began) < time.Hour {
			time.Sleep(15 * time.Second)
		}
		if after := time.Since(began); after < 19*time.Minute || after > 22*time.Minute {
			t.Errorf("replaced after %s", after)
		}
		b.settled("replaced")
		v = b.entry()
		c, _ := v.Current()
		if c.Number != 2 || time.Until(c.NotAfter) < vault.CertificateLife-time.Hour || c.NotAfter.Sub(v.RotateAt()) < vault.CertificateLife/4 {
			t.Errorf("number %d, good until %s, to be rotated at %s", c.Number, c.NotAfter, v.RotateAt())
		}
		if text := b.plain(v, c); !strings.HasPrefix(text, "-----BEGIN CERTIFICATE-----\n") || strings.Count(text, "-----BEGIN ") != 2 {
			t.Error("it is no certificate with its key")
		}
		b.stop()
		b.wg.Wait()
	})
}

// TestCertificateThatEndedIsNotLent: whoever borrows an account whose certificate could not be
// replaced in time gets a fresh one, and nobody is said to have changed it by hand.
func TestCertificateThatEndedIsNotLent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openBank(t)
		b.certify()
		_, err := b.AddVaulted(t.Context(), b.as("root"), broker.Vaulting{Name: "dba", Resource: "db", Account: "dba"})
		must(t, err)
		b.settled("the first certificate")
		must(t, b.store.Update(t.Context(), func(tx broker.Tx) error {
			v, err := tx.Vaulted("dba")
			v = v.Defer("its target is away", time.Now().Add(24*time.Hour))
			v.Secrets = slices.Clone(v.Secrets)
			v.Secrets[0].NotAfter = time.Now()
			return errors.Join(err, tx.SaveVault(v))
		}))
		id := b.borrow("mira", time.Hour)
		time.Sleep(time.Minute)
		got, err := b.Credential(t.Context(), b.as("mira"), string(id))
		must(t, err)
		v := b.entry()
		if c, _ := v.Current(); c.Number != 2 || len(got.Sealed) != 1 || v.Out == "" || !v.DriftAt.IsZero() {
			t.Errorf("number %d is lent, drifted at %s", c.Number, v.DriftAt)
		}
		for _, s := range v.Secrets[1:] {
			if s.Why != "it had ended" {
				t.Errorf("number %d was made because %q", s.Number, s.Why)
			}
		}
		b.stop()
		b.wg.Wait()
	})
}

// TestCertificateThatEndedOnTheWay: one that was to be set, and ended before its target could
// be asked, is not set any more: another is, and the account is not locked out.
func TestCertificateThatEndedOnTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openBank(t)
		b.certify()
		_, err := b.AddVaulted(t.Context(), b.as("root"), broker.Vaulting{Name: "dba", Resource: "db", Account: "dba"})
		must(t, err)
		b.settled("the first certificate")
		b.target.away.Store(true)
		_, err = b.RotateVaulted(t.Context(), b.as("root"), "dba", "on a screenshot")
		must(t, err)
		time.Sleep(time.Minute)
		old, under := b.entry().Pending()
		if !under {
			t.Fatal("nothing is under way")
		}
		ends := time.Now().Add(10 * time.Minute)
		must(t, b.store.Update(t.Context(), func(tx broker.Tx) error {
			v, err := tx.Vaulted("dba")
			v.Secrets = slices.Clone(v.Secrets)
			v.Secrets[len(v.Secrets)-1].NotAfter = ends
			return errors.Join(err, tx.SaveVault(v))
		}))
		time.Sleep(5 * time.Minute)
		if p, _ := b.entry().Pending(); p.Number != old.Number {
			t.Error("another was begun before it ended")
		}
		time.Sleep(time.Until(ends) + time.Minute)
		b.target.away.Store(false)
		b.settled("the target is back")
		v := b.entry()
		if c, _ := v.Current(); c.Number != old.Number+1 {
			t.Errorf("the account has number %d, and number %d had ended", c.Number, old.Number)
		}
		for _, s := range v.Secrets {
			if s.Number == old.Number && (s.State != vault.Dead || s.Sealed != nil) {
				t.Errorf("what ended is %s", s.State)
			}
		}
		b.stop()
		b.wg.Wait()
	})
}

// TestStuckRotationsStarveNobody: with more stuck rotations than one look orders, whatever
// is due after them is rotated all the same.
func TestStuckRotationsStarveNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openBank(t)
		_, err := b.AddVaulted(t.Context(), b.as("root"), broker.Vaulting{Name: "dba", Resource: "db", Account: "dba"})
		must(t, err)
		b.settled("the first secret")
		b.target.stuck.Store(true)
		at := b.entry().At
		must(t, b.store.Update(t.Context(), func(tx broker.Tx) error {
			for i := range 150 {
				e, _, err := vault.Add(vault.Entry{Name: fmt.Sprintf("a%03d", i), Resource: "db", At: at, Account: fmt.Sprintf("a%03d", i), Kind: vault.Password}, nil, vault.Fresh{}, access.System, tx.Now())
				if err != nil {
					return err
				}
				if err := tx.SaveVault(e); err != nil {
					return err
				}
			}
			return nil
		}))
		time.Sleep(3 * time.Minute) // all of these are under way, and stay so
		must(t, b.store.View(t.Context(), func(tx broker.Tx) error {
			for i := range 150 {
				if _, err := tx.LiveEntitlement(at, access.CheckoutKey(fmt.Sprintf("a%03d", i))); err != nil {
					t.Errorf("a%03d is not tried: %v", i, err)
				}
			}
			return nil
		}))
		before := b.entry().Next()
		_, err = b.RotateVaulted(t.Context(), b.as("root"), "dba", "it was on a screen")
		must(t, err)
		b.settled("behind those that are stuck")
		if b.entry().Next() != before+1 {
			t.Error("it was not rotated")
		}
		b.stop()
		b.wg.Wait()
	})
}

// damage changes the ciphertext of the current secret.
func (b *bank) damage() {
	b.t.Helper()
	must(b.t, b.store.Update(b.t.Context(), func(tx broker.Tx) error {
		v, err := tx.Vaulted("dba")
		if err != nil {
			return err
		}
		for i := range v.Secrets {
			if v.Secrets[i].State == vault.Current {
				v.Secrets[i].Sealed[len(v.Secrets[i].Sealed)-1] ^= 1
			}
		}
		return tx.SaveVault(v)
	}))
}

// TestUnreadableSecretLocksNobodyOut: a ciphertext that does not open is told of, and a fresh
// secret takes its place, by a rotation as by a lending. While it is lent it cannot be proven
// that what was lent is dead: then the account is locked, and stays it.
func TestUnreadableSecretLocksNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openBank(t)
		_, err := b.AddVaulted(t.Context(), b.as("root"), broker.Vaulting{Name: "dba", Resource: "db", Account: "dba"})
		must(t, err)
		b.settled("the first secret")
		told := func(want int) {
			t.Helper()
			got := 0
			for _, ev := range b.store.Log() {
				if ev.Type == vault.Unread {
					got++
				}
			}
			if got != want {
				t.Errorf("told %d times, want %d", got, want)
			}
		}
		b.damage()
		_, err = b.RotateVaulted(t.Context(), b.as("root"), "dba", "a test")
		must(t, err)
		b.settled("rotated")
		told(1)

		b.damage()
		id := b.borrow("mira", 10*time.Minute)
		time.Sleep(5 * time.Second)
		got, err := b.Credential(t.Context(), b.as("mira"), string(id))
		must(t, err)
		v := b.entry()
		c, _ := v.Current()
		if len(got.Sealed) != 1 || !containsText(got.Sealed[0].Blob, b.plain(v, c)) || v.Stand() != vault.Out {
			t.Errorf("lent: %+v", v)
		}
		b.known("lent")
		_, err = b.End(t.Context(), b.as("mira"), string(id), "done")
		must(t, err)
		b.settled("given back")
		told(2)

		id = b.borrow("mira", 10*time.Minute)
		time.Sleep(5 * time.Second)
		b.damage()
		_, err = b.End(t.Context(), b.as("mira"), string(id), "done")
		must(t, err)
		time.Sleep(2 * time.Minute)
		told(3)
		b.target.mu.Lock()
		login, secret := b.target.login, b.target.secret
		b.target.mu.Unlock()
		if v := b.entry(); login || secret != "" || v.Out == "" || v.Trouble == "" {
			t.Errorf("what was lent, and cannot be proven dead: login %v, secret %v, %+v", login, secret != "", v)
		}
		b.stop()
		b.wg.Wait()
	})
}

func containsText(blob []byte, text string) bool { return strings.Contains(string(blob), text) }
