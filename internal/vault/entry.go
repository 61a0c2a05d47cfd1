package vault

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"stint/internal/access"
)

// State is the state of one version of a secret. Stored: only append.
type State string

// The states; dead is terminal.
const (
	Pending State = "pending" // durable, and the target may have it or not
	Current State = "current" // seen to open
	Dead    State = "dead"    // seen not to open any more
)

// The events of an entry. Stored: only append.
const (
	Added     access.EventType = "vault.added"
	Rotating  access.EventType = "vault.rotating"  // a new secret is durable, and the target not yet told
	Rotated   access.EventType = "vault.rotated"   // the new one opens, the one before does not
	Lent      access.EventType = "vault.lent"      // the current one may be known to holders of grants
	Drifted   access.EventType = "vault.drifted"   // the current one does not open: somebody changed it by hand
	Suspected access.EventType = "vault.suspected" // somebody asked for a rotation
	Removed   access.EventType = "vault.removed"
	// Unread says that the ciphertext of the current secret does not open.
	Unread access.EventType = "vault.unreadable"
	// Emptied says that the account has no secret: its target takes none by orders any more.
	Emptied access.EventType = "vault.emptied"
)

// Limits.
const (
	// Kept is how many versions are remembered; what is older is in the log.
	Kept = 50
	// MinRotate and MaxRotate bound RotateEvery: below, the target would be busy with
	// nothing else, and above nobody would notice that it does not work.
	MinRotate = time.Hour
	MaxRotate = 400 * 24 * time.Hour
	// MaxSecret bounds what is taken into the vault, and MaxKey what is kept as PEM.
	MaxSecret = 4096
	MaxKey    = 16384
)

// Entry is one vaulted account.
type Entry struct {
	Name     string
	Version  int64
	Resource access.ResourceName // whose connection rotations use
	At       access.Place        // where the account is; the entry is bound to it
	Account  string
	Kind     Kind
	Secrets  []Version // by number, ascending
	// RotateEvery is how old the current secret grows while nobody borrows it; 0: as old
	// as it likes.
	RotateEvery time.Duration
	// Wanted is why it is to be rotated now; empty when it is not.
	Wanted string
	// Out is the entitlement under which the current secret was last given to anybody,
	// and is not rotated since; empty: nobody was given it.
	Out     access.EntitlementID
	DriftAt time.Time // since when the current one is known not to open
	NextAt  time.Time // when to try a rotation next, after one could not be ordered
	Trouble string    // why it could not; public
	// UnreadAt is since when the ciphertext of the current secret is known not to open.
	UnreadAt time.Time
	// NeverAt is since when its target is known to take no secrets by orders: nothing
	// rotates it any more, so that it can be taken out in the midst of a rotation.
	NeverAt time.Time

	CreatedAt time.Time
	RemovedAt time.Time // zero while it is there
}

// Version is one version of an account's secret. Sealed is ciphertext, for Entry.Place.
type Version struct {
	Number int64
	State  State
	Sealed []byte
	Why    string // of the rotation that made it; public
	MadeAt time.Time
	UsedAt time.Time // when it was seen to open first
	DeadAt time.Time
	// NotAfter is when no target lets it in any more, be it what it may; zero: never.
	NotAfter time.Time
}

// Over reports whether a secret has ended by itself.
func (v Version) Over(now time.Time) bool { return !v.NotAfter.IsZero() && !now.Before(v.NotAfter) }

// Fresh is a secret that is about to be kept, as ciphertext for its place.
type Fresh struct {
	Sealed   []byte
	NotAfter time.Time // as in Version
}

// Imported is the Why of a version that Stint did not set: whoever knew it before knows it.
const Imported = "imported"

// Purpose and Place bind a sealed secret to where it stands.
const Purpose = "vault-secret"

// Place is of one version of the entry's secret: installation-wide name, address,
// account, kind and number.
func (e Entry) Place(number int64) string {
	return e.Name + "\x00" + string(e.At) + "\x00" + e.Account + "\x00" + string(e.Kind) + "\x00" + strconv.FormatInt(number, 10)
}

// Gone reports whether the entry was removed: its row stays, so that the versions of its
// name go on.
func (e Entry) Gone() bool { return !e.RemovedAt.IsZero() }

