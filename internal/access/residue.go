package access

import (
	"slices"
	"time"
)

// ResidueState says whether something that carries power past a grant was left
// behind by it.
type ResidueState string

// The answers. Pending turns into one of the others, once.
const (
	ResiduePending    ResidueState = "pending"    // the target has not been looked at since the end
	ResidueNone       ResidueState = "none"       // nothing that the grant can have made is there
	ResidueFound      ResidueState = "found"      // something is, and is listed
	ResidueUnknowable ResidueState = "unknowable" // it cannot be told, whatever is listed
)

// Residue is what one grant left behind at one place, as far as that is known.
type Residue struct {
	Grant    GrantID
	Place    Place
	State    ResidueState
	DueAt    time.Time // when to look next, while pending
	Attempts int       // that found the target not readable
	At       time.Time // when the answer was found; zero while pending
	Note     string    // what qualifies the answer; public
	Traces   []Trace
}

// Trace is one difference on a target that a grant can have made. All of it is
// public.
type Trace struct {
	Kind     string `json:"kind"`
	Database string `json:"database,omitempty"`
	What     string `json:"what"`
	By       string `json:"by,omitempty"`   // the role that it was made as, where that is known
	Undo     string `json:"undo,omitempty"` // the statement that a person can run
}

// Fingerprint is what a target looked like, in a connector's own words.
type Fingerprint struct {
	Place   Place
	TakenAt time.Time // when the reading was complete
	Body    []byte
}

// SumResidue is the answer for a grant, of those for its places: what is not known of one
// of them is not known. Without any it is empty: nobody looks.
func SumResidue(rs []Residue) (s ResidueState) {
	order := []ResidueState{ResidueNone, ResidueFound, ResidueUnknowable, ResiduePending}
	for _, r := range rs {
		if slices.Index(order, r.State) > slices.Index(order, s) {
			s = r.State
		}
	}
	return s
}
