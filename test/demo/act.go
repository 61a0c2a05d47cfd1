package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"stint/internal/api"
	"stint/test/stage"
)

// errUnchecked says that a claim of the story did not hold.
var errUnchecked = errors.New("a check failed")

// act is one step while it is told. After the first thing that goes wrong it
// does nothing more, so that a step reads from top to bottom; err says what.
type act struct {
	*demo
	ctx context.Context
	err error
	lag time.Duration // how long a removal took, where the step measures one
}

// claim checks a claim and says that it holds, or what was expected instead.
func (a *act) claim(holds bool, what, want, got string) {
	switch {
	case a.err != nil:
	case a.ctx.Err() != nil: // interrupted; what was seen says nothing
		a.err = a.ctx.Err()
	case holds:
		a.good(what)
	default:
		a.bad(what, want, got)
		a.err = errUnchecked
	}
}

// fail notes what kept a step from being told.
func (a *act) fail(err error) {
	if a.err == nil {
		a.err = err
	}
}

// exit is an exit code that a command should give, and what it says there.
type exit struct {
	code  int
	means string
}

// The exit codes that the story meets.
var (
	done    = exit{0, "done"}
	refused = exit{1, "the database refuses it"}
	damaged = exit{1, "the log does not verify"}
	cut     = exit{2, "psql was cut off"}
	denied  = exit{3, "denied"}
	away    = exit{69, "the server is away"}
)

// run types a command, shows what it prints, and checks its exit code.
func (a *act) run(p *stage.Person, want exit, words ...string) string {
	c := a.begin(p, words...)
	if c == nil {
		return ""
	}
	got := c.wait()
	if want != done || got != 0 {
		a.claim(got == want.code, fmt.Sprintf("exit code %d: %s", want.code, want.means), fmt.Sprintf("exit code %d", want.code), fmt.Sprintf("exit code %d", got))
	}
	return c.out.text.String()
}

// shown says what was read from the target.
func (a *act) shown(what, value string) {
	if a.err == nil {
		a.fact(what, value)
	}
}

// running is a command in the background.
type running struct {
	cmd   *exec.Cmd
	out   *output
	done  chan struct{}
	ended time.Time // once done is closed
}

// begin types a command and lets it run.
func (a *act) begin(p *stage.Person, words ...string) *running {
	if a.err != nil {
		return nil
	}
	a.command(p.Name, append([]string{"stint"}, words...))
	out := &output{t: a.teller}
	c := &running{cmd: p.Command(a.ctx, words...), out: out, done: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = out, out
	c.cmd.WaitDelay = 2 * time.Second
	if err := c.cmd.Start(); err != nil {
		a.fail(err)
		return nil
	}
	go func() {
		_ = c.cmd.Wait() // the exit code says it
		c.ended = time.Now()
		close(c.done)
	}()
	return c
}

// wait for the end of a command; its exit code.
func (c *running) wait() int {
	<-c.done
	return c.cmd.ProcessState.ExitCode()
}

// request reads a request without being seen.
func (a *act) request(p *stage.Person, id string) (r api.Request) {
	if a.err == nil {
		a.fail(p.JSON(a.ctx, &r, "status", id))
	}
	if a.err == nil && r.Grant == nil {
		r.Grant = &api.Grant{} // so that a claim about it fails, and not the demo
	}
	return r
}

var requestID = regexp.MustCompile(`req_[0-9A-Z]{26}`)

// id finds the request's id in what a command printed.
func (a *act) id(printed string) string {
	id := requestID.FindString(printed)
	if id == "" && a.err == nil {
		a.fail(errors.New("no request's id was printed"))
	}
	return id
}

// left is everything of Stint's on the target, as the target says it.
func (a *act) left() string {
	if a.err != nil {
		return ""
	}
	left, err := a.oracle.Left(a.ctx)
	a.fail(err)
	if left == "" {
		return "nothing of Stint's"
	}
	return left
}

// until waits for the target to be in a state, and says when that was seen.
func (a *act) until(what string, within time.Duration, holds func(left string) bool) time.Time {
	deadline := time.Now().Add(within)
	for a.err == nil {
		left, err := a.oracle.Left(a.ctx)
		now := time.Now()
		switch {
		case err != nil:
			a.fail(err)
		case holds(left):
			return now
		case now.After(deadline):
			a.claim(false, what, "within "+within.String(), "there is still "+left)
		case !a.rest(2 * time.Millisecond):
			a.fail(a.ctx.Err())
		}
	}
	return time.Time{}
}

// clean waits until nothing of Stint's is on the target.
func (a *act) clean(within time.Duration) time.Time {
	return a.until("nothing of Stint's is on the target", within, func(left string) bool { return left == "" })
}

// rest waits; false if the demo is interrupted meanwhile.
func (a *act) rest(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-a.ctx.Done():
		return false
	}
}

// restUntil waits for a point in time.
func (a *act) restUntil(at time.Time) {
	if a.err == nil && !a.rest(time.Until(at)) {
		a.fail(a.ctx.Err())
	}
}

// holds checks that a text has all of the words.
func (a *act) holds(what, text string, words ...string) {
	for _, w := range words {
		if !strings.Contains(text, w) {
			a.claim(false, what, "the word "+w, "it does not say so")
			return
		}
	}
	a.claim(true, what, "", "")
}

func ms(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }
