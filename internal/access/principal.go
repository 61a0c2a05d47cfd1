package access

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"stint/internal/moment"
)

// Principal is who asks: a user, a service, or an agent with its responsible
// human. Person is the human who counts for separation of duties: the user's
// own, the owner's for a service or an agent.
type Principal struct {
	ID     PrincipalID
	Person Person
	// Identities are who it is elsewhere; sorted. Of all principals one has each.
	Identities []Identity
	Groups     []Group // sorted; of all sources
	// Provided are the groups by who gave them: a provider's name, or "" for an
	// administrator; nil while no provider gave any. Provide changes it.
	Provided   map[string][]Group
	Attributes map[string]string
	Manager    PrincipalID // may be empty
	Admin      bool        // administers Stint; has no implicit access to any target
	Auditor    bool
	Author     bool // writes roles and policies, of all resources; see policy.MayWrite
	Disabled   bool
	// DisabledBy is the provider that disabled it, empty for an administrator. Only
	// who disabled a principal enables it again.
	DisabledBy string
	// Lock keeps it out until an administrator takes that away, whatever Disabled says.
	Lock Lock
	// Until is when the principal itself ends; zero for users without an end.
	Until     time.Time
	CreatedAt time.Time
	Version   int64
	// Sponsor makes a user a vendor: who of the house answers for them; Company is
	// whose they are, and Until their contract's end.
	Sponsor PrincipalID
	Company string
	// Responsible is the human of an agent, on whose account it does all it does.
	Responsible PrincipalID

	// OnCall are the schedules that the principal is on call in, at the moment it is
	// asked about. Whoever asks fills it from the documents; it is never stored.
	OnCall []string
	// Delegators are those whose approvals the principal may give at that moment. The
	// same holds for them.
	Delegators []Delegator
}

// In reports whether the principal is what the subject names: "*", "group:g",
// "oncall:s", or its own id.
func (p Principal) In(s Subject) bool {
	if s == "*" || string(s) == string(p.ID) {
		return true
	}
	if schedule, ok := s.Schedule(); ok {
		return slices.Contains(p.OnCall, schedule)
	}
	g, ok := strings.CutPrefix(string(s), "group:")
	return ok && slices.Contains(p.Groups, Group(g))
}

// Usable reports why the principal may not act at now, or nil.
func (p Principal) Usable(now time.Time) error {
	if p.Disabled {
		return Fail(Unauthenticated, "principal-disabled", string(p.ID)+" is disabled")
	}
	if p.Lock.Is() {
		return Fail(Unauthenticated, "principal-locked", string(p.ID)+" is locked").Try("ask an administrator")
	}
	if !p.Until.IsZero() && !now.Before(p.Until) {
		return Fail(Unauthenticated, "principal-ended", string(p.ID)+" ended").Because("its time was up at " + moment.At(p.Until))
	}
	return nil
}

// Subject names principals in a policy: "*", "group:dba", "user:mira",
// "service:ci", "agent:fixer", "oncall:payments"; in approvals also "owner", "manager",
// "manager.manager" and "sponsor", which the decision resolves to names.
type Subject string

// Schedule is the schedule whose people on call the subject names.
func (s Subject) Schedule() (name string, ok bool) { return strings.CutPrefix(string(s), "oncall:") }

// ValidSubject reports whether s has one of the forms of Subject; the last four
// only where relative is true.
func ValidSubject(s Subject, relative bool) bool {
	switch s {
	case "*":
		return true
	case "owner", "manager", "manager.manager", "sponsor":
		return relative
	}
	kind, name, ok := strings.Cut(string(s), ":")
	return ok && slices.Contains([]string{"group", "user", "service", "agent", "oncall"}, kind) && ValidName(name)
}

// Source is where a request comes from, and how whoever makes it signed in.
type Source struct {
	IP     netip.Addr
	Device DeviceID
	Auth   Auth
}

// Actor is who did something, as the audit log says it.
type Actor struct {
	Principal PrincipalID // "stint" itself is "service:stint"
	Person    Person
	Device    DeviceID
	Address   netip.Addr
}

// System is the actor of what Stint does by itself.
var System = Actor{Principal: "service:stint"}

// Login is a signed-in session of a principal on one device. Only the hash of
// its token is kept.
type Login struct {
	Token     Digest // SHA-256 of the opaque token
	Principal PrincipalID
	Device    DeviceID // empty for a service token, which any of its devices may use
	SealKey   []byte   // the device's public key for sealed credentials (X25519, 32 bytes)
	CreatedAt time.Time
	ExpiresAt time.Time
	Revoked   bool
	// Glass is set for a login by one-time codes; nil for all others.
	Glass *Glass
	// Exchange is set for a login of a workload; nil for all others.
	Exchange *Exchange

	Kind   LoginKind // see Is
	Auth   Auth      // how its person signed in
	From   netip.Addr
	Client string    // what made it calls itself: for its owner's eyes, proof of nothing
	SeenAt time.Time // of a browser's: when it was last used, to the minute; zero: not since
}

// Glass is what a login by one-time codes is for: break-glass access.
type Glass struct {
	Codes    []string     // their ids
	Persons  []Person     // whose codes they are
	Resource ResourceName // for this one alone; empty: for any
}

// Enrolment is a one-time code with which a local user gets a first login.
type Enrolment struct {
	Code      Digest // SHA-256 of the code
	Principal PrincipalID
	ExpiresAt time.Time
	UsedAt    time.Time // zero until used
}
