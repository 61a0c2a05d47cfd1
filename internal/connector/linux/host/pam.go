package host

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/access"
	"stint/internal/connector/linux"
)

// hookWithin is how long a log-in may wait for the hook.
const hookWithin = 20 * time.Second

// PAMSession is what the PAM service of sshd calls, by pam_exec as root, when a session
// opens (and when it closes: whether it does is not asked, because people can say so in
// the environment); env is the environment it is given. An error refuses the
// session. (pam_exec is part of Linux-PAM, pam_exec(8); sshd tells how it authenticated
// somebody in SSH_AUTH_INFO_0.)
//
// The hook stands twice in the file: as the first line of the session stack, where the
// environment is still sshd's own (pam_env can let people write into it later), and as
// the last, because pam_systemd, between the two, moves the session into a cgroup of its
// own. What the first call found is kept in a file; later calls believe that file alone.
//
// It fails closed: a session under a certificate of ours opens in its order's cgroup or
// not at all. What was authenticated in another way passes untouched.
func PAMSession(c Config, env []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), hookWithin)
	defer cancel()
	return New(c).admit(ctx, env, os.Getppid())
}

func (c *Connector) admit(ctx context.Context, env []string, sshd int) error {
	session, unseen := sessionOf(sshd)
	var e entry
	var again bool
	var of []access.Tag // the orders that a certificate is for, one on each host
	if unseen == nil {
		var err error
		if e, again, err = c.readEntry(session); err != nil {
			return err
		}
	}
	if !again {
		tags, err := c.authenticated(variable(env, "SSH_AUTH_INFO_0"))
		if err != nil || len(tags) == 0 {
			return err
		}
		e.Login, of = variable(env, "PAM_USER"), tags
	}
	if unseen != nil {
		return unseen
	}
	if err := checkName("account", e.Login); err != nil {
		return err
	}
	return c.locked(ctx, exclusive, func() error {
		if again {
			of = []access.Tag{e.Tag}
		}
		var err error
		if e.Tag, err = c.stillOpen(e.Login, of); err != nil {
			return err
		}
		if !again {
			if err := c.writeEntry(session, e); err != nil {
				return err
			}
		}
		return c.enter(e.Tag, session, sshd)
	})
}

// stillOpen finds the line which sshd found, if it is still there.
func (c *Connector) stillOpen(login string, tags []access.Tag) (access.Tag, error) {
	lines, err := c.readPrincipals(login)
	if err != nil {
		return "", err
	}
	for _, tag := range tags {
		for _, text := range marked(lines, tag) {
			if l, ok := parseLine(text); ok && l.ends.After(c.Now()) {
				return tag, nil
			}
		}
	}
	return "", access.Fail(access.Expired, "access-ended", "the access to "+login+" that this certificate was for has ended")
}

// authenticated reads from what sshd says how somebody was authenticated which
// orders it was under; none when it was not by a certificate of ours. Each line is a method
// and, for keys, the key.
func (c *Connector) authenticated(info string) (found []access.Tag, err error) {
	if strings.TrimSpace(info) == "" {
		return nil, access.Fail(access.Denied, "no-auth-info", "sshd does not say how this session was authenticated").
			Try("call the hook from the PAM service of an OpenSSH server alone, as the first session line")
	}
	for l := range strings.Lines(info) {
		f := strings.Fields(l)
		if len(f) < 3 || f[0] != "publickey" || !strings.Contains(f[1], "-cert-v") {
			continue
		}
		tags, err := c.certified(f[2])
		switch {
		case err != nil:
			return nil, err
		case len(tags) > 0 && len(found) > 0:
			return nil, access.Fail(access.Denied, "two-certificates", "the session was authenticated by two certificates of Stint's")
		case len(tags) > 0:
			found = tags
		}
	}
	return found, nil
}

// certified are the orders that a certificate is for; none when it is not of ours. A
// certificate that cannot be read could be. A grant for several hosts has one certificate,
// with a principal for each.
func (c *Connector) certified(text string) (tags []access.Tag, err error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, access.Fail(access.Denied, "bad-certificate", "the certificate cannot be read").Wrap(err)
	}
	key, err := ssh.ParsePublicKey(raw)
	cert, ok := key.(*ssh.Certificate)
	if err != nil || !ok {
		return nil, access.Fail(access.Denied, "bad-certificate", "the certificate cannot be read").Wrap(err)
	}
	ours, err := c.ourKeys()
	if err != nil {
		return nil, err
	}
	if !slices.Contains(ours, string(cert.SignatureKey.Marshal())) {
		return nil, nil
	}
	for _, p := range cert.ValidPrincipals {
		tag, ok := linux.PrincipalTag(p)
		if !ok {
			tags = nil
			break
		}
		tags = append(tags, tag)
	}
	if cert.CertType != ssh.UserCert || len(tags) == 0 { // without principals it would be for everybody
		return nil, access.Fail(access.Denied, "bad-certificate", "the certificate is not for orders of Stint's")
	}
	return tags, nil
}

// userCA is the file of the keys that sign certificates of people.
const userCA = "user_ca.pub"

// ourKeys are those, in their wire form.
func (c *Connector) ourKeys() (keys []string, err error) {
	text, err := os.ReadFile(filepath.Join(c.Keys, userCA))
	if err != nil {
		return nil, err
	}
	for l := range strings.Lines(string(text)) {
		if l = strings.TrimSpace(l); l == "" || l[0] == '#' {
			continue
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(l))
		if err != nil {
			return nil, access.Fail(access.Unavailable, "bad-ca", userCA+" has a line that is not a public key").Wrap(err)
		}
		keys = append(keys, string(key.Marshal()))
	}
	return keys, nil
}

// entry is what the first call found, in a file named after the session. It stays until
// the session's process is seen to be gone.
type entry struct {
	Login string     `json:"login"`
	Tag   access.Tag `json:"tag"`
}

func (c *Connector) entryFile(session string) string { return filepath.Join(c.Run, session) }

func (c *Connector) readEntry(session string) (e entry, ok bool, err error) {
	b, err := os.ReadFile(c.entryFile(session))
	if errors.Is(err, fs.ErrNotExist) {
		return e, false, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &e)
	}
	if err == nil && !linux.ValidTag(e.Tag) {
		err = access.Fail(access.Unavailable, "bad-entry", "what is noted of the session cannot be read")
	}
	return e, err == nil, err
}

// writeEntry needs no fsync: after a restart of the host there is no such session.
func (c *Connector) writeEntry(session string, e entry) error {
	if err := ensureFolder(c.Run, 0o700); err != nil {
		return err
	}
	old, err := os.ReadDir(c.Run)
	if err != nil {
		return err
	}
	for _, o := range old { // of sessions that are over
		if pid, ok := entryPID(o.Name()); ok {
			if now, err := sessionOf(pid); err != nil || now != o.Name() {
				_ = os.Remove(c.entryFile(o.Name())) // one too many does no harm
			}
		}
	}
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return os.WriteFile(c.entryFile(session), b, 0o600)
}

func entryPID(name string) (int, bool) {
	rest, ok := strings.CutPrefix(name, sessionPrefix)
	text, _, _ := strings.Cut(rest, "-")
	pid, err := strconv.Atoi(text)
	return pid, ok && err == nil
}

// variable is the value in an environment, empty without it.
func variable(env []string, name string) string {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v
		}
	}
	return ""
}
