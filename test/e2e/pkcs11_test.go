//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"stint/internal/api"
	"stint/test/stage"
)

const softHSM = "/usr/lib/softhsm/libsofthsm2.so"

// softToken is a token of the test's own, and what stintd is told of it.
type softToken struct {
	t                    *testing.T
	dir, config, program string
}

func newSoftToken(t *testing.T) *softToken {
	t.Helper()
	if _, err := os.Stat(softHSM); err != nil {
		t.Fatalf("SoftHSM is missing: apt-get install softhsm2: %v", err)
	}
	h := &softToken{t: t, dir: t.TempDir()}
	must(t, os.Mkdir(h.path("tokens"), 0o700))
	h.config = h.file("softhsm2.conf", "directories.tokendir = "+h.path("tokens")+"\nobjectstore.backend = file\nlog.level = ERROR\n")
	h.file("pin", "5678-secret\n")
	// Where the tree lies is the builder's business; what others could exchange is refused.
	text, err := os.ReadFile("../../bin/stint-hsm")
	must(t, err)
	h.program = h.file("stint-hsm", string(text))
	must(t, os.Chmod(h.program, 0o700))
	h.run("softhsm2-util", "--init-token", "--free", "--label", "stint", "--so-pin", "12345678", "--pin", "5678-secret")
	return h
}

func (h *softToken) path(name string) string { return filepath.Join(h.dir, name) }

func (h *softToken) file(name, text string) string {
	h.t.Helper()
	must(h.t, os.WriteFile(h.path(name), []byte(text), 0o600))
	return h.path(name)
}

func (h *softToken) run(args ...string) string {
	h.t.Helper()
	cmd := exec.CommandContext(h.t.Context(), args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "SOFTHSM2_CONF="+h.config)
	out, err := cmd.CombinedOutput()
	if err != nil {
		h.t.Fatalf("%s: %v\n%s", args, err, out)
	}
	return string(out)
}

// settings are stintd's, with the keys that are to be in the token.
func (h *softToken) settings(keys string) string {
	return "pkcs11: {module: " + softHSM + ", token: stint, pin_file: " + h.path("pin") + ", program: " + h.program + ", keys: [" + keys + "], environment: [\"SOFTHSM2_CONF=" + h.config + "\"]}\n"
}

