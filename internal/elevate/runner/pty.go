package runner

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"stint/internal/elevate"
)

// openTerminal makes a pseudo-terminal for an account, pty(7).
func openTerminal(w elevate.Window, uid int) (master, slave *os.File, err error) {
	if master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err != nil {
		return nil, nil, fmt.Errorf("make a terminal: %w", err)
	}
	var n int
	err = control(master, func(fd int) (err error) {
		if err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err == nil {
			n, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		}
		return err
	})
	if err == nil {
		err = resize(master, w)
	}
	if err == nil {
		slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	}
	if err == nil {
		err = slave.Chown(uid, -1)
	}
	if err != nil {
		err = errors.Join(fmt.Errorf("make a terminal: %w", err), master.Close())
		if slave != nil {
			err = errors.Join(err, slave.Close())
		}
		return nil, nil, err
	}
	return master, slave, nil
}

func resize(master *os.File, w elevate.Window) error {
	return control(master, func(fd int) error {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: w.Rows, Col: w.Columns})
	})
}

// control uses a file's descriptor without taking it from the poller, as Fd would.
func control(f *os.File, do func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = do(int(fd)) }); err != nil {
		return err
	}
	return inner
}
