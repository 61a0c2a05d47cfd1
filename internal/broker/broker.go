package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"stint/internal/access"
	"stint/internal/ahead"
	"stint/internal/approvers"
	"stint/internal/connector"
	"stint/internal/policy"
	"stint/internal/shelf"
	"stint/internal/ticketdesk"
)

// Tagger makes and checks the marks that artefacts carry on targets.
type Tagger interface {
	Tag(installation, target string, epoch int64, id string) string
	Check(installation, target string, epoch int64, tag string) (id string, ok bool)
}

// Vault seals connector credentials at rest, each bound to its place.
type Vault interface {
	Seal(purpose, place string, plaintext []byte) ([]byte, error)
	Open(purpose, place string, sealed []byte) ([]byte, error)
}

// Config is what a broker is made of. All fields but Integrations, Sets, Tickets, Peers, Backstop,
// Journal, ReviewWithin, Rand and Clock are required.
type Config struct {
	Store      Store
	Connectors map[string]connector.Connector // by type
	// Integrations are the schemas of the integrations that this server knows.
	Integrations []access.Schema
	// Sets are the documents that were compiled last; nil: a shelf of this broker's own.
	Sets *shelf.Shelf
	// Tickets reads tickets; nil: no ticket is known.
	Tickets Tickets
	Tagger  Tagger
	Vault   Vault
	// SealTo encrypts a credential to a device's public key. info binds the
	// grant it is for.
	SealTo       func(public []byte, info string, plaintext []byte) ([]byte, error)
	Installation string // names this Stint on its targets
	Epoch        int64  // raised by a restore; a target obeys the highest
	Replica      string // this process, among all that ever ran on the store
	// Alone says that no other process uses the store.
	Alone bool
	// Peers are the other processes on it; nil when there are none, or when they
	// have to find everything by looking.
	Peers Peers
	// Backstop is how long what may have changed elsewhere stays unseen where nothing
	// wakes the broker: the loop that looks for what is due sleeps no longer, and the
	// others rely on what it saw for about as long. 0: a second.
	Backstop time.Duration
	// Journal takes what is done while the store takes no changes. nil: none;
	// then it is in the log only if the broker lives until the store is back.
	Journal Journal
	// ReviewWithin is how soon break-glass access should be reviewed. 0: DefaultReviewWithin.
	ReviewWithin time.Duration
	// Fresh refuses something new to a principal of whom is known only what was so too
	// long ago; nil: what is known is always good enough.
	Fresh func(Tx, *policy.Set, access.Principal) error
	// DelegateFor is how long people may hand their approvals to others. 0:
	// DefaultDelegation; below zero: not at all.
	DelegateFor time.Duration
	Log         *slog.Logger
	Rand        io.Reader // nil: crypto/rand
	Clock       Clock     // nil: nobody is told of doubts about time; Tx.Certain counts all the same
}

// Broker carries requests to grants, grants to targets, and everything back.
// Its methods are safe for concurrent use.
type Broker struct {
	Config
	schemas map[string]access.Schema

	docs    atomic.Pointer[edition] // newest compiled documents
	docsMu  sync.Mutex              // held while compiling, so that it is done once
	logins  loginCache
	counts  countCache
	claims  claimCache
	company company
	examine examinations
	watch   *watch
	alarm   *alarm
	lanes   *lanes
	seen    stats
	pulse   *pulse
	ahead   *ahead.Ends
	awake   chan struct{} // there may be something to end without the store

	beginning sync.Mutex // held while what is due to begin begins
	yielded   yielded
	waits     waits

	edited     chan struct{} // the documents were changed here
	again      atomic.Bool   // all live grants are to be decided again
	sweeps     sweepLog
	quarantine atomic.Pointer[Quarantine] // as last read; nil before that
	glances    glances
	reconciled atomic.Pointer[Reconciliation]
	holds      holds
	surveying  surveys
	approvers  *approvers.Copy
	desk       *ticketdesk.Desk
	usuals     approvers.Usuals
	tally      tallied
	vaulting   chan struct{} // there may be something to rotate
	running    atomic.Bool
	life       atomic.Pointer[life]
	firstLife  string // names this process in its journal
	owners     atomic.Int64
}

// setsKept is how many compiled sets are kept beside the one that counts: that which
// is tried out, that which was before it, and a proposal or two.
const setsKept = 4

