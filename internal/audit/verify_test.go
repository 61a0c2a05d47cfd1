package audit

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"stint/internal/access"
)

func TestVerifyWhole(t *testing.T) {
	for _, tt := range []struct {
		name string
		n    int
		at   []int64
	}{
		{"empty", 0, nil}, {"one", 1, nil}, {"one checkpoint", 30, nil}, {"signed when empty", 5, []int64{0}},
		{"many checkpoints", 30, []int64{0, 1, 2, 3, 10, 16, 17, 29}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLog(t, tt.n, tt.at...)
			export := l.export()
			for n := int64(-1); n <= int64(tt.n); n++ {
				var pinned *Checkpoint
				if n >= 0 {
					c := l.at(n)
					pinned = &c
				}
				got, err := Verify(iotest.HalfReader(bytes.NewReader(export)), l.key, pinned)
				if err != nil {
					t.Fatalf("pinned at %d: %v", n, err)
				}
				want := Report{Checkpoint: l.at(int64(tt.n)), Signed: string(l.points[int64(tt.n)]),
					Checkpoints: int64(len(l.points)), Types: map[access.EventType]int64{}}
				for i, r := range l.rows {
					rec, _ := Decode(r.encoded)
					want.Types[rec.Event.Type]++
					if i == 0 {
						want.First = rec.Event.At
					}
					want.Last = rec.Event.At
				}
				if diff := cmp.Diff(got, want); diff != "" {
					t.Fatalf("report (-got +want):\n%s", diff)
				}
			}
		})
	}
}

func TestReportTimes(t *testing.T) {
	l := newLog(t, 3)
	l.rewrite(1, func(e *access.Event) { e.At = e.At.Add(-time.Hour) })
	l.rewrite(2, func(e *access.Event) { e.At = e.At.Add(-time.Minute) })
	l.sign(3)
	got, err := Verify(bytes.NewReader(l.export()), l.key, nil)
	if err != nil {
		t.Fatal(err)
	}
	first, _ := Decode(l.rows[1].encoded)
	last, _ := Decode(l.rows[0].encoded)
	if !got.First.Equal(first.Event.At) || !got.Last.Equal(last.Event.At) {
		t.Errorf("got %v to %v, want %v to %v", got.First, got.Last, first.Event.At, last.Event.At)
	}
}

// damage verifies what must not verify.
func damage(t *testing.T, export []byte, key string, pinned *Checkpoint) *Damage {
	t.Helper()
	report, err := Verify(bytes.NewReader(export), key, pinned)
	var d *Damage
	if !errors.As(err, &d) {
		t.Fatalf("got %+v, %v, want damage", report, err)
	}
	if report.Signed != "" {
		t.Errorf("a damaged log has a report: %+v", report)
	}
	return d
}

func wantDamage(t *testing.T, d *Damage, first, last int64, says string) {
	t.Helper()
	if d.Seq != first || d.Last != last || !strings.Contains(d.Error(), says) {
		t.Errorf("got records %d to %d: %v\nwant %d to %d and %q", d.Seq, d.Last, d, first, last, says)
	}
}

// TestTamperedStore does to a stored log what somebody with its database can.
func TestTamperedStore(t *testing.T) {
	// 20 records, checkpoints of 5, 12 and 20.
	for _, tt := range []struct {
		name        string
		bend        func(*testLog)
		first, last int64
		says        string
	}{
		{"a record edited", func(l *testLog) {
			l.rows[7].encoded = bytes.Replace(l.rows[7].encoded, []byte("mira"), []byte("mara"), 1)
		}, 7, 7, "does not match its hash"},
		{"a record edited and spaced", func(l *testLog) {
			l.rows[7].encoded = append(l.rows[7].encoded, ' ')
		}, 7, 7, "not a record"},
		{"a line break put into a record", func(l *testLog) {
			l.rows[7].encoded = bytes.Replace(l.rows[7].encoded, []byte("mira"), []byte("mi\nra"), 1)
		}, 7, 7, "record 7"},
		{"a record made huge", func(l *testLog) {
			l.rows[7].encoded = bytes.Repeat(l.rows[7].encoded, 4000)
		}, 7, 7, "too long"},
		{"a record emptied", func(l *testLog) { l.rows[7].encoded = nil }, 7, 7, "not a record"},
		{"a hash edited", func(l *testLog) { l.rows[7].leaf[0] ^= 1 }, 7, 7, "does not match its hash"},
		{"a record and its hash edited", func(l *testLog) {
			l.rewrite(7, func(e *access.Event) { e.Actor.Person = "mara" })
		}, 5, 11, "changed together with its hash"},
		{"a version and its hash edited", func(l *testLog) {
			l.rewrite(7, func(e *access.Event) { e.Version += 5 })
		}, 5, 7, "after version"},
		{"a row removed", func(l *testLog) { l.rows = append(l.rows[:7:7], l.rows[8:]...) }, 7, 7, "it is missing; record 8 stands in its place"},
		{"a row removed, the rest renumbered", func(l *testLog) {
			l.rows = append(l.rows[:7:7], l.rows[8:]...)
			l.renumber()
			l.moved(7, -1)
		}, 5, 11, "was removed"},
		{"a row removed, renumbered, with its versions mended", func(l *testLog) {
			e := entityOf(l, 9)
			l.rows = append(l.rows[:9:9], l.rows[10:]...)
			l.renumber()
			l.moved(9, -1)
			n := int64(0)
			for i := range l.rows {
				if entityOf(l, int64(i)) == e {
					n++
					l.rewrite(int64(i), func(ev *access.Event) { ev.Version = n })
				}
			}
		}, 5, 11, "12 records stands after 11"},
		{"rows swapped", func(l *testLog) { l.rows[7], l.rows[9] = l.rows[9], l.rows[7] }, 7, 7, "record 9 stands in its place"},
		{"contents swapped", func(l *testLog) {
			l.rows[7].encoded, l.rows[9].encoded = l.rows[9].encoded, l.rows[7].encoded
		}, 7, 7, "does not match its hash"},
		{"contents and hashes swapped", func(l *testLog) {
			l.rows[13], l.rows[14] = row{13, l.rows[14].leaf, l.rows[14].encoded}, row{14, l.rows[13].leaf, l.rows[13].encoded}
		}, 12, 19, "the root that was signed"},
		{"a row doubled", func(l *testLog) {
			l.rows = append(l.rows[:8:8], l.rows[7:]...)
		}, 8, 8, "record 7 stands in its place"},
		{"the last row removed", func(l *testLog) {
			l.rows = l.rows[:19]
		}, 19, 19, "it is missing"},
		{"the last row removed, with its checkpoint", func(l *testLog) {
			l.rows = l.rows[:19]
			l.header = 19
		}, NoRecord, NoRecord, "without the checkpoint of the whole"},
		{"the last row removed, its checkpoint kept", func(l *testLog) {
			l.rows, l.points[19], l.header = l.rows[:19], l.points[20], 19
		}, 12, 19, "20 records stands after 19"},
		{"a row added", func(l *testLog) { l.add("user:eve", 1) }, NoRecord, NoRecord, "without the checkpoint of the whole"},
		{"a row added that the header hides", func(l *testLog) {
			l.add("user:eve", 1)
			l.header = 20
		}, 20, 20, "promises only 20"},
		{"a checkpoint edited", func(l *testLog) { l.points[12] = bytes.Replace(l.points[12], []byte("12"), []byte("13"), 1) },
			NoRecord, NoRecord, "signature is not valid"},
		{"a checkpoint of the future", func(l *testLog) { l.points[10] = l.points[12] }, 5, 10, "12 records stands after 10"},
		{"a checkpoint again", func(l *testLog) { l.points[7] = l.points[5] }, NoRecord, NoRecord, "a second time"},
		{"a checkpoint too late", func(l *testLog) { l.points[14] = l.points[12]; delete(l.points, 12) }, 5, 12, "12 records stands after 14"},
		{"a checkpoint signed by another", func(l *testLog) {
			l.signer, _ = testKey(l.tb, testOrigin, 9)
			l.sign(12)
		}, NoRecord, NoRecord, "not signed by the key of this log"},
		{"all of it made by another", func(l *testLog) {
			l.signer, _ = testKey(l.tb, testOrigin, 9)
			l.sign(5, 12, 20)
		}, NoRecord, NoRecord, "not signed by the key of this log"},
		{"another log", func(l *testLog) { l.origin = "stint/other" }, NoRecord, NoRecord, "stint/other"},
		{"a negative size", func(l *testLog) { l.header = -1 }, NoRecord, NoRecord, "header"},
		{"a size too small", func(l *testLog) { l.header = 13 }, 13, 13, "promises only 13"},
		{"a size too large", func(l *testLog) { l.header = 1 << 62 }, 20, 20, "it is missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLog(t, 20, 5, 12)
			tt.bend(l)
			d := damage(t, l.export(), l.key, nil)
			wantDamage(t, d, tt.first, tt.last, tt.says)
			if strings.ContainsAny(d.Error(), "\n\x1b") {
				t.Errorf("the message has control characters: %q", d)
			}
		})
	}
}

