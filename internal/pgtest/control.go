//go:build unix

package pgtest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	startLimit = 60 * time.Second // a loaded machine, and recovery after Kill
	stopLimit  = 20 * time.Second // then it is killed
)

var errPortTaken = errors.New("the port was taken")

// start runs the server and waits until it is ready. The caller holds s.mu, or
// is the only one to know s.
func (s *Server) start(ctx context.Context) error {
	return s.startAs(ctx, "database system is ready to accept connections")
}

// startAs is start for a server that says something else when it is ready.
func (s *Server) startAs(ctx context.Context, says string) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	ready, mark := s.log.watch(says)
	cmd := s.install.command(s.dir, "postgres", "-D", filepath.Join(s.dir, "data"), "-p", strconv.Itoa(s.Port))
	cmd.Stdout, cmd.Stderr = s.log, s.log
	p, err := startProcess(cmd)
	if err != nil {
		return err
	}
	select {
	case <-ready:
		s.proc = p
		return nil
	case <-p.done:
		said := s.log.since(mark)
		if containsAny(said, "Address already in use", "could not bind") {
			return errPortTaken
		}
		return fmt.Errorf("the server did not start: %w: %s", p.err, said)
	case <-ctx.Done():
		p.killTree()
		<-p.done
		return fmt.Errorf("the server was not ready in time: %w: %s", ctx.Err(), s.log.since(mark))
	}
}

// stop ends a running server with sig. The caller holds s.mu.
func (s *Server) stop(sig syscall.Signal) error {
	p := s.proc
	if p == nil {
		return nil
	}
	s.proc = nil
	p.signalTree(syscall.SIGCONT) // a frozen process cannot shut down
	p.signal(sig)
	limit := time.NewTimer(stopLimit)
	defer limit.Stop()
	select {
	case <-p.done:
		return nil
	case <-limit.C:
		p.killTree()
		<-p.done
		return fmt.Errorf("the server did not stop within %v and was killed", stopLimit)
	}
}

// Stop shuts the server down: sessions end, data is written. Restart starts it again.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stop(syscall.SIGINT)
}

// Quit shuts the server down at once, without writing data: as Kill, but sessions
// are told.
func (s *Server) Quit() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stop(syscall.SIGQUIT)
}

// Restart starts the server again with the same data and port, after stopping it
// if it runs.
func (s *Server) Restart() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("the server is closed")
	}
	if err := s.stop(syscall.SIGINT); err != nil {
		return err
	}
	return s.start(context.Background())
}

// Kill ends every process of the server at once, as a crash would. It returns when
// all of them are gone; Restart then recovers.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.proc
	if p == nil {
		return errors.New("the server is not running")
	}
	s.proc = nil
	p.killTree()
	<-p.done
	return nil
}

// Pause freezes every process of the server: connections stay open and are still
// accepted by the kernel, and nobody answers. It returns when they are frozen.
func (s *Server) Pause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return errors.New("the server is not running")
	}
	return s.proc.freeze()
}

// Resume ends Pause.
func (s *Server) Resume() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return errors.New("the server is not running")
	}
	s.proc.signalTree(syscall.SIGCONT)
	return nil
}

// Running reports whether the server's main process lives.
func (s *Server) Running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return false
	}
	select {
	case <-s.proc.done:
		return false
	default:
		return true
	}
}
