package approvers

import (
	"slices"
	"time"

	"stint/internal/access"
	"stint/internal/policy"
)

// Asked is whom one approval would ask, and how long they usually take.
type Asked struct {
	People []access.Principal // of each person one login; none where anybody may
	More   int                // how many there are besides, up to many in all
	Usual  Usual
	// Delegates may answer for one of People at this moment.
	Delegates []StandIn
}

// StandIn is who may give somebody's approvals for a time.
type StandIn struct{ To, For access.Principal }

// So many people are named for each approval, and no further than to many is counted.
const (
	named = 20
	many  = 1000
)

// Asks names whom each approval of a request would ask, who asks left out. usual is of
// the same requirements.
func (k Known) Asks(r access.Request, set *policy.Set, usual []Usual, now time.Time) []Asked {
	out := make([]Asked, len(r.Decision.Approvals))
	for i, q := range r.Decision.Approvals {
		out[i].Usual = usual[i]
		if k.people == nil || slices.Contains(q.From, "*") {
			continue
		}
		could := count{k.people, set, now, r.ExpiresAt, map[access.Person]bool{r.Person: true}}
		all := could.could(q.From, many)
		n := min(len(all), named)
		out[i].People, out[i].More = all[:n], len(all)-n
	}
	return out
}

// StandsIn is who could answer a request by a delegation at this moment.
func (k Known) StandsIn(r access.Request, d access.Delegation, now time.Time) (access.Principal, bool) {
	if k.people == nil || !d.Holds(now) || d.ToPerson == r.Person {
		return access.Principal{}, false
	}
	n, known := k.byID[d.To]
	if !known || k.all[n].Usable(now) != nil {
		return access.Principal{}, false
	}
	return k.all[n], true
}
