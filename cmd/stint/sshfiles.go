package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/api"
	"stint/internal/sshcert/krl"
	"stint/internal/wholefile"
)

// The folder ssh of STINT_HOME. Only the first is secret; the others are per grant, and
// go when they are over.
//
//	id_ed25519        this device's SSH key, 0600; it never leaves
//	id_ed25519.pub    its public half, which certificates are made for
//	GRANT.json        what the server said with the certificate
//	GRANT-cert.pub    the certificate
//	GRANT-hosts       known_hosts: the authority that signs hosts' keys, and nothing else
//	GRANT-revoked     the certificates that ended early, fetched anew for each connection
//	config, hosts/    what stint ssh-config writes
const (
	sshFolder   = "ssh"
	sshKeyFile  = "id_ed25519"
	sshHostsDir = "hosts"
)

// sshFiles are those that OpenSSH is pointed to for one grant.
type sshFiles struct {
	key, certificate, knownHosts, revoked string
	cert                                  api.Certificate
}

// renewBefore is how long a certificate must still be good to be used once more.
const renewBefore = 2 * time.Minute

// certify has a certificate for the grant: the one that is there while it is good, else
// a new one.
func (c *cli) certify(ctx context.Context, conn *connection, r api.Request) (sshFiles, error) {
	dir, err := c.sshDir()
	if err != nil {
		return sshFiles{}, err
	}
	public, err := sshKey(filepath.Join(dir, sshKeyFile))
	if err != nil {
		return sshFiles{}, err
	}
	base := filepath.Join(dir, filepath.Base(r.Grant.ID)) // a name of the server's never leads out of the folder
	f := sshFiles{key: filepath.Join(dir, sshKeyFile), certificate: base + "-cert.pub", knownHosts: base + "-hosts", revoked: base + "-revoked"}
	now := c.now()
	c.forgetCertificates(dir, now)
	if err := f.keepRevoked(ctx, conn); err != nil {
		return sshFiles{}, err
	}
	if text, err := os.ReadFile(base + ".json"); err == nil && json.Unmarshal(text, &f.cert) == nil && f.usable(public, r, now) {
		return f, f.keepHosts(ctx, conn)
	}
	if f.cert, err = conn.Certify(ctx, r.ID, api.CertificateAsk{PublicKey: public}); err != nil {
		return sshFiles{}, err
	}
	if err := f.check(); err != nil {
		return sshFiles{}, err
	}
	text, err := json.MarshalIndent(f.cert, "", "  ")
	if err != nil {
		return sshFiles{}, fmt.Errorf("encode the certificate: %w", err)
	}
	for path, content := range map[string]string{f.certificate: f.cert.Certificate + "\n", f.knownHosts: f.hostLines(), base + ".json": string(text) + "\n"} {
		if err := wholefile.Write(path, []byte(content)); err != nil {
			return sshFiles{}, stateError(path, cause(err), "make its folder writable, or set STINT_HOME to another")
		}
	}
	return f, nil
}

// keepRevoked fetches which certificates ended early. A host whose agent was revoked has
// one that is good for days yet: without the list of this moment nobody connects.
func (f sshFiles) keepRevoked(ctx context.Context, conn *connection) error {
	list, err := conn.RevokedCertificates(ctx)
	if err != nil {
		return err
	}
	if _, err := krl.Parse(list); err != nil {
		return &api.Error{Kind: api.Internal, Code: "bad-list", Message: "the list of certificates that ended early cannot be read",
			Why: err.Error(), Next: "check what stands between this device and the server; an administrator compares it with /v1/ssh/krl on the server itself"}
	}
	if err := wholefile.Write(f.revoked, list); err != nil {
		return stateError(f.revoked, cause(err), "make its folder writable, or set STINT_HOME to another")
	}
	return nil
}

// keepHosts has the certificate's hosts be known by the authorities of this moment: one may
// have been replaced since it was made.
func (f sshFiles) keepHosts(ctx context.Context, conn *connection) error {
	now, err := conn.SSHAuthorities(ctx)
	if err != nil {
		return err
	}
	f.cert.Hosts = now.Hosts
	if err := f.check(); err != nil {
		return err
	}
	if err := wholefile.Write(f.knownHosts, []byte(f.hostLines())); err != nil {
		return stateError(f.knownHosts, cause(err), "make its folder writable, or set STINT_HOME to another")
	}
	return nil
}

// usable reports whether what is there is for this key and grant, and good for a while
// yet, or to the very end of the grant.
func (f sshFiles) usable(public string, r api.Request, now time.Time) bool {
	for _, path := range []string{f.certificate, f.knownHosts} {
		if _, err := os.Stat(path); err != nil {
			return false
		}
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(public))
	if err != nil || f.cert.Grant != r.Grant.ID || f.cert.Fingerprint != ssh.FingerprintSHA256(key) {
		return false
	}
	left := f.cert.ValidBefore.Sub(now)
	return left > renewBefore || left > 0 && r.Grant.ExpiresAt.Sub(f.cert.ValidBefore.Time) < 2*time.Second
}

