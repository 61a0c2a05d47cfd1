package main

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
)

// child runs a program on our own streams and returns its exit code. It does
// not end with the context: an interruption is the program's to handle, as psql
// does to cancel a query. Signals sent to us alone are passed on.
func (c *cli) child(path string, args, env []string) (int, error) {
	return c.childTold(path, args, env, nil)
}

// childTold is child, which is sent the signals that come from told, too.
func (c *cli) childTold(path string, args, env []string, told <-chan os.Signal) (int, error) {
	cmd := exec.Command(path, args...)
	cmd.Env = env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.in, c.out, c.err
	got := make(chan os.Signal, 8)
	signal.Notify(got, passedSignals()...)
	defer signal.Stop(got)
	if err := cmd.Start(); err != nil {
		c.fault("cannot start "+path, cause(errors.Unwrap(err)), "")
		return exitCannotExecute, nil
	}
	gone := make(chan error, 1)
	go func() { gone <- cmd.Wait() }()
	for {
		select {
		case s := <-got:
			// A key on the terminal has reached the child already.
			if !c.tty.in || !fromKeyboard(s) {
				_ = cmd.Process.Signal(s) // gone already if it fails
			}
		case s := <-told:
			_ = cmd.Process.Signal(s)
		case err := <-gone:
			return childCode(cmd.ProcessState, err)
		}
	}
}

// childCode is the code by which shells would report the end of a process.
func childCode(state *os.ProcessState, err error) (int, error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return exitDone, nil
	case !errors.As(err, &exit):
		return 0, err
	}
	if code, signalled := signalCode(state); signalled {
		return code, nil
	}
	return state.ExitCode(), nil
}
