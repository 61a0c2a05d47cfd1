package sshgate

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// Figures by OpenSSH's own programs. Sizes are of the environment, so that one run can be
// small and another one what is published:
//
//	STINT_BENCH_MIB=1024 STINT_BENCH_SESSIONS=1000 go test ./internal/gateway/sshgate -run - -bench 'Copy|Login|CutAll' -benchtime 3x

// benchSize is a number of the environment, or what is small.
func benchSize(b *testing.B, name string, small int) int {
	b.Helper()
	text := os.Getenv(name)
	if text == "" {
		return small
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		b.Fatalf("%s is %q, and no number of things to measure with", name, text)
	}
	return n
}

// directSSH is a command of OpenSSH's that goes to the target without the gateway, with a
// certificate such as stint ssh has.
func (w *world) directSSH(b *testing.B, program string, args ...string) *exec.Cmd {
	b.Helper()
	cert := w.miraFile + "-cert.pub"
	write(b, cert, ssh.MarshalAuthorizedKey(certify(b, w.ca, w.mira.PublicKey(), ssh.UserCert, nil)))
	known := filepath.Join(w.dir, "known-direct")
	_, port, _ := strings.Cut(w.sshd.address, ":")
	write(b, known, fmt.Appendf(nil, "[127.0.0.1]:%s %s", port, ssh.MarshalAuthorizedKey(w.sshd.host.PublicKey())))
	cmd := w.ssh(program, args...)
	for i, a := range cmd.Args {
		switch {
		case (a == "-p" || a == "-P") && i+1 < len(cmd.Args):
			cmd.Args[i+1] = port
		case strings.HasPrefix(a, "UserKnownHostsFile="):
			cmd.Args[i] = "UserKnownHostsFile=" + known
		}
	}
	cmd.Args = slices.Insert(cmd.Args, 1, "-o", "CertificateFile="+cert, "-o", "HostKeyAlgorithms=ssh-ed25519")
	return cmd
}

// bySSH runs one of OpenSSH's programs both ways, and gives the times of each.
func bySSH(b *testing.B, program string, args func(login string) []string, bytes int64) {
	s, _, _, _ := spool(b)
	w := newWorld(b, func(_ *world, c *Config) { c.Recorder = Spooled(s) })
	for name, make := range map[string]func() *exec.Cmd{
		"direct":  func() *exec.Cmd { return w.directSSH(b, program, args(w.sshd.login+"@127.0.0.1")...) },
		"gateway": func() *exec.Cmd { return w.ssh(program, args(there)...) },
	} {
		b.Run(name, func(b *testing.B) {
			if bytes > 0 {
				b.SetBytes(bytes)
			}
			var times []time.Duration
			for b.Loop() {
				start := time.Now()
				if out, err := make().CombinedOutput(); err != nil {
					b.Fatalf("%s: %v\n%s", program, err, out)
				}
				times = append(times, time.Since(start))
			}
			report(b, times)
		})
	}
}

// BenchmarkLogin is ssh HOST true, as a program of its own: what somebody waits for a
// prompt.
func BenchmarkLogin(b *testing.B) {
	bySSH(b, "ssh", func(login string) []string { return []string{login, "true"} }, 0)
}

// BenchmarkCopy is scp of a file to the host, which sees it as sftp: all of it goes
// through the recorder, which keeps its size and digest.
func BenchmarkCopy(b *testing.B) {
	size := int64(benchSize(b, "STINT_BENCH_MIB", 64)) << 20
	dir, err := os.MkdirTemp("", "copy")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil { // the account on the target writes there
		b.Fatal(err)
	}
	from := filepath.Join(dir, "from")
	if err := os.WriteFile(from, nil, 0o600); err != nil {
		b.Fatal(err)
	}
	if err := os.Truncate(from, size); err != nil {
		b.Fatal(err)
	}
	bySSH(b, "scp", func(login string) []string { return []string{"-q", from, login + ":" + filepath.Join(dir, "to")} }, size)
}
