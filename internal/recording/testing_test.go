package recording

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// keyring is the keys of one installation.
type keyring struct {
	sealer *Sealer
	opener *Opener
}

func newKeyring(t testing.TB) keyring {
	t.Helper()
	_, sign, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return keyringOf(t, sign.Seed())
}

// keyringOf makes the signing key of a seed, so that a child process has the same.
func keyringOf(t testing.TB, seed []byte) keyring {
	t.Helper()
	sealer, err := NewSealer(ed25519.NewKeyFromSeed(seed))
	if err != nil {
		t.Fatal(err)
	}
	private, err := newKEM().DeriveKeyPair(seed)
	if err != nil {
		t.Fatal(err)
	}
	return keyring{sealer, NewOpener(private)}
}

func (k keyring) trust() Trust { return Trust{Keys: []ed25519.PublicKey{k.sealer.Public()}} }

func (k keyring) options() Options {
	return Options{Sealer: k.sealer, Recipient: k.opener.Recipient(), LogSize: minLog}
}

func (k keyring) open(t testing.TB, dir string) (*Spool, []Recovered) {
	t.Helper()
	s, recovered, err := OpenSpool(dir, k.options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s, recovered
}

// quick bounds a wait.
func quick(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func begin(t testing.TB, s *Spool, name string, mode Mode) *Writer {
	t.Helper()
	w, err := s.New(name, mode)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func put(t testing.TB, w *Writer, channel uint32, events ...Event) {
	t.Helper()
	if err := w.Append(quick(t), channel, events...); err != nil {
		t.Fatal(err)
	}
}

func done(t testing.TB, w *Writer, why string) Anchor {
	t.Helper()
	if err := w.Close(quick(t), why); err != nil {
		t.Fatal(err)
	}
	a, ok := w.Anchor()
	if !ok {
		t.Fatal("it ended and has no anchor")
	}
	return a
}

// file waits until a recording that ended has its name, and gives its bytes.
func finished(t testing.TB, s *Spool, name string) []byte {
	t.Helper()
	for ctx := quick(t); ctx.Err() == nil; {
		if _, busy := s.Get(name); !busy {
			break
		}
		time.Sleep(time.Millisecond)
	}
	b, err := os.ReadFile(s.path(name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// records reads all records of a recording, with copies of their bytes.
func records(t testing.TB, b []byte, trust Trust, openers ...*Opener) ([]Record, Report, error) {
	t.Helper()
	d, err := NewReader(bytes.NewReader(b), trust, openers...)
	if err != nil {
		return nil, Report{}, err
	}
	var rs []Record
	for r, err := range d.Records() {
		if err != nil {
			return rs, d.Report(), err
		}
		if e, err := decodeEvent(r.Event.Kind(), r.Event.appendBody(nil)); err != nil {
			t.Fatal(err)
		} else {
			r.Event = e
		}
		rs = append(rs, r)
	}
	return rs, d.Report(), nil
}

// sample makes the bytes of a recording of several chunks and seals.
func sample(t testing.TB, k keyring, name string, each func(w *Writer)) ([]byte, Anchor) {
	t.Helper()
	s, _ := k.open(t, filepath.Join(t.TempDir(), "spool"))
	w := begin(t, s, name, Strict)
	each(w)
	a := done(t, w, "logged out")
	b := finished(t, s, name)
	if err := s.Close(quick(t)); err != nil {
		t.Fatal(err)
	}
	return b, a
}

func writeFile(t testing.TB, dir, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}
