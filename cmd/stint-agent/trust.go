package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"stint/internal/access"
	"stint/internal/agent"
	"stint/internal/api"
	"stint/internal/envelope"
	"stint/internal/sshcert/krl"
	"stint/internal/wholefile"
)

// refreshEvery is how soon sshd knows that a certificate ended early, or another
// authority: no later than the agent would ask for calls.
const refreshEvery = 20 * time.Second

// soonAfter is when it is asked after something was made: its end is fixed once it was
// read back.
const soonAfter = 2 * time.Second

// lookEvery is how soon it is noticed that sshd shows other keys.
const lookEvery = 10 * time.Minute

// daemon is what sshd says of itself.
type daemon struct {
	keys []shown
	pid  string // the file; empty where it writes none
}

// shown is a key that sshd shows to clients.
type shown struct {
	path string // of the private half, which is never read
	line string // the public one
}

// certificate is the file with a key's certificate: in our own folder, because a name
// beside the key may be another's.
func (k shown) certificate() string { return sshFolder + "/" + filepath.Base(k.path) + "-cert.pub" }

// lookAtSSHD asks sshd which keys it shows. Ed25519 comes first; RSA keys get no
// certificate, because no client that knows certificates needs one.
func lookAtSSHD(ctx context.Context) (daemon, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	said, err := exec.CommandContext(ctx, sshd, "-T").Output()
	if err != nil {
		return daemon{}, access.Fail(access.Unavailable, "sshd", "sshd does not say how it is set").Because(err.Error()).Try("see what it says with " + sshd + " -T")
	}
	return readEffective(string(said), os.ReadFile)
}

func readEffective(said string, read func(string) ([]byte, error)) (daemon, error) {
	var d daemon
	var second []shown
	for line := range strings.Lines(said) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch name {
		case "pidfile":
			if value != "none" {
				d.pid = value
			}
		case "hostkey":
			text, err := read(value + ".pub")
			if errors.Is(err, fs.ErrNotExist) {
				continue
			} else if err != nil {
				return daemon{}, err
			}
			f := strings.Fields(string(text))
			if len(f) < 2 {
				continue
			}
			k := shown{path: value, line: f[0] + " " + f[1]}
			switch {
			case f[0] == "ssh-ed25519":
				d.keys = append(d.keys, k)
			case strings.HasPrefix(f[0], "ecdsa-sha2-"):
				second = append(second, k)
			}
		}
	}
	d.keys = append(d.keys, second...)
	if len(d.keys) > envelope.MaxHostKeys {
		d.keys = d.keys[:envelope.MaxHostKeys]
	}
	if len(d.keys) == 0 {
		return daemon{}, access.Fail(access.NotFound, "no-host-key", "sshd shows no key that can have a certificate").
			Because("that takes an Ed25519 or ECDSA key, with its public half in the file that ends in .pub").Try("make them with: ssh-keygen -A")
	}
	return d, nil
}

func (d daemon) ask() api.HostAsk {
	a := api.HostAsk{Nonce: envelope.NewID()}
	for _, k := range d.keys {
		a.SSHKeys = append(a.SSHKeys, k.line)
	}
	return a
}

// refresher keeps what sshd believes and shows as the server says it is.
type refresher struct {
	flags  flags
	agent  *agent.Agent
	client *api.Client
	log    *slog.Logger
	sshd   daemon
	looked time.Time
	said   string // what was complained of last
}

