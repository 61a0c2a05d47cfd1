package connector

import (
	"context"
	"errors"
	"iter"
	"time"

	"stint/internal/access"
)

// Connector is the integration for one type of target. Implementations are safe
// for concurrent use and hold no state but connections to targets. Batches are
// of one target and answer per order, in the order given, because one statement
// for a thousand beats a thousand statements; the slice returned always has the
// length of the slice given. All calls obey the context's deadline; a call that
// was cut short answers Unknown.
type Connector interface {
	// Type is the type of resource this connector serves: "postgres".
	Type() string

	// Schema says what documents may contain for this type.
	Schema() access.Schema

	// Capabilities says what the target can and cannot do.
	Capabilities() Capabilities

	// Check proves that the login can create and remove, with a canary, and that
	// it has no more power than it needs. It leaves nothing behind.
	Check(ctx context.Context, t Target) Report

	// Claim marks the target as belonging to one installation and epoch, or
	// reports who holds it: access.Conflict when another does. It MUST be atomic.
	Claim(ctx context.Context, t Target, c Claim) error

	// Observe reads the state that an order is about to change, so that the
	// intent can record it before the change: a privilege that was there before
	// is never removed, settings are put back. It refuses, with access.Denied,
	// accounts that no order may touch: the connector's own, the superusers,
	// owners of what is protected. The broker calls it for mechanisms that act
	// on standing accounts, and not for those that make their own.
	Observe(ctx context.Context, t Target, o Order) (Before, error)

	// Provision makes the privilege. Of a vaulted account it lends the secret: Next where
	// there is one, which it sets first, otherwise Secret as it is. It MUST see the one it
	// lends open, and fails with ErrStale where Secret does not. It MUST be a conditional create: a repeat
	// with the same tag finds the first one's work, and gives a fresh credential
	// for it. Errors are *Error; any other error counts as Unknown.
	Provision(ctx context.Context, t Target, o Order) (Receipt, error)

	// Revoke makes the credential useless at once, for good, and is legal on
	// what was never made. (When one of several holders leaves, the broker does
	// not revoke; it provisions anew with Rotate.) Of a vaulted account it sets Next,
	// which nobody can use before Remove; without a Next the account opens with nothing.
	Revoke(ctx context.Context, t Target, os []Order) []Result

	// TerminateSessions ends the live sessions of the order's account.
	TerminateSessions(ctx context.Context, t Target, os []Order) []Result

	// Remove takes away what is left after Revoke and TerminateSessions.
	Remove(ctx context.Context, t Target, os []Order) []Result

	// Verify reads back, from the authority and not from a cache, whether the
	// privilege is there and whether sessions are open under it. Of an order that
	// Provision refuses whatever the target says, because its names or its form are
	// not allowed, Err is an *access.Error of kind Invalid or Denied, and of no
	// other order it is.
	Verify(ctx context.Context, t Target, os []Order) []Observation

	// Inventory lists what carries our mark on the target, and the standing
	// privilege that does not. It only reads.
	Inventory(ctx context.Context, t Target) iter.Seq2[Artefact, error]

	// Forget drops pooled connections of a target whose credential or address changed.
	Forget(c access.Connection)
}

// Late is how long after the end of its context a Provision may still take
// effect on the target: a statement that was sent and is not yet done. A
// connector sees to it that the target gives such a statement up by then. Until
// then a read-back of "absent" proves nothing.
const Late = 3 * time.Second

// Target is one place to act on, with the login to act as.
type Target struct {
	Connection access.Connection
	Username   string
	Password   access.Secret
	Claim      Claim // what Inventory and Provision may rely on being ours
	// Genuine reports whether a claim that was found there was written by the
	// installation that it names. nil: by nobody that we know.
	Genuine func(Claim) bool
}

// Claim is who a target belongs to. Anybody with enough privilege on a target can
// write an installation's name there; only the installation can write the proof.
type Claim struct {
	Installation string
	Epoch        int64
	// Proof is a MAC over the two, under a key of the installation; empty in a
	// claim of a version that wrote none.
	Proof string
}

// Beat is what an installation leaves on a target at every sweep, so that a copy
// of itself, with the same name, epoch and keys, does not go unnoticed: each
// knows the beats that it wrote, and meets one of the other's.
type Beat struct {
	Of    string // names the target, by whatever address it is reached; empty before the first
	Last  string // what was written last
	Rival string // written by a copy that met a beat which it does not know
}

