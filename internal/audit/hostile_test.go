package audit

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"stint/internal/access"
)

func TestVerifyCannot(t *testing.T) {
	l := newLog(t, 4)
	if _, err := Verify(bytes.NewReader(l.export()), "junk", nil); !errors.Is(err, access.Invalid) {
		t.Errorf("bad key: got %v", err)
	}
	broken := io.MultiReader(bytes.NewReader(l.export()[:300]), iotest.ErrReader(io.ErrClosedPipe))
	if _, err := Verify(broken, l.key, nil); !errors.Is(err, access.Unavailable) || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("broken reader: got %v", err)
	}
	wantDamage(t, damage(t, nil, l.key, nil), NoRecord, NoRecord, "empty")
	wantDamage(t, damage(t, []byte("{"), l.key, nil), NoRecord, NoRecord, "cut off")
	wantDamage(t, damage(t, []byte("\n\n\n"), l.key, nil), NoRecord, NoRecord, "header")
	for text, foreign := range map[string]bool{
		"kind: Role\n": true, "kind: Role": true, `{"stint": 1}` + "\n": true,
		"": false, "{": false, `{"stint-audit-export":2,` + "\n": false, recordMark + "0\n": false, checkpointMark + "\n": false,
	} {
		if d := damage(t, []byte(text), l.key, nil); d.NotExport != foreign {
			t.Errorf("%q: not an export: %v", text, d.NotExport)
		}
	}
}

// endless gives bytes for ever and counts them.
type endless struct{ n int64 }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	e.n += int64(len(p))
	return len(p), nil
}

func TestEndlessLine(t *testing.T) {
	l := newLog(t, 4)
	export := l.export()
	for _, keep := range []int{0, bytes.IndexByte(export, '\n') + 1} {
		e := &endless{}
		_, err := Verify(io.MultiReader(bytes.NewReader(export[:keep]), e), l.key, nil)
		var d *Damage
		if !errors.As(err, &d) || !strings.Contains(d.What, "too long") {
			t.Errorf("got %v", err)
		}
		if e.n > MaxLine+256<<10 {
			t.Errorf("read %d bytes of one line", e.n)
		}
	}
}

func TestLongestRecord(t *testing.T) {
	l := newLog(t, 3)
	short, err := Encode(Record{ID: "rec_x", Event: decoded(t, l.rows[2].encoded)})
	if err != nil {
		t.Fatal(err)
	}
	l.rewrite(2, func(e *access.Event) {
		e.Facts["more"] = strings.Repeat("x", MaxRecord-len(short)-len(`,"more":""`)-len("rec_01JQ0000000000000000000002")+len("rec_x"))
	})
	if n := len(l.rows[2].encoded); n != MaxRecord {
		t.Fatalf("the record has %d bytes, want %d", n, MaxRecord)
	}
	l.sign(3)
	if _, err := Verify(bytes.NewReader(l.export()), l.key, nil); err != nil {
		t.Error(err)
	}
}

func decoded(t *testing.T, encoded []byte) access.Event {
	t.Helper()
	r, err := Decode(encoded)
	if err != nil {
		t.Fatal(err)
	}
	return r.Event
}

// failing takes n bytes.
type failing struct{ n int }

func (f *failing) Write(p []byte) (int, error) {
	if f.n -= len(p); f.n < 0 {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}

func TestExporterKeepsItsFailure(t *testing.T) {
	l := newLog(t, 1)
	e := NewExporter(&failing{n: 100 << 10}, testOrigin, 5000)
	var err error
	for i := int64(0); err == nil && i < 5000; i++ {
		err = e.Record(i, l.rows[0].leaf, l.rows[0].encoded)
	}
	if !errors.Is(err, access.Unavailable) || !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("Record: got %v", err)
	}
	if again := e.Checkpoint(l.points[1]); !errors.Is(again, io.ErrShortWrite) {
		t.Errorf("Checkpoint: got %v", again)
	}
	if again := e.Close(); !errors.Is(again, io.ErrShortWrite) {
		t.Errorf("Close: got %v", again)
	}
}

func FuzzVerify(f *testing.F) {
	l := newLog(f, 6, 2)
	export := l.export()
	f.Add(export)
	f.Add(export[:len(export)-1])
	f.Add(newLog(f, 0).export())
	pinned := l.at(2)
	f.Fuzz(func(t *testing.T, in []byte) {
		report, err := Verify(bytes.NewReader(in), l.key, &pinned)
		var d *Damage
		switch {
		case err != nil && !errors.As(err, &d):
			t.Fatalf("neither whole nor damaged: %v", err)
		case err != nil && (d.What == "" || d.Line < 1 || d.Seq < NoRecord || d.Last < d.Seq):
			t.Fatalf("says nothing useful: %+v", d)
		case err == nil && report.Checkpoint.Size != int64(report.Types["grant.created"]+report.Types["grant.active"]+
			report.Types["grant.ending"]+report.Types["grant.ended"]):
			t.Fatalf("miscounts: %+v", report)
		case err == nil && !bytes.Equal(in, export) && report.Checkpoint.Size == 6 && report.Checkpoints == 2:
			t.Fatal("another text of the same log is accepted")
		}
	})
}
