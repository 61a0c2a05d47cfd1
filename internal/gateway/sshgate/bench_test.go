package sshgate

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/gateway"
)

// The figures of a session through the gateway, beside the same without it:
//
//	go test ./internal/gateway/sshgate -run - -bench . -benchtime 50x
//
// Recordings are strict and on the disk of TMPDIR.

// direct signs in to the target without the gateway.
func (w *world) direct(b *testing.B) *ssh.Client {
	b.Helper()
	signer, err := ssh.NewCertSigner(certify(b, w.ca, w.mira.PublicKey(), ssh.UserCert, nil), w.mira)
	if err != nil {
		b.Fatal(err)
	}
	c, err := ssh.Dial("tcp", w.sshd.address, &ssh.ClientConfig{User: w.sshd.login, Config: common(), Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: ssh.FixedHostKey(w.sshd.host.PublicKey()), HostKeyAlgorithms: []string{ssh.KeyAlgoED25519}})
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// ways are the two that are compared.
func ways(b *testing.B, run func(b *testing.B, dial func() *ssh.Client)) {
	s, _, _, _ := spool(b)
	w := newWorld(b, func(_ *world, c *Config) { c.Recorder = Spooled(s) })
	b.Run("direct", func(b *testing.B) { run(b, func() *ssh.Client { return w.direct(b) }) })
	b.Run("gateway", func(b *testing.B) {
		run(b, func() *ssh.Client {
			c, err := w.dial("web1")
			if err != nil {
				b.Fatal(err)
			}
			return c
		})
	})
}

func report(b *testing.B, times []time.Duration) {
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
}

// BenchmarkConnect is ssh HOST true: connecting, one command, leaving.
func BenchmarkConnect(b *testing.B) {
	ways(b, func(b *testing.B, dial func() *ssh.Client) {
		var times []time.Duration
		for b.Loop() {
			start := time.Now()
			c := dial()
			command(b, c, "true")
			_ = c.Close()
			times = append(times, time.Since(start))
		}
		report(b, times)
	})
}

// BenchmarkExec is one command in a connection that is there.
func BenchmarkExec(b *testing.B) {
	ways(b, func(b *testing.B, dial func() *ssh.Client) {
		c := dial()
		defer func() { _ = c.Close() }()
		var times []time.Duration
		for b.Loop() {
			start := time.Now()
			command(b, c, "true")
			times = append(times, time.Since(start))
		}
		report(b, times)
	})
}

func command(b *testing.B, c *ssh.Client, what string) {
	b.Helper()
	s, err := c.NewSession()
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Run(what); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkBulk is 64 MiB of a command's output, all of it recorded, and of a file.
func BenchmarkBulk(b *testing.B) {
	const size = 64 << 20
	ways(b, func(b *testing.B, dial func() *ssh.Client) {
		c := dial()
		defer func() { _ = c.Close() }()
		b.SetBytes(size)
		for b.Loop() {
			s, err := c.NewSession()
			if err != nil {
				b.Fatal(err)
			}
			s.Stdout = io.Discard
			if err := s.Run(fmt.Sprintf("head -c %d /dev/zero", size)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkKeystroke is one byte to a program that gives it back.
func BenchmarkKeystroke(b *testing.B) {
	ways(b, func(b *testing.B, dial func() *ssh.Client) {
		c := dial()
		defer func() { _ = c.Close() }()
		s, err := c.NewSession()
		if err != nil {
			b.Fatal(err)
		}
		in, _ := s.StdinPipe()
		out, _ := s.StdoutPipe()
		if err := s.Start("cat"); err != nil {
			b.Fatal(err)
		}
		var times []time.Duration
		key := []byte("x")
		for b.Loop() {
			start := time.Now()
			if _, err := in.Write(key); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(out, key); err != nil {
				b.Fatal(err)
			}
			times = append(times, time.Since(start))
		}
		report(b, times)
	})
}

// BenchmarkCutAll opens sessions that are idle, and ends them at once. Memory is that of
// the whole process, which is also the client of every session: half of it is the
// gateway's, or less. Each op is so many sessions.
func BenchmarkCutAll(b *testing.B) {
	sessions := benchSize(b, "STINT_BENCH_SESSIONS", 200)
	w := newWorld(b, func(_ *world, c *Config) { c.Recorder = &memory{} })
	for b.Loop() {
		before := inUse()
		clients := make([]*ssh.Client, sessions)
		var all sync.WaitGroup
		limit := make(chan struct{}, 16)
		for i := range clients {
			all.Go(func() {
				limit <- struct{}{}
				defer func() { <-limit }()
				c, err := w.dial("web1")
				if err != nil {
					b.Error(err)
					return
				}
				s, err := c.NewSession()
				if err == nil {
					err = s.Start("cat")
				}
				if err != nil {
					b.Error(err)
				}
				clients[i] = c
			})
		}
		all.Wait()
		if b.Failed() {
			return
		}
		b.ReportMetric(float64(inUse()-before)/float64(sessions)/1024, "kB/session")
		times := make([]time.Duration, sessions)
		start := time.Now()
		for i, c := range clients {
			all.Go(func() { _ = c.Wait(); times[i] = time.Since(start) })
		}
		w.control.cut(gateway.Cut{All: true, Reason: gateway.Revoked})
		all.Wait()
		report(b, times)
		// A cut meets what is asked for within the second after it, too.
		time.Sleep(1100 * time.Millisecond)
	}
}

func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
