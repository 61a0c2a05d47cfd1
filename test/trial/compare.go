package trial

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"stint/internal/api"
)

// compare holds what there is against what was promised.
func (w *World) compare(ctx context.Context, t *Trial, seen map[string]*sighting, dead, ready time.Time) {
	now, err := w.requests(ctx)
	if err != nil {
		t.wrong("the requests cannot be read: %v", err)
		return
	}
	l := w.ledger // the load has stopped: nobody else reads or writes it now
	j, violations, err := w.readLog(ctx)
	missing := j.missing(l, now)
	for deadline := time.Now().Add(numbered); len(missing) > 0 && time.Now().Before(deadline) && err == nil; {
		Rest(ctx, 100*time.Millisecond)
		j, violations, err = w.readLog(ctx)
		missing = j.missing(l, now)
	}
	t.Violations = append(append(t.Violations, violations...), missing...)
	if err != nil {
		t.wrong("%v", err)
		return
	}
	t.questions(l, now)
	t.promises(j, l, now)
	t.cut(l)
	t.accounts(j, now, seen, dead, ready)
	open := map[string]bool{}
	for id, r := range now {
		if r.State == api.RequestPending {
			open[id] = true
		}
	}
	l.forget(open)
}

// numbered is how long the sequencer may take until a record is in the log: a
// second, and as much for the look.
const numbered = 2 * time.Second

// requests are all that concern the trial: those of this and of the trial before,
// which may still have been undecided.
func (w *World) requests(ctx context.Context) (map[string]api.Request, error) {
	all := map[string]api.Request{}
	wanted := map[string]bool{}
	w.ledger.note(func() {
		for id := range w.ledger.told {
			wanted[id] = true
		}
	})
	for r, err := range api.Each(func(cursor string) (api.Page[api.Request], error) {
		return w.boss.Requests(ctx, api.RequestList{List: api.List{Cursor: cursor, Limit: 1000}})
	}) {
		if err != nil {
			return nil, err
		}
		all[r.ID] = r
		delete(wanted, r.ID)
		if r.CreatedAt.Before(w.since) && len(wanted) == 0 {
			break
		}
	}
	w.since = time.Now()
	return all, nil
}

// questions: each was carried out once at most, and once if it was answered.
func (t *Trial) questions(l *ledger, now map[string]api.Request) {
	made := map[string][]string{}
	for id, r := range now {
		made[r.Reason] = append(made[r.Reason], id)
		if g := r.Grant; g != nil && !g.ActiveAt.IsZero() && l.asked[r.Reason] != nil {
			t.granted++
		}
	}
	for reason, q := range l.asked {
		ids := made[reason]
		t.asked++
		switch {
		case len(ids) > 1:
			t.wrong("%s was asked once and became %d requests: %s", reason, len(ids), strings.Join(ids, ", "))
		case q.id != "" && !slices.Contains(ids, q.id):
			t.wrong("%s was answered with %s, which is not there", reason, q.id)
		case len(ids) == 1 && (now[ids[0]].Principal != q.by || now[ids[0]].Role != q.role || now[ids[0]].Duration != q.duration):
			t.wrong("%s is not what was asked", ids[0])
		}
	}
}

// promises: what any answer said still holds.
func (t *Trial) promises(j *journal, l *ledger, now map[string]api.Request) {
	for id, all := range l.told {
		for _, told := range all {
			if why := broken(told, now[id]); why != "" {
				t.wrong("%s: %s; told was %q, now it is %q", id, why, outline(told), outline(now[id]))
			}
		}
	}
	for id := range l.given {
		if g := now[id].Grant; g == nil || g.EndReason == "" {
			t.wrong("%s was given back, and is not over", id)
		}
	}
	for id, voters := range l.votes {
		for voter, yes := range voters {
			if !slices.ContainsFunc(now[id].Votes, func(v api.Vote) bool { return v.Principal == voter && v.Approve == yes }) {
				t.wrong("%s: the vote of %s is gone", id, voter)
			}
		}
	}
	for id, r := range now {
		g := r.Grant
		if g == nil {
			if r.State == api.RequestApproved {
				t.wrong("%s is approved, and has no grant", id)
			}
			continue
		}
		// A server that was cut off revokes by what it read last: of what others had
		// ended meanwhile, the reason that came first stays. So it does where time was
		// up before the revocation, done on the target and kept in the journal, was in
		// the rows.
		if at, ok := l.revoked[g.ID]; ok && g.EndReason != api.EndRevoked && g.EndedAt.After(at) && !g.EndedAt.Before(j.merged[g.ID]) {
			t.wrong("%s was revoked, and has ended as %s after that", g.ID, g.EndReason)
		}
		if g.VerifiedGoneAt.IsZero() {
			t.wrong("%s is %s, and was not verified gone", g.ID, g.State)
		}
	}
}

// cut: no session lives.
func (t *Trial) cut(l *ledger) {
	t.sessions = len(l.sessions)
	for _, s := range l.sessions {
		select {
		case <-s.over:
		case <-time.After(time.Second): // it has ended at the target; the news is on its way
			t.wrong("the session of %s under %s is alive", s.account, s.request)
			s.hangUp()
		}
	}
}

// accounts: each grant had one account at most, made once, and none was seen long
// after its end.
func (t *Trial) accounts(j *journal, now map[string]api.Request, seen map[string]*sighting, dead, ready time.Time) {
	for grant, n := range j.perGrant {
		if n > 1 {
			t.wrong("%s had %d accounts", grant, n)
		}
	}
	grants := map[string]*api.Grant{}
	for _, r := range now {
		if r.Grant != nil {
			grants[r.Grant.ID] = r.Grant
		}
	}
	for name, s := range seen {
		made, known := j.accounts[tagOf(name)]
		g := grants[made.grant]
		most := 1
		if !j.merged[made.grant].IsZero() { // another replica could not know of the revocation before it was merged
			most = 2
		}
		if len(s.oids) > most {
			t.wrong("the account %s was made %d times", name, len(s.oids))
		}
		switch {
		case !known:
			t.wrong("the log knows nothing of the account %s", name)
			continue
		case g == nil:
			t.wrong("the account %s is of %s, which is not there", name, made.grant)
			continue
		}
		end := j.ending[g.ID]
		if g.EndReason == api.EndExpired && g.ExpiresAt.Before(end) {
			end = g.ExpiresAt.Time
		}
		lag := s.after.Sub(end)
		if end.After(dead) && end.Before(ready) || g.ExpiresAt.After(dead) && g.ExpiresAt.Before(ready) {
			lag = max(s.after.Sub(ready), 0)
			t.due = append(t.due, lag)
		} else {
			t.late = append(t.late, max(lag, 0))
		}
		if lag > t.within {
			t.wrong("the account %s was there %s after its end", name, seconds(lag))
		}
	}
}

// tagOf cuts the tag off an account's name: the last two words of it.
func tagOf(account string) string {
	words := strings.Split(account, "_")
	if len(words) < 2 {
		return fmt.Sprintf("%q has no tag", account)
	}
	return strings.Join(words[len(words)-2:], "_")
}
