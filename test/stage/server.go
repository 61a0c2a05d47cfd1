package stage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Server is one stintd of a stage. Its methods may be called from any goroutine.
type Server struct {
	// Bin, if set, is the folder of another stintd than the stage's.
	Bin string
	// Args are added to those of the stage.
	Args []string

	s      *Stage
	name   string // of its data folder and its log
	listen string

	mu   sync.Mutex // guards what follows
	proc *exec.Cmd  // nil when it does not run
	done chan struct{}
	log  *os.File
}

// Start starts stintd and waits until it serves. Meanwhile it can be killed,
// which ends the wait.
func (v *Server) Start(ctx context.Context) error {
	done, err := v.launch()
	if err != nil {
		return err
	}
	return v.ready(ctx, done)
}

func (v *Server) launch() (<-chan struct{}, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.proc != nil {
		return nil, errors.New("stage: stintd runs already")
	}
	if v.log == nil {
		f, err := os.OpenFile(v.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		v.log = f
	}
	bin := v.s.Bin
	if v.Bin != "" {
		bin = v.Bin
	}
	cmd := exec.Command(filepath.Join(bin, "stintd"), "serve", "--data", v.s.path(v.name), "--listen", v.listen, "--config", v.s.path("stintd.yaml"),
		"--seal-key-file", v.s.path("data.key"))
	cmd.Args = append(cmd.Args, v.Args...)
	cmd.Env = append(os.Environ(), "STINT_LOG_LEVEL=info")
	cmd.Env = append(cmd.Env, v.s.Env...)
	if dsn := v.s.database(); dsn != "" {
		cmd.Env = append(cmd.Env, "STINT_DATABASE="+dsn)
	}
	cmd.Stdout, cmd.Stderr = v.log, v.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	v.proc, v.done = cmd, done
	return done, nil
}

func (v *Server) ready(ctx context.Context, done <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if serves(ctx, v.listen) {
			return nil
		}
		select {
		case <-done:
			return fmt.Errorf("stage: stintd ended before it served:\n%s", v.LogTail(20))
		case <-ctx.Done():
			return fmt.Errorf("stage: stintd does not serve:\n%s", v.LogTail(20))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// serves asks /readyz.
func serves(ctx context.Context, listen string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+listen+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := probes.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// probes makes a connection for each question: one that is kept would belong to a
// server that is gone.
var probes = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// Signal sends a signal to stintd.
func (v *Server) Signal(sig syscall.Signal) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.proc == nil {
		return errors.New("stage: stintd does not run")
	}
	return v.proc.Process.Signal(sig)
}

// Kill ends stintd without a chance to do anything, and waits for its end.
func (v *Server) Kill() error { return v.end(syscall.SIGKILL) }

// Stop ends stintd as an administrator would.
func (v *Server) Stop() error { return v.end(syscall.SIGTERM) }

func (v *Server) end(sig syscall.Signal) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.proc == nil {
		return nil
	}
	if err := v.proc.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-v.done:
	case <-time.After(30 * time.Second):
		_ = v.proc.Process.Signal(syscall.SIGQUIT) // its log says where it hangs
		select {
		case <-v.done:
		case <-time.After(5 * time.Second):
			_ = v.proc.Process.Kill()
			<-v.done
		}
		v.proc = nil
		return errors.New("stage: stintd did not end in 30 s")
	}
	v.proc = nil
	return nil
}

// Pid is the process id of stintd; 0 when it does not run.
func (v *Server) Pid() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.proc == nil {
		return 0
	}
	return v.proc.Process.Pid
}

func (v *Server) logFile() string {
	if v.name == "data" {
		return v.s.path("stintd.log")
	}
	return v.s.path("stintd-" + v.name + ".log")
}

// Log is all that stintd wrote.
func (v *Server) Log() string {
	text, _ := os.ReadFile(v.logFile())
	return string(text)
}

// LogTail is the end of it.
func (v *Server) LogTail(lines int) string {
	all := strings.Split(strings.TrimSpace(v.Log()), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func (v *Server) close() error {
	err := v.end(syscall.SIGTERM)
	if v.log != nil {
		err = errors.Join(err, v.log.Close())
	}
	return err
}

// Address is where it listens, beside what balances.
func (v *Server) Address() string { return v.listen }
