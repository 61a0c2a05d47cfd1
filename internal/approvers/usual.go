package approvers

import (
	"slices"
	"strings"
	"sync"
	"time"

	"stint/internal/access"
)

// How long people take to answer is worked out from the newest requests of a month,
// rarely, and said only where there are enough answers to say anything.
const (
	usualWithin = 30 * 24 * time.Hour
	usualAmong  = 1000
	usualGood   = 5 * time.Minute
	// FewAnswers is how many answers are too few to say what is usual.
	FewAnswers = 5
)

// Usual is how long the same people took to give what was asked of them.
type Usual struct {
	Median     time.Duration // 0 where there were fewer than FewAnswers
	Answers    int
	Unanswered int // the time to answer ran out
}

// Usuals keeps what was worked out, by whom requirements ask. The zero value has
// nothing; its methods are safe for concurrent use.
type Usuals struct {
	mu sync.Mutex
	at time.Time // the store's
	of map[string]Usual
}

// Requests are the requests of one moment.
type Requests interface {
	Now() time.Time
	Requests(access.RequestQuery) ([]access.Request, error)
}

// sameAsked is equal for requirements that ask the same people for as many answers.
func sameAsked(q access.Requirement) string {
	from := texts(q.From)
	slices.Sort(from)
	return strings.Repeat("+", q.Count) + strings.Join(from, " ")
}

// Of says how long each of the requirements usually takes.
func (u *Usuals) Of(now Requests, reqs []access.Requirement) ([]Usual, error) {
	u.mu.Lock()
	of, at := u.of, u.at
	u.mu.Unlock()
	if of == nil || now.Now().Sub(at) > usualGood {
		rs, err := now.Requests(access.RequestQuery{Limit: usualAmong,
			States: []access.RequestState{access.RequestIsGranted, access.RequestIsDenied, access.RequestTimedOut}})
		if err != nil {
			return nil, err
		}
		of = usualOf(rs, now.Now().Add(-usualWithin))
		u.mu.Lock()
		u.of, u.at = of, now.Now()
		u.mu.Unlock()
	}
	out := make([]Usual, len(reqs))
	for i, q := range reqs {
		out[i] = of[sameAsked(q)]
	}
	return out, nil
}

// usualOf works it out from requests that are decided, made since then.
func usualOf(rs []access.Request, since time.Time) map[string]Usual {
	took := map[string][]time.Duration{}
	of := map[string]Usual{}
	for _, r := range rs {
		if r.CreatedAt.Before(since) {
			continue
		}
		for i, q := range r.Decision.Approvals {
			key := sameAsked(q)
			d, asked, answered := r.AnsweredIn(i)
			switch u := of[key]; {
			case answered:
				took[key] = append(took[key], d)
			case asked && r.State == access.RequestTimedOut:
				u.Unanswered++
				of[key] = u
			}
		}
	}
	for key, ds := range took {
		u := of[key]
		u.Answers = len(ds)
		if len(ds) >= FewAnswers {
			slices.Sort(ds)
			u.Median = ds[(len(ds)-1)/2] // of an even number, the lower one of the two
		}
		of[key] = u
	}
	return of
}
