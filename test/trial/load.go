package trial

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"stint/internal/api"
	"stint/test/stage"
)

// load is people and services at work until stop. Errors are part of it: whoever
// gets one goes on with something else.
type load struct {
	*World
	trial int
	count atomic.Int64 // numbers the questions
	group sync.WaitGroup
	stop  context.CancelFunc
	lost  atomic.Int64 // calls without an answer
	ended atomic.Int64 // calls that took access away

	mu      sync.Mutex
	refused map[string]int // refusals by their code
	unended []string       // calls that should have taken access away and did not
}

// begin starts the load.
func (w *World) begin(ctx context.Context, trial int) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{World: w, trial: trial, stop: cancel, refused: map[string]int{}}
	work := func(every time.Duration, f func(context.Context, *rand.Rand)) {
		r := rand.New(rand.NewPCG(w.Rand.Uint64(), w.Rand.Uint64()))
		l.group.Go(func() {
			for Rest(ctx, every/2+rand.N(every)) {
				f(ctx, r)
			}
		})
	}
	for _, a := range w.askers {
		for range 2 {
			work(40*time.Millisecond, func(ctx context.Context, r *rand.Rand) { l.ask(ctx, a, r) })
		}
	}
	for _, a := range w.deciders {
		work(40*time.Millisecond, func(ctx context.Context, r *rand.Rand) { l.decide(ctx, a, r) })
	}
	work(250*time.Millisecond, l.revoke)
	return l
}

// end stops the load. Calls in flight are cut off, which leaves their outcome
// open: one more thing that must do no harm.
func (l *load) end() {
	l.stop()
	l.group.Wait()
}

// Rest waits; false when the load is over.
func Rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// failed notes a call that was not answered with what it asked for.
func (l *load) failed(err error) bool {
	var u *api.Unreachable
	var e *api.Error
	switch {
	case errors.As(err, &u), errors.Is(err, context.Canceled):
		l.lost.Add(1)
	case errors.As(err, &e):
		l.mu.Lock()
		defer l.mu.Unlock()
		l.refused[e.Code]++
	}
	return err != nil
}

// ask is one question and what its asker does with the answer.
func (l *load) ask(ctx context.Context, a *actor, r *rand.Rand) {
	role := pick(r, []string{"reader", "reader", "reader", "asked-reader", "owner", "admin"})
	span := pick(r, spans)
	q := question{by: a.principal, role: role, duration: api.FormatDuration(span)}
	reason := fmt.Sprintf("trial %d question %d", l.trial, l.count.Add(1))
	l.ledger.asks(reason, q)
	got, err := a.Submit(ctx, api.Ask{Resource: "orders-db", Role: role, Duration: q.duration, Reason: reason},
		api.Wait{For: api.Ready, Time: time.Second})
	if l.failed(err) {
		return
	}
	l.ledger.tells(got)
	if got.State == api.RequestPending {
		if r.IntN(5) == 0 {
			if got, err = a.Cancel(ctx, got.ID); !l.failed(err) {
				l.ledger.tells(got)
			}
			return
		}
		if got, err = a.Request(ctx, got.ID, api.Wait{For: api.Ready, Time: 2 * time.Second}); l.failed(err) {
			return
		}
		l.ledger.tells(got)
	}
	if got.Grant == nil || got.Grant.State != api.GrantActive {
		return
	}
	if r.IntN(3) > 0 {
		l.connect(ctx, a, got)
	}
	if r.IntN(3) > 0 {
		return
	}
	if !Rest(ctx, time.Duration(r.Int64N(int64(span)))) {
		return
	}
	got, err = a.End(ctx, got.ID)
	if a.Patience >= 0 { // the others take no answer for one
		l.ends(ctx, err)
	}
	if !l.failed(err) {
		l.ledger.tells(got)
		l.ledger.gives(got.ID)
	}
}

