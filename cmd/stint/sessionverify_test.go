package main

import (
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/recording"
)

// TestVerifyKeyForms: a recording is verified without a server by the gateway's key as the
// audit log has it, and as the server lists it; by another key it is not.
func TestVerifyKeyForms(t *testing.T) {
	file, public := recorded(t)
	other, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	verify := func(key string) (int, string) {
		var out strings.Builder
		code := Main(t.Context(), []string{"session", "verify", "--file", file, "--key", key}, nil, strings.NewReader(""), &out, &out)
		return code, out.String()
	}
	var digest access.Digest
	copy(digest[:], public)
	for _, key := range []string{digest.String(), hex.EncodeToString(public), base64.StdEncoding.EncodeToString(public)} {
		if code, out := verify(key); code != exitDone || !strings.Contains(out, "holds: ") {
			t.Errorf("%s: %d %s", key, code, out)
		}
	}
	copy(digest[:], other)
	if code, out := verify(digest.String()); code == exitDone || !strings.Contains(out, "DAMAGED") {
		t.Errorf("by a key that it was not sealed with: %d %s", code, out)
	}
	for _, key := range []string{"", "sha256:", digest.String() + "00", "sha256:" + base64.StdEncoding.EncodeToString(public), base64.StdEncoding.EncodeToString(public[1:])} {
		if code, out := verify(key); code != exitUsage || !strings.Contains(out, "is no public key of a gateway") || !strings.Contains(out, "recording.begun") {
			t.Errorf("%q: %d %s", key, code, out)
		}
	}
}

// recorded is a recording that ended, and the key that sealed it.
func recorded(t *testing.T) (file string, public ed25519.PublicKey) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	public, private, err := ed25519.GenerateKey(nil)
	check(err)
	sealer, err := recording.NewSealer(private)
	check(err)
	reads, err := ecdh.X25519().GenerateKey(rand.Reader)
	check(err)
	to, err := recording.NewRecipient(reads.PublicKey().Bytes())
	check(err)
	dir := t.TempDir()
	spool, _, err := recording.OpenSpool(dir, recording.Options{Sealer: sealer, Recipient: to})
	check(err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	w, err := spool.New("ses_1", recording.Strict)
	check(err)
	check(w.Append(ctx, 0, recording.Start{}))
	check(w.Close(ctx, "over"))
	check(spool.Close(ctx))
	file = filepath.Join(dir, "ses_1.rec")
	_, err = os.Stat(file)
	check(err)
	return file, public
}