// Beacon is implemented by connectors whose targets can keep a beat. Without it a
// copy of the installation is told apart by its epoch alone.
type Beacon interface {
	// ReadBeat reads what is there: the zero Beat when there is none.
	ReadBeat(ctx context.Context, t Target) (Beat, error)

	// SwapBeat puts next in the place of old, atomically. It reports false, and
	// changes nothing, when something else is there, or no claim of t's.
	SwapBeat(ctx context.Context, t Target, old, next Beat) (bool, error)
}

// Examiner is implemented by connectors that can tell what an access left behind:
// what carries power on the target past the removal of the account.
type Examiner interface {
	// Fingerprint lists all of that there is. It only reads, as much of the target
	// as the login may; what it could not read is part of the result.
	Fingerprint(ctx context.Context, t Target) ([]byte, error)

	// Residue compares two fingerprints of one target, one taken before the orders
	// began and one after they ended, and says for each order which differences
	// it can have made. It does no I/O. Equal bytes are equal fingerprints.
	Residue(before, after []byte, os []Order) ([]Residue, error)
}

// Surveyor is implemented by connectors that can tell who has privileged access to a
// target without Stint.
type Surveyor interface {
	// Survey lists it, sorted by account and privilege, and at most so many; cut says
	// that there are more. lent are the groups that roles of Stint give there: whoever
	// is in one of them all the time has what others ask for. It only reads. What Stint
	// made, what it lent and its own login are no part of it.
	Survey(ctx context.Context, t Target, lent []string, most int) (found []Stand, cut bool, err error)
}

// Salter is implemented by connectors whose targets are told of the passwords of vaulted
// accounts by hashes, and not by the passwords themselves.
type Salter interface {
	// Salts says of each order's account how the target hashes its password, as
	// crypt.Settings; "" where none would open it. It only reads.
	Salts(ctx context.Context, t Target, os []Order) ([]string, error)

	// Shut says of each order's account whether no password opens it, nor would if it were
	// unlocked again; so also where it is not there. It only reads.
	Shut(ctx context.Context, t Target, os []Order) ([]bool, error)
}

// Stand is one privileged access that an account has without Stint. Account and
// Privilege together are unique on a target, and stay from one survey to the next.
type Stand struct {
	Account   string
	Privilege string // a few public words: "superuser", "member of dba through ops"
	Kind      access.StandingKind
	Right     string // the group, of a membership
	// Undo is the exact statement that takes it away, for an administrator of the
	// target: Stint never runs it. Note is what to look at before.
	Undo, Note string
}

// Residue is what may have been left behind of one order.
type Residue struct {
	State  access.ResidueState // never pending
	Note   string              // why it cannot be known; public
	Traces []access.Trace
}

// ErrStale is the cause of a Provision that refuses a vaulted account because the order's
// Secret does not open it: somebody has changed it by hand.
var ErrStale = access.Fail(access.Conflict, "secret-stale", "the secret in the vault does not open the account")

// ErrNotAlone is what Verify says where the secret opens the account, and others may too.
var ErrNotAlone = access.Fail(access.Pending, "not-alone", "the account opens with something else, too")

// ErrNever is why nothing is known of a vaulted account whose target takes no secrets by
// orders, and compares none. ErrShut is what such a target says of one that is Absent, and
// did not get its Next: no secret opens it, so none that was lent does.
var (
	ErrNever = access.Fail(access.Conflict, "host-never", "the target takes no secrets by orders")
	ErrShut  = access.Fail(access.Conflict, "no-password", "the target takes no secrets by orders, and the account has none")
)

// Says reports whether an error is one of those, be it after a way over a wire.
func Says(err error, what *access.Error) bool {
	var e *access.Error
	return errors.As(err, &e) && e.Code == what.Code
}

// Renew says what a Provision does to a privilege that is there already.
type Renew uint8

// The renewals.
const (
	Keep   Renew = iota // nothing beyond a fresh credential for a first provision
	Extend              // raise the target's own expiry; credential and sessions stay
	Rotate              // new password; all sessions of the account end
)

// Order is one privilege to make or take away.
type Order struct {
	Entitlement access.EntitlementID
	Tag         access.Tag
	Mechanism   access.Mechanism
	Person      access.Person // for readable names and attribution
	Account     string        // the standing account; for ephemeral accounts the receipt's, or empty before there is one
	Rights      []string      // sorted
	Options     map[string]string
	ExpiresAt   time.Time // the target's own expiry; never zero
	Before      string    // Before.State of Observe
	Creation    string    // the receipt's creation identity; empty while no receipt is known
	Renew       Renew
	// Secret and Next are of a vaulted account (access.Checkout), and empty otherwise.
	// Secret is what the account is believed to open with, and what was lent. Next, where
	// there is one, is to take its place: it is durable in the vault, and it is the same
	// in every repeat until it was read back that it opens.
	Secret, Next access.Secret
	// Proofs show that the order was approved, to a target that believes no server. There
	// are some only where something is made, and the target is known to ask for them.
	Proofs []access.Proof
}

// Before is the state that an order found.
type Before struct {
	// Existing says that the privilege is there already, granted by somebody
	// else. The broker then neither provisions nor removes it.
	Existing bool
	// State is what Remove needs to put settings back, in a form that only the
	// connector reads; no secrets.
	State string
}

// Receipt is what a Provision made.
type Receipt struct {
	Account string // the account's name on the target
	// Creation identifies this very object, not its name (an oid, a uid), so
	// that a namesake made later is not mistaken for it. Empty where the target
	// has nothing of the kind.
	Creation string
	// Turned says of a vaulted account that the order's Next was set, and was seen to open.
	Turned bool
	// Credential is the JSON object that the holder gets, for PostgreSQL that of
	// `stint credentials`, without expires_at. Empty if the holder has one already.
	Credential access.Secret
}

// Outcome is what became of a call. The zero value is Unknown: assume that it
// happened, then revoke and confirm.
type Outcome uint8

// The outcomes.
const (
	Unknown Outcome = iota
	NotDone         // refused or failed before it had an effect
	Done
)

func (o Outcome) String() string {
	return [...]string{"unknown", "not done", "done"}[min(o, Done)]
}

// Error is a Provision that did not succeed.
type Error struct {
	Outcome Outcome // NotDone or Unknown
	// Permanent says that a repeat cannot help (missing permission, no such group).
	Permanent bool
	Message   string // public: what the target said, without secrets
	Next      string // public: what the administrator can do
	Cause     error
}

func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Message + ": " + e.Cause.Error()
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Result is the outcome of one order of a batch.
type Result struct {
	Outcome Outcome
	// Foreign says that what is there is not what we made (other creation
	// identity, other shape); it was left without login and untouched otherwise.
	Foreign bool
	Err     error // nil when Done; its text is public
}

// Presence is what a read-back found. The zero value is not known.
type Presence uint8

// The presences.
const (
	NotKnown Presence = iota
	Present
	Absent
)

func (p Presence) String() string {
	return [...]string{"unknown", "present", "absent"}[min(p, Absent)]
}

// Observation is one order's state on the target, read back.
type Observation struct {
	Presence Presence
	Sessions int // open sessions of the account; -1 when not known
	// LastActive is when a session last did something; zero when there is none.
	LastActive time.Time
	// Ends is when the target refuses new sessions of the account by itself, where
	// it is Present; zero when it never does, or that was not read.
	Ends time.Time
	// Turned says of a vaulted account that Absent was read back with the order's Next:
	// that it opens, and that Secret does not.
	Turned bool
	// Err is why Presence is NotKnown; with Absent it may be ErrShut.
	Err error
}

// Gone reports whether the privilege is proven absent, sessions included.
func (o Observation) Gone() bool { return o.Presence == Absent && o.Sessions == 0 }

// Artefact is something that an inventory found.
type Artefact struct {
	Mechanism access.Mechanism
	Account   string
	Right     string     // the group, for a membership
	Tag       access.Tag // empty where the target cannot carry one
	Creation  string
	// Ours says that it has our mark: a name in our form, or our login as
	// grantor. The broker checks the tag's MAC before it believes it.
	Ours bool
	// Standing says that it is privilege nobody granted through Stint.
	Standing bool
	Detail   string // one public sentence
}

// Capabilities of a kind of target, shown in documentation and to policy.
type Capabilities struct {
	Mechanisms   []access.Mechanism
	Sweepable    bool // Inventory finds everything of ours
	NativeExpiry bool // the target refuses new sessions by itself after the end
	SessionKill  bool // TerminateSessions works
	// Certificates says that sessions open with a certificate that Stint signs. A
	// credential then says where to go and as whom, and holds no secret.
	Certificates bool
	// Proofs says that a target may ask for proof that people approved an order.
	Proofs bool
	MinTTL time.Duration
}

// Report is the result of a Check.
type Report struct {
	Steps []Step
}

// OK reports whether every step passed; a report without steps did not pass.
func (r Report) OK() bool {
	for _, s := range r.Steps {
		if !s.OK {
			return false
		}
	}
	return len(r.Steps) > 0
}

// Step is one thing that a Check proved or refuted.
type Step struct {
	Name   string // "connects over verified TLS"
	OK     bool
	Detail string // what was seen
	Fix    string // the statement or setting that mends it
}
