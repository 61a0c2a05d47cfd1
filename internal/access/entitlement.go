package access

import (
	"slices"
	"strings"
	"time"
)

// EntitlementState is the state of an entitlement. Stored: only append.
type EntitlementState string

// The states of an entitlement; gone is terminal.
const (
	Intended   EntitlementState = "intended" // recorded before the target is touched
	Present    EntitlementState = "present"  // read back
	Refreshing EntitlementState = "refreshing"
	Removing   EntitlementState = "removing"
	Gone       EntitlementState = "gone" // its absence was read back
)

// Renewal says what a refresh does to a privilege that is there. They are
// ordered: a stronger one includes what the weaker ones do for the holders.
type Renewal uint8

// The renewals. Stored: only append.
const (
	RenewNothing Renewal = iota // a first provision
	RenewExpiry                 // raise the target's own expiry, and make and read back what is not there
	RenewSecret                 // a fresh credential for every holder; sessions stay
	RenewAll                    // a fresh credential, and all sessions end
)

// Place is where entitlements are counted and work is kept apart: one address
// of one type. Two resources that are databases of one cluster share a place,
// because accounts and memberships there are shared too.
type Place string

// Place of a connection.
func (c Connection) Place() Place { return Place(c.Type + "://" + c.Address) }

// Entitlement is one concrete privilege on one target. It exists from the
// intent to create it until its absence was read back; grants hold it, and the
// last holder to leave removes it. While one is not gone there is no second
// with the same place and key.
type Entitlement struct {
	ID      EntitlementID
	Version int64
	State   EntitlementState

	Target    Target
	Key       string // what it is: "account:grt_…", "group:mira:orders_owner", "enable:dba_admin"
	Mechanism Mechanism
	Person    Person // of the first holder; for readable names
	Account   string // the account's name on the target; empty until a receipt names it
	Rights    []string
	Options   map[string]string
	Exclusive bool
	Tag       Tag
	Claimed   int64 // epoch of the claim the tag was made under

	Rev       int64 // what is wanted; raised by every refresh
	Confirmed int64 // what was read back; equal to Rev when there is nothing to do
	Renew     Renewal
	ExpiresAt time.Time // the target's own expiry: the latest end of its holders

	Observed bool   // Before is known, or not needed
	Existing bool   // was there before us: neither made nor removed
	Before   string // the connector's record of the state before
	Creation string // identity of the very object made

	// CallUntil is the deadline of calls that may still be in flight at the
	// target; until then a read-back of "absent" proves nothing. Zero when the
	// outcome of every call is known.
	CallUntil time.Time
	// LostUntil is the part of it that no later success lifts: the deadline of
	// calls before the last one whose outcome never became known.
	LostUntil time.Time
	NextAt    time.Time // when to try next; derived work, like DueAt of a grant
	Attempts  int       // failed attempts in this state
	LastError string    // public
	CreatedAt time.Time
	// RemovingAt is when the removal was ordered; GoneAt when it was read back.
	RemovingAt time.Time
	GoneAt     time.Time
}

// Hold is one grant's share in one entitlement.
type Hold struct {
	Grant       GrantID
	Entitlement EntitlementID
	// Needs is the revision that must be confirmed before the grant has its access.
	Needs      int64
	ReleasedAt time.Time // zero while held
	// Settles is the revision whose confirmation proves that the leaver has lost
	// it while others stay; 0 when only the entitlement's absence proves it.
	Settles int64
	Settled bool
}

// Plan lists the entitlements that a grant needs, without ids and tags, each
// once: two targets of one place can need the same. Those that exist already on
// their place are shared instead of made.
func (g Grant) Plan() []Entitlement {
	var es []Entitlement
	add := func(e Entitlement) {
		if !slices.ContainsFunc(es, func(x Entitlement) bool {
			return x.Key == e.Key && x.Target.Connection.Place() == e.Target.Connection.Place()
		}) {
			es = append(es, e)
		}
	}
	for _, t := range g.Targets {
		e := Entitlement{
			State: Intended, Target: t, Mechanism: g.Permissions.Mechanism, Person: g.Person, Account: t.Account, Rights: g.Permissions.Rights,
			Options: g.Permissions.Options, Exclusive: g.Permissions.Exclusive, ExpiresAt: g.ExpiresAt,
		}
		switch g.Permissions.Mechanism {
		case Member:
			for _, r := range g.Permissions.Rights {
				m := e
				m.Rights = []string{r}
				m.Key = "group:" + t.Account + ":" + r
				add(m)
			}
			continue
		case Enable:
			e.Key = "enable:" + t.Account
		case Checkout:
			e.Key = CheckoutKey(t.Account)
		default:
			e.Key = string(e.Mechanism) + ":" + string(g.ID) + ":" + string(t.Resource)
		}
		e.Observed = e.Mechanism == Account
		add(e)
	}
	return es
}

