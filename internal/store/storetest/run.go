package storetest

import (
	"context"
	"crypto/rand"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"stint/internal/access"
	"stint/internal/broker"
)

// Store is one under test.
type Store struct {
	Update func(context.Context, func(Tx) error) error
	View   func(context.Context, func(Tx) error) error
}

// Tx is what a transaction can do: what the broker needs, and a little more by
// which the cases read back what it writes.
type Tx interface {
	broker.Tx

	PrincipalByIdentity(i access.Identity) (access.Principal, error)
	Login(token access.Digest) (access.Login, error)
	RevokeLogin(token access.Digest) error
	Enrolment(code access.Digest) (access.Enrolment, error)
	UseEnrolment(code access.Digest) (access.Enrolment, error)
	DropEnrolments(p access.PrincipalID) error
	DocumentsAt(version int64) ([]byte, error)
}

// Of makes a Store of the two methods of one.
func Of[T Tx](update, view func(context.Context, func(T) error) error) Store {
	with := func(run func(context.Context, func(T) error) error) func(context.Context, func(Tx) error) error {
		return func(ctx context.Context, fn func(Tx) error) error {
			return run(ctx, func(tx T) error { return fn(tx) })
		}
	}
	return Store{Update: with(update), View: with(view)}
}

// Clock is one that a case turns.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// Now is its time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Set turns it.
func (c *Clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

// NewClock is at noon of some day.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)} }

// Run runs every case on a store of its own.
func Run(t *testing.T, open func(*testing.T) Store) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

// RunClock runs the cases that turn the clock, for stores that take one.
func RunClock(t *testing.T, open func(t *testing.T, now func() time.Time) Store) {
	for _, c := range clockCases {
		t.Run(c.name, func(t *testing.T) {
			clock := NewClock()
			c.run(t, open(t, clock.Now), clock)
		})
	}
}

var cases = []struct {
	name string
	run  func(*testing.T, Store)
}{
	{"RequestKeepsEveryField", requestKeepsEveryField},
	{"GrantAndEntitlementKeepEveryField", grantAndEntitlementKeepEveryField},
	{"WholeLife", wholeLife},
	{"SavesCompareVersions", savesCompareVersions},
	{"FailedWriteIsNeverCommitted", failedWriteIsNeverCommitted},
	{"NotFound", notFound},
	{"ListsAndPages", listsAndPages},
	{"GrantAndEntitlementLists", grantAndEntitlementLists},
	{"FindRequest", findRequest},
	{"Batches", batches},
	{"WhatEndsNext", whatEndsNext},
	{"PrincipalsAndLogins", principalsAndLogins},
	{"Identities", identities},
	{"Passkeys", passkeys},
	{"Settings", settings},
	{"Remember", remember},
	{"SealedKeepsTheNewest", sealedKeepsTheNewest},
	{"HoldsOfShared", holdsOfShared},
	{"CountersLoseNothing", countersLoseNothing},
	{"NoWriteSkew", noWriteSkew},
	{"TransfersKeepTheSum", transfersKeepTheSum},
	{"OneOfManyMakesIt", oneOfManyMakesIt},
	{"Leases", leases},
	{"ClaimsDoNotOverlap", claimsDoNotOverlap},
	{"OneRecordForEachVersion", oneRecordForEachVersion},
	{"ExtensionRaisesTheEnd", extensionRaisesTheEnd},
	{"Rules", rules},
	{"Reviews", reviews},
	{"PrincipalsNamed", principalsNamed}, {"Proposals", proposals}, {"Favourites", favourites}, {"WatchedTickets", watchedTickets},
	{"Delegations", delegations}, {"Vault", vaulted}, {"Tasks", tasks}, {"Standing", standing}, {"StandingDays", standingDays}, {"Probes", probes},
	{"Certificates", certificates},
	{"Sessions", sessions},
	{"Tallies", tallies},
	{"Held", held},
	{"ViewsDoNotWrite", viewsDoNotWrite},
}

var clockCases = []struct {
	name string
	run  func(*testing.T, Store, *Clock)
}{
	{"Due", due},
	{"Chase", chase},
	{"ScheduledGrantMayBeginLate", scheduledGrantMayBeginLate},
	{"TimeNeverGoesBack", timeNeverGoesBack},
	{"ReviewsDue", reviewsDue},
}

// update and view fail the test on an error.
func update(tb testing.TB, s Store, fn func(Tx) error) {
	tb.Helper()
	if err := s.Update(context.Background(), fn); err != nil {
		tb.Fatal(err)
	}
}

func view(tb testing.TB, s Store, fn func(Tx) error) {
	tb.Helper()
	if err := s.View(context.Background(), fn); err != nil {
		tb.Fatal(err)
	}
}

// read gives one value of a view.
func read[T any](tb testing.TB, s Store, fn func(Tx) (T, error)) (v T) {
	tb.Helper()
	view(tb, s, func(tx Tx) (err error) {
		v, err = fn(tx)
		return err
	})
	return v
}

func wantKind(tb testing.TB, err error, kind access.Kind) {
	tb.Helper()
	if err == nil || access.KindOf(err) != kind {
		tb.Errorf("got error %v of kind %v, want kind %v", err, access.KindOf(err), kind)
	}
}

func diff(tb testing.TB, got, want any) {
	tb.Helper()
	if d := Diff(got, want); d != "" {
		tb.Errorf("got (-) differs from want (+):\n%s", d)
	}
}

// Diff compares rows: an empty list or map is as good as none.
func Diff(got, want any) string {
	return cmp.Diff(got, want, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }))
}

// storeNow is the store's time.
func storeNow(tb testing.TB, s Store) time.Time {
	return read(tb, s, func(tx Tx) (time.Time, error) { return tx.Now(), nil })
}

func entropy() (e access.Entropy) {
	_, _ = rand.Read(e[:])
	return e
}

func digest() (d access.Digest) {
	_, _ = rand.Read(d[:])
	return d
}
