package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

// most is how long one step may take, whatever its call allows.
const most = 30 * time.Second

// callError is a call of which nobody knows what became.
type callError struct {
	said  string
	cause error
}

func (e *callError) Error() string { return e.said }
func (e *callError) Unwrap() error { return e.cause }

// call asks the program of a target for one step.
func (c *Connector) call(ctx context.Context, t connector.Target, q question) (answer, error) {
	path, err := c.program(t.Connection.Options["hook"])
	if err != nil {
		return answer{}, err
	}
	if q.Agent+q.PrivateKey != "" {
		if err := c.near(t); err != nil {
			return answer{}, err
		}
	}
	q.Version, q.Address = version, t.Connection.Address
	if q.Kind = string(kind(t)); q.Kind == string(access.PasswordSecret) {
		q.Kind = "" // as programs know it that were written before there were others
	}
	q.Login = login{t.Username, string(t.Password.Reveal())}
	in, err := json.Marshal(q)
	if err != nil {
		return answer{}, &callError{"the question could not be written", nil}
	}
	defer clear(in)
	ctx, done := context.WithTimeout(ctx, most)
	defer done()
	if err := ctx.Err(); err != nil {
		return answer{}, &callError{"the hook was not called in time", err}
	}
	var text []byte
	if strings.HasSuffix(path, httpsSuffix) {
		text, err = post(ctx, path, in)
	} else {
		text, err = run(ctx, path, in)
	}
	defer clear(text)
	if err != nil {
		return answer{}, err
	}
	a, err := readAnswer(q, text)
	if errors.Is(err, errAnswer) {
		return a, &callError{err.Error(), nil}
	}
	return a, err
}

// run runs a program for one step, and gives what it answers.
func run(ctx context.Context, path string, in []byte) ([]byte, error) {
	out := &bounded{most: maxAnswer}
	cmd := exec.CommandContext(ctx, path)
	cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"}
	cmd.Stdin, cmd.Stdout = bytes.NewReader(in), out // its errors go to /dev/null: no pipe of which anybody waits for the end
	cmd.SysProcAttr = group()
	cmd.Cancel = func() error { return stop(cmd.Process) } // with all that it has started
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if cmd.Process != nil {
		_ = stop(cmd.Process) // what it has left behind; the group's number is not given anew so soon
	}
	if errors.Is(err, exec.ErrWaitDelay) && cmd.ProcessState.Success() {
		err = nil // something that it started kept its output open; whether the answer is whole shows
	}
	switch {
	case ctx.Err() != nil:
		clear(out.text)
		return nil, &callError{"the hook did not answer in time", ctx.Err()}
	case out.over:
		clear(out.text)
		return nil, &callError{"the hook answers too much", nil}
	case err != nil:
		clear(out.text)
		return nil, &callError{"the hook failed: " + ended(err), nil}
	}
	return out.text, nil
}

// ended says how a program ended, without what it wrote.
func ended(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ProcessState.String()
	}
	return "it could not be started"
}

// program is the path of a hook that may be run.
func (c *Connector) program(name string) (string, error) {
	fix := func(why string) error {
		return &connector.Error{Outcome: connector.NotDone, Message: "the hook " + name + " is not run", Next: why}
	}
	if !ValidName(name) {
		return "", fix("a hook's name has letters, digits, and the marks _ . -")
	}
	if c.dir == "" {
		return "", fix("stintd has no folder of hooks: set hooks: /etc/stint/hooks in its configuration")
	}
	path := filepath.Join(c.dir, name)
	i, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if elsewhere, there := os.Lstat(path + httpsSuffix); there == nil {
			path, i, err = path+httpsSuffix, elsewhere, nil
		}
	}
	elsewhere := strings.HasSuffix(path, httpsSuffix)
	switch {
	case err != nil:
		return "", fix("put it at " + path + " where stintd runs")
	case !i.Mode().IsRegular():
		return "", fix(path + " has to be a file, and no link")
	case elsewhere && i.Mode().Perm()&0o007 != 0:
		return "", fix("others can read the key in " + path + ": chmod o= it")
	case !elsewhere && i.Mode().Perm()&0o111 == 0:
		return "", fix("chmod 0755 " + path)
	}
	if at, why := changeable(path); why != "" {
		return "", fix(fmt.Sprintf("whoever can change %s decides what Stint runs: %s", at, why))
	}
	return path, nil
}

// mostLinks bounds the links on the way to a program, which may go round.
const mostLinks = 40

// changeable goes the way to a file from the root, as the kernel does, and gives what on it others
// than root can change, and what to do about it: a folder, a link, or what a link leads to.
func changeable(path string) (at, why string) {
	path, err := filepath.Abs(path)
	if err != nil {
		return path, "it cannot be looked at"
	}
	const root = string(filepath.Separator)
	at, links := root, 0
	rest := strings.Split(path, root)
	for {
		i, err := os.Lstat(at)
		if err != nil {
			return at, "it cannot be looked at"
		}
		if why := guarded(i); why != "" {
			return at, why
		}
		if i.Mode()&os.ModeSymlink != 0 {
			to, err := os.Readlink(at)
			if links++; err != nil || links > mostLinks {
				return at, "its links lead nowhere"
			}
			rest = append(strings.Split(to, root), rest...)
			if at = filepath.Dir(at); filepath.IsAbs(to) {
				at = root
			}
			continue
		}
		for len(rest) > 0 && (rest[0] == "" || rest[0] == ".") {
			rest = rest[1:]
		}
		if len(rest) == 0 {
			return at, ""
		}
		at, rest = filepath.Join(at, rest[0]), rest[1:] // no link is in at, so .. means the same to both
	}
}

// guarded says why others than root can change a file, or what is in a folder; empty: nobody.
func guarded(i os.FileInfo) string {
	s, ok := i.Sys().(*syscall.Stat_t)
	switch {
	case !ok || s.Uid != 0:
		return "chown root it"
	case i.Mode()&os.ModeSymlink == 0 && i.Mode().Perm()&0o022 != 0 && i.Mode()&os.ModeSticky == 0: // a link's own mode means nothing
		return "chmod go-w it"
	}
	return ""
}

// bounded keeps so much of what is written, and takes the rest for an end.
type bounded struct {
	text []byte
	most int
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if len(b.text)+len(p) > b.most {
		b.over = true
		return 0, io.ErrShortWrite
	}
	b.text = append(b.text, p...)
	return len(p), nil
}

// failure says what an error means for the call that met it.
func failure(err error) *connector.Error {
	var own *connector.Error
	if errors.As(err, &own) {
		return own
	}
	var invalid *access.Error
	if errors.As(err, &invalid) {
		return &connector.Error{Outcome: connector.NotDone, Permanent: true, Message: invalid.Error(), Next: invalid.Next, Cause: invalid.Kind}
	}
	return &connector.Error{Outcome: connector.Unknown, Message: err.Error(), Cause: errors.Unwrap(err)}
}

func result(err error) connector.Result {
	if err == nil {
		return connector.Result{Outcome: connector.Done}
	}
	e := failure(err)
	return connector.Result{Outcome: e.Outcome, Err: errors.New(e.Message)}
}