// Intend records a planned entitlement, before its target is touched.
func (e Entitlement) Intend(id EntitlementID, tag Tag, epoch int64, g Grant, now time.Time) (Entitlement, Hold, Event) {
	e.ID, e.Tag, e.Claimed, e.Version, e.State = id, tag, epoch, 1, Intended
	e.Rev, e.CreatedAt, e.NextAt = 1, now, now
	return e, Hold{Grant: g.ID, Entitlement: id, Needs: 1}, e.event(EntitlementIntended, now,
		"grant", string(g.ID), "tag", string(tag), "expires_at", stamp(e.ExpiresAt))
}

// Share adds a holder to an entitlement that is wanted already. That it is there was
// read back some time ago: since then somebody can have taken it on the target, and a
// failover of the store can have lost the record of its removal. So it is made and read
// back once more, which changes nothing where it is there, before the new holder is told
// that they have it. (What is Existing is not: we have not made it and do not make it.)
func (e Entitlement) Share(g Grant, now time.Time) (Entitlement, Hold, Event, error) {
	switch {
	case e.State == Removing || e.State == Gone:
		return e, Hold{}, Event{}, Fail(Unavailable, "being-removed", "the privilege is just being removed").Try("it is tried again by itself")
	case e.Exclusive || g.Permissions.Exclusive:
		return e, Hold{}, Event{}, Fail(Conflict, "account-in-use", "the account "+e.Account+" is in use").Because("it is lent to one person at a time")
	}
	renew := RenewExpiry
	switch {
	case e.Mechanism.Common(): // the new holder needs a credential, and only one that the target has just given can be shown
		renew = RenewSecret
	case e.State == Intended && !g.ExpiresAt.After(e.ExpiresAt):
		renew = RenewNothing // it is still to be made
	}
	e.ExpiresAt = latest(e.ExpiresAt, g.ExpiresAt)
	e.Options = common(e.Options, g.Permissions.Options)
	e, ev := e.refresh(renew, now, "grant", string(g.ID))
	return e, Hold{Grant: g.ID, Entitlement: e.ID, Needs: e.Rev}, ev, nil
}

// common keeps the options in which two holders agree. Where they differ the
// connector's default counts, which is its strict one: nobody's session survives
// because of what somebody else's role allows.
func common(a, b map[string]string) map[string]string {
	both := map[string]string{}
	for k, v := range a {
		if w, ok := b[k]; ok && v == w {
			both[k] = v
		}
	}
	return both
}

// Raise moves the target's own expiry for a holder whose grant was extended.
// It reports false when there is nothing to do.
func (e Entitlement) Raise(g Grant, now time.Time) (Entitlement, Event, bool) {
	if e.State == Removing || e.State == Gone || !g.ExpiresAt.After(e.ExpiresAt) {
		return e, Event{}, false
	}
	e.ExpiresAt = g.ExpiresAt
	e, ev := e.refresh(RenewExpiry, now, "grant", string(g.ID))
	return e, ev, true
}

// Renewed makes a privilege anew for those who hold it, after it was taken away, or its
// credential made useless, while no record could be kept of it. It reports false where
// nobody could be given it again: an account is one grant's, and ends with it.
func (e Entitlement) Renewed(why string, now time.Time) (Entitlement, Event, bool) {
	if e.Mechanism == Account || e.State != Present && e.State != Refreshing {
		return e, Event{}, false
	}
	renew := RenewExpiry
	if e.Mechanism.Common() {
		renew = RenewAll
	}
	e, ev := e.refresh(renew, now, "renewed", why)
	return e, ev, true
}

func (e Entitlement) refresh(r Renewal, now time.Time, kv ...string) (Entitlement, Event) {
	e.Version++
	if r == RenewNothing {
		return e, e.event(EntitlementRefreshing, now, append(kv, "renew", "nothing")...)
	}
	e.Rev++
	e.Renew = max(e.Renew, r)
	e.NextAt = now
	if e.State == Present {
		e.State, e.Attempts = Refreshing, 0
		if r == RenewExpiry { // a call that was lost carries an earlier end, and may still set it back to that
			e.NextAt = latest(now, e.LostUntil)
		}
	}
	return e, e.event(EntitlementRefreshing, now, append(kv, "rev", itoa(e.Rev), "expires_at", stamp(e.ExpiresAt))...)
}

