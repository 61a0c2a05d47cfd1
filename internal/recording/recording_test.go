package recording

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var everything = []Event{
	Start{[]Fact{{FactProtocol, "ssh"}, {FactPerson, "mira"}}},
	Start{},
	Open{"direct-tcpip", "127.0.0.1:4711", "db1:5432"},
	Terminal{"xterm-256color", 120, 40},
	Environment{"LANG", "C\x00.UTF-8", "refused"},
	Exec{"exec", "ls -l /\xff"},
	Output{[]byte("\x1b[31mred\x1b[0m")},
	Problem{[]byte("oh")},
	Input{[]byte("ls\r")},
	Resize{1, 1<<32 - 1},
	Signal{"TERM"},
	Exit{130, "INT"},
	File{"rename", "/a", "/b", 1 << 40, 7, "permission denied"},
	Close{1, 1<<64 - 1},
	Statement{"read", "select 1", "", 1, 9},
	Request{"GET", "/orders?id=1", 200, 10, 20, ""},
	Note{NoteCut, "the grant ended"},
	Unknown{200, []byte("later")},
}

func TestKeepsWhatWasSaid(t *testing.T) {
	for _, mode := range []Mode{Strict, Normal} {
		k := newKeyring(t)
		s, _ := k.open(t, t.TempDir())
		w := begin(t, s, "ses_01", mode)
		for i, e := range everything {
			put(t, w, uint32(i), e)
		}
		long := bytes.Repeat([]byte("0123456789abcdef"), 3*piece/16+1)
		put(t, w, 1<<32-1, Output{long})
		anchor := done(t, w, "logged out")
		trust := k.trust()
		trust.Anchor, trust.Name = &anchor, "ses_01"
		b := finished(t, s, "ses_01")
		rs, report, err := records(t, b, trust, k.opener)
		if err != nil {
			t.Fatal(err)
		}
		var got []Event
		var tail []byte
		for i, r := range rs {
			if r.Number != uint64(i) || i > 0 && r.At < rs[i-1].At {
				t.Errorf("record %d: %+v", i, r)
			}
			if r.Channel == 1<<32-1 {
				tail = append(tail, r.Event.(Output).Data...)
			} else {
				got = append(got, r.Event)
			}
		}
		if d := cmp.Diff(everything, got); d != "" || !bytes.Equal(tail, long) {
			t.Errorf("%s, and %d bytes", d, len(tail))
		}
		if report.State != Complete || report.Reason != "logged out" || report.Anchor != anchor || report.Sealed != anchor.Frames ||
			report.Records != uint64(len(rs)) || report.Bytes != int64(len(b)) || !report.By.Equal(k.sealer.Public()) {
			t.Errorf("%+v", report)
		}
		without, err := Verify(t.Context(), bytes.NewReader(b), trust)
		if err != nil || without.Records != 0 || without.Anchor != anchor {
			t.Errorf("without the key: %+v, %v", without, err)
		}
		if info, err := os.Stat(s.path("ses_01")); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		if bytes.Contains(b, []byte("xterm")) || bytes.Contains(b, []byte("0123456789abcdef")) {
			t.Error("it can be read as it is")
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	k := newKeyring(t)
	dir := t.TempDir()
	s, _ := k.open(t, dir)
	w := begin(t, s, "a", Strict)
	for _, name := range []string{"", "..", "a/b", "a.b", "a b", "ä", strings.Repeat("x", 65)} {
		if _, err := s.New(name, Strict); err == nil {
			t.Errorf("%q is no name", name)
		}
		if _, err := s.OpenFile(name); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := s.New("a", Strict); !errors.Is(err, ErrExists) {
		t.Errorf("a second of the same name: %v", err)
	}
	if _, _, err := OpenSpool(dir, k.options()); !errors.Is(err, ErrBusy) {
		t.Errorf("a second spool: %v", err)
	}
	if err := w.Append(quick(t), 0, Note{"x", strings.Repeat("x", MaxBody)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	put(t, w, 0, Note{"x", "y"})
	done(t, w, "")
	if err := w.Append(quick(t), 0, Note{}); !errors.Is(err, ErrClosed) {
		t.Errorf("after its end: %v", err)
	}
	finished(t, s, "a")
	if _, err := s.New("a", Strict); !errors.Is(err, ErrExists) {
		t.Errorf("again: %v", err)
	}
	if err := s.Close(quick(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.New("b", Strict); !errors.Is(err, ErrClosed) {
		t.Errorf("in a closed spool: %v", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewSealer(key); err == nil {
		t.Error("a key of another kind signs")
	}
	if _, err := NewRecipient([]byte("short")); err == nil {
		t.Error("a short recordings key")
	}
}

// TestOnlyTheRecipientReads: neither another key, nor one of the right number that is not it.
func TestOnlyTheRecipientReads(t *testing.T) {
	k, other := newKeyring(t), newKeyring(t)
	b, _ := sample(t, k, "a", func(w *Writer) { put(t, w, 0, Note{"secret", "thing"}) })
	if _, _, err := records(t, b, k.trust(), other.opener); !errors.Is(err, errOtherKey) {
		t.Errorf("another key: %v", err)
	}
	forged := *other.opener
	forged.id = k.opener.id
	if _, _, err := records(t, b, k.trust(), &forged); err == nil {
		t.Error("another key reads it")
	}
	if rs, _, err := records(t, b, k.trust(), other.opener, k.opener); err != nil || len(rs) != 1 {
		t.Errorf("one of two keys: %d, %v", len(rs), err)
	}
	if _, _, err := records(t, b, other.trust(), k.opener); err == nil || !strings.Contains(err.Error(), "no gateway that is known") {
		t.Errorf("of another gateway: %v", err)
	}
	for _, v := range []any{k.opener, k.sealer, *k.sealer} {
		if s := fmt.Sprintf("%v %+v %#v %x", v, v, v, v); strings.Contains(s, "priv") || len(s) > 2000 {
			t.Errorf("it prints %s", s)
		}
	}
}

// TestManyShareSyncs: many sessions at once, over the turns of the log, and each complete.
func TestManyShareSyncs(t *testing.T) {
	const sessions, each = 40, 60
	k := newKeyring(t)
	s, _ := k.open(t, t.TempDir())
	var group sync.WaitGroup
	for i := range sessions {
		group.Go(func() {
			w, err := s.New(fmt.Sprint("s", i), Mode(i%2))
			if err != nil {
				t.Error(err)
				return
			}
			for j := range each {
				size := 1 << (j % 18) // some are synced by themselves
				if err := w.Append(context.Background(), uint32(j), Output{bytes.Repeat([]byte{byte(j)}, size)}); err != nil {
					t.Error(err)
					return
				}
			}
			if err := w.Close(context.Background(), "done"); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if s.log.erasedUpTo() == 0 {
		t.Error("the log did not turn: it is not tested")
	}
	for i := range sessions {
		rs, report, err := records(t, finished(t, s, fmt.Sprint("s", i)), k.trust(), k.opener)
		if err != nil || report.State != Complete {
			t.Fatalf("s%d: %+v, %v", i, report, err)
		}
		bytes := 0
		for _, r := range rs {
			bytes += len(r.Event.(Output).Data)
		}
		want := 0
		for j := range each {
			want += 1 << (j % 18)
		}
		if bytes != want {
			t.Errorf("s%d has %d bytes, want %d", i, bytes, want)
		}
	}
	if n := s.total.Load(); n != 0 {
		t.Errorf("%d bytes are said to wait", n)
	}
	if names, err := s.Finished(); err != nil || len(names) != sessions {
		t.Errorf("%d ended, %v", len(names), err)
	}
}

// TestNormalModeIsLateByASecond: what was added and not waited for is on the disk, and sealed, soon.
func TestNormalModeIsLateByASecond(t *testing.T) {
	k := newKeyring(t)
	s, _ := k.open(t, t.TempDir())
	w := begin(t, s, "a", Normal)
	trust := k.trust()
	trust.Live = true
	put(t, w, 0, Note{"x", "y"})
	start := time.Now()
	for {
		b, err := os.ReadFile(s.part("a"))
		if err != nil {
			t.Fatal(err)
		}
		rs, report, err := records(t, b, trust, k.opener)
		if err == nil && len(rs) == 1 && report.Sealed == 2 {
			break
		}
		if d := time.Since(start); d > 60*time.Second {
			t.Fatalf("%d records, %+v, %v after %v", len(rs), report, err, d)
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("written and sealed after %v", time.Since(start))
	// And the live recording reads as one without an end.
	b, err := os.ReadFile(s.part("a"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := records(t, b, k.trust(), k.opener); err == nil || !strings.Contains(err.Error(), "no final seal") {
		t.Errorf("it was taken for complete: %v", err)
	}
	done(t, w, "")
}

// TestBytesPressBack: a writer that nobody drains takes so many bytes and no more.
func TestBytesPressBack(t *testing.T) {
	k := newKeyring(t)
	block := make(chan struct{})
	o := k.options()
	var once sync.Once
	blocked := make(chan struct{})
	o.fault = func(call, path string, _ func()) error {
		if call == "write" && filepath.Base(path) == "log.0" {
			once.Do(func() { close(blocked) })
			<-block
		}
		return nil
	}
	s, _, err := OpenSpool(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	w := begin(t, s, "a", Strict)
	if _, err := w.Add(t.Context(), 0, Note{"first", ""}); err != nil {
		t.Fatal(err)
	}
	<-blocked
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	total := 0
	for ctx.Err() == nil {
		if _, err := w.Add(ctx, 0, Output{make([]byte, 1000)}); err == nil {
			total += 1000
		} else if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	}
	if total > backlog || total < backlog/2 {
		t.Errorf("%d bytes waited in memory, of %d", total, backlog)
	}
	close(block)
	done(t, w, "")
	rs, _, err := records(t, finished(t, s, "a"), k.trust(), k.opener)
	if err != nil || len(rs) != 1+total/1000 {
		t.Errorf("%d records, %v", len(rs), err)
	}
	if err := s.Close(quick(t)); err != nil {
		t.Error(err)
	}
}

// TestRemoved: what was removed does not come back from the log, neither at once nor after a crash.
func TestRemoved(t *testing.T) {
	k := newKeyring(t)
	dir := t.TempDir()
	s, _ := k.open(t, dir)
	w := begin(t, s, "a", Strict)
	put(t, w, 0, Note{"x", "y"})
	done(t, w, "")
	finished(t, s, "a")
	if err := s.Remove("a"); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove("a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("twice: %v", err)
	}
	// As after a crash: a copy of the folder, whose log still has it.
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{copied, dir} {
		if d == dir {
			if err := s.Close(quick(t)); err != nil {
				t.Fatal(err)
			}
		}
		again, recovered := k.open(t, d)
		if names, err := again.Finished(); err != nil || len(names)+len(recovered) != 0 {
			t.Errorf("it came back: %v, %v, %v", names, recovered, err)
		}
		if left, err := filepath.Glob(filepath.Join(d, "a.*")); err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
	}
}
