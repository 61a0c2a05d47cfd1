package access

import "time"

// StandingKind is by what an account of a target has privileged access outside Stint.
type StandingKind string

// The kinds. Stored: only append.
const (
	StandingPower  StandingKind = "power"  // something that the account itself may do: superuser
	StandingMember StandingKind = "member" // it is in a group
	StandingOwner  StandingKind = "owner"  // it owns something
)

// Standing is privileged access that an account of a target has all the time, and that
// nobody granted through Stint. Stint reports it and never takes it away.
type Standing struct {
	Resource  ResourceName
	Account   string
	Privilege string // public, and with the account what it is known by: "superuser"
	Kind      StandingKind
	Right     string // the group, of StandingMember
	// Undo is the statement by which an administrator of the target takes it away, and
	// Note what to look at before; both are public, and Stint runs neither.
	Undo, Note string

	FirstSeen time.Time
	LastSeen  time.Time
	GoneAt    time.Time // when a survey found it no more; zero while it is there
}

// StandingQuery selects standing privileges, by resource, account and privilege.
type StandingQuery struct {
	Resource ResourceName // empty: of all
	Gone     bool         // also what is there no more
	After    StandingKey  // page: what comes after this one
	Limit    int
}

// StandingKey is what a standing privilege is known by.
type StandingKey struct {
	Resource  ResourceName
	Account   string
	Privilege string
}

// Key is what it is known by.
func (s Standing) Key() StandingKey { return StandingKey{s.Resource, s.Account, s.Privilege} }

// Survey is when a target was last asked who has privileged access outside Stint, and
// what it said.
type Survey struct {
	Resource ResourceName
	TriedAt  time.Time
	At       time.Time // of the last that succeeded; zero when none has
	Edges    int       // standing privileges that it found
	Accounts int       // accounts that have them
	Cut      bool      // there were more than are kept
	Said     string    // why the last try failed, public; empty when it did not
}

// StandingDay is how much standing privilege there was on a day, in UTC.
type StandingDay struct {
	Day       time.Time
	Resource  ResourceName // empty in a sum
	Edges     int
	Accounts  int
	Resources int // that the sum is of
}

// Probe is the last time that somebody had Stint prove that it can create and remove on
// a resource.
type Probe struct {
	Resource ResourceName
	At       time.Time
	By       PrincipalID
	OK       bool
	Said     string // the first thing that failed, or what was proven; public
	Steps    []ProbeStep
}

// ProbeStep is one thing that a probe proved or refuted.
type ProbeStep struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok,omitempty"`
	Detail string `json:"detail,omitempty"`
	Fix    string `json:"fix,omitempty"`
}