// Release takes a grant's hold off. others is the number of holders that stay.
// The last to leave orders the removal. Where the credential is shared, every
// leave rotates it and ends its sessions.
func (e Entitlement) Release(h Hold, others int, now time.Time) (Entitlement, Hold, Event, bool) {
	if !h.ReleasedAt.IsZero() {
		return e, h, Event{}, false
	}
	h.ReleasedAt = now
	switch {
	case e.State == Gone:
		h.Settled = true
		return e, h, Event{}, false
	case e.State == Removing:
		return e, h, Event{}, false
	case others > 0 && e.Mechanism.Common():
		e, ev := e.refresh(RenewAll, now, "left", string(h.Grant))
		h.Settles = e.Rev
		return e, h, ev, true
	case others > 0:
		h.Settled = true
		return e, h, Event{}, false
	}
	e, ev := e.remove(now, "grant", string(h.Grant))
	return e, h, ev, true
}

// Adopt makes an entitlement of something found on a target that carries our
// tag and that no record knows, so that it is removed in the ordinary way.
func Adopt(e Entitlement, id EntitlementID, now time.Time) (Entitlement, Event) {
	e.ID, e.Version, e.State, e.Observed = id, 1, Removing, true
	e.CreatedAt, e.RemovingAt, e.NextAt = now, now, now
	return e, e.event(EntitlementRemoving, now, "found", "by sweep", "tag", string(e.Tag))
}

// Turn makes an entitlement of a vaulted account that is lent to nobody, and removes it:
// the way out of a lending is the rotation of its secret, so this is a rotation and no
// more. It takes turns with lendings of the account, because of two with one key only one
// is live.
func Turn(e Entitlement, id EntitlementID, why string, now time.Time) (Entitlement, Event) {
	e.ID, e.Version, e.State, e.Observed = id, 1, Removing, true
	e.Mechanism, e.Key, e.ExpiresAt = Checkout, CheckoutKey(e.Account), now
	e.CreatedAt, e.RemovingAt, e.NextAt = now, now, now
	return e, e.event(EntitlementRemoving, now, "rotation", why, "tag", string(e.Tag))
}

// CheckoutKey is the key of a vaulted account's entitlement at its place.
func CheckoutKey(account string) string { return string(Checkout) + ":" + account }

// Again orders the removal of an entitlement that was thought gone and that an
// inventory found: a call landed late, or the target forgot the removal.
func (e Entitlement) Again(now time.Time) (Entitlement, Event, bool) {
	if e.State != Gone {
		return e, Event{}, false
	}
	e, ev := e.remove(now, "found", "by sweep, after it was gone")
	// It is there and it is ours, whatever the row says: a failover of the store can
	// have lost that it was made.
	e.GoneAt, e.Observed, e.Existing = time.Time{}, true, false
	return e, ev, true
}

func (e Entitlement) remove(now time.Time, kv ...string) (Entitlement, Event) {
	e.Version++
	e.State, e.RemovingAt, e.NextAt, e.Attempts, e.LastError = Removing, now, now, 0, ""
	return e, e.event(EntitlementRemoving, now, kv...)
}

// Observe records the state before the change.
func (e Entitlement) Observe(before string, existing bool, now time.Time) (Entitlement, Event) {
	e.Observed, e.Before, e.Existing = true, before, existing
	e.Version++
	was := "absent"
	if existing {
		was = "present"
	}
	return e, e.event(EntitlementObserved, now, "before", was)
}

// Calling records, before a call that creates, until when it may be in flight.
func (e Entitlement) Calling(until time.Time) Entitlement {
	e.LostUntil = e.CallUntil
	if until.After(e.CallUntil) {
		e.CallUntil = until
	}
	return e
}

// Confirm records that the privilege was read back, as of revision rev. The
// call that made it has returned; only lost ones can still be in flight. Where one
// of those can carry an earlier end, the end is set once more when none can land.
func (e Entitlement) Confirm(rev int64, account, creation string, now time.Time) (Entitlement, Event, error) {
	if e.State == Removing || e.State == Gone {
		return e, Event{}, Fail(Conflict, "being-removed", "the privilege is no longer wanted")
	}
	if rev < 1 || rev > e.Rev {
		return e, Event{}, Fail(Internal, "wrong-revision", "revision "+itoa(rev)+" was never asked for")
	}
	e.Confirmed, e.CallUntil, e.Attempts, e.LastError = max(e.Confirmed, rev), e.LostUntil, 0, ""
	if account != "" {
		e.Account = account
	}
	if creation != "" {
		e.Creation = creation
	}
	switch {
	case e.Confirmed < e.Rev:
		e.State = Refreshing
	case e.Rev > 1 && e.LostUntil.After(now):
		e.State, e.Renew, e.NextAt = Refreshing, RenewExpiry, e.LostUntil
	default:
		e.State, e.Renew, e.NextAt = Present, RenewNothing, time.Time{}
	}
	e.Version++
	return e, e.event(EntitlementPresent, now, "rev", itoa(rev), "account", e.Account, "creation", e.Creation, "expires_at", stamp(e.ExpiresAt)), nil
}