// New checks the configuration and makes a broker. Run starts its work.
func New(c Config) (*Broker, error) {
	if c.Store == nil || len(c.Connectors) == 0 || c.Tagger == nil || c.Vault == nil || c.SealTo == nil ||
		c.Installation == "" || c.Epoch < 1 || c.Replica == "" || c.Log == nil {
		return nil, errors.New("broker: the configuration is incomplete")
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.ReviewWithin <= 0 {
		c.ReviewWithin = DefaultReviewWithin
	}
	if c.DelegateFor == 0 {
		c.DelegateFor = DefaultDelegation
	}
	if c.Backstop <= 0 {
		c.Backstop = time.Second
	}
	if c.Sets == nil {
		c.Sets = shelf.New(setsKept)
	}
	b := &Broker{Config: c, schemas: map[string]access.Schema{}, watch: newWatch(), alarm: newAlarm(),
		edited: make(chan struct{}, 1), vaulting: make(chan struct{}, 1), glances: glances{each: c.Backstop}}
	b.surveying = newSurveys()
	b.lanes, b.desk = newLanes(b), ticketdesk.New(ticketSystems{b}, c.Log)
	b.approvers = approvers.NewCopy(b.users)
	b.pulse, b.ahead, b.awake = newPulse(c.Store), ahead.New(c.Backstop), make(chan struct{}, 1)
	b.Store = b.pulse
	b.life.Store(b.newLife())
	b.firstLife = strings.TrimSuffix(b.life.Load().name, "/")
	for t, x := range c.Connectors {
		b.schemas[t] = x.Schema()
	}
	for _, s := range c.Integrations {
		if _, twice := b.schemas[s.Type]; twice || s.Integration == nil {
			return nil, errors.New("broker: the type of integration " + s.Type + " is known twice, or has no options")
		}
		b.schemas[s.Type] = s
	}
	return b, nil
}

// Run does the work that time, targets and changes ask for, until ctx ends. It
// returns when every goroutine it started has.
func (b *Broker) Run(ctx context.Context) error {
	if b.running.Swap(true) {
		return errors.New("broker: runs already")
	}
	defer b.running.Store(false)
	var wg sync.WaitGroup
	if b.Alone {
		if err := b.inherit(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if !storeFailed(err) {
				return err
			}
			wg.Go(func() { // a store that takes no changes now is no reason to end nothing
				for err != nil && ctx.Err() == nil {
					b.storeTrouble(ctx, "ending old leases", err)
					err = b.inherit(ctx)
				}
			})
		}
	}
	if err := b.beginQuarantined(ctx); err != nil {
		return err
	}
	loops := []func(context.Context){b.watchDue, b.watchStore, b.watchAway, b.watchSessions, b.watchEligibility, b.watchTargets, b.watchQuarantine, b.watchResidue, b.watchReviews, b.watchContracts, b.watchStanding, b.watchVault}
	if b.Clock != nil {
		loops = append(loops, b.watchClock)
	}
	for i, loop := range loops { // what ends access first, and the others apart, so that they do not tick together
		wg.Go(func() {
			if pause(ctx, time.Duration(i)*apart) {
				loop(ctx)
			}
		})
	}
	b.lanes.open(ctx)
	<-ctx.Done()
	wg.Wait()
	b.lanes.close()
	return nil
}

// certain refuses what leads to new access, and what shows the credential of one,
// while anything that it rests on is in doubt: for a reason that somebody gave
// (SetHold), the store, the data (Quarantine) or the time. What ends access never asks.
func (b *Broker) certain(tx Tx) error {
	if err := b.holds.refuse(); err != nil {
		return err
	}
	if b.pulse.isAway() {
		return access.Fail(access.Unavailable, "no-store", "nothing new is granted for now").Because("the store takes no changes reliably").
			Try("an administrator looks at the store's disk or server; it goes on by itself then, and ending and revoking work meanwhile")
	}
	if err := b.suspended(tx); err != nil {
		return err
	}
	return tx.Certain()
}

// every calls f at once and then each d until ctx ends.
func every(ctx context.Context, d time.Duration, f func()) {
	t := time.NewTicker(d)
	defer t.Stop()
	for {
		f()
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// apart is how long after each other the loops of a broker begin. Most have periods
// of whole seconds, and would wake at the same moments for ever.
const apart = 7300 * time.Microsecond

// pause waits, and reports whether ctx lives on.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func (b *Broker) entropy() (e access.Entropy) {
	if _, err := io.ReadFull(b.Rand, e[:]); err != nil {
		panic("broker: no randomness: " + err.Error()) // crypto/rand never fails; without it nothing may go on
	}
	return e
}
