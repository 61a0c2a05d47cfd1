package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/connector"
)

// burying is a store that knows whether the process behind a name is dead.
type burying struct {
	broker.Store
	dead bool
}

func (s burying) Update(ctx context.Context, fn func(broker.Tx) error) error {
	return s.Store.Update(ctx, func(tx broker.Tx) error { return fn(buryingTx{tx, s.dead}) })
}

type buryingTx struct {
	broker.Tx
	dead bool
}

func (tx buryingTx) Bury(string) (bool, error) { return tx.dead, nil }

// peers are other processes that are never heard.
type peers struct {
	mu      sync.Mutex
	vouched bool
}

func (*peers) Tell(access.Notice) {}

func (p *peers) Vouched() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.vouched
}

func (p *peers) set(vouched bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.vouched = vouched
}

// broker is a process that has not begun yet, and is no replica of the schedule: its calls
// happen as they come.
func (w *world) broker(name string, s broker.Store, p broker.Peers, at *wire) *broker.Broker {
	at.Connector = w.targets.Connector()
	var conn connector.Connector = at
	switch {
	case at.as != nil:
		conn = at.as
	case at.beats != nil:
		conn = beacon{at}
	}
	c := broker.Config{Integrations: []access.Schema{deskSchema}, Sets: sets, Store: s, Connectors: map[string]connector.Connector{conn.Type(): conn},
		Tagger: w.tagger, Vault: clearVault{}, SealTo: sealInClear, Installation: "sim", Epoch: 1,
		Replica: name, Log: discard, Rand: w.randomness(90000 + len(w.overs))}
	c.Alone, c.Journal, c.Epoch = at.alone, at.journal, max(1, at.epoch)
	if at.seal != nil {
		c.SealTo = at.seal
	}
	if at.vault != nil {
		c.Vault = at.vault
	}
	if p != nil {
		c.Peers = p
	}
	if at.clock != nil {
		c.Clock = at.clock
	}
	b, err := broker.New(c)
	if err != nil {
		panic(err) // the configuration is the simulator's own
	}
	return b
}

// life runs such a process.
func (w *world) life(name string, s broker.Store, p broker.Peers, at *wire) (b *broker.Broker, stop func()) {
	b = w.broker(name, s, p, at)
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	w.overs = append(w.overs, over)
	w.people.Go(func() {
		for !w.closed {
			time.Sleep(time.Second)
		}
		cancel()
	})
	go func() {
		defer close(over)
		_ = b.Run(ctx) // ends when the story does
	}()
	return b, func() { cancel(); <-over }
}

// process is one that lives as long as the story.
func (w *world) process(name string, s broker.Store, p broker.Peers, at *wire) *broker.Broker {
	b, _ := w.life(name, s, p, at)
	return b
}

// attempt lets a person ask one process for something.
func (w *world) attempt(b *broker.Broker, who string, role access.RoleName, d time.Duration) (access.GrantID, error) {
	key := fmt.Sprintf("%s-%s-%d", who, role, time.Now().UnixNano())
	v, err := b.Submit(context.Background(), caller1(who), broker.Ask{Resource: "db0", Role: role, Duration: d, Reason: key, Key: key, Body: access.Digest{1}})
	if err == nil && v.Grant == nil {
		err = errors.New("sim: it is not granted")
	}
	if err != nil {
		return "", err
	}
	return v.Grant.ID, nil
}

func (w *world) submit(b *broker.Broker, who string, role access.RoleName, d time.Duration) access.GrantID {
	id, err := w.attempt(b, who, role, d)
	w.insist(err)
	return id
}