// TestDamagedMarks: a line is known for what it is even when its beginning is
// not, and even when a record quotes a signature.
func TestDamagedMarks(t *testing.T) {
	l := newLog(t, 20, 5, 12)
	l.rewrite(7, func(e *access.Event) { e.Facts["reason"] = "\n\n— stint/test" })
	l.sign(12, 20)
	export := l.export()
	if _, err := Verify(bytes.NewReader(export), l.key, nil); err != nil {
		t.Fatal(err)
	}
	bad := bytes.Replace(export, []byte(`{"seq":7`), []byte(`{"saq":7`), 1)
	wantDamage(t, damage(t, bad, l.key, nil), 7, 7, "record 7")
	bad = bytes.Replace(export, []byte(`{"checkpoint"`), []byte(`{"chickpoint"`), 1)
	wantDamage(t, damage(t, bad, l.key, nil), NoRecord, NoRecord, "line 7: the checkpoint's line")
	bad = bytes.Replace(export, []byte(`{"seq":7,`), []byte(`{"seq":07,`), 1)
	wantDamage(t, damage(t, bad, l.key, nil), 7, 7, "canonical")
}

func TestHeader(t *testing.T) {
	l := newLog(t, 4)
	header, rest, _ := bytes.Cut(l.export(), []byte("\n"))
	for _, tt := range []struct{ old, new string }{
		{`"size":4`, `"size":04`}, {`"size":4`, `"size": 4`}, {`"size":4`, `"size":4.0`}, {`"size":4`, `"size":-4`},
		{`"size":4`, `"size":9223372036854775808`}, {`"size":4}`, `"size":4,"more":1}`}, {`"size":4}`, `"size":4} `},
		{`stint/test`, `stint\/test`}, {`stint/test`, `st\u0069nt/test`}, {`"from":0`, `"from":1`},
		{`export":1`, `export":2`}, {`{`, ` {`}, {string(header), ``},
	} {
		bad := strings.Replace(string(header), tt.old, tt.new, 1)
		if bad == string(header) {
			t.Fatalf("%s changes nothing", tt.new)
		}
		wantDamage(t, damage(t, append([]byte(bad+"\n"), rest...), l.key, nil), NoRecord, NoRecord, "header")
	}
}

func entityOf(l *testLog, seq int64) string {
	r, err := Decode(l.rows[seq].encoded)
	if err != nil {
		l.tb.Fatal(err)
	}
	return r.Event.Entity
}

