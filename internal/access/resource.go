package access

import (
	"maps"
	"slices"
	"time"
)

// Mechanism is the way in which a role gives access.
type Mechanism string

// The mechanisms. Stored: only append.
const (
	Account  Mechanism = "account"  // an account is created for the grant and removed after it
	Member   Mechanism = "group"    // an existing account joins a privileged group, and leaves
	Enable   Mechanism = "enable"   // a dormant account is enabled, and disabled again
	Token    Mechanism = "token"    // a short-lived certificate or token
	Elevate  Mechanism = "elevate"  // commands run with more privilege on an endpoint
	Checkout Mechanism = "checkout" // a vaulted credential is lent, and rotated on return
)

// Common reports whether all who hold the privilege on one account have one credential: who
// comes is given it, and when one of several leaves it is replaced.
func (m Mechanism) Common() bool { return m == Enable || m == Checkout }

// Criticality ranks resources. The zero value, empty, is not valid.
type Criticality string

// The criticalities, in rising order.
const (
	Low      Criticality = "low"
	Medium   Criticality = "medium"
	High     Criticality = "high"
	Critical Criticality = "critical"
)

// Criticalities lists them in rising order.
var Criticalities = []Criticality{Low, Medium, High, Critical}

// Connection is how a target is reached. It is copied into each request and
// each order, so that a document edit cannot redirect what was approved.
type Connection struct {
	Type       string // kind of resource: "postgres"
	Address    string // host:port
	Credential string // name of the registered connector credential
	Options    map[string]string
}

// Equal reports whether both reach the same thing in the same way.
func (c Connection) Equal(d Connection) bool {
	return c.Type == d.Type && c.Address == d.Address && c.Credential == d.Credential && maps.Equal(c.Options, d.Options)
}

// Target is one resource of a request, resolved when it was asked for.
type Target struct {
	Resource    ResourceName
	Criticality Criticality
	Connection  Connection
	// Account is the standing account the mechanism acts on, after mapping the
	// person to it; empty for ephemeral accounts.
	Account string
}

// Permissions is what a role allows on each target.
type Permissions struct {
	Mechanism Mechanism
	Rights    []string          // sorted, no duplicates: the groups joined, the commands of elevate
	Options   map[string]string // how, never how much: "sessions", "scramIterations"
	Exclusive bool              // one person at a time (enable, checkout)
}

// Within reports whether p allows nothing that q does not: the same mechanism
// and options, and a subset of its rights.
func (p Permissions) Within(q Permissions) bool {
	if p.Mechanism != q.Mechanism || p.Exclusive != q.Exclusive || !maps.Equal(p.Options, q.Options) {
		return false
	}
	for _, r := range p.Rights {
		if !slices.Contains(q.Rights, r) {
			return false
		}
	}
	return true
}

// Narrow returns p with only the given rights. Rights that p lacks are refused,
// never dropped in silence.
func (p Permissions) Narrow(rights []string) (Permissions, error) {
	n := p
	n.Rights = slices.Clone(rights)
	slices.Sort(n.Rights)
	n.Rights = slices.Compact(n.Rights)
	if len(n.Rights) == 0 && len(p.Rights) > 0 {
		return Permissions{}, Fail(Invalid, "no-rights-left", "an approval must leave at least one right")
	}
	if !n.Within(p) {
		return Permissions{}, Fail(Invalid, "not-narrower", "an approval can only narrow what was asked")
	}
	return n, nil
}

// StartClock says from when the duration of a grant counts.
type StartClock string

// The clocks. The default, effective, takes no set-up time from the user.
const (
	FromEffective StartClock = "effective"
	FromApproval  StartClock = "approval"
	FromRequest   StartClock = "request"
)

// Endings are the conditions besides its time that end a grant.
type Endings struct {
	OnLogout bool          // when the last session of the account has closed
	OnIdle   time.Duration // when no session did anything for so long; 0: not used
}

// Schema says what documents may contain for one type: of resource, published by
// a connector, or of integration. Documents are checked against it.
type Schema struct {
	Type       string
	Mechanisms []Mechanism
	Role       map[string]Option // besides account, memberOf and commands
	Connection map[string]Option // besides address and credential
	// Alone are mechanisms whose roles must be exclusive: what one person was given could
	// not be taken from them while another has it.
	Alone []Mechanism
	// Rights says what one right of a mechanism looks like, a group or a command; those
	// of mechanisms that it leaves out may be any text.
	Rights map[Mechanism]Option
	// NoCredential says that a resource of this type names no credential: Stint signs
	// in nowhere, an agent there asks for its orders.
	NoCredential bool
	// Carried says that nothing is made on a resource of this type: what people have of it
	// are sessions through gateways, which log in there by the credential of its connection,
	// where that names one. Roles for it name no account.
	Carried bool

	// Integration are the options of an integration besides address and credential;
	// nil for a type of resource. A type is of one or of the other.
	Integration map[string]Option
	// Schemes are those that an integration's address may have; none: https.
	Schemes []string
	// Tickets says that an integration of this type keeps tickets.
	Tickets bool
	// TicketForm is what its tickets' ids look like, for people: "a key like OPS-12".
	TicketForm string
	// OnCall says that an integration of this type can be asked who is on call.
	OnCall bool
	// NeedsCredential refuses an integration that names no credential.
	NeedsCredential bool
}

// Option is one setting of a schema.
type Option struct {
	Doc     string   // one line for manuals and forms
	Values  []string // the allowed values; empty: any text, or a number in [Min, Max]
	Min     int64
	Max     int64 // > 0 makes the option a whole number
	Default string
	// Required refuses documents that leave it out.
	Required bool
	// Pattern, if not empty, is a regular expression that the whole text matches,
	// and Form says it in words.
	Pattern, Form string
	// Many makes it a list; its text is the items with commas between them.
	Many bool
	// Needs is another option and its value, as "name=value", without which this one
	// says nothing and is refused.
	Needs string
	// For are the mechanisms under which a role's option says anything; under others it
	// is refused. None: under all.
	For []Mechanism
	// Credential makes the text the name of a further credential, bound to the same
	// type and address. Integrations only.
	Credential bool
}