func (r *refresher) run(ctx context.Context) {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	var soon <-chan time.Time
	for {
		err := r.once(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			r.said = ""
		case err.Error() != r.said:
			r.said = err.Error()
			r.log.Warn("what sshd believes and shows is not refreshed; tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-soon:
		case <-r.agent.Made():
			soon = time.After(soonAfter)
			continue
		}
		soon = nil
	}
}

// once asks, and does what the answer says.
func (r *refresher) once(ctx context.Context) error {
	var trouble error
	_, no := os.Stat(sshFolder)
	ours := no == nil // else somebody else sets sshd up
	if ours && (r.looked.IsZero() || time.Since(r.looked) > lookEvery) {
		if d, err := lookAtSSHD(ctx); err == nil {
			r.sshd, r.looked = d, time.Now()
		} else {
			trouble = err // what ended early is asked for all the same
		}
	}
	ask := r.sshd.ask()
	if c, ok := r.agent.Ceiling(); ok {
		ask.Ceiling = ceilingOut(c)
	}
	ended, heard := r.agent.Untold()
	ask.Ended = ended
	got, err := r.client.TrustOfHost(ctx, ask)
	if err != nil {
		return errors.Join(trouble, err)
	}
	t, err := r.agent.OpenTrust(got, ask.Nonce)
	if err != nil {
		return errors.Join(trouble, err)
	}
	if err := errors.Join(heard(), r.agent.Heed(t)); err != nil {
		trouble = errors.Join(trouble, err)
	}
	if !ours {
		return trouble
	}
	if err := r.flags.install(ctx, t, got.Revoked, r.sshd.keys); err != nil {
		return errors.Join(trouble, err)
	}
	return errors.Join(trouble, r.flags.reload(ctx, r.sshd.pid))
}

// install puts what was signed where sshd reads it. What people's certificates are
// checked by counts from the next log-in on; certificates of the host's own keys are
// first shown to sshd, and put back as they were if it does not take them.
func (f flags) install(ctx context.Context, t envelope.Trust, list []byte, keys []shown) error {
	if err := keepList(list); err != nil {
		return err
	}
	if _, err := keep(authority, strings.Join(t.Users, "\n")+"\n"); err != nil {
		return err
	}
	if len(keys) != len(t.Certificates) {
		return access.Fail(access.Denied, "other-keys", "the server certified other keys than it was told of")
	}
	var all []saved
	undo := func(err error) error {
		for i := len(all) - 1; i >= 0; i-- {
			err = errors.Join(err, all[i].back())
		}
		return err
	}
	change := func(path, text string) error {
		was, err := save(path)
		if err != nil || was.was && string(was.text) == text {
			return err
		}
		if len(all) == 0 { // whatever happens from here on, sshd is told
			if err := wholefile.Write(f.path(reloadFile), []byte("sshd shall read its settings again\n")); err != nil {
				return err
			}
		}
		all = append(all, was)
		return put(path, []byte(text), 0o644)
	}
	text := settings
	for i, k := range keys {
		if c := t.Certificates[i]; c != "" {
			if err := change(k.certificate(), c+"\n"); err != nil {
				return undo(err)
			}
		}
		if _, err := os.Stat(k.certificate()); err == nil {
			text += "HostCertificate " + k.certificate() + "\n"
		}
	}
	if _, err := os.Stat(dropIn); err != nil {
		return nil // somebody else has sshd use these
	}
	if err := change(dropIn, text); err != nil {
		return undo(err)
	}
	if len(all) == 0 {
		return nil
	}
	if err := checkSSHD(ctx); err != nil {
		return undo(err)
	}
	return nil
}

// keep makes a file that sshd reads at each log-in be what it should.
func keep(path, text string) (changed bool, err error) {
	was, err := save(path)
	if err != nil || was.was && string(was.text) == text {
		return false, err
	}
	return true, put(path, []byte(text), 0o644)
}

// keepList puts a list of certificates that ended early in the place of one that says
// something else. One that sshd could not read would shut everybody out, and is refused.
func keepList(list []byte) error {
	next, err := krl.Parse(list)
	if err != nil {
		return access.Fail(access.Unavailable, "bad-list", "the list of certificates that ended early cannot be read").Wrap(err)
	}
	if text, err := os.ReadFile(revoked); err == nil {
		if now, err := krl.Parse(text); err == nil && reflect.DeepEqual(now.Authorities, next.Authorities) {
			return nil // made anew, it says the same
		}
	}
	return put(revoked, list, 0o644)
}

// reload has sshd read its settings and certificates again, if something was changed
// since it did.
func (f flags) reload(ctx context.Context, pidFile string) error {
	if _, err := os.Stat(f.path(reloadFile)); err != nil {
		return nil
	}
	if _, err := os.Stat(dropIn); err != nil {
		return nil
	}
	if err := checkSSHD(ctx); err != nil { // never one that would not come back
		return err
	}
	if err := hangUp(pidFile); err != nil {
		return err
	}
	return os.Remove(f.path(reloadFile))
}

// hangUp tells sshd to read its settings again. Where none has left its number, none
// runs, or one is started for each connection: both read them when they start.
func hangUp(pidFile string) error {
	if pidFile == "" {
		return access.Fail(access.Unavailable, "no-pid-file", "sshd writes no file with its number, so that it cannot be told to read its settings again").
			Try("take PidFile none out of sshd's settings, and reload sshd")
	}
	text, err := os.ReadFile(pidFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(text)))
	if err != nil || pid < 2 {
		return access.Fail(access.Unavailable, "bad-pid-file", pidFile+" holds no number")
	}
	// The number may be another program's by now.
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || strings.TrimSuffix(exe, " (deleted)") != sshd {
		return access.Fail(access.Unavailable, "other-program", fmt.Sprintf("process %d, of %s, is not sshd", pid, pidFile)).Because(exe).Try("reload sshd: systemctl reload ssh")
	}
	return syscall.Kill(pid, syscall.SIGHUP)
}

// certificates are what of our folder is a certificate of the host.
func certificates(said string) (lines []string) {
	for line := range strings.Lines(said) {
		if strings.Contains(line, sshFolder+"/") && !slices.Contains(lines, line) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}