// ends counts a call that takes access away. That there is none any more is no
// failure.
func (l *load) ends(ctx context.Context, err error) {
	var e *api.Error
	if ctx.Err() != nil {
		return // cut off with the load
	}
	l.ended.Add(1)
	if err != nil && !(errors.As(err, &e) && e.Kind == api.Conflict) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.unended = append(l.unended, err.Error())
	}
}

// connect opens a session under a grant. That it cannot is nothing bad: the grant
// may have ended, the password been rotated, the target been killed.
func (l *load) connect(ctx context.Context, a *actor, got api.Request) {
	dsn := l.Stage.Target.DSN(a.person, "standing-"+a.person, stage.Database) // one's own account
	if got.Role != "owner" {
		cred, err := a.Credential(ctx, got.ID)
		if l.failed(err) {
			return
		}
		l.ledger.shows(got.Grant.ID)
		dsn = l.Stage.Target.DSN(cred.Username, cred.Password.Reveal(), cred.Database)
	}
	if s := openSession(ctx, dsn, got); s != nil {
		l.ledger.opens(s)
	}
}

// session is an open connection made under a grant. It does nothing but to notice
// its end.
type session struct {
	account, request string
	opened           time.Time
	over             chan struct{} // closed when the session is
	hangUp           context.CancelFunc
}

func openSession(ctx context.Context, dsn string, got api.Request) *session {
	u, err := url.Parse(dsn)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil
	}
	s := &session{account: u.User.Username(), request: got.ID, opened: time.Now(), over: make(chan struct{})}
	// One's own account may connect without any grant; such a session counts only
	// while it has what the grant gives.
	power := map[string]string{"owner": "orders_owner", "admin": "orders_owner"}[got.Role]
	if power == "" {
		power = "orders_read"
	}
	var has bool
	if err := conn.QueryRow(ctx, "SELECT pg_has_role(session_user, $1, 'MEMBER')", power).Scan(&has); err != nil || !has {
		_ = conn.Close(context.WithoutCancel(ctx)) // it was cut already, or proves nothing
		return nil
	}
	open, hangUp := context.WithCancel(context.Background())
	s.hangUp = hangUp
	go func() {
		defer close(s.over)
		_, _ = conn.WaitForNotification(open) // none comes; it returns when the session ends
		_ = conn.Close(context.WithoutCancel(open))
	}()
	return s
}

func (s *session) alive() bool {
	select {
	case <-s.over:
		return false
	default:
		return true
	}
}

func (s *session) state() string {
	if s.alive() {
		return "alive"
	}
	return "over"
}

// decide votes on what waits for the decider.
func (l *load) decide(ctx context.Context, a *actor, r *rand.Rand) {
	page, err := a.Approvals(ctx, api.List{})
	if l.failed(err) {
		return
	}
	for _, p := range page.Items {
		vote, yes := a.Deny, r.IntN(4) > 0
		if yes {
			vote = a.Approve
		}
		got, err := vote(ctx, p.ID, api.VoteAsk{Digest: p.Digest, Note: "by " + a.person})
		if l.failed(err) {
			continue // perhaps the other decider was faster
		}
		l.ledger.tells(got)
		l.ledger.voted(got.ID, a.principal, yes)
	}
}

// revoke takes something away.
func (l *load) revoke(ctx context.Context, r *rand.Rand) {
	ask := api.RevokeAsk{Why: "chaos"}
	switch r.IntN(6) {
	case 0:
		ask.User = pick(r, l.askers).principal
	case 1:
		ask.Role = pick(r, []string{"owner", "admin"})
	default:
		page, err := l.boss.Grants(ctx, api.List{})
		if l.failed(err) || len(page.Items) == 0 {
			return
		}
		ask.Grant = pick(r, page.Items).ID
	}
	got, err := l.boss.Revoke(ctx, ask)
	l.ends(ctx, err)
	if !l.failed(err) {
		l.ledger.revokes(got.Grants)
	}
}
