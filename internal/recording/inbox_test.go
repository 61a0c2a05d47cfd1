package recording

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// talk writes a recording of several chunks and seals.
func talk(t testing.TB) func(w *Writer) {
	return func(w *Writer) {
		put(t, w, 0, Start{Facts: []Fact{{FactSession, w.Name()}}})
		put(t, w, 1, Exec{Type: "shell"}, Output{Data: []byte("$ ")})
		put(t, w, 1, Input{Data: []byte("ls\r")}, Output{Data: bytes.Repeat([]byte("x"), 3000)})
		put(t, w, 1, Exit{})
	}
}

// ends are where the head and each frame of a recording end.
func ends(t testing.TB, b []byte) (all []int) {
	t.Helper()
	fs, err := newFrames(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for all = append(all, int(fs.offset)); ; all = append(all, int(fs.offset)) {
		if _, err := fs.next(); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func inbox(t testing.TB) *Inbox {
	t.Helper()
	x, err := OpenInbox(filepath.Join(t.TempDir(), "inbox"))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func holds(t testing.TB, x *Inbox, name string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(x.path(name))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("it holds %d bytes, want %d; %v", len(got), len(want), err)
	}
}

func TestInbox(t *testing.T) {
	k := newKeyring(t)
	b, anchor := sample(t, k, "ses_1", talk(t))
	at := ends(t, b)
	if len(at) < 6 {
		t.Fatalf("a sample of %d frames", len(at)-1)
	}
	x := inbox(t)
	take := func(from uint64, part []byte) (Progress, error) { return x.Take("ses_1", k.trust(), from, part) }
	if _, err := take(1, b[at[0]:at[1]]); !errors.As(err, new(*Gap)) {
		t.Errorf("frames without a head: %v", err)
	}
	if _, err := take(0, b[:at[0]-1]); !errors.As(err, new(*Damage)) {
		t.Errorf("half a head: %v", err)
	}
	if names, err := x.Names(); err != nil || len(names) > 0 {
		t.Errorf("what was refused is here: %q, %v", names, err)
	}
	if got, err := take(0, b[:at[2]]); err != nil || got.Frames != 2 || got.Bytes != int64(at[2]) {
		t.Fatalf("got %+v, %v", got, err)
	}
	if got, err := take(4, b[at[3]:at[4]]); !errors.As(err, new(*Gap)) || got.Frames != 2 {
		t.Errorf("a gap: %+v, %v", got, err)
	}
	// What comes again is passed over, from wherever it begins.
	for _, again := range []struct {
		from uint64
		part []byte
	}{{0, b[:at[1]]}, {0, b[:at[2]]}, {1, b[at[0]:at[1]]}, {2, b[at[1]:at[2]]}, {1, b[at[0]:at[2]]}, {3, nil}} {
		if got, err := take(again.from, again.part); err != nil || got.Frames != 2 {
			t.Errorf("again from %d: %+v, %v", again.from, got, err)
		}
	}
	holds(t, x, "ses_1", b[:at[2]])
	if got, err := take(1, b[at[0]:at[3]]); err != nil || got.Frames != 3 {
		t.Errorf("some of it again: %+v, %v", got, err)
	}
	// Another process has the folder, and sees the same.
	other := &Inbox{dir: x.dir, most: x.most, places: map[string]*place{}}
	if got, err := other.Take("ses_1", k.trust(), 4, b[at[3]:at[4]]); err != nil || got.Frames != 4 {
		t.Errorf("by another: %+v, %v", got, err)
	}
	if got, err := take(4, b[at[3]:]); err != nil || got.State != Complete || got.Frames != anchor.Frames || got.Root != anchor.Root || got.Reason != "logged out" {
		t.Errorf("the end: %+v, %v", got, err)
	}
	holds(t, x, "ses_1", b)
	if got, err := other.Have("ses_1"); err != nil || got.State != Complete {
		t.Errorf("had: %+v, %v", got, err)
	}
	// What is whole is kept, read back and removed.
	d, err := NewDisk(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if r, err := NewKeep(d, k.trust()).Ship(t.Context(), x, "ses_1"); err != nil || r.Anchor != anchor {
		t.Errorf("kept: %+v, %v", r, err)
	}
	if _, err := x.Have("ses_1"); !errors.Is(err, ErrNotFound) {
		t.Errorf("it is here still: %v", err)
	}
}

// TestInboxRefuses holds that nothing is kept of what is not the writer's, and nothing that is kept changes.
func TestInboxRefuses(t *testing.T) {
	k, stranger := newKeyring(t), newKeyring(t)
	b, _ := sample(t, k, "ses_1", talk(t))
	fork, _ := sample(t, k, "ses_1", talk(t))
	foreign, _ := sample(t, stranger, "ses_1", talk(t))
	named, _ := sample(t, k, "ses_2", talk(t))
	at := ends(t, b)
	flip := func(i int) []byte { c := bytes.Clone(b); c[i] ^= 1; return c }
	for what, c := range map[string]struct {
		from uint64
		part []byte
	}{
		"another recording of that name":   {0, fork},
		"one of another session":           {0, named},
		"a frame that was changed":         {3, flip(at[2] + 20)[at[2]:at[3]]},
		"a link that was changed":          {3, flip(at[3] - 1)[at[2]:at[3]]},
		"another frame in its place":       {3, b[at[3]:at[4]]},
		"half a frame":                     {3, b[at[2] : at[3]-1]},
		"a frame and half of one":          {3, b[at[2] : at[4]-1]},
		"another frame than the one here":  {2, append(flip(at[2] - 1)[at[1]:at[2]:at[2]], b[at[2]:at[3]]...)},
		"something behind the last":        {3, append(bytes.Clone(b[at[2]:]), 'C')},
		"a frame that says it is enormous": {3, append([]byte{'C', 0, 0, 0, 0, 0, 0, 0, 3, 0xff, 0xff, 0xff, 0xff}, make([]byte, 64)...)},
		"nothing of ours":                  {3, []byte("GET / HTTP/1.1\r\n")},
		"a number without an end":          {1<<64 - 1, b[at[2]:at[3]]},
	} {
		x := inbox(t)
		if _, err := x.Take("ses_1", k.trust(), 0, b[:at[2]]); err != nil {
			t.Fatal(err)
		}
		if _, err := x.Take("ses_1", k.trust(), c.from, c.part); err == nil {
			t.Errorf("%s was taken", what)
		}
		holds(t, x, "ses_1", b[:at[2]])
		if got, err := x.Take("ses_1", k.trust(), 3, b[at[2]:]); err != nil || got.State != Complete {
			t.Errorf("after %s: %+v, %v", what, got, err)
		}
	}
	x := inbox(t)
	if _, err := x.Take("ses_1", k.trust(), 0, foreign); err == nil || !strings.Contains(err.Error(), "not this gateway's") {
		t.Errorf("sealed by a stranger: %v", err)
	}
	if got, err := x.Take("ses_1", k.trust(), 0, b); err != nil || got.State != Complete {
		t.Errorf("after a stranger: %+v, %v", got, err)
	}
	for _, name := range []string{"", "../x", "a/b", strings.Repeat("a", 65)} {
		if _, err := x.Take(name, k.trust(), 0, b); err == nil {
			t.Errorf("taken under the name %q", name)
		}
	}
	x = inbox(t)
	x.most = int64(at[3])
	if _, err := x.Take("ses_1", k.trust(), 0, b); err == nil {
		t.Error("longer than one may be")
	}
}

// TestInboxAfterCrash holds that half a frame which a crash left is taken away, and comes again.
func TestInboxAfterCrash(t *testing.T) {
	k := newKeyring(t)
	b, _ := sample(t, k, "ses_1", talk(t))
	at := ends(t, b)
	for _, cut := range []int{0, 10, at[0] - 1, at[0], at[0] + 1, at[2] - 1, at[2] + 13} {
		x := inbox(t)
		writeFile(t, x.dir, "ses_1"+partSuffix, b[:cut])
		have, err := x.Have("ses_1")
		if err != nil {
			t.Fatal(err)
		}
		from, off := uint64(0), 0
		if have.Bytes > 0 {
			from, off = have.Frames+1, int(have.Bytes)
		}
		if got, err := x.Take("ses_1", k.trust(), from, b[off:]); err != nil || got.State != Complete {
			t.Errorf("cut at %d: %+v, %v", cut, got, err)
		}
		holds(t, x, "ses_1", b)
	}
}

func FuzzInbox(f *testing.F) {
	k := newKeyring(f)
	b, _ := sample(f, k, "ses_1", talk(f))
	at := ends(f, b)
	f.Add(uint64(0), b)
	f.Add(uint64(3), b[at[2]:at[3]])
	f.Fuzz(func(t *testing.T, from uint64, part []byte) {
		x := inbox(t)
		if _, err := x.Take("ses_1", k.trust(), 0, b[:at[2]]); err != nil {
			t.Fatal(err)
		}
		_, err := x.Take("ses_1", k.trust(), from, part)
		got, _ := os.ReadFile(x.path("ses_1"))
		if !bytes.HasPrefix(b, got) || err != nil && len(got) != at[2] {
			t.Errorf("it holds something else now (%v)", err)
		}
	})
}

// shelf is where a courier brings things: an Inbox and a Keep, with faults.
type shelf struct {
	t     *testing.T
	k     keyring
	inbox *Inbox
	keep  *Keep
	disk  *Disk

	mu     sync.Mutex
	fail   func(call string) error
	spoil  bool // what is kept is said to be something else
	gotten int
}

func (s *shelf) Bring(_ context.Context, name string, from uint64, frames []byte) (Kept, error) {
	s.mu.Lock()
	fail := s.fail
	s.gotten++
	s.mu.Unlock()
	if fail != nil {
		if err := fail("bring"); err != nil {
			return Kept{}, err
		}
	}
	p, err := s.inbox.Take(name, s.k.trust(), from, frames)
	return Kept{Began: p.Bytes > 0, Frames: p.Frames}, err
}

func (s *shelf) Have(ctx context.Context, name string) (Kept, error) {
	s.mu.Lock()
	spoil := s.spoil
	s.mu.Unlock()
	p, err := s.inbox.Have(name)
	if err == nil && p.State != Unended {
		_, err = s.keep.Ship(ctx, s.inbox, name)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Kept{}, err
	}
	r, err := s.keep.Open(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return Kept{Began: p.Bytes > 0, Frames: p.Frames}, nil
	} else if err != nil {
		return Kept{}, err
	}
	defer func() { _ = r.Close() }()
	size, sum, err := digest(r.(*os.File))
	if spoil {
		sum[0]++
	}
	return Kept{Began: true, Frames: p.Frames, Done: true, Size: size, Digest: sum}, err
}

func newShelf(t *testing.T, k keyring) *shelf {
	t.Helper()
	d, err := NewDisk(filepath.Join(t.TempDir(), "kept"))
	if err != nil {
		t.Fatal(err)
	}
	return &shelf{t: t, k: k, inbox: inbox(t), keep: NewKeep(d, k.trust()), disk: d}
}

func (s *shelf) run(spool *Spool) (c *Courier, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	c = NewCourier(spool, s, slog.New(slog.DiscardHandler))
	over := make(chan struct{})
	go func() { defer close(over); _ = c.Run(ctx) }()
	return c, func() { cancel(); <-over }
}

func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// TestCourier follows a recording from its first record to its removal here, the gateway dying in
// the middle.
func TestCourier(t *testing.T) {
	k := newKeyring(t)
	dir := filepath.Join(t.TempDir(), "spool")
	spool, _ := k.open(t, dir)
	to := newShelf(t, k)
	_, stop := to.run(spool)
	w := begin(t, spool, "ses_1", Strict)
	put(t, w, 0, Start{})
	began := time.Now()
	put(t, w, 1, Output{Data: []byte("hello")})
	until(t, "it is there while it is written", func() bool { p, err := to.inbox.Have("ses_1"); return err == nil && p.Frames >= 2 })
	t.Logf("what was shown was there after %v", time.Since(began))
	until(t, "a seal is there", func() bool { p, err := to.inbox.Have("ses_1"); return err == nil && p.Sealed > 0 })
	stop()
	put(t, w, 1, Output{Data: []byte("not brought yet")})
	// The gateway ends without ending it; what the next one finds is brought as broken.
	if err := spool.Close(quick(t)); err != nil {
		t.Fatal(err)
	}
	spool, _ = k.open(t, dir)
	c, stop := to.run(spool)
	defer stop()
	until(t, "all is kept there and removed here", func() bool { names, _ := spool.Finished(); all, _ := c.Waiting(); return len(names) == 0 && all == 0 })
	r, err := to.keep.Open(t.Context(), "ses_1")
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil || r.Close() != nil {
		t.Fatal(err)
	}
	rs, report, err := records(t, b, k.trust(), k.opener)
	if err != nil || report.State != Broken || len(rs) != 3 {
		t.Errorf("got %d records, %+v, %v", len(rs), report, err)
	}
}

// TestCourierKeepsWhatIsNotKept holds that nothing is removed here that was not read back there.
func TestCourierKeepsWhatIsNotKept(t *testing.T) {
	k := newKeyring(t)
	spool, _ := k.open(t, filepath.Join(t.TempDir(), "spool"))
	to := newShelf(t, k)
	to.spoil = true
	w := begin(t, spool, "ses_1", Strict)
	talk(t)(w)
	done(t, w, "logged out")
	want := finished(t, spool, "ses_1")
	c, stop := to.run(spool)
	defer stop()
	until(t, "it is seen that they differ", func() bool { _, stuck := c.Waiting(); return stuck == 1 })
	if got, err := os.ReadFile(spool.path("ses_1")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("it is not here any more: %v", err)
	}
}