// Settle records that the outcome of the last creating call is known. One that
// was lost before it stays unknown.
func (e Entitlement) Settle() Entitlement { e.CallUntil = e.LostUntil; return e }

// LandsBy records that the last creating call takes effect by the given time, or
// never: it has returned without an outcome, or its sender is dead. Calls before
// it keep their own deadline.
func (e Entitlement) LandsBy(t time.Time) Entitlement {
	e.CallUntil = latest(earliest(e.CallUntil, t), e.LostUntil)
	return e
}

// AllLandBy records the same of every call that was ever made: whoever made one
// is dead.
func (e Entitlement) AllLandBy(t time.Time) Entitlement {
	e.CallUntil, e.LostUntil = earliest(e.CallUntil, t), earliest(e.LostUntil, t)
	return e
}

// AwaitLost puts the next call off until those of which nobody heard have landed or never
// will, where it makes a credential: one that landed after it would put another in its
// place, which nobody knows. What takes a credential from somebody does not wait.
func (e Entitlement) AwaitLost() Entitlement {
	if (e.Mechanism == Account || e.Mechanism.Common()) && (e.State == Intended || e.State == Refreshing && e.Renew == RenewSecret) {
		e.NextAt = latest(e.NextAt, e.CallUntil)
	}
	return e
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Quarantined reports whether a creating call may still be in flight at now.
func (e Entitlement) Quarantined(now time.Time) bool { return now.Before(e.CallUntil) }

// Vanish records at now that the absence was read back, at read or later. It is
// refused where a call that could recreate the privilege may still have been in flight
// then: that the time of such a call is over when the word arrives says nothing.
func (e Entitlement) Vanish(read, now time.Time) (Entitlement, Event, error) {
	switch {
	case e.State != Removing:
		return e, Event{}, Fail(Conflict, "wrong-state", "the entitlement is "+string(e.State))
	case e.Quarantined(read):
		return e, Event{}, Fail(Pending, "quarantine", "a call may still be in flight").Because("until " + stamp(e.CallUntil))
	}
	e.State, e.GoneAt, e.NextAt, e.Attempts, e.LastError = Gone, now, time.Time{}, 0, ""
	e.CallUntil, e.LostUntil = time.Time{}, time.Time{}
	e.Version++
	kept := ""
	if e.Existing {
		kept = "it was there before"
	}
	return e, e.event(EntitlementGone, now, "kept", kept, "verified_gone_at", stamp(now)), nil
}

// Retry records a failed attempt and when to try next, with a backoff that
// doubles from 100 ms to 30 s. It never gives up.
func (e Entitlement) Retry(public string, now time.Time) Entitlement {
	e.Attempts++
	e.LastError = public
	e.NextAt = now.Add(Backoff(e.Attempts))
	return e
}

// Backoff is how long to wait after so many failed attempts.
func Backoff(attempts int) time.Duration {
	return min(30*time.Second, 50*time.Millisecond<<min(attempts, 10))
}

// Wanted reports whether the broker has work to do on the entitlement.
func (e Entitlement) Wanted() bool {
	return e.State == Intended || e.State == Refreshing || e.State == Removing
}

// Ready reports whether a hold's grant has its access from this entitlement.
func (h Hold) Ready(e Entitlement) bool {
	return h.ReleasedAt.IsZero() && (e.State == Present || e.State == Refreshing) && e.Confirmed >= h.Needs
}

// Settle reports whether a released hold is proven to give nothing any more.
func (h Hold) Settle(e Entitlement) (Hold, bool) {
	if h.Settled || h.ReleasedAt.IsZero() {
		return h, h.Settled
	}
	h.Settled = e.State == Gone || h.Settles > 0 && e.Confirmed >= h.Settles
	return h, h.Settled
}

func (e Entitlement) event(t EventType, now time.Time, kv ...string) Event {
	return Event{Type: t, At: now, Entity: string(e.ID), Version: e.Version, Actor: System,
		Facts: fact(append(slices.Clone(kv), "resource", string(e.Target.Resource), "mechanism", string(e.Mechanism),
			"account", e.Account, "rights", strings.Join(e.Rights, ","))...)}
}
