package access

import "time"

// Provisioned is a user or a group as a provisioning service knows it, beside the
// principal that a user is: what it said in full, to say it again.
type Provisioned struct {
	Provider string // the integration
	Kind     ProvisionedKind
	// ID never changes: of a user the name of the principal.
	ID string
	// Name is unique for a provider and kind: of a user the name to sign in with in
	// lower case, of a group its name in Stint.
	Name     string
	External string // the service's own id; may be empty
	Body     string // what it said, in the protocol's encoding
	Version  int64
	Created  time.Time
	Changed  time.Time
}

// ProvisionedKind is what a service provisions.
type ProvisionedKind string

// The kinds there are. Stored: only append.
const (
	ProvisionedUser  ProvisionedKind = "user"
	ProvisionedGroup ProvisionedKind = "group"
)

// ProvisionedQuery chooses: all of a provider and a kind, or those with an ID, a Name
// or an External id. A Limit below zero is none.
type ProvisionedQuery struct {
	Provider           string
	Kind               ProvisionedKind
	ID, Name, External string
	Offset, Limit      int
}
