package keys

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ringOf gives keys that are the same in every run: byte n, 32 times, for each n.
func ringOf(ns ...byte) *Keys {
	var ring []sealKey
	for _, n := range ns {
		ring = append(ring, sealKeyOf([keySize]byte(bytes.Repeat([]byte{n}, keySize))))
	}
	return newKeys("ring", ring, nil)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// What is printed by accident must not hold a key, not even as numbers.
func TestNothingPrintsAKey(t *testing.T) {
	k := ringOf('K')
	seed := bytes.Repeat([]byte{'K'}, 32)
	signer, _, err := k.CheckpointSigner("log", must(k.Seal(checkpointPurpose, "log", seed)))
	if err != nil {
		t.Fatal(err)
	}
	tagger := must(k.Tagger(must(k.Seal(tagPurpose, tagPlace, seed))))
	private := signer.(*checkpointSigner).key()

	var out strings.Builder
	for _, v := range []any{k, *k.ring.Load(), tagger, *tagger, signer, *signer.(*checkpointSigner)} {
		inner := struct{ hidden any }{v}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
			fmt.Fprintf(&out, verb+"\n", inner)
			fmt.Fprintf(&out, verb+"\n", &inner)
		}
		out.Write(must(json.Marshal(v)))
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
	}
	for _, key := range [][]byte{seed, private[32:]} {
		for _, form := range []string{"%s", "%x", "%X", "%d", "%v", "%#v"} {
			text := strings.Trim(fmt.Sprintf(form, key[:8]), "[]{}byte")
			if strings.Contains(out.String(), text) {
				t.Errorf("a key was printed as %s: …%s…", form, text)
			}
		}
	}
}

// fileWith makes a key file with the keys of ringOf.
func fileWith(t *testing.T, ns ...byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "stint.key")
	if err := os.WriteFile(path, encodeText(*ringOf(ns...).ring.Load()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
