package access

import "time"

// Effect is the outcome of a decision. The zero value denies.
type Effect uint8

// The effects. Stored: only append.
const (
	Deny    Effect = iota
	Approve        // allowed once the persons named have approved
	Allow          // allowed at once
)

func (e Effect) String() string {
	switch e {
	case Allow:
		return "allow"
	case Approve:
		return "approve"
	}
	return "deny"
}

// Reason is one sentence of a decision, with the rule it comes from.
type Reason struct {
	Policy PolicyName
	Source string // "policy.yaml:31"
	Text   string
}

// Requirement asks for approvals: Count distinct persons from any of From, each by a
// vote of at least the level.
type Requirement struct {
	From  []Subject // resolved: no "owner", no "manager"
	Count int
	Level Level
}

// Decision is policy's answer to a request. The zero Decision denies.
type Decision struct {
	Effect    Effect
	Policy    PolicyName // the path that decided; empty when nothing matched
	Documents int64      // version of the documents that decided
	Reasons   []Reason
	Approvals []Requirement // empty unless Effect is Approve
	// MaxDuration is the cap of the role, the path and the resource's ceiling
	// together; a longer request is denied, never clamped.
	MaxDuration time.Duration
	// Conditional says that the path has conditions that must hold for as long
	// as the grant lives, so that it is decided again meanwhile.
	Conditional bool
	// Emergency says that a break-glass policy decided. Such a decision is good for a
	// break-glass request alone, and no other decision is good for one.
	Emergency bool
}
