package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	_ "embed"

	"stint/internal/access"
	"stint/internal/agent"
	"stint/internal/api"
	"stint/internal/connector/linux/host"
	"stint/internal/elevate"
	"stint/internal/elevate/runner"
	"stint/internal/program"
	"stint/internal/recording"
	"stint/internal/recording/carrier"
)

// elevateUnit is the unit of the runner. It stands beside that of the agent and not in
// it: what people run must not be in the agent's sandbox, and the agent must not be
// without one.
//
//go:embed stint-elevate.service
var elevateUnit string

// elevateFolder is the runner's, in the agent's state.
const elevateFolder = "elevate"

// endRecordings is how long the last seals may take.
const endRecordings = 30 * time.Second

// elevate serves the socket by which people run commands, until ctx ends.
func (f flags) elevate(ctx context.Context, stderr io.Writer) (err error) {
	log := slog.New(slog.NewTextHandler(stderr, nil))
	// Commands begin with it, as they do by sudo. What is ours is made with modes of its own.
	syscall.Umask(0o022)
	p, err := f.readPins()
	if err != nil {
		return err
	}
	device, err := api.LoadDevice(f.path(keyFile))
	if err != nil {
		return err
	}
	line, err := client(p.Server, p.CA, device)
	if err != nil {
		return err
	}
	defer line.Close()
	dir := f.path(elevateFolder)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	unlock, err := onlyOne(filepath.Join(dir, "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	sealer, err := recording.NewSealer(device.RecordingSigner())
	if err != nil {
		return err
	}
	shelf, err := runner.OpenShelf(filepath.Join(dir, "recordings"), sealer, log)
	if err != nil {
		return err
	}
	defer func() {
		within, cancel := context.WithTimeout(context.Background(), endRecordings)
		defer cancel()
		err = errors.Join(err, shelf.Close(within))
	}()
	reports, err := runner.OpenReports(filepath.Join(dir, "reports"), line, log)
	if err != nil {
		return err
	}
	ends := runner.NewEnds(line, log)
	s, err := runner.New(runner.Config{
		Host:     commands{host.New(host.Config{State: f.state}), agent.NewReader(f.path(ledgerFile), agent.SystemClock())},
		Recorder: shelf, Reports: reports, Ends: ends, Log: log,
	})
	if err != nil {
		return err
	}
	l, err := f.listen(p.Pins.Host)
	if err != nil {
		return err
	}
	var beside sync.WaitGroup
	after, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	beside.Go(func() { reports.Run(after) })
	beside.Go(func() { ends.Run(after) })
	beside.Go(func() { shelf.Bring(after, carrier.New(line, api.HostWriter)) })
	log.Info("commands are run for people", "socket", f.socket, "version", program.Version())
	err = s.Serve(ctx, l)
	stop() // after the last command has been reported, and its recording sealed
	beside.Wait()
	log.Info("stopped")
	return err
}

// listen makes the socket, and says beside it which host this is. Everybody may connect:
// who it is, the kernel says.
func (f flags) listen(name string) (*net.UnixListener, error) {
	dir := filepath.Dir(f.socket)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // whatever the umask
		return nil, err
	}
	if err := put(filepath.Join(dir, filepath.Base(elevate.HostFile)), []byte(name+"\n"), 0o644); err != nil {
		return nil, err
	}
	if err := os.Remove(f.socket); err != nil && !errors.Is(err, fs.ErrNotExist) { // of an earlier runner: there is one at a time
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: f.socket, Net: "unix"})
	if err != nil {
		return nil, unusable("the socket cannot be made", err.Error(), "run it as root")
	}
	if err := os.Chmod(f.socket, 0o666); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// onlyOne keeps others from doing the same at once.
func onlyOne(path string) (unlock func(), err error) {
	lock, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = access.Fail(access.Conflict, "running", "commands are run for people already").Try("stop that first: systemctl stop stint-elevate")
		}
		return nil, errors.Join(err, lock.Close())
	}
	return func() { _ = lock.Close() }, nil // nothing is written to it
}

// commands are those of this host: its rules say what may be run, and the agent's ledger
// until when.
type commands struct {
	on     *host.Connector
	ledger *agent.Reader
}

func (c commands) Knows(uid int) (bool, error) { return c.on.HasRule(uid) }

func (c commands) Permit(uid int, argv []string) (p runner.Permit, err error) {
	x, err := c.on.Allowed(uid, argv)
	if err != nil {
		return p, err
	}
	lent, ok, err := c.ledger.Lent(x.Tag)
	switch {
	case err != nil:
		return p, access.Fail(access.Unavailable, "no-ledger", "it is not known whether this access goes on, so nothing is run").
			Because("the agent's ledger cannot be read").Try("on the host: stint-agent status")
	case !ok:
		return p, access.Fail(access.Expired, "access-ended", "the access that allowed this command is over").Try("ask for it anew: stint elevate --as ROLE --for DURATION --why TEXT -- COMMAND")
	}
	return runner.Permit{Tag: x.Tag, Entitlement: lent.Entitlement, Person: lent.Person, Account: x.Account, UID: x.UID, RunAs: x.RunAs, RunAsUID: x.As,
		Argv: x.Argv, Left: min(lent.Left, time.Until(x.Ends)), Recordings: lent.Recordings, Of: x}, nil
}

func (c commands) Left(tag access.Tag) (time.Duration, error) {
	ends, err := c.on.RuleEnds(tag)
	if err != nil || ends.IsZero() {
		return 0, err
	}
	lent, ok, err := c.ledger.Lent(tag)
	if err != nil || !ok {
		return 0, err
	}
	return min(lent.Left, time.Until(ends)), nil
}

func (c commands) Start(ctx context.Context, p runner.Permit, id string, cmd *exec.Cmd) error {
	x, ok := p.Of.(host.Command)
	if !ok {
		return fmt.Errorf("a permit of another host")
	}
	return c.on.Start(ctx, x, id, cmd)
}

func (c commands) End(ctx context.Context, p runner.Permit, id string) error {
	return c.on.EndCommand(ctx, p.Tag, id)
}

func (c commands) EndAll(ctx context.Context) error { return c.on.EndCommands(ctx) }