// away takes the token away from a stintd, which finds its program dead; back gives it back.
func (h *softToken) away(stintd int) (back func()) {
	h.t.Helper()
	must(h.t, os.Rename(h.path("tokens"), h.path("elsewhere")))
	must(h.t, os.Mkdir(h.path("tokens"), 0o700))
	must(h.t, eventually(h.t.Context(), func() error {
		for _, pid := range children(h.t, stintd) {
			if name, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm"); strings.TrimSpace(string(name)) == "stint-hsm" {
				return syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		return errors.New("stintd has no stint-hsm")
	}))
	return func() {
		h.t.Helper()
		must(h.t, os.Remove(h.path("tokens")))
		must(h.t, os.Rename(h.path("elsewhere"), h.path("tokens")))
	}
}

// children are the processes that a process has started.
func children(t *testing.T, pid int) (out []int) {
	t.Helper()
	tasks, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	must(t, err)
	for _, f := range tasks {
		text, _ := os.ReadFile(f) // a thread may have ended
		for word := range strings.FieldsSeq(string(text)) {
			n, err := strconv.Atoi(word)
			must(t, err)
			out = append(out, n)
		}
	}
	return out
}

// TestPKCS11 moves the authorities from the disk into a real token under a real sshd: who
// has a certificate by the old key keeps coming in, the token signs the next ones, without
// it none is made and everything still ends on time, and with it again they are made again.
func TestPKCS11(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	h := newSoftToken(t)
	s, err := stage.Open(ctx, stage.Options{Bin: "../../bin", Store: "sqlite", Config: h.settings("")})
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the end of stintd's log:\n" + s.LogTail(40))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []string{"nils", "lena", "mira"} {
		must(t, s.Enrol(ctx, name, "--group", "platform"))
	}
	address := freeAddress(t)
	must(t, s.Documents(ctx, strings.ReplaceAll(hostDocuments, "ADDRESS", address)))
	m := newMachine(t)
	m.serve(address)
	var code api.HostEnrolment
	must(t, s.As("root").JSON(ctx, &code, "admin", "host", "enroll", "web1"))
	m.run(code.Code.Reveal(), "stint-agent", "enroll", "--server", s.URL, "--code-file", "-")
	m.start()
	into := func(name string) stage.Result {
		return s.As(name).Run(ctx, "ssh", "web1", "--as", "deploy", "--for", "5m", "--why", "look at the disk", "--", "id", "-un")
	}
	comes := func(name string) {
		t.Helper()
		must(t, eventually(ctx, func() error {
			r := into(name)
			if err := r.Failed(); err != nil || strings.TrimSpace(r.Out) != "deploy" {
				return errors.Join(err, errors.New(r.Out+r.Err))
			}
			return nil
		}))
	}
	comes("nils") // by a key on disk
	var held []api.Request
	must(t, s.As("nils").JSON(ctx, &held, "get", "requests"))
	grant, at := held[0].Grant.ID, filepath.Join(s.As("nils").Home, "ssh")
	signedBy := func(cert string) string { return h.run("ssh-keygen", "-L", "-f", cert) }
	old := signedBy(filepath.Join(at, grant+"-cert.pub"))

	// From the disk into the token, with overlap.
	must(t, s.Stop())
	must(t, os.WriteFile(filepath.Join(s.Dir, "stintd.yaml"), []byte(h.settings("ssh-users, ssh-hosts")), 0o600))
	for _, what := range []string{"ssh-users", "ssh-hosts"} {
		out := h.run(filepath.Join(s.Bin, "stintd"), "rotate-key", what, "--data", s.DataDir(), "--config", filepath.Join(s.Dir, "stintd.yaml"), "--seal-key-file", filepath.Join(s.Dir, "data.key"))
		if !strings.Contains(out, "it is in the token stint") {
			t.Errorf("rotated: %s", out)
		}
	}
	must(t, s.Start(ctx))
	m.kill() // it asks at its start whom to believe
	m.start()
	comes("lena")
	must(t, s.As("lena").JSON(ctx, &held, "get", "requests"))
	fresh := signedBy(filepath.Join(s.As("lena").Home, "ssh", held[0].Grant.ID+"-cert.pub"))
	check := h.run(h.program, "check", "--module", softHSM, "--token", "stint", "--pin-file", h.path("pin"))
	if by := fingerprint(fresh); by == "" || by == fingerprint(old) || !strings.Contains(check, by) || strings.Contains(check, "5678") {
		t.Errorf("signed by %s, before by %s; the token has\n%s", by, fingerprint(old), check)
	}
	_, port, _ := strings.Cut(address, ":")
	plain := exec.CommandContext(ctx, "ssh", "-F", "none", "-i", filepath.Join(at, "id_ed25519"), "-o", "CertificateFile="+filepath.Join(at, grant+"-cert.pub"), "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none",
		"-o", "UserKnownHostsFile=/dev/null", "-o", "GlobalKnownHostsFile=none", "-o", "StrictHostKeyChecking=no", "-o", "PreferredAuthentications=publickey", "-p", port, "deploy@127.0.0.1", "true")
	must(t, eventually(ctx, func() error { // sshd is told to read its keys anew now and then
		again := exec.CommandContext(ctx, plain.Path, plain.Args[1:]...)
		if out, err := again.CombinedOutput(); err != nil {
			return fmt.Errorf("by the earlier key: %w\n%s", err, out)
		}
		return nil
	}))
	if r := s.As("root").Run(ctx, "admin", "doctor"); !strings.Contains(r.Out, "in the token signs, with ed25519") || !strings.Contains(r.Out, "token stint answers") {
		t.Errorf("the doctor says\n%s%s", r.Out, r.Err)
	}

	// Without the token nothing is signed; what is open ends on time.
	must(t, s.As("lena").Run(ctx, "end", held[0].Grant.ID).Failed())
	var said bytes.Buffer
	open := s.As("lena").Command(ctx, "ssh", "web1", "--as", "deploy", "--for", "30s", "--why", "watch it for a while", "--", "echo in; sleep 300")
	open.Stdout, open.Stderr, open.WaitDelay = &said, &said, 3*time.Second
	must(t, open.Start())
	done := make(chan error, 1)
	go func() { done <- open.Wait() }()
	var live api.Request
	must(t, eventually(ctx, func() error {
		var all []api.Request
		if err := s.As("lena").JSON(ctx, &all, "get", "requests"); err != nil {
			return err
		}
		for _, r := range all {
			if r.Grant != nil && r.Grant.State == api.GrantActive {
				if _, err := os.Stat(filepath.Join(s.As("lena").Home, "ssh", r.Grant.ID+"-cert.pub")); err != nil {
					return err
				}
				live = r
				return nil
			}
		}
		return errors.New("none is active")
	}))
	back := h.away(s.Pid())
	if r := into("mira"); r.Code == 0 || !strings.Contains(r.Err, "token with the key that signs certificates does not answer") || strings.Contains(r.Err+r.Out, "5678") {
		t.Errorf("without the token: %d %s%s", r.Code, r.Out, r.Err)
	}
	if r := s.As("root").Run(ctx, "admin", "doctor"); r.Code == 0 || !strings.Contains(r.Out, "FAIL  key ssh-users") {
		t.Errorf("the doctor says\n%s%s", r.Out, r.Err)
	}
	select {
	case <-done:
		if late := time.Since(live.Grant.ExpiresAt.Time); late < -time.Second || late > 20*time.Second || !strings.Contains(said.String(), "in\n") {
			t.Errorf("the session ended %s after its time: %s", late, said.String())
		}
	case <-ctx.Done():
		t.Fatalf("the session is not cut: %s", said.String())
	}
	ended, err := time.Parse(time.RFC3339, live.Grant.ExpiresAt.Format(time.RFC3339))
	must(t, err)
	t.Logf("cut with the token away, %s after its time", time.Since(ended).Round(10*time.Millisecond))

	back()
	comes("mira")
	if text := s.ServerLog(); strings.Contains(text, "5678") || !strings.Contains(text, "no certificates are signed") {
		t.Error("stintd's log has the PIN, or does not say that the token was away")
	}
}

