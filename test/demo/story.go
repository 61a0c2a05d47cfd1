package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"stint/internal/api"
)

// step is one part of the story.
type step struct {
	title, why string
	tell       func(*act)
}

func (d *demo) steps() []step {
	return []step{
		{"Can Stint create and remove there?", "Before the first grant a canary goes through its whole life on the target: a permission to remove that is missing shows now, and not when access should end.", (*act).preflight},
		{"Ask what the answer would be", "Policy explains itself before anybody is bothered: which rule, in which line, and the nearest question that would be allowed.", (*act).explain},
		{"Ask", "One person asks for one role on one resource, for a time and with a reason. Nothing exists on the target yet.", (*act).ask},
		{"Another person approves, for shorter", "The vote is bound to the digest of exactly what was asked. It can narrow it, never widen it.", (*act).approve},
		{"Connect, and read real rows", "An account was made for this grant alone. Its password travels sealed to mira's device and never shows.", (*act).connect},
		{"Nobody approves their own request", "omar is a dba and may decide; but not on what he asks for himself.", (*act).denySelf},
		{"Give it back early", "Access ends when the work is done. It counts as ended only when the target was read back.", (*act).giveBack},
		{"The end cuts an open session", "DROP ROLE and VALID UNTIL leave open sessions running. Stint ends them, and says when they were gone.", (*act).expire},
		{"Two grants, one membership", "mira's own account joins a group for two grants at once. The first to end must not take it from the second; the second must not leave it.", (*act).overlap},
		{"kill -9 in mid-grant", "The end of a grant is a row, not a timer in a process. What falls due while stintd is dead goes as soon as it is back.", (*act).crash},
		{"Break the glass", "At night nobody is there to approve. Access comes at once, the owners are told in the same moment, and another person reviews it.", (*act).breakGlass},
		{"Verify the audit log", "Every change left one record in a Merkle log. It verifies against the server, and offline with the export and the public key alone.", (*act).verify},
		{"Tamper with one record", "Somebody with the file, and somebody with the database, makes it look as if mira had approved her own request.", (*act).tamper},
	}
}

// tell goes through the steps.
func (d *demo) tell(ctx context.Context) error {
	for i, s := range d.steps() {
		d.heading(i+1, s.title, s.why)
		a := &act{demo: d, ctx: ctx}
		began := time.Now()
		s.tell(a)
		if a.err != nil {
			return fmt.Errorf("step %d, %s: %w", i+1, s.title, a.err)
		}
		d.told = append(d.told, told{s.title, time.Since(began), a.lag})
		if d.pause > 0 && !a.rest(d.pause) {
			return ctx.Err()
		}
	}
	return nil
}

func (a *act) preflight() {
	a.run(a.root, done, "resource", "check", "orders-db")
	left := a.left()
	a.shown("on the target", left)
	a.claim(left == "nothing of Stint's", "the canary is gone again", "nothing", left)
}

const why = "customer 4 says that order 5 is stuck"

func (a *act) explain() {
	out := a.run(a.mira, denied, "request", "orders-db", "--as", "reader", "--for", "3h", "--why", why, "--dry-run")
	a.holds("it names the rule that nearly allowed it", out, "orders-read")
	out = a.run(a.mira, done, "request", "orders-db", "--as", "reader", "--for", "30s", "--why", why, "--dry-run")
	a.holds("it says who would be asked", out, "group:dba")
}

func (a *act) ask() {
	a.asked = a.id(a.run(a.mira, done, "request", "orders-db", "--as", "reader", "--for", "30s", "--why", why, "--no-wait"))
	r := a.request(a.mira, a.asked)
	a.claim(r.State == api.RequestPending, "it waits for a decision", "pending", string(r.State))
	left := a.left()
	a.claim(left == "nothing of Stint's", "nothing is on the target yet", "nothing", left)
}