// Key is what the entitlements of the account are counted by at its place.
func (e Entry) Key() string { return access.CheckoutKey(e.Account) }

// Current is the secret that opens, as far as is known.
func (e Entry) Current() (Version, bool) { return e.in(Current) }

// Pending is the secret of a rotation that is under way.
func (e Entry) Pending() (Version, bool) { return e.in(Pending) }

func (e Entry) in(s State) (Version, bool) {
	i := slices.IndexFunc(e.Secrets, func(x Version) bool { return x.State == s })
	if i < 0 {
		return Version{}, false
	}
	return e.Secrets[i], true
}

// Next is the number that the next secret gets; its ciphertext is sealed for it.
func (e Entry) Next() int64 {
	if len(e.Secrets) == 0 {
		return 1
	}
	return e.Secrets[len(e.Secrets)-1].Number + 1
}

// Standing is how an entry stands, in a word.
type Standing string

// How an entry stands.
const (
	Ready   Standing = "ready"    // nobody has the secret
	Out     Standing = "lent"     // somebody was given it, and it is not rotated since
	Turning Standing = "rotating" // a fresh one is on its way
	Drift   Standing = "drifted"  // somebody changed it by hand
)

// Stand is how the entry stands.
func (e Entry) Stand() Standing {
	_, pending := e.Pending()
	_, known := e.Current()
	switch {
	case !e.DriftAt.IsZero():
		return Drift
	case pending || e.Wanted != "" || !known:
		return Turning
	case e.Out != "":
		return Out
	}
	return Ready
}

