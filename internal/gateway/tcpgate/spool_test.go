package tcpgate

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

	"stint/internal/gateway"
	"stint/internal/recording"
)

// TestSpooled finds who went where, how much passed and why it ended in a recording that
// verifies.
func TestSpooled(t *testing.T) {
	dir := t.TempDir()
	_, private, err := ed25519.GenerateKey(nil)
	must(t, err)
	sealer, err := recording.NewSealer(private)
	must(t, err)
	key, err := hpke.DHKEM(ecdh.X25519()).GenerateKey()
	must(t, err)
	opener := recording.NewOpener(key)
	s, _, err := recording.OpenSpool(dir, recording.Options{Sealer: sealer, Recipient: opener.Recipient()})
	must(t, err)
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	w := newWorld(t, func(p *control, r *tapes) {
		p.permit.Recording.Strict, p.permit.Target.Login, r.instead = true, "carrier", Spooled(s)
	})
	if got, err := echo(w.dial(w.config()), "hello"); got != "hello" || err != nil {
		t.Fatal(got, err)
	}
	w.control.send(gateway.Cut{Grant: "grt_1", Reason: gateway.Revoked})
	eventually(t, "the session is over", func() bool { return len(w.control.endings()) == 1 })

	paths, _ := filepath.Glob(filepath.Join(dir, "ses_1.*"))
	if len(paths) != 1 {
		t.Fatalf("it is kept in %v", paths)
	}
	kept, err := os.ReadFile(paths[0])
	must(t, err)
	r, err := recording.NewReader(bytes.NewReader(kept), recording.Trust{Keys: []ed25519.PublicKey{sealer.Public()}}, opener)
	must(t, err)
	var all strings.Builder
	for record, err := range r.Records() {
		must(t, err)
		_, _ = fmt.Fprintf(&all, "%+v\n", record.Event)
	}
	for _, want := range []string{"protocol Value:tcp", "session Value:ses_1", "person Value:ann", "account Value:carrier", "To:" + w.target.Addr().String(), "Sent:5 Received:5", "the access was revoked"} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("%q is not in the recording:\n%s", want, &all)
		}
	}
}