func (a *act) approve() {
	a.run(a.omar, done, "approvals")
	a.run(a.omar, done, "approve", a.asked, "--for", "20s", "--note", "20 seconds will do")
	a.run(a.mira, done, "wait", a.asked, "--for", "ready")
	r := a.request(a.mira, a.asked)
	if a.err != nil {
		return
	}
	long := r.Grant.ExpiresAt.Sub(r.Grant.ActiveAt.Time)
	a.claim(r.Granted == "20s" && long == 20*time.Second, "granted are 20 s of the 30 s asked, from the moment that it works", "20s", r.Granted+", in fact "+long.String())
}

func (a *act) connect() {
	out := a.run(a.mira, done, "db", "orders-db", "--", "-c",
		"select id, customer, total from orders where state = 'stuck' order by id limit 3", "-c", "select session_user")
	accounts := a.accounts()
	a.holds("real rows came", out, "customer 5", "62.5", "(3 rows)")
	a.shown("accounts on the target", strings.Join(accounts, ", "))
	a.claim(len(accounts) == 1 && strings.Contains(out, accounts[0]), "the one account there is the one psql was", "one account", strings.Join(accounts, ", "))
	if a.err == nil {
		a.run(a.mira, refused, "db", "orders-db", "--", "-c", "delete from orders")
	}
}

func (a *act) accounts() []string {
	if a.err != nil {
		return nil
	}
	all, err := a.oracle.Accounts(a.ctx)
	a.fail(err)
	return all
}

func (a *act) denySelf() {
	id := a.id(a.run(a.omar, done, "request", "orders-db", "--as", "reader", "--for", "30s", "--why", "I want to look at something", "--no-wait"))
	a.run(a.omar, denied, "approve", id)
	a.run(a.omar, done, "cancel", id)
	r := a.request(a.omar, id)
	a.claim(r.State == api.RequestCancelled && len(r.Votes) == 0, "no vote was counted", "no vote", fmt.Sprintf("%s with %d votes", r.State, len(r.Votes)))
}

func (a *act) giveBack() {
	began := time.Now()
	a.run(a.mira, done, "end", a.asked)
	a.lag = a.clean(2 * time.Second).Sub(began)
	a.shown("on the target", a.left())
	a.run(a.mira, done, "wait", a.asked, "--for", "ended")
	r := a.request(a.mira, a.asked)
	if a.err == nil {
		a.claim(r.Grant.EndReason == api.EndReturned && !r.Grant.VerifiedGoneAt.IsZero(), "returned, and its absence was read back, "+ms(a.lag)+" after the command began",
			"returned, with the time of the reading", string(r.Grant.EndReason))
	}
}

// sleeping opens a session that does not end by itself.
func (a *act) sleeping(span string) (psql *running, r api.Request) {
	psql = a.begin(a.mira, "db", "orders-db", "--as", "reader", "--for", span, "--why", "watch the orders for a while", "--", "-c", "select pg_sleep(60)")
	a.until("the session is open", 5*time.Second, func(left string) bool { return strings.Contains(left, "session of") })
	if a.err != nil {
		return psql, r
	}
	var rs []api.Request
	a.fail(a.mira.JSON(a.ctx, &rs, "status"))
	i := slices.IndexFunc(rs, func(r api.Request) bool { return r.Grant != nil && r.Grant.State == api.GrantActive })
	if i < 0 {
		a.claim(false, "the session has an active grant", "one", "none")
		return psql, r
	}
	a.shown("on the target", a.left())
	return psql, rs[i]
}

func (a *act) expire() {
	psql, r := a.sleeping("3s")
	gone := a.clean(10 * time.Second)
	if a.err != nil {
		return
	}
	code := psql.wait()
	end := r.Grant.ExpiresAt.Time
	after := psql.ended.Sub(end)
	a.lag = max(after, gone.Sub(end))
	a.claim(code == cut.code, "psql was cut, "+ms(after)+" after the end of the grant", "exit code 2", fmt.Sprint("exit code ", code))
	a.shown("on the target", a.left())
	a.claim(a.lag < time.Second && after > 0 && gone.After(end), "session and account were gone "+ms(gone.Sub(end))+" after it, and not before", "between 0 s and 1 s", a.lag.String())
}

func (a *act) overlap() {
	ask := func(span string) string {
		return a.id(a.run(a.mira, done, "request", "orders-db", "--as", "orders-owner", "--for", span, "--why", "repair order number 5", "--ticket", "INC-4711"))
	}
	first, second := ask("2s"), ask("4s")
	a.member("two grants, and the target has one membership")
	a.run(a.mira, done, "wait", first, "--for", "ended")
	a.member("the first has ended, and the second still has it")
	gone := a.clean(8 * time.Second)
	r := a.request(a.mira, second)
	if a.err != nil {
		return
	}
	end := r.Grant.ExpiresAt.Time
	a.shown("on the target", a.left())
	a.lag = gone.Sub(end)
	a.claim(gone.After(end), "the second has ended, and the membership is gone, "+ms(a.lag)+" later", "after "+end.Format(time.StampMilli), gone.UTC().Format(time.StampMilli))
}

// member checks that mira is a member of the owners, and nobody else.
func (a *act) member(what string) {
	if a.err != nil {
		return
	}
	const want = "mira in orders_owner"
	all, err := a.oracle.Members(a.ctx)
	a.fail(err)
	got := strings.Join(all, "; ")
	a.shown("memberships on the target", got)
	a.claim(got == want, what, want, got)
}

func (a *act) breakGlass() {
	a.run(a.mira, done, "run", "orders-db", "--break-glass", "--why", "checkout is down, order 5 is stuck", "--", "psql", "-c", "select count(*) from orders where state = 'stuck'")
	a.clean(10 * time.Second)
	var open []api.Review
	if a.err == nil {
		a.fail(a.omar.JSON(a.ctx, &open, "reviews"))
	}
	a.claim(len(open) == 1 && open[0].Person == "mira" && open[0].Yours, "a review is open, and it is omar's to close", "one of mira's", fmt.Sprint(len(open), " reviews"))
	if a.err != nil {
		return
	}
	a.run(a.mira, denied, "review", open[0].ID, "--finding", "justified", "--note", "all was well")
	a.run(a.omar, done, "review", open[0].ID, "--finding", "justified", "--note", "order 5 was stuck indeed")
}

func (a *act) crash() {
	psql, r := a.sleeping("3s")
	if a.err != nil {
		return
	}
	a.met = r.Grant.ID
	a.command("root", []string{"kill", "-9", strconv.Itoa(a.stage.Pid())})
	a.fail(a.stage.Kill())
	a.run(a.mira, away, "status")
	end := r.Grant.ExpiresAt.Time
	a.restUntil(end.Add(500 * time.Millisecond))
	left := a.left()
	a.shown("on the target", left)
	a.claim(strings.Contains(left, "session of"), "the grant is over, and the session still open: nobody was there to cut it", "an open session", left)
	if a.err != nil {
		return
	}
	a.command("root", []string{"stintd", "serve", "--data", "…"})
	began := time.Now()
	a.fail(a.stage.Start(a.ctx))
	ready := time.Now()
	gone := a.clean(10 * time.Second)
	if a.err != nil {
		return
	}
	code := psql.wait()
	a.shown("on the target", a.left())
	// It may well be clean before it serves; what counts then is the start.
	a.lag = max(gone.Sub(ready), time.Millisecond)
	a.claim(code == cut.code && a.lag < time.Second, fmt.Sprintf("ready %s after the start, session and account gone %s after it", ms(ready.Sub(began)), ms(gone.Sub(began))),
		"gone within a second of being ready", gone.Sub(ready).String()+" after it")
	// The target shows it before Stint has read it back and put it on record.
	a.run(a.mira, done, "wait", r.ID, "--for", "ended", "--timeout", "5s")
	a.run(a.mira, done, "status", r.ID)
	after := a.request(a.mira, r.ID)
	if a.err == nil {
		a.claim(after.Grant.State == api.GrantEnded && after.Grant.EndReason == api.EndExpired, "the grant's record says the same", "ended, expired", string(after.Grant.State)+", "+string(after.Grant.EndReason))
	}
}
