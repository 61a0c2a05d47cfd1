package httpgate

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hpke"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stint/internal/recording"
)

// spool is what recordings are written to, where they are, and what reads them.
func spool(t testing.TB) (s *recording.Spool, dir string, sealer *recording.Sealer, opener *recording.Opener) {
	t.Helper()
	dir = t.TempDir()
	_, private, err := ed25519.GenerateKey(nil)
	must(t, err)
	sealer, err = recording.NewSealer(private)
	must(t, err)
	key, err := hpke.DHKEM(ecdh.X25519()).GenerateKey()
	must(t, err)
	opener = recording.NewOpener(key)
	s, _, err = recording.OpenSpool(dir, recording.Options{Sealer: sealer, Recipient: opener.Recipient()})
	must(t, err)
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s, dir, sealer, opener
}

// TestSpooled finds what was asked for in a recording that verifies, and nothing of it in
// clear; and neither the login nor the person's cookie.
func TestSpooled(t *testing.T) {
	s, dir, sealer, opener := spool(t)
	w := newWorld(t, func(c *Config, p *control) {
		c.Recorder, p.permit.Recording.Strict, p.permit.Web.Bodies, p.permit.Web.Assert = Spooled(s), true, 100, true
	})
	c := w.signedIn(false)
	mine := w.cookieOf(c)
	w.ask(c, "POST", "https://"+host+"/nonce-one?q=nonce-two", strings.NewReader("nonce-three"))
	w.get(c, "https://"+host+"/nonce-four/%2e%2e/")
	w.control.revoke()
	eventually(t, "the session is over", func() bool { return w.reg.Count() == 0 })
	paths, _ := filepath.Glob(filepath.Join(dir, "ses_1.*"))
	if len(paths) != 1 {
		t.Fatalf("it is kept in %v", paths)
	}
	kept, err := os.ReadFile(paths[0])
	must(t, err)
	if bytes.Contains(kept, []byte("nonce")) {
		t.Error("it is kept in clear")
	}
	r, err := recording.NewReader(bytes.NewReader(kept), recording.Trust{Keys: []ed25519.PublicKey{sealer.Public()}}, opener)
	must(t, err)
	var all strings.Builder
	for record, err := range r.Records() {
		must(t, err)
		switch e := record.Event.(type) {
		case recording.Input:
			fmt.Fprintf(&all, "input %s\n", e.Data)
		case recording.Output:
			fmt.Fprintf(&all, "output %s\n", e.Data)
		default:
			fmt.Fprintf(&all, "%+v\n", record.Event)
		}
	}
	for _, want := range []string{"Method:POST Target:/nonce-one?q=nonce-two Status:0", "Outcome:sent", "Status:200 Sent:11", "input nonce-three", "output POST /nonce-one", "by Value:browser", "the access was revoked"} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("%q is not in the recording:\n%s", want, &all)
		}
	}
	_, secret, _ := strings.Cut(mine, "=")
	for _, never := range []string{canary, secret, "nonce-four"} { // what can be read in two ways is nobody's request
		if strings.Contains(all.String(), never) {
			t.Errorf("%q is in the recording", never)
		}
	}
}
