package simstore

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/vault"
)

// kept is how many commits can be taken back.
const kept = 64

// Store is a broker.Store in memory. It is safe for concurrent use.
type Store struct {
	mu   sync.Mutex
	now  func() time.Time
	last time.Time // the latest time given
	// unsure is why the time is not to be trusted; nil while it is.
	unsure error

	commits int64
	undo    [][]func() // of the last commits

	requests     requestTable
	grants       grantTable
	entitlements entitlementTable
	holds        holdTable
	sealed       map[access.GrantID][]access.Sealed // by entitlement
	people       peopleTable
	documents    [][]byte
	made         []int64 // when, in milliseconds since 1970
	credentials  map[string]access.Credential
	settings     map[string][]byte
	vault        map[string]vault.Entry
	remembered   map[callKey]access.Remembered
	residues     map[residueKey]access.Residue
	fingerprints map[access.Place][]access.Fingerprint
	reviews      map[access.ReviewID]access.Review
	proposals    map[access.ProposalID]access.Proposal
	delegations  map[access.DelegationID]access.Delegation
	tasks        map[string]access.Task // by key
	favourites   map[favouriteKey]access.Favourite
	standing     map[access.StandingKey]access.Standing
	surveys      map[access.ResourceName]access.Survey
	days         map[dayKey]access.StandingDay
	probes       map[access.ResourceName]access.Probe
	certificates map[access.Serial]access.Certificate
	sessions     map[access.SessionID]access.Session
	// ticketWatches are by grant.
	ticketWatches map[access.GrantID]access.TicketWatch
	log           []access.Event
	versions      map[string]int64 // the versions of each entity that the log has, while they are dense
	odd           map[record]bool  // those that are not
	scratch       []byte
	broken        []string // rules that changes broke
}

// New makes an empty store. now is the database's clock; the store's time never
// goes back, even when it does.
func New(now func() time.Time) *Store {
	return &Store{
		now:          now,
		requests:     newRequestTable(),
		grants:       newGrantTable(),
		entitlements: newEntitlementTable(),
		holds:        newHoldTable(),
		sealed:       map[access.GrantID][]access.Sealed{},
		people:       newPeopleTable(),
		credentials:  map[string]access.Credential{},
		settings:     map[string][]byte{},
		vault:        map[string]vault.Entry{},
		remembered:   map[callKey]access.Remembered{},
		residues:     map[residueKey]access.Residue{},
		fingerprints: map[access.Place][]access.Fingerprint{},
		reviews:      map[access.ReviewID]access.Review{},
		proposals:    map[access.ProposalID]access.Proposal{},
		delegations:  map[access.DelegationID]access.Delegation{},
		tasks:        map[string]access.Task{},
		favourites:   map[favouriteKey]access.Favourite{}, ticketWatches: map[access.GrantID]access.TicketWatch{},
		standing: map[access.StandingKey]access.Standing{}, surveys: map[access.ResourceName]access.Survey{},
		days: map[dayKey]access.StandingDay{}, probes: map[access.ResourceName]access.Probe{},
		certificates: map[access.Serial]access.Certificate{}, sessions: map[access.SessionID]access.Session{},
		versions: map[string]int64{},
		odd:      map[record]bool{},
	}
}

// Unsure lets every transaction from here on doubt its time, by whatever clock, for
// the reason given, or trust it again: nil.
func (s *Store) Unsure(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unsure = why
}

// Update runs fn in one transaction, alone, and commits it or leaves no trace.
func (s *Store) Update(ctx context.Context, fn func(broker.Tx) error) error {
	return s.run(ctx, s.clock, false, fn)
}

// View runs fn alone, read only.
func (s *Store) View(ctx context.Context, fn func(broker.Tx) error) error {
	return s.run(ctx, s.clock, true, fn)
}

// Clock says what time a transaction has, and why that is not to be trusted.
type Clock func() (now time.Time, unsure error)

// UpdateBy is Update at the time of a clock other than the store's own.
func (s *Store) UpdateBy(ctx context.Context, at Clock, fn func(broker.Tx) error) error {
	return s.run(ctx, at, false, fn)
}

// ViewBy is View at the time of a clock other than the store's own.
func (s *Store) ViewBy(ctx context.Context, at Clock, fn func(broker.Tx) error) error {
	return s.run(ctx, at, true, fn)
}

func (s *Store) clock() (time.Time, error) { return s.time(), nil }

func (s *Store) run(ctx context.Context, at Clock, readOnly bool, fn func(broker.Tx) error) (err error) {
	if err := ctx.Err(); err != nil {
		return access.Fail(access.Unavailable, "store-timeout", "the store did not answer in time").Wrap(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	tx := &Tx{s: s, readOnly: readOnly}
	tx.now, tx.unsure = at()
	if tx.unsure == nil {
		tx.unsure = s.unsure
	}
	committed := false
	defer func() {
		if !committed { // refused, or fn panicked
			revert(tx.undo)
		}
	}()
	err = fn(tx)
	if tx.err != nil && !errors.Is(err, tx.err) {
		err = tx.err // even if fn made light of it
	}
	if err != nil {
		return err
	}
	committed = true
	if len(tx.undo) > 0 {
		s.commits++
		if len(s.undo) == kept {
			copy(s.undo, s.undo[1:])
			s.undo = s.undo[:kept-1]
		}
		s.undo = append(s.undo, tx.undo)
	}
	return nil
}

func revert(undo []func()) {
	for i := len(undo) - 1; i >= 0; i-- {
		undo[i]()
	}
}

// time is the clock's, whole milliseconds, and never earlier than before.
func (s *Store) time() time.Time {
	if t := time.UnixMilli(s.now().UnixMilli()).UTC(); t.After(s.last) {
		s.last = t
	}
	return s.last
}

// Commits counts the transactions that changed something, also those that were
// lost since.
func (s *Store) Commits() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commits
}

// Lose takes back the last n commits, as a failover does to a standby that had
// not got them, and reports how many: not more than the last 64, and none twice.
func (s *Store) Lose(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = max(0, min(n, len(s.undo)))
	for range n {
		last := len(s.undo) - 1
		revert(s.undo[last])
		s.undo = s.undo[:last]
	}
	return n
}

// Keep lets no failover take back what is committed by now: every standby has it.
func (s *Store) Keep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.undo = nil
}

// The read helpers of oracles. What they give shares memory with the store and
// must not be changed; it stays as it is when the store goes on.

// Log lists the audit records in the order in which they were committed.
func (s *Store) Log() []access.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log[:len(s.log):len(s.log)]
}

// Broken lists the rules that changes broke and for which they were refused: what
// a correct program never does.
func (s *Store) Broken() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken[:len(s.broken):len(s.broken)]
}

// Now is the store's time.
func (s *Store) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.time()
}

// Requests lists all requests by id, with their votes.
func (s *Store) Requests() []access.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]access.Request, 0, len(s.requests.rows))
	for id := range s.requests.ids.all() {
		row := s.requests.rows[access.RequestID(id)]
		r := row.Request
		r.Approvals = s.requests.votes[r.ID]
		all = append(all, r)
	}
	return all
}

// Grants lists all grants by id; with live only those whose state is not terminal.
func (s *Store) Grants(live bool) []access.Grant { return s.GrantsInto(nil, live) }

// GrantsInto is Grants behind what a list has, in its room where that is enough: for
// somebody who looks after each step.
func (s *Store) GrantsInto(all []access.Grant, live bool) []access.Grant {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids, n := s.grants.ids, len(s.grants.rows)
	if live {
		ids, n = s.grants.live, 16
	}
	all = slices.Grow(all, n)
	for id := range ids.all() {
		all = append(all, s.grants.rows[access.GrantID(id)].Grant)
	}
	return all
}

// Entitlements lists all entitlements by id; with live only those that are not gone.
func (s *Store) Entitlements(live bool) []access.Entitlement {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids, n := s.entitlements.ids, len(s.entitlements.rows)
	if live {
		ids, n = s.entitlements.live, 16
	}
	all := make([]access.Entitlement, 0, n)
	for id := range ids.all() {
		all = append(all, s.entitlements.rows[access.EntitlementID(id)].Entitlement)
	}
	return all
}

// Holds lists all holds by grant and entitlement; with live only those that are
// not settled.
func (s *Store) Holds(live bool) []access.Hold {
	s.mu.Lock()
	defer s.mu.Unlock()
	if live {
		all := make([]access.Hold, 0, 16)
		for id := range s.grants.live.all() { // a terminal grant has no hold that is not settled
			for _, h := range s.holds.byGrant[access.GrantID(id)] {
				if !h.Settled {
					all = append(all, h)
				}
			}
		}
		return all
	}
	all := make([]access.Hold, 0, s.holds.n)
	for id := range s.grants.ids.all() {
		all = append(all, s.holds.byGrant[access.GrantID(id)]...)
	}
	return all
}

// Grant is one grant.
func (s *Store) Grant(id access.GrantID) (access.Grant, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if row := s.grants.rows[id]; row != nil {
		return row.Grant, true
	}
	return access.Grant{}, false
}

// GrantOf is the grant of a request.
func (s *Store) GrantOf(id access.RequestID) (access.Grant, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if row := s.grants.rows[s.grants.byRequest[id]]; row != nil {
		return row.Grant, true
	}
	return access.Grant{}, false
}

// Entitlement is one entitlement.
func (s *Store) Entitlement(id access.EntitlementID) (access.Entitlement, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if row := s.entitlements.rows[id]; row != nil {
		return row.Entitlement, true
	}
	return access.Entitlement{}, false
}

// Request is one request with its votes.
func (s *Store) Request(id access.RequestID) (access.Request, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	row := s.requests.rows[id]
	if row == nil {
		return access.Request{}, false
	}
	r := row.Request
	r.Approvals = s.requests.votes[id]
	return r, true
}