// fingerprint is that of who signed, of what ssh-keygen prints of a certificate.
func fingerprint(text string) string {
	_, rest, _ := strings.Cut(text, "Signing CA: ")
	for word := range strings.FieldsSeq(rest) {
		if strings.HasPrefix(word, "SHA256:") {
			return word
		}
	}
	return ""
}

// TestPKCS11Page is an operator who does what docs/operations/pkcs11.md says, in one shell.
func TestPKCS11Page(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	server, dir, bin := freeAddress(t), t.TempDir(), t.TempDir()
	for _, name := range []string{"stint", "stintd", "stint-hsm"} { // where nobody else can exchange them
		text, err := os.ReadFile("../../bin/" + name)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(bin, name), text, 0o700))
	}
	script := "set -e\ntrap 'kill $(jobs -p)' EXIT\n"
	for _, s := range sections(t, "../../docs/operations/pkcs11.md", "stintd serve --config", "stintd serve --listen "+server+" --config") {
		for _, b := range s.blocks {
			script += b + "\n"
		}
	}
	must(t, os.WriteFile(filepath.Join(dir, "page.sh"), []byte(script), 0o600))
	log, err := os.Create(filepath.Join(dir, "page.log"))
	must(t, err)
	defer func() { _ = log.Close() }() // it is read by its name
	shell := exec.CommandContext(ctx, "bash", "--noprofile", "--norc", "page.sh")
	shell.Dir, shell.Stdout, shell.Stderr, shell.WaitDelay = dir, log, log, 3*time.Second
	shell.Env = []string{"PATH=" + bin + ":/usr/sbin:/usr/bin:/sbin:/bin", "STINT_SERVER=http://" + server, "HOME=" + dir, "LC_ALL=C", "NO_COLOR=1", "STINT_NO_INPUT=1"}
	shell.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	err = shell.Run()
	_ = syscall.Kill(-shell.Process.Pid, syscall.SIGTERM) // what is left of its group
	said, e := os.ReadFile(log.Name())
	must(t, e)
	for _, want := range []string{"only root can exchange it", "none begins with stint- yet", "in the token signs, with ed25519", "it is in the token stint", "the ssh-hosts key is a new one",
		"opens with the PKCS#11 token stint only", "by pkcs11, which opens it"} {
		if !strings.Contains(string(said), want) {
			t.Errorf("nothing said %q", want)
		}
	}
	pin, e := os.ReadFile(filepath.Join(dir, "hsm.pin"))
	must(t, e)
	stintd, e := os.ReadFile(filepath.Join(dir, "stintd.log"))
	must(t, e)
	if len(pin) < 4 || strings.Contains(string(said)+string(stintd), string(pin)) {
		t.Error("there is no PIN, or it was printed")
	}
	if err != nil || t.Failed() {
		t.Errorf("%v\n%s\nstintd said:\n%s", err, said, stintd)
	}
}
