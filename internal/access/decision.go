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
	// Stage says when it is asked: once those of all stages before it are filled.
	// 0 is the first, as 1 is.
	Stage int
	// EscalateTo are asked for the same places too, once the stage has been open for
	// EscalateAfter. The count stays.
	EscalateAfter time.Duration
	EscalateTo    []Subject
}

// Decision is policy's answer to a request. The zero Decision denies.
type Decision struct {
	Effect Effect
	Policy PolicyName // the path that decided; empty when nothing matched
	// Behalf is the path that decided for the human of an agent that asks; empty for others.
	Behalf    PolicyName
	Documents int64 // version of the documents that decided
	Reasons   []Reason
	Approvals []Requirement // empty unless Effect is Approve
	// MaxDuration is the cap of the role, the path and the resource's ceiling
	// together; a longer request is denied, never clamped.
	MaxDuration time.Duration
	// AnswerWithin is how long the request waits for its approvals; 0: PendingFor.
	AnswerWithin time.Duration
	// RemindAfter is how often those who are asked are reminded; 0: never.
	RemindAfter time.Duration
	// Conditional says that the path has conditions that must hold for as long
	// as the grant lives, so that it is decided again meanwhile.
	Conditional bool
	// Emergency says that a break-glass policy decided. Such a decision is good for a
	// break-glass request alone, and no other decision is good for one.
	Emergency bool
}

// Waits is how long a request waits for the approvals.
func (d Decision) Waits() time.Duration {
	if d.AnswerWithin <= 0 {
		return PendingFor
	}
	return min(d.AnswerWithin, MaxWait)
}
