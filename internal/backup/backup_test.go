package backup

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"stint/internal/audit"
)

// made is an archive with a log of three records, and its public key.
func made(tb testing.TB, bend func(*Manifest)) (archive []byte, public string) {
	tb.Helper()
	private, public, err := note.GenerateKey(rand.Reader, audit.Origin("test"))
	check(tb, err)
	signer, err := note.NewSigner(private)
	check(tb, err)
	spool, err := os.CreateTemp(tb.TempDir(), "spool")
	check(tb, err)
	defer spool.Close()
	w := NewWriter(spool)
	tree := audit.Tree{}
	check(tb, w.Table("audit_records", []Column{{"id", Text}, {"body", Binary}, {"seq", Integer}}))
	for i, body := range []string{"a", "b", "c"} {
		tree, _ = tree.Append(audit.Leaf([]byte(body)))
		check(tb, w.Row([]any{body, []byte(body), int64(i)}))
	}
	check(tb, w.Row([]any{"d", []byte("d"), nil}))
	check(tb, w.Table("things", []Column{{"name", Text}, {"n", Integer}, {"b", Binary}}))
	check(tb, w.Row([]any{"ü\x00\n\"<", int64(-1 << 63), []byte{}}))
	check(tb, w.Row([]any{nil, nil, nil}))
	signed, err := audit.SignCheckpoint(tree.Checkpoint(audit.Origin("test")), signer)
	check(tb, err)
	m := Manifest{At: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Program: "test", Schema: 1, Store: "sqlite", Installation: "test", Epoch: 2,
		Size: 3, Root: tree.Root().String(), Checkpoint: string(signed)}
	if bend != nil {
		bend(&m)
	}
	var out bytes.Buffer
	_, err = w.Close(&out, m, signer)
	check(tb, err)
	return out.Bytes(), public
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func verdict(archive []byte, public string) (Summary, error) {
	r, err := Open(bytes.NewReader(archive))
	if err != nil {
		return Summary{}, err
	}
	return Check(r, public)
}

func TestRoundTrip(t *testing.T) {
	archive, public := made(t, nil)
	s, err := verdict(archive, public)
	if err != nil || s.Rows != 6 || s.Records != 3 || s.Waiting != 1 || s.Head.Size != 3 {
		t.Fatalf("%+v, %v", s, err)
	}
	r, err := Open(bytes.NewReader(archive))
	check(t, err)
	var rows [][]any
	for {
		table, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		check(t, err)
		if _, err := r.Next(); err == nil {
			t.Fatal("a table was left half read")
		}
		for {
			row, err := table.Row()
			if errors.Is(err, io.EOF) {
				break
			}
			check(t, err)
			if table.Name == "things" {
				rows = append(rows, row)
			}
		}
	}
	if want := [][]any{{"ü\x00\n\"<", int64(-1 << 63), []byte{}}, {nil, nil, nil}}; !reflect.DeepEqual(rows, want) {
		t.Errorf("got %#v, want %#v", rows, want)
	}
}

// TestEveryByteCounts changes each byte of an archive. What the tar format pads
// with may differ; nothing that is read may.
func TestEveryByteCounts(t *testing.T) {
	archive, public := made(t, nil)
	want := contents(t, archive)
	passed := 0
	for i := range archive {
		bad := bytes.Clone(archive)
		bad[i] ^= 0x20
		if _, err := verdict(bad, public); err != nil {
			continue
		}
		passed++
		if got := contents(t, bad); !reflect.DeepEqual(got, want) {
			t.Fatalf("byte %d changed what is read, and the backup passed", i)
		}
	}
	if passed > len(archive)*3/4 {
		t.Errorf("%d of %d changes were not noticed", passed, len(archive))
	}
	for n := range archive {
		if n%97 != 0 || n >= len(archive)-1024-512 { // padding, and the end of a tar: two blocks of zeroes
			continue
		}
		if _, err := verdict(archive[:n], public); err == nil {
			t.Errorf("cut to %d bytes it passed", n)
		}
	}
}

// contents are the names and bytes in the tar.
func contents(t *testing.T, archive []byte) (all []string) {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(archive))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		check(t, err)
		b, err := io.ReadAll(r)
		check(t, err)
		all = append(all, h.Name, string(b))
	}
}

func TestRefuses(t *testing.T) {
	archive, public := made(t, nil)
	_, other := made(t, nil)
	if _, err := verdict(archive, other); err == nil || !strings.Contains(err.Error(), "not signed") {
		t.Errorf("another key: %v", err)
	}
	for name, bend := range map[string]func(*Manifest){
		"another root":         func(m *Manifest) { m.Root = audit.Tree{}.Root().String() },
		"another size":         func(m *Manifest) { m.Size = 2 },
		"no checkpoint":        func(m *Manifest) { m.Checkpoint, m.Size = "", 0 },
		"another installation": func(m *Manifest) { m.Installation = "prod" },
	} {
		bad, public := made(t, bend)
		if _, err := verdict(bad, public); err == nil {
			t.Errorf("%s passed", name)
		}
	}
	// What is added behind, or twice, or under another name.
	for name, change := range map[string]func(w *tar.Writer, name, body string, last bool){
		"a part more": func(w *tar.Writer, name, body string, last bool) {
			put(t, w, name, body)
			if last {
				put(t, w, "more.jsonl.gz", body)
			}
		},
		"a part twice": func(w *tar.Writer, name, body string, _ bool) { put(t, w, name, body); put(t, w, name, body) },
		"a part less": func(w *tar.Writer, name, body string, last bool) {
			if !last {
				put(t, w, name, body)
			}
		},
		"a way out": func(w *tar.Writer, name, body string, last bool) { put(t, w, "../"+name, body) },
	} {
		var out bytes.Buffer
		w := tar.NewWriter(&out)
		all := contents(t, archive)
		for i := 0; i < len(all); i += 2 {
			change(w, all[i], all[i+1], i+2 == len(all))
		}
		check(t, w.Close())
		if _, err := verdict(out.Bytes(), public); err == nil {
			t.Errorf("%s passed", name)
		}
	}
}

func put(t *testing.T, w *tar.Writer, name, body string) {
	t.Helper()
	check(t, w.WriteHeader(&tar.Header{Name: name, Size: int64(len(body)), Mode: 0o600}))
	_, err := io.WriteString(w, body)
	check(t, err)
}

func FuzzOpen(f *testing.F) {
	archive, public := made(f, nil)
	f.Add(archive)
	f.Add([]byte("manifest.note"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := verdict(b, public); err == nil && s.Rows != 6 {
			t.Errorf("%d rows of a backup that nobody signed", s.Rows)
		}
	})
}