// check refuses an answer that would put something else than was asked for into files
// that OpenSSH reads.
func (f sshFiles) check() error {
	bad := &api.Error{Kind: api.Internal, Code: "bad-certificate", Message: "what the server sent is no certificate that OpenSSH could use"}
	key, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(f.cert.Certificate))
	if _, ok := key.(*ssh.Certificate); err != nil || !ok || len(rest) > 0 || strings.ContainsAny(f.cert.Certificate, "\r\n") || len(f.cert.Hosts) == 0 {
		return bad
	}
	for _, h := range f.cert.Hosts {
		if _, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(h.PublicKey)); err != nil || len(options)+len(rest) > 0 || strings.ContainsAny(h.PublicKey, "\r\n") {
			return bad
		}
	}
	if _, err := f.login(); err != nil {
		return err
	}
	return nil
}

// hostLines trust the hosts' authorities for the one host of the certificate. A host
// that shows a key without a certificate is not known, and refused.
func (f sshFiles) hostLines() string {
	host, port, err := net.SplitHostPort(f.cert.Logins[0].Address)
	if err != nil {
		return "" // check has seen to it
	}
	var b strings.Builder
	for _, h := range f.cert.Hosts {
		fmt.Fprintf(&b, "@cert-authority %s,[%s]:%s %s\n", host, host, port, h.PublicKey)
	}
	return b.String()
}

// settings are OpenSSH's, for the command line and for its configuration file.
func (f sshFiles) settings() [][2]string {
	return [][2]string{
		{"IdentityFile", sshPath(f.key)}, {"CertificateFile", sshPath(f.certificate)}, {"IdentitiesOnly", "yes"}, {"IdentityAgent", "none"},
		{"PreferredAuthentications", "publickey"}, {"UserKnownHostsFile", sshPath(f.knownHosts)}, {"GlobalKnownHostsFile", "none"},
		{"RevokedHostKeys", sshPath(f.revoked)}, {"StrictHostKeyChecking", "yes"}, {"UpdateHostKeys", "no"}, {"ControlPath", "none"},
	}
}

// sshPath quotes a path for OpenSSH's configuration: it splits at spaces, and what
// follows a percent sign stands for something.
func sshPath(path string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%").Replace(path) + `"`
}

// sshDir is the folder of OpenSSH's files, made when it is first needed.
func (c *cli) sshDir() (string, error) {
	home, err := c.home()
	if err != nil {
		return "", err
	}
	if err := checkFolder(home); err != nil {
		return "", err
	}
	if home, err = filepath.Abs(home); err != nil {
		return "", err
	}
	dir := filepath.Join(home, sshFolder)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", stateError(dir, cause(err), "make its folder writable, or set STINT_HOME to another")
	}
	return dir, checkFolder(dir)
}

// sshKey is the public half of this device's SSH key, which is made the first time.
func sshKey(path string) (public string, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := newSSHKey(path); err != nil && !errors.Is(err, fs.ErrExist) { // another process was faster
			return "", stateError(path, cause(err), "make its folder writable, or set STINT_HOME to another")
		}
		f, err = os.Open(path)
	}
	if err != nil {
		return "", stateError(path, cause(err), "")
	}
	defer func() { _ = f.Close() }() // only read
	if err := checkPrivate(f, path); err != nil {
		return "", err
	}
	text, err := readAtMost(f, 4096)
	if err != nil {
		return "", stateError(path, cause(err), "")
	}
	defer clear(text)
	signer, err := ssh.ParsePrivateKey(text)
	if err != nil { // its error could quote the key
		return "", stateError(path, "its content is damaged", "remove it, and a new one is made")
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))), nil
}

// newSSHKey makes a key and its file, which is never overwritten and never half there.
func newSSHKey(path string) error {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	defer clear(key)
	block, err := ssh.MarshalPrivateKey(key, "stint")
	if err != nil {
		return err
	}
	text := pem.EncodeToMemory(block)
	defer clear(text)
	temp, err := os.CreateTemp(filepath.Dir(path), ".key-*") // 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	_, err = temp.Write(text)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return err
	}
	if err := os.Link(temp.Name(), path); err != nil {
		return err
	}
	return wholefile.Write(path+".pub", append([]byte(strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))), " stint\n"...))
}

// forgetCertificates removes the files of certificates that are over.
func (c *cli) forgetCertificates(dir string, now time.Time) {
	all, _ := filepath.Glob(filepath.Join(dir, "grt_*.json")) // what cannot be read stays
	for _, path := range all {
		var cert api.Certificate
		text, err := os.ReadFile(path)
		if err != nil || json.Unmarshal(text, &cert) != nil || now.Before(cert.ExpiresAt.Add(time.Hour)) {
			continue
		}
		base := strings.TrimSuffix(path, ".json")
		for _, old := range []string{base + "-cert.pub", base + "-hosts", base + "-revoked", path} {
			_ = os.Remove(old) // the next time does it
		}
	}
}
