package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tools are the programs of the host that change accounts: they lock the files, and
// know the distribution's habits. Tests let them fail.
type tools struct {
	run func(ctx context.Context, name string, args ...string) error
	// feed gives one what it is not to have among its arguments.
	feed func(ctx context.Context, input, name string, args ...string) error
}

// toolPath is where they are looked for, whatever the agent's environment says.
var toolPath = []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// toolError is a tool that did not succeed.
type toolError struct {
	name string
	code int
	said string
}

func (e *toolError) Error() string {
	return fmt.Sprintf("%s ended with %d: %s", e.name, e.code, e.said)
}

func findTool(name string) (string, error) {
	for _, dir := range toolPath {
		if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("the host has no program %s", name)
}

// runTool runs one to its end. It is asked to stop, and not killed, when the time is
// over: killed in the middle it would leave the files locked.
func runTool(ctx context.Context, name string, args ...string) error {
	return feedTool(ctx, "", name, args...)
}

func feedTool(ctx context.Context, input, name string, args ...string) error {
	path, err := findTool(name)
	if err != nil {
		return err
	}
	var said bytes.Buffer
	p := exec.CommandContext(ctx, path, args...)
	p.Cancel = func() error { return p.Process.Signal(unix.SIGTERM) }
	p.WaitDelay = 2 * time.Second
	p.Env = []string{"PATH=" + strings.Join(toolPath, ":"), "LC_ALL=C"}
	p.Stdout, p.Stderr, p.Dir = &said, &said, "/"
	if input != "" {
		p.Stdin = strings.NewReader(input)
	}
	err = p.Run()
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", name, ctx.Err())
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return &toolError{name, exit.ExitCode(), strings.TrimSpace(said.String())}
	}
	return err
}
