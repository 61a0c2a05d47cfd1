package policy

import (
	"reflect"
	"slices"
	"time"

	"stint/internal/access"
)

// Past is a request that was made, as it can be decided again: what was asked and
// when. What of the ask is from then and what is as of now is for the caller to say.
type Past struct {
	Request access.RequestID
	Ask     Ask
	At      time.Time
	Was     access.Effect // what was decided then, under the documents of then
}

// Replayed is a past request that two sets decide differently.
type Replayed struct {
	Past
	Before, After access.Decision
}

// Replay decides past requests under two sets, each at the time when it was made, and
// gives those that end differently: allowed or not, and after whose approvals. It
// decides what was asked, not what became of it: whether somebody would have approved,
// or a `while` would have ended the access, nobody can know.
func Replay(before, after *Set, past []Past) (out []Replayed) {
	for _, p := range past {
		b, a := before.Decide(p.Ask, AtRequest, p.At), after.Decide(p.Ask, AtRequest, p.At)
		if !sameEnd(b, a) {
			out = append(out, Replayed{p, b, a})
		}
	}
	return out
}

func sameEnd(a, b access.Decision) bool {
	return a.Effect == b.Effect && slices.EqualFunc(a.Approvals, b.Approvals, func(x, y access.Requirement) bool {
		return reflect.DeepEqual(x, y)
	})
}
