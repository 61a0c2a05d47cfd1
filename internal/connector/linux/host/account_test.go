package host

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestNoJobsWhereNothingIsWritten: an account without timed jobs ends where the spools cannot be
// written, as the agent's unit has it for all but a few folders.
func TestNoJobsWhereNothingIsWritten(t *testing.T) {
	dir := t.TempDir()
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"))
	t.Cleanup(func() { must(t, unix.Unmount(dir, 0)) })
	must(t, os.MkdirAll(dir+"/cron/crontabs", 0o755))
	must(t, os.WriteFile(dir+"/cron/crontabs/has", nil, 0o600))
	must(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	c := New(Config{Spool: dir})
	must(t, c.removeJobs(account{name: "none", uid: firstUID}))
	if err := c.removeJobs(account{name: "has", uid: firstUID}); !errors.Is(err, unix.EROFS) {
		t.Errorf("a job that is there and cannot be removed: %v", err)
	}
}
