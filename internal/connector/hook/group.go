//go:build unix

package hook

import (
	"os"
	"syscall"
)

// group makes a program the first of a group of its own.
func group() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// stop ends a program and all that it has started.
func stop(p *os.Process) error { return syscall.Kill(-p.Pid, syscall.SIGKILL) }
