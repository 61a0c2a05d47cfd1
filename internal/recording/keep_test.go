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
		for name, b := range map[string][]byte{"b.rec": big, "a.rec": []byte("abc"), "a.hold": {}, "a.deleted": []byte("{}")} {
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
		if got := strings.Join(names, " "); got != "a.deleted a.hold a.rec" {
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

func TestRetention(t *testing.T) {
	k := newKeyring(t)
	d, err := NewDisk(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	keep := NewKeep(d, k.trust())
	s, _ := k.open(t, t.TempDir())
	anchors := map[string]Anchor{}
	for _, name := range []string{"free", "held", "damaged"} {
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
	if err := keep.Hold(t.Context(), "held", Act{By: "user:lea", Why: "case 7", When: why.When}); err != nil {
		t.Fatal(err)
	}
	for range keep.Expire(t.Context(), time.Hour, why) {
		t.Fatal("something is deleted that is not old")
	}
	for _, err := range keep.Expire(t.Context(), 0, why) {
		if err == nil {
			t.Fatal("an age of zero deletes")
		}
	}
	why.When = why.When.Add(2 * time.Hour)
	deleted := map[string]Deletion{}
	for x, err := range keep.Expire(t.Context(), time.Hour, why) {
		if err != nil {
			t.Fatal(err)
		}
		deleted[x.Recording] = x
	}
	if len(deleted) != 2 || deleted["free"].Root != anchors["free"].Root.String() || deleted["free"].Why != why.Why || deleted["damaged"].Damage == "" {
		t.Errorf("%+v", deleted)
	}
	if x, err := keep.Deleted(t.Context(), "free"); err != nil || x != deleted["free"] {
		t.Errorf("%+v, %v", x, err)
	}
	if _, err := keep.Open(t.Context(), "free"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if h, held, err := keep.Held(t.Context(), "held"); !held || err != nil || h.Why != "case 7" {
		t.Errorf("%+v, %v, %v", h, held, err)
	}
	if _, err := keep.Delete(t.Context(), "held", why); !errors.Is(err, ErrHeld) {
		t.Errorf("held: %v", err)
	}
	if err := keep.Release(t.Context(), "held"); err != nil {
		t.Fatal(err)
	}
	// A hold that cannot be read holds.
	if err := os.WriteFile(filepath.Join(d.dir, "held.hold"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := keep.Delete(t.Context(), "held", why); err == nil {
		t.Error("a damaged hold does not hold")
	}
	if err := keep.Release(t.Context(), "held"); err != nil {
		t.Fatal(err)
	}
	if _, err := keep.Delete(t.Context(), "held", why); err != nil {
		t.Error(err)
	}
	for o, err := range keep.All(t.Context()) {
		t.Errorf("left: %+v, %v", o, err)
	}
}