// TestRemovedBeforeNumbering: what the sequencer never saw, it signed a log
// without; only the entity's versions tell.
func TestRemovedBeforeNumbering(t *testing.T) {
	build := func(versions ...int64) *testLog {
		l := newLog(t, 0)
		clear(l.points)
		for i, v := range versions {
			l.add("documents", int64(i)+1)
			l.add("grt_x\x1b", v)
		}
		l.sign(int64(2 * len(versions)))
		return l
	}
	l := build(1, 2, 3)
	if _, err := Verify(bytes.NewReader(l.export()), l.key, nil); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		versions []int64
		seq      int64
		says     string
	}{
		{[]int64{1, 3, 4}, 3, "version 3 after version 1; a record in between was removed"},
		{[]int64{2, 3, 4}, 1, "version 2 after version 0; a record in between"},
		{[]int64{1, 2, 2}, 5, "version 2 after version 2; it was numbered twice"},
		{[]int64{1, 3, 2}, 3, "version 3 after version 1"},
	} {
		l := build(tt.versions...)
		d := damage(t, l.export(), l.key, nil)
		wantDamage(t, d, tt.seq, tt.seq, tt.says)
		if r, _ := Decode(l.rows[tt.seq].encoded); d.ID != r.ID || d.Line != int(tt.seq)+2 {
			t.Errorf("names %q on line %d, want %q on line %d", d.ID, d.Line, r.ID, tt.seq+2)
		}
		// Later damage does not hide it; but then nobody knows that it was signed so.
		shows, signedSo, _ := strings.Cut(tt.says, ";")
		cut := l.export()
		d = damage(t, cut[:len(cut)-9], l.key, nil)
		wantDamage(t, d, tt.seq, tt.seq, shows)
		if strings.Contains(d.What, signedSo) && signedSo != "" {
			t.Errorf("claims more than it knows: %v", d)
		}
	}
}

func TestPinned(t *testing.T) {
	seen := newLog(t, 20, 5, 12)
	pin := func(n int64) *Checkpoint { c := seen.at(n); return &c }

	t.Run("cut back to an older checkpoint", func(t *testing.T) {
		l := newLog(t, 20, 5, 12)
		l.rows, l.header = l.rows[:12], 12
		delete(l.points, 20)
		if _, err := Verify(bytes.NewReader(l.export()), l.key, pin(12)); err != nil {
			t.Fatalf("what was seen is all there: %v", err)
		}
		wantDamage(t, damage(t, l.export(), l.key, pin(13)), 12, 12, "13 records when it was last seen")
		wantDamage(t, damage(t, l.export(), l.key, pin(20)), 12, 12, "20 records when it was last seen")
	})
	t.Run("history rewritten and signed again", func(t *testing.T) {
		l := newLog(t, 20, 5, 12)
		l.rewrite(9, func(e *access.Event) { e.Actor.Person = "mara" })
		l.sign(5, 12, 20)
		if _, err := Verify(bytes.NewReader(l.export()), l.key, pin(9)); err != nil {
			t.Fatalf("what was seen was not touched: %v", err)
		}
		wantDamage(t, damage(t, l.export(), l.key, pin(10)), 0, 9, "history was rewritten")
		wantDamage(t, damage(t, l.export(), l.key, pin(20)), 0, 19, "history was rewritten")
	})
	t.Run("history rewritten and not signed", func(t *testing.T) {
		l := newLog(t, 20, 5, 12)
		l.rewrite(9, func(e *access.Event) { e.Actor.Person = "mara" })
		wantDamage(t, damage(t, l.export(), l.key, pin(10)), 5, 9, "the root that was signed")
		wantDamage(t, damage(t, l.export(), l.key, pin(8)), 5, 11, "the root that was signed")
	})
	t.Run("not a checkpoint of this log", func(t *testing.T) {
		other := *pin(5)
		other.Origin = "stint/other"
		for _, c := range []*Checkpoint{&other, {Origin: testOrigin, Size: -3}, {Origin: testOrigin}} {
			if _, err := Verify(bytes.NewReader(seen.export()), seen.key, c); !errors.Is(err, access.Invalid) {
				t.Errorf("pinned %+v: got %v", c, err)
			}
		}
	})
}

func TestKeyChange(t *testing.T) {
	l := newLog(t, 20, 5, 12)
	old := l.key
	l.signer, l.key = testKey(t, testOrigin, 2)
	l.sign(20)
	if _, err := Verify(bytes.NewReader(l.export()), l.key+"\n"+old, nil); err != nil {
		t.Error(err)
	}
	for _, key := range []string{old, l.key} {
		wantDamage(t, damage(t, l.export(), key, nil), NoRecord, NoRecord, "not signed by the key of this log")
	}
}
