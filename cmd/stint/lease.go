package main

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"stint/internal/api"
)

const (
	// rereadEvery is how often is asked whether the password of a lent account was rotated.
	rereadEvery = 10 * time.Second
	// A renewal that fails is tried again after firstAgain, and each time after twice as
	// long, up to lastAgain: also when the access is over, so that a command which outlives
	// an outage gets it back.
	firstAgain, lastAgain = time.Second, time.Minute
)

// lease is the access of a command that goes on: the credential in its files is always of
// a grant that is active. Before one ends the next is asked for; the files change, the
// command is told, and after a while in which both are good the one before is given back.
type lease struct {
	c    *cli
	conn *connection
	ask  api.Ask
	how  *injecting
	in   *injection
	ids  []string // requests that may give access; of who runs, but while keep does
	told chan os.Signal

	now    api.Request // whose credential the files have
	digest string      // of that credential, sealed
}

// run runs the command with the credential of a request that is ready, and keeps it.
func (l *lease) run(ctx context.Context, r api.Request, path string, args []string) (code int, err error) {
	c := l.c
	if own, err := ownAccount(ctx, l.conn, r); err != nil {
		return 0, err
	} else if own {
		return 0, &api.Error{Kind: api.NotFound, Code: "no-credential", Message: "this access comes without a credential", Why: "it gives your own account more rights",
			Next: "leave out --env, --file and --template"}
	}
	got, digest, _, err := l.conn.CredentialAnew(ctx, r.ID, "")
	if err != nil {
		return 0, err
	}
	defer c.takeAway(l.in) // before the access is given back
	if err := l.in.write(got); err != nil {
		return 0, err
	}
	add, err := l.in.variables(got)
	if err != nil {
		return 0, err
	}
	l.now, l.digest, l.told = r, digest, make(chan os.Signal, 1)
	if err := ctx.Err(); err != nil { // the command would not hear of it
		return 0, err
	}
	// From here on signals are the command's to handle. One that goes on, as programs do that read
	// their files anew on SIGHUP, or drain on SIGTERM, has its access as long as it runs.
	within, stop := context.WithCancel(context.WithoutCancel(ctx))
	var kept sync.WaitGroup
	if l.how.renew || l.how.tell != nil {
		kept.Go(func() { l.keep(within) })
	}
	code, err = c.childTold(path, args, c.childEnv(r, add), l.told)
	stop()
	kept.Wait()
	return code, err
}

// renewAt is when to ask for the next grant: when a third of this one is left.
func (l *lease) renewAt() time.Time {
	g := l.now.Grant
	return g.ExpiresAt.Add(-g.ExpiresAt.Sub(g.ActiveAt.Time) / 3)
}

// keep renews the lease, and finds rotations, until the command has ended.
func (l *lease) keep(ctx context.Context) {
	next, again := l.renewAt(), firstAgain
	for {
		pause := rereadEvery
		if l.how.renew {
			pause = min(pause, next.Sub(l.c.now()))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(pause, time.Second/10)):
		}
		if !l.how.renew || l.c.now().Before(next) {
			l.reread(ctx)
			continue
		}
		if err := l.renew(ctx); err == nil {
			next, again = l.renewAt(), firstAgain
		} else if ctx.Err() == nil {
			l.c.report(err)
			l.c.say("the access could not be renewed; it is tried again in " + api.Span(api.FormatDuration(again)))
			next, again = l.c.now().Add(again), min(2*again, lastAgain)
		}
	}
}

// reread takes over what the account was given meanwhile: a standing account's password is
// rotated on suspicion, and when another who has it leaves.
func (l *lease) reread(ctx context.Context) {
	if l.now.Grant.Account == "" {
		return
	}
	got, digest, anew, err := l.conn.CredentialAnew(ctx, l.now.ID, l.digest)
	if err != nil || !anew { // a server that does not answer is asked again
		return
	}
	if err := l.in.write(got); err != nil {
		l.c.report(err)
		return
	}
	l.digest = digest
	l.c.say("the password was rotated; the files have the new one")
	l.tell()
}

// renew changes over to a new grant. The one before is given back once its time beside the
// new one is over.
func (l *lease) renew(ctx context.Context) error {
	before := l.now
	r, err := l.conn.Submit(ctx, l.ask, api.Wait{})
	if err != nil {
		return err
	}
	l.ids = append(l.ids, r.ID)
	good := false
	defer func() {
		if !good {
			l.drop(ctx, r.ID)
		}
	}()
	if r, err = l.ready(ctx, r); err != nil {
		return err
	}
	got, digest, _, err := l.conn.CredentialAnew(ctx, r.ID, "")
	if err != nil {
		return err
	}
	if err := l.in.write(got); err != nil {
		return err
	}
	good, l.now, l.digest = true, r, digest
	l.c.say("the access was renewed as " + printable(r.ID) + ", until " + clock(r.Grant.ExpiresAt.Time, l.c.now()))
	l.tell()
	select {
	case <-ctx.Done(): // all is given back now
	case <-time.After(min(l.how.wait, r.Grant.ExpiresAt.Sub(l.c.now())/2)):
		l.drop(ctx, before.ID)
	}
	return nil
}

// ready waits until a request is, as long as the command runs: who approves it may take
// longer than the access before lasts.
func (l *lease) ready(ctx context.Context, r api.Request) (api.Request, error) {
	if settled, _ := judge(untilReady, r); !settled {
		var err error
		if r, err = l.conn.WaitFor(ctx, r.ID, api.Until(untilReady), func(api.Request) {}); err != nil {
			return r, err
		}
	}
	if _, code := judge(untilReady, r); code != exitDone {
		what, why, next := refusal(r)
		return r, &api.Error{Kind: api.Denied, Code: "not-renewed", Message: what, Why: why, Next: next}
	}
	return r, nil
}

// drop gives one of the accesses back. What cannot be is given back at the end.
func (l *lease) drop(ctx context.Context, id string) {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), giveBackTime)
	defer done()
	_, err := l.conn.End(ctx, id)
	if errors.Is(err, api.Conflict) { // not decided yet, or over
		_, err = l.conn.Cancel(ctx, id)
	}
	if err != nil && !errors.Is(err, api.Conflict) {
		return
	}
	for i, x := range l.ids {
		if x == id {
			l.ids = append(l.ids[:i:i], l.ids[i+1:]...)
			return
		}
	}
}

// tell sends the command the signal that it asked for. One that is on its way already says
// the same.
func (l *lease) tell() {
	if l.how.tell == nil {
		return
	}
	select {
	case l.told <- l.how.tell:
	default:
	}
}
