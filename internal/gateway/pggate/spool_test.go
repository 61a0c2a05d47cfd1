package pggate

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
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"stint/internal/recording"
)

// TestSpooled finds what was said in a session in a recording that verifies, and nothing
// of it in clear.
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
	w := newWorld(t, func(c *Config, p *control) { c.Recorder, p.permit.Recording.Strict = Spooled(s), true })
	c := w.connect()
	ctx, done := context.WithTimeout(t.Context(), 30*time.Second)
	defer done()
	var n int
	must(t, c.QueryRow(ctx, "SELECT id FROM generate_series(1, $1) id /* nonce-one */", 1).Scan(&n))
	if _, err := c.Exec(ctx, "SELECT 1/0 /* nonce-two */"); err == nil {
		t.Error("it divides by zero")
	}
	long := "SELECT length('" + strings.Repeat("aü€😀", 100_000) + "')" // longer than a record may be
	must(t, c.QueryRow(ctx, long, pgx.QueryExecModeSimpleProtocol).Scan(&n))
	if n != 400_000 {
		t.Errorf("of a long statement %d characters came to the server", n)
	}
	must(t, c.Close(ctx))
	eventually(t, "the session is over", func() bool { return w.server.Gateway.Count() == 0 })
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
	var all, whole strings.Builder
	var of uint32
	for record, err := range r.Records() {
		must(t, err)
		if e, is := record.Event.(recording.Statement); is && (strings.HasPrefix(e.Text, "SELECT length") || record.Channel == of && strings.HasPrefix(e.Class, classMore)) {
			of = record.Channel
			whole.WriteString(e.Text)
			if !utf8.ValidString(e.Text) {
				t.Error("a record ends within a character")
			}
			continue
		}
		fmt.Fprintf(&all, "%+v\n", record.Event)
	}
	if whole.String() != long {
		t.Errorf("a statement of %d bytes is recorded with %d", len(long), whole.Len())
	}
	for _, want := range []string{"nonce-one", "nonce-two", "22012 division by zero", "SELECT 1 ", w.database, "Class:execute read Text:statement", "Class:simple read Text:SELECT 1/0"} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("%q is not in the recording:\n%s", want, &all)
		}
	}
	if strings.Contains(all.String(), password) {
		t.Error("the password is in the recording")
	}
}
