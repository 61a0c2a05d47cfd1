package audit

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files; only for a new format version")

// golden compares with a file that never changes: it stands for logs that were
// written years ago.
func golden(t *testing.T, name string, got []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\ngot\n%s\nwant\n%s", path, got, want)
	}
	return want
}

func TestGolden(t *testing.T) {
	full := aRecord()
	bare := Record{ID: "rec_bare", Event: full.Event}
	bare.Event.Actor.Person, bare.Event.Actor.Device, bare.Event.Facts = "", "", nil
	bare.Event.Actor.Address = netip.Addr{}
	hostile := aRecord()
	hostile.Event.Entity = "grt_\x1b[2J\u202e"
	hostile.Event.Facts = map[string]string{"reason": "\x00\x1f\"\\/\b\f\n\r\t\x7f\u0085\u2028\ufeff é字😀<&>"}

	var records bytes.Buffer
	for _, r := range []Record{full, bare, hostile} {
		encoded, err := Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		records.Write(append(encoded, '\n'))
	}
	for line := range strings.Lines(string(golden(t, "records.jsonl", records.Bytes()))) {
		if _, err := Decode([]byte(strings.TrimSuffix(line, "\n"))); err != nil {
			t.Errorf("%v: %s", err, line)
		}
	}

	l := newLog(t, 9, 4)
	key := string(golden(t, "log.key", []byte(l.key+"\n")))
	note := golden(t, "checkpoint.note", l.points[9])
	c, err := OpenCheckpoint(note, key)
	if err != nil || c != l.at(9) {
		t.Errorf("got %+v, %v", c, err)
	}
	report, err := Verify(bytes.NewReader(golden(t, "export.jsonl", l.export())), key, &c)
	if err != nil || report.Checkpoint != c {
		t.Errorf("got %+v, %v", report, err)
	}
}