// RotateAt is when the entry is next to be rotated by itself; zero: never.
func (e Entry) RotateAt() time.Time {
	c, ok := e.Current()
	_, pending := e.Pending()
	switch {
	case e.Gone():
		return time.Time{}
	case e.Wanted != "" || pending || !ok || !e.DriftAt.IsZero():
		return latest(e.NextAt, e.CreatedAt)
	}
	var at time.Time
	if e.RotateEvery > 0 {
		at = c.UsedAt.Add(e.RotateEvery)
	}
	if !c.NotAfter.IsZero() { // with time left to try it again and again
		if end := c.NotAfter.Add(-c.NotAfter.Sub(c.MadeAt) / 3); at.IsZero() || end.Before(at) {
			at = end
		}
	}
	if at.IsZero() {
		return at
	}
	return latest(e.NextAt, at)
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Add makes an entry. old is what has the name already, if anything; first is a secret
// that was seen to open, or nothing, where Stint is to set the first.
func Add(e Entry, old *Entry, first Fresh, by access.Actor, now time.Time) (Entry, access.Event, error) {
	switch {
	case !access.ValidName(e.Name):
		return e, access.Event{}, access.Fail(access.Invalid, "bad-name", "the name of a vault entry has letters, digits and dashes")
	case e.Resource == "" || e.At == "" || e.Account == "":
		return e, access.Event{}, access.Fail(access.Invalid, "incomplete-entry", "a vault entry needs a resource and an account")
	case !known(e.Kind):
		return e, access.Event{}, access.Fail(access.Invalid, "bad-kind", "the vault keeps passwords, tokens, keys and certificates").Because("it is " + strconv.Quote(string(e.Kind)))
	}
	if err := checkEvery(e.RotateEvery); err != nil {
		return e, access.Event{}, err
	}
	if old != nil && !old.Gone() {
		return e, access.Event{}, access.Fail(access.Conflict, "vaulted-already", "there is a vault entry "+e.Name+" already").
			Because("it is of the account " + old.Account + " of " + string(old.Resource)).Try("take another name, or remove it: stint admin vault rm " + e.Name)
	}
	e.Version, e.Secrets, e.CreatedAt = 1, nil, now
	number := First(old)
	if old != nil {
		e.Version = old.Version + 1
	}
	how := Imported
	if first.Sealed == nil {
		how = "to be set"
		e.Wanted = "nobody has set the first " + string(e.Kind) + " yet"
		if number > 1 {
			e.Secrets = []Version{{Number: number - 1, State: Dead, MadeAt: now, DeadAt: now, Why: "of an entry of this name before"}}
		}
	} else {
		e.Secrets = []Version{{Number: number, State: Current, Sealed: first.Sealed, Why: how, MadeAt: now, UsedAt: now, NotAfter: first.NotAfter}}
	}
	return e, e.event(Added, now, by, "how", how), nil
}

// First is the number of the first secret of an entry. Numbers of a name go on: no
// ciphertext of an entry of before opens in the place of a later one.
func First(old *Entry) int64 {
	if old == nil {
		return 1
	}
	return old.Next()
}

func checkEvery(d time.Duration) error {
	if d != 0 && (d < MinRotate || d > MaxRotate) {
		return access.Fail(access.Invalid, "bad-rotation", "a secret is rotated every 1h to 400d, or never by itself").Because("it is " + d.String())
	}
	return nil
}

// Begin makes a secret durable, before the target is told of it. Where a rotation is under
// way it is an error: that one is to be gone on with, unless its secret is over, which makes
// it worthless on whatever target has it.
func (e Entry) Begin(next Fresh, why string, now time.Time) (Entry, access.Event, error) {
	p, under := e.Pending()
	if under && !p.Over(now) {
		return e, access.Event{}, access.Fail(access.Conflict, "rotation-under-way", "a rotation of "+e.Name+" is under way")
	}
	if e.Gone() {
		return e, access.Event{}, access.Fail(access.NotFound, "not-vaulted", "the vault entry "+e.Name+" was removed")
	}
	s := Version{Number: e.Next(), State: Pending, Sealed: next.Sealed, Why: why, MadeAt: now, NotAfter: next.NotAfter}
	e.Secrets = slices.Clone(e.Secrets)
	if under {
		w := &e.Secrets[slices.IndexFunc(e.Secrets, func(x Version) bool { return x.Number == p.Number })]
		w.State, w.Sealed, w.DeadAt = Dead, nil, now
	}
	e.Secrets = append(e.Secrets, s)
	e.Version++
	return e, e.event(Rotating, now, access.System, "number", itoa(s.Number), "why", why), nil
}

// Commit records that the pending secret opens, and that the one before does not.
// lent is the entitlement whose holders are given the new one; empty when nobody is. It
// reports false where it was recorded before.
func (e Entry) Commit(number int64, lent access.EntitlementID, now time.Time) (Entry, access.Event, bool) {
	p, ok := e.Pending()
	if !ok || p.Number != number {
		return e, access.Event{}, false
	}
	e.Secrets = slices.Clone(e.Secrets)
	before := ""
	for i := range e.Secrets {
		s := &e.Secrets[i]
		switch {
		case s.Number == number:
			s.State, s.UsedAt = Current, now
		case s.State == Current:
			s.State, s.Sealed, s.DeadAt, before = Dead, nil, now, itoa(s.Number)
		}
	}
	if over := len(e.Secrets) - Kept; over > 0 {
		e.Secrets = e.Secrets[over:]
	}
	e.Out, e.Wanted, e.DriftAt, e.UnreadAt, e.NeverAt, e.NextAt, e.Trouble = lent, "", time.Time{}, time.Time{}, time.Time{}, time.Time{}, ""
	e.Version++
	return e, e.event(Rotated, now, access.System, "number", itoa(number), "dead", before, "why", p.Why, "lent", string(lent)), true
}

// Lend records, before anybody can be shown it, that the current secret is given out. It
// reports false where that is on record.
func (e Entry) Lend(to access.EntitlementID, now time.Time) (Entry, access.Event, bool) {
	if e.Out == to {
		return e, access.Event{}, false
	}
	c, _ := e.Current()
	e.Out = to
	e.Version++
	return e, e.event(Lent, now, access.System, "number", itoa(c.Number), "entitlement", string(to)), true
}

// Drift records that the current secret does not open. It reports false where that is
// known.
func (e Entry) Drift(now time.Time) (Entry, access.Event, bool) {
	if !e.DriftAt.IsZero() || e.Gone() {
		return e, access.Event{}, false
	}
	c, _ := e.Current()
	e.DriftAt = now
	e.Version++
	return e, e.event(Drifted, now, access.System, "number", itoa(c.Number)), true
}

// unread is what an entry's trouble is while the ciphertext of its current secret does not open.
const unread = "the ciphertext of its secret does not open: it is of another seal key or place, or was changed"

// Unreadable records that the ciphertext of the current secret does not open. It reports
// false where that is on record.
func (e Entry) Unreadable(now time.Time) (Entry, access.Event, bool) {
	if !e.UnreadAt.IsZero() || e.Gone() {
		return e, access.Event{}, false
	}
	c, _ := e.Current()
	e.UnreadAt, e.Trouble = now, unread
	e.Version++
	return e, e.event(Unread, now, access.System, "number", itoa(c.Number)), true
}

// Want asks for a rotation.
func (e Entry) Want(why string, by access.Actor, now time.Time) (Entry, access.Event) {
	e.Wanted, e.NextAt, e.Trouble = why, time.Time{}, ""
	e.Version++
	return e, e.event(Suspected, now, by, "why", why)
}

// Defer notes why a rotation could not even be ordered. That is no change of the entry.
func (e Entry) Defer(said string, until time.Time) Entry {
	e.Trouble, e.NextAt = said, until
	return e
}

// Never notes that the target takes no secrets by orders. That is no change of the entry.
func (e Entry) Never(said string, now, until time.Time) Entry {
	if e.NeverAt.IsZero() {
		e.NeverAt = now
	}
	return e.Defer(said, until)
}

// NeverAgain is after how long a target that takes no secrets by orders is asked again: as
// long as it is known already, from an hour to a day. Each asking is a rotation of its own,
// with records in the log that say nothing new.
func (e Entry) NeverAgain(now time.Time) time.Duration {
	if e.NeverAt.IsZero() {
		return time.Hour
	}
	return min(max(time.Hour, now.Sub(e.NeverAt)), 24*time.Hour)
}

// Empty records that the target takes no secrets by orders, and that none opens the
// account: what was lent is dead, and nobody has it. What is pending stays, for a target
// that takes it one day. It reports false where that is on record.
func (e Entry) Empty(said string, now, until time.Time) (Entry, access.Event, bool) {
	if e.Gone() {
		return e, access.Event{}, false
	}
	e = e.Never(said, now, until)
	c, known := e.Current()
	if !known && e.Out == "" {
		return e, access.Event{}, false
	}
	e.Secrets = slices.Clone(e.Secrets)
	dead := ""
	for i := range e.Secrets {
		if s := &e.Secrets[i]; s.State == Current {
			s.State, s.Sealed, s.DeadAt, dead = Dead, nil, now, itoa(c.Number)
		}
	}
	e.Out = ""
	e.Version++
	return e, e.event(Emptied, now, access.System, "dead", dead, "said", strings.ToValidUTF8(said, "\uFFFD")), true
}

// Remove takes the secrets out of the vault. The account stays on the target with the
// password that it has. One that was imported, whoever knew it before knows still; one that
// Stint set nobody knows.
func (e Entry) Remove(by access.Actor, now time.Time) (Entry, access.Event, error) {
	_, pending := e.Pending()
	switch {
	case e.Out != "":
		return e, access.Event{}, access.Fail(access.Conflict, "lent", "the secret of "+e.Name+" is lent, or not rotated since").
			Because("without the vault nobody could take it back").Try("end it first: stint revoke --resource " + string(e.Resource) + " --why …")
	case pending && e.NeverAt.IsZero():
		return e, access.Event{}, access.Fail(access.Conflict, "rotation-under-way", "a rotation of "+e.Name+" is under way").Try("try again when it is over: stint admin vault show " + e.Name)
	}
	e.Secrets = slices.Clone(e.Secrets)
	for i := range e.Secrets {
		s := &e.Secrets[i]
		s.Sealed = nil
		if s.State != Dead {
			s.State, s.DeadAt = Dead, now
		}
	}
	e.RemovedAt, e.Wanted, e.RotateEvery = now, "", 0
	e.Version++
	return e, e.event(Removed, now, by), nil
}

func (e Entry) event(t access.EventType, now time.Time, by access.Actor, kv ...string) access.Event {
	facts := map[string]string{"resource": string(e.Resource), "account": e.Account}
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i+1] != "" {
			facts[kv[i]] = kv[i+1]
		}
	}
	return access.Event{Type: t, At: now, Entity: "vault:" + e.Name, Version: e.Version, Actor: by, Facts: facts}
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// ByName orders entries.
func ByName(a, b Entry) int { return cmp.Compare(a.Name, b.Name) }
