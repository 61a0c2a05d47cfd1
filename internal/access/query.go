package access

import (
	"cmp"
	"time"
)

// RequestQuery selects requests, newest first. Zero fields do not select.
type RequestQuery struct {
	Principal PrincipalID
	Person    Person
	States    []RequestState
	Resource  ResourceName
	Role      RoleName
	Before    RequestID // cursor: only those with a smaller id
	Limit     int       // 1 to 1000; 0 means 100
}

// GrantQuery selects grants, newest first. Zero fields do not select.
type GrantQuery struct {
	Principal   PrincipalID
	Person      Person
	Resource    ResourceName
	Role        RoleName
	States      []GrantState
	Conditional bool // only those decided again meanwhile
	Watched     bool // only active ones that end on logout or idle
	Before      GrantID
	Limit       int // 1 to 1000; 0 means 100
}

// EntitlementQuery selects entitlements, oldest first. Zero fields do not select.
type EntitlementQuery struct {
	Place    Place
	Resource ResourceName
	States   []EntitlementState
	After    EntitlementID
	Limit    int // 1 to 10000; 0 means 1000
}

// Work is a place that has entitlements due, and of which kind.
type Work struct {
	Place    Place
	Removals bool // removing; else intended or refreshing
}

// Edition is one version of the documents among all that there ever were. A failover
// can take version 7 back, and what is applied next is another version 7.
type Edition struct {
	Version int64 // 0: there are none
	MadeMS  int64 // when it was made, by the store's clock, in milliseconds since 1970
}

// Credential is a registered connector login: how Stint itself signs in to a
// target. It is bound to type and address, so that no document can send it
// elsewhere. Sealed is ciphertext.
type Credential struct {
	Name     string
	Type     string
	Address  string
	Username string
	Sealed   []byte
	Version  int64
	SetAt    time.Time
}

// Gone reports whether the credential was deleted: its row stays without the secret,
// so that the versions of its name go on.
func (c Credential) Gone() bool { return len(c.Sealed) == 0 }

// usersMost is how many entitlements on one place are looked through.
const usersMost = 10000

// Place is where the credential signs in.
func (c Credential) Place() Place { return Connection{Type: c.Type, Address: c.Address}.Place() }

// Users selects what may have been made with the credential and may still be there.
func (c Credential) Users() EntitlementQuery {
	return EntitlementQuery{Place: c.Place(),
		States: []EntitlementState{Intended, Present, Refreshing, Removing}, Limit: usersMost}
}

// Unused refuses while what Users found was made with the credential, or is too much to
// tell. A Resource that was deleted, its grants revoked, still needs it until everything
// is read back as gone.
func (c Credential) Unused(found []Entitlement) error {
	for _, e := range found {
		if e.Target.Connection.Credential == c.Name && e.State == Removing {
			return Fail(Conflict, "in-use", "access that was made with the credential "+c.Name+" is not read back as gone yet").
				Because(cmp.Or(e.LastError, string(e.ID)+" is being removed") + "; without the credential, it could not be taken away").
				Try("try again when nothing is ending: stint get grants --state ending; stint audit search --entity " + string(e.ID))
		}
		if e.Target.Connection.Credential == c.Name {
			return Fail(Conflict, "in-use", "live access depends on the credential "+c.Name+" at "+c.Address).
				Because("without it, it could not be taken away").
				Try("end it first with: stint revoke --resource " + string(e.Target.Resource) + " --why …")
		}
	}
	if len(found) == usersMost {
		return Fail(Conflict, "in-use", "there is too much live access at "+c.Address+" to tell whether it depends on the credential "+c.Name).
			Try("let some of it end, then try again")
	}
	return nil
}

// UnansweredMost is how many ended grants on one place Answered is given at most.
const UnansweredMost = 1000

// Answered refuses while it is not known what grants left behind that were reached with
// the credential: only with it can the target be looked at. ended are those whose residue
// at the credential's place is pending.
func (c Credential) Answered(ended []Grant) error {
	for _, g := range ended {
		for _, t := range g.Targets {
			if t.Connection.Credential == c.Name && t.Connection.Place() == c.Place() {
				return Fail(Conflict, "in-use", "it is not known yet what access left behind that was made with the credential "+c.Name).
					Because("the target has not been looked at since " + string(g.ID) + " ended").
					Try("try again in some seconds; a target that does not answer is given up after half an hour: stint status " + string(g.ID))
			}
		}
	}
	if len(ended) == UnansweredMost {
		return Fail(Conflict, "in-use", "too much access at "+c.Address+" has just ended to tell whether it was made with the credential "+c.Name).
			Try("try again in a minute")
	}
	return nil
}

// Sealed is the credential of a live grant, encrypted to the holder's device.
type Sealed struct {
	Grant       GrantID
	Entitlement EntitlementID
	Resource    ResourceName
	Rev         int64
	Blob        []byte
	At          time.Time
}

// Remembered is the answer to an idempotent call, kept for a day.
type Remembered struct {
	Principal PrincipalID
	Key       string
	Body      Digest // of the call's body; another body with the same key is refused
	Result    string // the id that the call made
	At        time.Time
}
