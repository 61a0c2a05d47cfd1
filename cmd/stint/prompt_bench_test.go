//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// BenchmarkPrompt is the time until a command runs on a host, by ssh with a certificate
// that is there, and by stint ssh, which finds the grant, has the certificate renewed where
// it has to be, and runs ssh. The control plane is a stand-in without a store; the program
// is the one of STINT_BENCH_BIN, or else this one, without its start.
func BenchmarkPrompt(b *testing.B) {
	f := newFake(b)
	f.mu.Lock()
	if err := f.makeAuthority(); err != nil {
		b.Fatal(err)
	}
	f.mu.Unlock()
	f.sshd(b, f.authority, "127.0.0.1")
	r := newReal(b, f)
	if code, out := r.run("ssh", "web1", "--as", "reader", "--for", "1h", "--why", "disk full", "--", "true"); code != 0 {
		b.Fatalf("code %d\n%s", code, out)
	}
	if code, out := r.run("ssh-config", "--prepare", "web1"); code != 0 {
		b.Fatalf("code %d\n%s", code, out)
	}
	config := filepath.Join(b.TempDir(), "config")
	if err := os.WriteFile(config, []byte("Match originalhost web1.stint exec \"true\"\n\tInclude "+sshPath(hostFile(filepath.Join(r.home, sshFolder), "web1"))+"\n\nMatch all\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	bin := os.Getenv("STINT_BENCH_BIN")
	for name, run := range map[string]func() ([]byte, error){
		"ssh": func() ([]byte, error) {
			return exec.Command("ssh", "-F", config, "-o", "BatchMode=yes", "web1.stint", "true").CombinedOutput()
		},
		"stint_ssh": func() ([]byte, error) {
			if bin == "" {
				if code, out := r.run("ssh", "web1", "--", "true"); code != 0 {
					return []byte(out), ended{code}
				}
				return nil, nil
			}
			cmd := exec.Command(bin, "ssh", "web1", "--", "true")
			cmd.Env = r.env
			return cmd.CombinedOutput()
		},
	} {
		b.Run(name, func(b *testing.B) {
			var times []time.Duration
			for b.Loop() {
				start := time.Now()
				if out, err := run(); err != nil {
					b.Fatalf("%v\n%s", err, out)
				}
				times = append(times, time.Since(start))
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}
