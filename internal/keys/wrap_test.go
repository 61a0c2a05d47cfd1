package keys

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// box is a wrapper as simple as can be, which may be away or lie.
type box struct {
	name  string
	pad   byte
	away  error
	gives []byte
}

func (b *box) Name() string  { return b.name }
func (b *box) Words() string { return "the box " + b.name }

func (b *box) bend(id string, in []byte) []byte {
	out := bytes.Clone(in)
	for i := range out {
		out[i] ^= b.pad ^ id[i%len(id)]
	}
	return out
}

func (b *box) Wrap(id string, key []byte) ([]byte, error) { return b.bend(id, key), b.away }

func (b *box) Unwrap(id string, wrapped []byte) ([]byte, error) {
	if b.gives != nil {
		return bytes.Clone(b.gives), b.away
	}
	return b.bend(id, wrapped), b.away
}

// TestWrap: a wrapped file opens with its wrapper and what it sealed before opens as ever;
// without the wrapper nothing does, and the file holds no key (T-54).
func TestWrap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seal.key")
	k, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := k.Seal("p", "row", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	chip := &box{name: "chip", pad: 0x5a}
	if err := k.Wrap(chip); err != nil {
		t.Fatal(err)
	}
	if k, err = Open(path, &box{name: "another"}, chip); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := k.Rotate(); err != nil {
			t.Fatal(err)
		}
	}
	if by, clear := k.WrappedBy(); by != "chip" || clear != 0 {
		t.Errorf("wrapped by %q, %d as they are", by, clear)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), "stint-seal-key-2:chip:") != 3 || strings.Contains(string(text), linePrefix) {
		t.Errorf("the file holds\n%s", text)
	}
	for _, key := range *k.ring.Load() {
		if bytes.Contains(text, key.secret()) {
			t.Error("a key is in the file")
		}
	}
	if k, err = Open(path, chip); err != nil {
		t.Fatal(err)
	}
	if got, err := k.Open("p", "row", sealed); err != nil || string(got) != "secret" {
		t.Errorf("%q, %v", got, err)
	}

	refused := func(what string, want string, ws ...Wrapper) {
		t.Helper()
		_, err := Open(path, ws...)
		var ours *Error
		if !errors.As(err, &ours) || !strings.Contains(err.Error(), want) || ours.Next == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("without a wrapper", "wrapped by chip")
	refused("with another of its name", "another key", &box{name: "chip"})
	refused("that is away", "unplugged", &box{name: "chip", pad: 0x5a, away: errors.New("unplugged")})
	refused("that gives another key", "another key", &box{name: "chip", gives: make([]byte, keySize)})
	refused("that gives too little", "another key", &box{name: "chip", gives: make([]byte, 1)})

	// A wrapper that is away, or makes what does not open, leaves the file as it is.
	for _, bad := range []*box{{name: "new", away: errors.New("unplugged")}, {name: "new", gives: make([]byte, keySize)}, {name: "Bad:name"}, {name: "new", pad: 0}} {
		if bad.gives == nil && bad.away == nil && bad.name == "new" {
			bad.gives = []byte("short")
		}
		if err := k.Wrap(bad); err == nil {
			t.Errorf("wrapped by %+v", bad)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, text) {
			t.Errorf("the file is another one: %v\n%s", err, now)
		}
	}
	chip.away = errors.New("unplugged")
	if err := k.Rotate(); err == nil || !strings.Contains(err.Error(), "unplugged") {
		t.Errorf("rotated without the wrapper: %v", err)
	}
	chip.away = nil

	// And back.
	if err := k.Wrap(nil); err != nil {
		t.Fatal(err)
	}
	if k, err = Open(path); err != nil {
		t.Fatal(err)
	}
	if by, clear := k.WrappedBy(); by != "" || clear != 3 {
		t.Errorf("wrapped by %q, %d as they are", by, clear)
	}
	if text, err = os.ReadFile(path); err != nil || !bytes.HasSuffix(text, plain) {
		t.Errorf("the first key is another one: %v", err)
	}
}

// Lines as nobody wrote them are refused by their number, and nothing of them is said.
func TestWrappedLines(t *testing.T) {
	id := strings.Repeat("ab", 8)
	for _, line := range []string{
		"stint-seal-key-2:", "stint-seal-key-2:chip", "stint-seal-key-2:chip:" + id, "stint-seal-key-2:chip:" + id + ":",
		"stint-seal-key-2::" + id + ":c2VjcmV0", "stint-seal-key-2:CHIP:" + id + ":c2VjcmV0", "stint-seal-key-2:chip:" + id[2:] + ":c2VjcmV0",
		"stint-seal-key-2:chip:" + strings.ToUpper(id) + ":c2VjcmV0", "stint-seal-key-2:chip:" + id + ":c2VjcmV1=", "stint-seal-key-2:chip:" + id + ":c2Vj\rcmV0",
		"stint-seal-key-2:chip:" + id + ":" + strings.Repeat("c2Vj", maxWrapped),
		"stint-seal-key-2:chip:" + id + ":c2VjcmV0\nstint-seal-key-2:chip:" + id + ":c2VjcmV0",
	} {
		if ring, err := parseText([]byte(line)); err == nil || !strings.Contains(err.Error(), "line ") || strings.Contains(err.Error(), "c2Vj") {
			t.Errorf("%.60q: %d keys, %v", line, len(ring), err)
		}
	}
	good := fmt.Sprintf("stint-seal-key-2:chip:%s:c2VjcmV0\n", id)
	ring, err := parseText([]byte(good))
	if err != nil || len(ring) != 1 || string(encodeText(ring)) != good {
		t.Errorf("%v, %v", ring, err)
	}
}
