package stage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Person is somebody with a command line and a home of their own.
type Person struct {
	Name string
	Home string
	s    *Stage
	env  []string
}

// Result is what a command did.
type Result struct {
	Args     []string
	Out, Err string
	Code     int
	err      error // it could not be run
}

// Failed is nil when the command exited 0.
func (r Result) Failed() error {
	if r.err != nil {
		return r.err
	}
	if r.Code != 0 {
		return fmt.Errorf("stint %s: exit %d\n%s%s", strings.Join(r.Args, " "), r.Code, r.Out, r.Err)
	}
	return nil
}

func (s *Stage) person(name string) (*Person, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.people[name]; p != nil {
		return p, nil
	}
	home := s.path("home-" + name)
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	p := &Person{Name: name, Home: home, s: s}
	s.people[name] = p
	return p, nil
}

// As gives the command line of somebody who was enrolled.
func (s *Stage) As(name string) *Person {
	p, err := s.person(name)
	if err != nil {
		panic(err) // a folder in our own temporary folder
	}
	return p
}

// Enrol makes a user and signs them in on their own device.
func (s *Stage) Enrol(ctx context.Context, name string, flags ...string) error {
	r := s.As("root").Run(ctx, append([]string{"admin", "user", "add", name, "-o", "json"}, flags...)...)
	if err := r.Failed(); err != nil {
		return err
	}
	var added struct {
		Token string `json:"enroll_token"`
	}
	if err := json.Unmarshal([]byte(r.Out), &added); err != nil || added.Token == "" {
		return fmt.Errorf("stage: no .enroll_token in what `admin user add` printed: %w", errors.Join(err))
	}
	f := filepath.Join(s.Dir, "enroll-"+name)
	if err := os.WriteFile(f, []byte(added.Token), 0o600); err != nil {
		return err
	}
	return s.As(name).Run(ctx, "login", "--enroll-token-file", f).Failed()
}

// Service makes a service and gives its command line.
func (s *Stage) Service(ctx context.Context, name string, flags ...string) (*Person, error) {
	return s.withToken(ctx, "service", name, flags...)
}

// Agent makes an agent and gives its command line.
func (s *Stage) Agent(ctx context.Context, name string, flags ...string) (*Person, error) {
	return s.withToken(ctx, "agent", name, flags...)
}

func (s *Stage) withToken(ctx context.Context, kind, name string, flags ...string) (*Person, error) {
	r := s.As("root").Run(ctx, append([]string{"admin", kind, "add", name, "-o", "json"}, flags...)...)
	if err := r.Failed(); err != nil {
		return nil, err
	}
	var added struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal([]byte(r.Out), &added); err != nil {
		return nil, err
	}
	p, err := s.person(name)
	if err == nil {
		p.env = []string{"STINT_TOKEN=" + added.Token}
	}
	return p, err
}

// Command is the person's stint, not started. It runs in the stage's folder, so
// that files there go by their names.
func (p *Person) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(p.s.Bin, "stint"), args...)
	cmd.Dir = p.s.Dir
	cmd.Env = append(os.Environ(), "STINT_SERVER="+p.s.URL, "STINT_HOME="+p.Home, "NO_COLOR=1", "STINT_NO_INPUT=1")
	cmd.Env = append(cmd.Env, p.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Run runs stint and waits for its end.
func (p *Person) Run(ctx context.Context, args ...string) Result {
	var out, errs bytes.Buffer
	cmd := p.Command(ctx, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	r := Result{Args: args, Out: out.String(), Err: errs.String(), Code: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.err = err
	}
	return r
}

// JSON runs stint with -o json and decodes what it prints.
func (p *Person) JSON(ctx context.Context, into any, args ...string) error {
	r := p.Run(ctx, append(args, "-o", "json")...)
	if err := r.Failed(); err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(r.Out), into); err != nil {
		return fmt.Errorf("stint %s: %w in %q", strings.Join(args, " "), err, r.Out)
	}
	return nil
}
