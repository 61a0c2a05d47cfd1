package hsm

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"

	"stint/internal/hsm/wire"
)

// child is one life of stint-hsm. One call is made at a time.
type child struct {
	cmd     *exec.Cmd
	in, out *os.File // our ends, which take deadlines
	gone    chan struct{}
	number  uint64
}

// launch starts the program. It has a group of its own, so that an interrupt that is
// meant for us does not end it first; when we are gone, its input ends, and so does it.
func launch(program string, environment []string) (*child, error) {
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = theirIn.Close() }() // the program has its own
	out, theirOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	defer func() { _ = theirOut.Close() }()
	c := &child{in: in, out: out, gone: make(chan struct{})}
	c.cmd = &exec.Cmd{Path: program, Args: []string{"stint-hsm", "serve"}, Env: append([]string{}, environment...), Dir: "/", Stdin: theirIn, Stdout: theirOut,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true}}
	if err := c.cmd.Start(); err != nil {
		return nil, errors.Join(err, in.Close(), out.Close())
	}
	gone := c.gone
	go func() {
		_ = c.cmd.Wait() // how it ended says nothing that its silence does not
		close(gone)
	}()
	return c, nil
}

// ask sends one question and waits for its answer until ctx ends. After an error that is
// no Failure, nothing more can be asked.
func (c *child) ask(ctx context.Context, kind wire.Kind, fields ...[]byte) ([][]byte, error) {
	until, bounded := ctx.Deadline()
	if !bounded {
		return nil, errors.New("a question to the token has no time limit")
	}
	c.until(until)
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { defer close(stopped); c.until(time.Unix(1, 0)) })
	defer func() {
		if !stop() {
			<-stopped // or it would cut the next question short
		}
	}()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	c.number++
	if err := wire.Write(c.in, wire.Message{Kind: kind, Number: c.number, Fields: fields}); err != nil {
		return nil, err
	}
	m, err := wire.Read(c.out)
	switch {
	case err != nil:
		return nil, err
	case m.Number != c.number:
		return nil, errors.New("the answer is to another question")
	case m.Kind == wire.Failed:
		return nil, wire.FailureOf(m)
	case m.Kind != wire.Done:
		return nil, errors.New("the answer is none")
	}
	return m.Fields, nil
}

func (c *child) until(t time.Time) {
	_ = c.in.SetDeadline(t) // pipes take them, and closed ones need none
	_ = c.out.SetDeadline(t)
}

// endWithin is how long it is waited for after it was killed: a device can hold it back.
const endWithin = 2 * time.Second

// end kills it, and says whether it is gone. Where it is not yet, that is still waited for
// elsewhere, and by nobody who wants something.
func (c *child) end() bool {
	_ = c.in.Close()
	_ = c.out.Close()
	_ = c.cmd.Process.Kill() // it may be gone already
	late := time.NewTimer(endWithin)
	defer late.Stop()
	select {
	case <-c.gone:
		return true
	case <-late.C:
		return false
	}
}