// wire is the way of one process to the targets, which can hang.
type wire struct {
	connector.Connector
	beats   *beats
	as      connector.Connector // what its process has in its place; nil: itself
	epoch   int64               // of its process; 0: the first
	alone   bool                // its process is the only one
	clock   broker.Clock        // of its process; nil: nobody asks for it
	journal broker.Journal      // of its process
	// seal encrypts to devices in the place of the simulator's way.
	seal  func(public []byte, info string, plain []byte) ([]byte, error)
	vault broker.Vault // of its logins; nil: one that always opens
	// meets comes before a call about one order has an effect, which is the error that
	// it returns; after comes when something was made. Both may be nil.
	meets func(call string, o connector.Order) error
	after func(o connector.Order, made connector.Receipt)

	mu      sync.Mutex
	tried   int
	sent    int
	waiting int
	cut     int // calls whose callers left
	lastCut time.Time
	made    connector.Receipt // the last
	lying   []string          // what says that it is done and is not
	lies    int               // so many times more
	stuck   string            // the right that cannot be taken away
	open    chan struct{}     // calls that create wait for it; nil: they need not
}

func (x *wire) hang() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.open = make(chan struct{})
}

func (x *wire) goOn() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.open != nil {
		close(x.open)
		x.open = nil
	}
}

// next lets those that come from now on through; who waits, waits on.
func (x *wire) next() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.open = nil
}

func (x *wire) waits() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.waiting
}

func (x *wire) cutAt() time.Time {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.lastCut
}

func (x *wire) cutOff() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.cut
}

// Provision waits while the wire hangs, for as long as its caller does.
func (x *wire) Provision(ctx context.Context, t connector.Target, o connector.Order) (connector.Receipt, error) {
	x.mu.Lock()
	x.tried++
	open := x.open
	x.waiting++
	x.mu.Unlock()
	defer func() {
		x.mu.Lock()
		x.waiting--
		x.mu.Unlock()
	}()
	if open != nil {
		select {
		case <-open:
		case <-ctx.Done():
			x.mu.Lock()
			x.cut++
			x.lastCut = time.Now()
			x.mu.Unlock()
			return connector.Receipt{}, &connector.Error{Outcome: connector.Unknown, Message: "the target did not answer", Cause: ctx.Err()}
		}
	}
	if err := x.met("provision", o); err != nil {
		return connector.Receipt{}, err
	}
	x.mu.Lock()
	x.sent++
	lies := x.lies > 0 && slices.Contains(x.lying, "provision")
	if lies {
		x.lies--
	}
	x.mu.Unlock()
	if lies {
		return connector.Receipt{Account: "stint_not_there"}, nil
	}
	made, err := x.Connector.Provision(ctx, t, o)
	x.mu.Lock()
	x.made = made
	after := x.after
	x.mu.Unlock()
	if after != nil && err == nil {
		after(o, made)
	}
	return made, err
}

func (x *wire) met(call string, o connector.Order) error {
	x.mu.Lock()
	meets := x.meets
	x.mu.Unlock()
	if meets == nil {
		return nil
	}
	return meets(call, o)
}

// meet has something happen before each call about one order; nil: no more.
func (x *wire) meet(do func(call string, o connector.Order) error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.meets = do
}

func (x *wire) count() (tried, sent int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.tried, x.sent
}

// Claim marks the target as ours.
func (x *wire) Claim(ctx context.Context, t connector.Target, want connector.Claim) error {
	if err := x.met("claim", connector.Order{}); err != nil {
		return err
	}
	return x.Connector.Claim(ctx, t, want)
}

// Observe reads the state before.
func (x *wire) Observe(ctx context.Context, t connector.Target, o connector.Order) (connector.Before, error) {
	if err := x.met("observe", o); err != nil {
		return connector.Before{}, err
	}
	return x.Connector.Observe(ctx, t, o)
}

// login is what was made last.
func (x *wire) login() (l struct{ Username, Password string }) {
	x.mu.Lock()
	defer x.mu.Unlock()
	_ = json.Unmarshal(x.made.Credential.Reveal(), &l) // who signs in with nothing notices
	return l
}

func (x *wire) lie(times int, calls []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.lies, x.lying = times, calls
}

func (x *wire) take(call string, os []connector.Order, do func([]connector.Order) []connector.Result) []connector.Result {
	for _, o := range os {
		if err := x.met(call, o); err != nil {
			return slices.Repeat([]connector.Result{{Outcome: connector.NotDone, Err: err}}, len(os))
		}
	}
	x.mu.Lock()
	lies := x.lies > 0 && slices.Contains(x.lying, call)
	if lies && call == x.lying[len(x.lying)-1] {
		x.lies--
	}
	stuck := x.stuck
	x.mu.Unlock()
	if !lies && stuck == "" {
		return do(os)
	}
	rs := make([]connector.Result, len(os))
	for i, o := range os {
		switch {
		case lies:
			rs[i].Outcome = connector.Done
		case slices.Contains(o.Rights, stuck):
			rs[i] = connector.Result{Outcome: connector.NotDone, Err: errors.New("sim: it is locked")}
		default:
			rs[i] = do(os[i : i+1])[0]
		}
	}
	return rs
}

// stick lets nobody take a right away; "" lets everybody again.
func (x *wire) stick(right string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.stuck = right
}

func (x *wire) Revoke(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return x.take("revoke", os, func(os []connector.Order) []connector.Result { return x.Connector.Revoke(ctx, t, os) })
}

func (x *wire) TerminateSessions(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return x.take("terminate", os, func(os []connector.Order) []connector.Result { return x.Connector.TerminateSessions(ctx, t, os) })
}

func (x *wire) Remove(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return x.take("remove", os, func(os []connector.Order) []connector.Result { return x.Connector.Remove(ctx, t, os) })
}

// beats is what the processes of all who use our name left on the target.
type beats struct {
	mu   sync.Mutex
	last connector.Beat
}

// beacon is a wire to a target that keeps beats.
type beacon struct{ *wire }

func (x beacon) ReadBeat(context.Context, connector.Target) (connector.Beat, error) {
	x.beats.mu.Lock()
	defer x.beats.mu.Unlock()
	return x.beats.last, nil
}

func (x beacon) SwapBeat(_ context.Context, _ connector.Target, old, next connector.Beat) (bool, error) {
	x.beats.mu.Lock()
	defer x.beats.mu.Unlock()
	if x.beats.last != old {
		return false, nil
	}
	x.beats.last = next
	return true, nil
}

// mortal is the store as a process reaches it that dies, or that takes no changes.
type mortal struct {
	broker.Store
	mu         sync.Mutex
	dead, away bool
}

func (s *mortal) die() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead = true
}

func (s *mortal) leave(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

func (s *mortal) lost() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.dead:
		return errDead
	case s.away:
		return unavailable("the store did not answer")
	}
	return nil
}

func (s *mortal) Update(ctx context.Context, fn func(broker.Tx) error) error {
	if err := s.lost(); err != nil {
		return err
	}
	return s.Store.Update(ctx, fn)
}

// View reads also while no changes are taken: a disk is full.
func (s *mortal) View(ctx context.Context, fn func(broker.Tx) error) error {
	if err := s.lost(); errors.Is(err, errDead) {
		return err
	}
	return s.Store.View(ctx, fn)
}

// memory is a journal that outlives its processes, and cannot forget at the first two
// tries.
type memory struct {
	mu      sync.Mutex
	records [][]byte
	first   uint64
	refused int
}

func (*memory) ID() string { return "journal" }

func (j *memory) Write(bodies ...[]byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.records = append(j.records, bodies...)
	return nil
}

func (j *memory) Entries(limit int) (uint64, [][]byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.first + 1, slices.Clone(j.records[:min(limit, len(j.records))])
}

func (j *memory) Forget(through uint64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.refused++; j.refused < 3 {
		return errors.New("sim: the disk does not answer")
	}
	n := through - j.first
	j.records, j.first = j.records[n:], through
	return nil
}

func (j *memory) Waiting() (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.records), nil
}

// passwordOf reads a credential that was sealed in clear.
func passwordOf(blob []byte) string {
	var l struct{ Password string }
	_ = json.Unmarshal(blob, &l) // nobody has that password
	return l.Password
}
