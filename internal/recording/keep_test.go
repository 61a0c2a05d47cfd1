package recording

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// testStore is what every Store owes.
func testStore(t *testing.T, open func(t *testing.T) Store) {
	t.Run("keeps", func(t *testing.T) {
		s := open(t)
		big := bytes.Repeat([]byte("0123456789"), 100_000)
		for name, b := range map[string][]byte{"b.rec": big, "a.rec": []byte("abc"), "a.deleted": []byte("{}")} {
			if err := s.Put(t.Context(), name, int64(len(b)), bytes.NewReader(b)); err != nil {
				t.Fatal(err)
			}
			r, err := s.Get(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, b) || r.Close() != nil {
				t.Errorf("%s: %d bytes, want %d; %v", name, len(got), len(b), err)
			}
			if err := s.Put(t.Context(), name, 1, strings.NewReader("x")); !errors.Is(err, ErrExists) {
				t.Errorf("%s was replaced: %v", name, err)
			}
		}
		var names []string
		for o, err := range s.List(t.Context(), "a") {
			if err != nil {
				t.Fatal(err)
			}
			if time.Since(o.Since).Abs() > time.Hour || o.Name == "a.rec" && o.Size != 3 {
				t.Errorf("%+v", o)
			}
			names = append(names, o.Name)
		}
		if got := strings.Join(names, " "); got != "a.deleted a.rec" {
			t.Errorf("listed: %s", got)
		}
		for range 2 {
			if err := s.Delete(t.Context(), "a.rec"); err != nil {
				t.Error(err)
			}
		}
		if _, err := s.Get(t.Context(), "a.rec"); !errors.Is(err, ErrNotFound) {
			t.Errorf("deleted: %v", err)
		}
		if err := s.Put(t.Context(), "c.rec", 5, strings.NewReader("abc")); err == nil {
			t.Error("less than was said")
		}
		if _, err := s.Get(t.Context(), "c.rec"); !errors.Is(err, ErrNotFound) {
			t.Errorf("half of it is there: %v", err)
		}
		for _, name := range []string{"", "..", "../x.rec", "x", "x.txt", "x/y.rec"} {
			if err := s.Put(t.Context(), name, 0, bytes.NewReader(nil)); err == nil {
				t.Errorf("%q is kept", name)
			}
		}
	})
	t.Run("ships", func(t *testing.T) {
		k := newKeyring(t)
		keep := NewKeep(open(t), k.trust())
		s, _ := k.open(t, t.TempDir())
		w := begin(t, s, "a", Strict)
		put(t, w, 0, Note{"x", "y"})
		a := done(t, w, "bye")
		want := finished(t, s, "a")
		report, err := keep.Ship(t.Context(), s, "a")
		if err != nil || report.Anchor != a {
			t.Fatalf("%+v, %v", report, err)
		}
		if names, err := s.Finished(); err != nil || len(names) > 0 {
			t.Errorf("still here: %v, %v", names, err)
		}
		r, err := keep.Open(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) || r.Close() != nil {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}

func TestDisk(t *testing.T) {
	testStore(t, func(t *testing.T) Store {
		d, err := NewDisk(filepath.Join(t.TempDir(), "kept"))
		if err != nil {
			t.Fatal(err)
		}
		return d
	})
	dir := t.TempDir()
	d, err := NewDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Put(t.Context(), "a.rec", 1, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "a.rec")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left beside it: %v, %v", left, err)
	}
}

// bent is a store that does something wrong.
type bent struct {
	Store
	put func(b []byte) ([]byte, error)
	get func(b []byte) ([]byte, error)
}

func (s *bent) Put(ctx context.Context, name string, size int64, r io.ReadSeeker) error {
	b, err := io.ReadAll(r)
	if err != nil || s.put == nil {
		return errors.Join(err, s.Store.Put(ctx, name, size, bytes.NewReader(b)))
	}
	b, fault := s.put(b)
	if b == nil {
		return fault
	}
	return errors.Join(s.Store.Put(ctx, name, int64(len(b)), bytes.NewReader(b)), fault)
}

func (s *bent) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	r, err := s.Store.Get(ctx, name)
	if err != nil || s.get == nil {
		return r, err
	}
	b, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	b, err = s.get(b)
	return io.NopCloser(bytes.NewReader(b)), err
}

// TestNothingIsLostInMoving: whatever a store does wrong, the recording stays with the gateway, and
// a later try succeeds.
func TestNothingIsLostInMoving(t *testing.T) {
	fault := errors.New("status 500")
	for name, bend := range map[string]func(*bent){
		"failed and not done": func(s *bent) { s.put = func(b []byte) ([]byte, error) { return nil, fault } },
		"failed but done":     func(s *bent) { s.put = func(b []byte) ([]byte, error) { return b, fault } },
		"cannot be read":      func(s *bent) { s.get = func(b []byte) ([]byte, error) { return nil, fault } },
		"reads short":         func(s *bent) { s.get = func(b []byte) ([]byte, error) { return b[:len(b)-1], nil } },
		"reads long":          func(s *bent) { s.get = func(b []byte) ([]byte, error) { return append(b, 0), nil } },
		"reads wrong":         func(s *bent) { s.get = func(b []byte) ([]byte, error) { b[len(b)/2] ^= 1; return b, nil } },
		"reads nothing":       func(s *bent) { s.get = func(b []byte) ([]byte, error) { return nil, nil } },
	} {
		t.Run(name, func(t *testing.T) {
			k := newKeyring(t)
			d, err := NewDisk(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			store := &bent{Store: d}
			keep := NewKeep(store, k.trust())
			s, _ := k.open(t, t.TempDir())
			w := begin(t, s, "a", Strict)
			put(t, w, 0, Note{"x", "y"})
			done(t, w, "")
			finished(t, s, "a")
			bend(store)
			if _, err := keep.Ship(t.Context(), s, "a"); err == nil {
				t.Error("no error")
			}
			if names, err := s.Finished(); err != nil || len(names) != 1 {
				t.Fatalf("it is gone: %v, %v", names, err)
			}
			*store = bent{Store: d}
			if _, err := keep.Ship(t.Context(), s, "a"); err != nil {
				t.Errorf("later: %v", err)
			}
			if names, err := s.Finished(); err != nil || len(names) != 0 {
				t.Errorf("it stays: %v, %v", names, err)
			}
		})
	}
	// Kept there wrong: it is not overwritten, and not removed here.
	k := newKeyring(t)
	d, err := NewDisk(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Put(t.Context(), "a.rec", 5, strings.NewReader("wrong")); err != nil {
		t.Fatal(err)
	}
	s, _ := k.open(t, t.TempDir())
	w := begin(t, s, "a", Strict)
	put(t, w, 0, Note{"x", "y"})
	done(t, w, "")
	finished(t, s, "a")
	if _, err := NewKeep(d, k.trust()).Ship(t.Context(), s, "a"); err == nil || !strings.Contains(err.Error(), "not kept as it was written") {
		t.Errorf("another one is there: %v", err)
	}
	if names, err := s.Finished(); err != nil || len(names) != 1 {
		t.Errorf("it is gone: %v, %v", names, err)
	}
}

// TestDeletion: what is deleted leaves a record of itself, also where it is damaged.
func TestDeletion(t *testing.T) {
	k := newKeyring(t)
	d, err := NewDisk(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	keep := NewKeep(d, k.trust())
	s, _ := k.open(t, t.TempDir())
	anchors := map[string]Anchor{}
	for _, name := range []string{"whole", "damaged"} {
		w := begin(t, s, name, Strict)
		put(t, w, 0, Note{"x", "y"})
		anchors[name] = done(t, w, "")
		finished(t, s, name)
		if _, err := keep.Ship(t.Context(), s, name); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(d.dir, "damaged.rec")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-100] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	why := Act{By: "retention", Why: "older than 90 days", When: time.Now().UTC().Round(0)}
	for name, anchor := range anchors {
		x, err := keep.Delete(t.Context(), name, why)
		if err != nil || x.Why != why.Why || (x.Damage != "") != (name == "damaged") || name == "whole" && x.Root != anchor.Root.String() {
			t.Errorf("%s: %+v, %v", name, x, err)
		}
		if _, err := keep.Open(t.Context(), name); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(d.dir, name+deletedSuffix)); err != nil {
			t.Error(err)
		}
	}
}

// halfway is an inbox of which the end never comes.
type halfway struct{ path string }

func (h halfway) OpenFile(string) (*os.File, error) { return os.Open(h.path) }
func (h halfway) Remove(string) error               { return os.Remove(h.path) }

// TestSalvage: what came of a recording is kept without its end, and verifies up to there and
// no further; it is not kept as if it were whole.
func TestSalvage(t *testing.T) {
	k := newKeyring(t)
	d, err := NewDisk(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	keep := NewKeep(d, k.trust())
	s, _ := k.open(t, t.TempDir())
	w := begin(t, s, "a", Strict)
	put(t, w, 0, Note{"x", "y"})
	put(t, w, 0, Note{"x", "z"})
	whole := done(t, w, "")
	b := finished(t, s, "a")
	n, err := Count(bytes.NewReader(b))
	if err != nil || n != whole.Frames {
		t.Fatal(n, err)
	}
	at := 0
	for i, fs := uint64(0), must(newFrames(bytes.NewReader(b))); i < n-1; i++ {
		if _, err := fs.next(); err != nil {
			t.Fatal(err)
		}
		at = int(fs.offset)
	}
	path := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(path, b[:at], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := keep.Ship(t.Context(), halfway{path}, "a"); err == nil {
		t.Error("it is kept as a whole one")
	}
	report, err := keep.Salvage(t.Context(), halfway{path}, "a")
	if err != nil || report.Anchor.Frames != n-1 {
		t.Fatalf("%+v, %v", report, err)
	}
	trust := k.trust()
	trust.Lost, trust.Anchor = true, &report.Anchor
	for name, x := range map[string]struct {
		b  []byte
		ok bool
	}{"as it was kept": {b[:at], true}, "longer": {b, false}, "cut": {b[:at-1], false}} {
		if _, err := Verify(t.Context(), bytes.NewReader(x.b), trust); (err == nil) != x.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func must[T any](x T, err error) T {
	if err != nil {
		panic(err)
	}
	return x
}
