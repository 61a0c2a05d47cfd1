package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// How the lock is held.
const (
	shared    = unix.LOCK_SH
	exclusive = unix.LOCK_EX
)

// lockPoll is how often a lock that another process holds is tried again.
const lockPoll = 2 * time.Millisecond

// locked runs do while it holds the lock that all on this host who read or change what
// is Stint's hold: the agent's calls and the PAM hook, each a process of its own. The
// kernel lets go of it when a process dies. Nothing slow is done under it.
func (c *Connector) locked(ctx context.Context, how int, do func() error) error {
	if err := ensureFolder(c.State, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(c.State, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // nothing is written to it; closing unlocks
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("wait for the lock: %w", err)
		}
		switch err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); {
		case err == nil:
			return do()
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			return fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}
