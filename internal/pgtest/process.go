//go:build unix

package pgtest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// process is a server's main process and, through it, its children. PostgreSQL
// puts each child into a session of its own, so no signal to a group reaches them;
// they are found in /proc.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how; read after done
}

func startProcess(cmd *exec.Cmd) (*process, error) {
	dieWithParent(cmd.SysProcAttr)
	cmd.WaitDelay = 5 * time.Second // children hold the log's pipe a little longer
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// "With the parent" means with the thread that made the child: this
		// goroutine keeps that thread until the child has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.done)
		}
	}()
	return p, <-started
}

// signal is for the main process. It may have ended: that is no error here.
func (p *process) signal(sig syscall.Signal) { _ = p.cmd.Process.Signal(sig) }

func (p *process) signalTree(sig syscall.Signal) {
	p.signal(sig)
	for _, pid := range p.children() {
		_ = syscall.Kill(pid, sig) // it may have ended meanwhile
	}
}

// freeze stops the main process first: from then on there are no new children.
func (p *process) freeze() error {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		return fmt.Errorf("freezing a server needs /proc: %w", err)
	}
	p.signal(syscall.SIGSTOP)
	if err := awaitState(p.cmd.Process.Pid, "T"); err != nil {
		return err
	}
	for _, pid := range p.children() {
		if err := syscall.Kill(pid, syscall.SIGSTOP); errors.Is(err, syscall.ESRCH) {
			continue
		}
		if err := awaitState(pid, "TZX"); err != nil {
			return err
		}
	}
	return nil
}

// killTree kills the main process and its children and waits for the children;
// for the main process the caller waits. Frozen before killing, or a child born
// in between would survive. Without /proc, children end by themselves when they
// see the main process gone.
func (p *process) killTree() {
	_ = p.freeze()
	children := p.children()
	p.signal(syscall.SIGKILL)
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for _, pid := range children {
		_ = awaitState(pid, "ZX")
	}
}

func (p *process) children() (pids []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well formed
	for _, path := range stats {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		if _, parent, ok := readStat(pid); ok && parent == p.cmd.Process.Pid {
			pids = append(pids, pid)
		}
	}
	return pids
}

// awaitState waits until a process is in one of the states (proc(5)) or is gone.
func awaitState(pid int, states string) error {
	deadline := time.Now().Add(stopLimit)
	for {
		state, _, ok := readStat(pid)
		if !ok || bytes.IndexByte([]byte(states), state) >= 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d is in state %c and not in one of %q", pid, state, states)
		}
		time.Sleep(time.Millisecond) // the kernel tells only parents and tracers
	}
}

// readStat gives the state and parent of a process. The second field is the
// program's name in parentheses, which may hold anything; the rest follows the
// last parenthesis.
func readStat(pid int) (state byte, parent int, ok bool) {
	line, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, 0, false
	}
	fields := bytes.Fields(line[bytes.LastIndexByte(line, ')')+1:])
	if len(fields) < 2 || len(fields[0]) != 1 {
		return 0, 0, false
	}
	parent, err = strconv.Atoi(string(fields[1]))
	return fields[0][0], parent, err == nil
}
