package trial

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"stint/internal/api"
)

// ledger keeps, outside of the product, what callers were promised. A call
// without an answer promises nothing, and must still not be carried out twice.
type ledger struct {
	mu       sync.Mutex
	asked    map[string]*question       // by reason, which is of one question only
	told     map[string][]api.Request   // by id: each different thing an answer said of it
	given    map[string]bool            // request ids whose return was acknowledged
	votes    map[string]map[string]bool // request id -> voter -> approve
	revoked  map[string]time.Time       // by grant id, when a revocation that named it was answered
	shown    map[string]int             // grant id -> credentials that arrived
	sessions []*session
}

// question is one submission.
type question struct {
	by, role, id string // id once acknowledged
	duration     string
}

func newLedger() *ledger {
	return &ledger{asked: map[string]*question{}, told: map[string][]api.Request{}, given: map[string]bool{},
		votes: map[string]map[string]bool{}, revoked: map[string]time.Time{}, shown: map[string]int{}}
}

// forget closes the books on what is over; open questions stay in them.
func (l *ledger) forget(open map[string]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh := newLedger()
	for reason, q := range l.asked {
		if open[q.id] {
			fresh.asked[reason] = q
		}
	}
	for id := range open {
		fresh.told[id] = l.told[id] // also one that nobody was told of: it is looked up until it is decided
		if v := l.votes[id]; v != nil {
			fresh.votes[id] = v
		}
	}
	l.asked, l.told, l.given, l.votes, l.revoked, l.shown, l.sessions = fresh.asked, fresh.told, fresh.given, fresh.votes, fresh.revoked, fresh.shown, nil
}

func (l *ledger) asks(reason string, q question) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked[reason] = &q
}

// tells notes what an answer said.
func (l *ledger) tells(r api.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if q := l.asked[r.Reason]; q != nil {
		q.id = r.ID
	}
	if !slices.ContainsFunc(l.told[r.ID], func(s api.Request) bool { return outline(s) == outline(r) }) {
		l.told[r.ID] = append(l.told[r.ID], r)
	}
}

func (l *ledger) gives(id string) { l.note(func() { l.given[id] = true }) }

func (l *ledger) voted(id, voter string, approve bool) {
	l.note(func() {
		if l.votes[id] == nil {
			l.votes[id] = map[string]bool{}
		}
		l.votes[id][voter] = approve
	})
}

func (l *ledger) revokes(grants []string) {
	l.note(func() {
		for _, g := range grants {
			if _, again := l.revoked[g]; !again {
				l.revoked[g] = time.Now()
			}
		}
	})
}

func (l *ledger) shows(grant string) { l.note(func() { l.shown[grant]++ }) }

func (l *ledger) opens(s *session) { l.note(func() { l.sessions = append(l.sessions, s) }) }

func (l *ledger) note(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// outline is what of a request can change.
func outline(r api.Request) string {
	s := fmt.Sprintf("%s %s %d", r.State, r.Granted, len(r.Votes))
	if g := r.Grant; g != nil {
		s += fmt.Sprintf(" %s %s active %s, expires %s, ended %s (%s), gone %s", g.ID, g.State, g.ActiveAt, g.ExpiresAt, g.EndedAt, g.EndReason, g.VerifiedGoneAt)
	}
	return s
}

// String is the ledger for whoever looks for the fault. It holds no secret.
func (l *ledger) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for reason, q := range l.asked {
		fmt.Fprintf(&b, "%s: %s asks for %s for %s: %s\n", reason, q.by, q.role, q.duration, q.id)
		for _, r := range l.told[q.id] {
			fmt.Fprintf(&b, "  told: %s\n", outline(r))
		}
	}
	fmt.Fprintf(&b, "given back: %v\nvotes: %v\nrevoked: %v\nshown: %v\n", l.given, l.votes, l.revoked, l.shown)
	for _, s := range l.sessions {
		fmt.Fprintf(&b, "session of %s under %s, opened %s, %s\n", s.account, s.request, s.opened.UTC().Format(time.StampMilli), s.state())
	}
	return b.String()
}

// broken says how the state now breaks what was told of the request before;
// empty if it does not.
func broken(told, now api.Request) string {
	switch {
	case told.Principal != now.Principal || told.Resource != now.Resource || told.Role != now.Role || told.Duration != now.Duration ||
		told.Reason != now.Reason || told.Digest != now.Digest:
		return "what was asked has changed"
	case told.State != api.RequestPending && now.State != told.State:
		return fmt.Sprintf("it was %s and is %s", told.State, now.State)
	case told.Granted != "" && told.Granted != now.Granted:
		return fmt.Sprintf("%s were granted and are %s", told.Granted, now.Granted)
	case len(now.Votes) < len(told.Votes):
		return "a vote is gone"
	case told.Grant == nil:
		return ""
	case now.Grant == nil:
		return "its grant is gone"
	}
	a, b := told.Grant, now.Grant
	kept := func(before, after api.Time) bool { return before.IsZero() || before.Equal(after) }
	switch {
	case a.ID != b.ID:
		return "it has another grant"
	case rank[b.State] < rank[a.State], rank[a.State] == rank[api.GrantEnded] && a.State != b.State:
		return fmt.Sprintf("its grant was %s and is %s", a.State, b.State)
	case !kept(a.ActiveAt, b.ActiveAt), !kept(a.EndedAt, b.EndedAt), !kept(a.VerifiedGoneAt, b.VerifiedGoneAt):
		return "a time that was fixed has changed"
	case !a.ActiveAt.IsZero() && !a.ExpiresAt.Equal(b.ExpiresAt):
		return fmt.Sprintf("its end was fixed at %s and is %s", a.ExpiresAt, b.ExpiresAt)
	case a.EndReason != "" && a.EndReason != b.EndReason:
		return fmt.Sprintf("it had ended as %s and has ended as %s", a.EndReason, b.EndReason)
	}
	return ""
}

// rank orders the states of a grant's life, which only goes forward.
var rank = map[api.GrantState]int{api.GrantScheduled: 0, api.GrantProvisioning: 1, api.GrantActive: 2, api.GrantEnding: 3,
	api.GrantEnded: 4, api.GrantFailed: 4}
