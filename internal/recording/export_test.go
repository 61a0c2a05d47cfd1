package recording

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"stint/internal/recording/vt"
)

func reader(t testing.TB, b []byte, k keyring) *Reader {
	t.Helper()
	d, err := NewReader(bytes.NewReader(b), k.trust(), k.opener)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// shell is a session with a shell, in which somebody hostile was.
func shell(t testing.TB, k keyring) []byte {
	b, _ := sample(t, k, "ses_1", func(w *Writer) {
		put(t, w, 0, Start{[]Fact{{FactPerson, "mira"}, {FactResource, "web1"}}})
		put(t, w, 1, Open{"session", "", ""}, Terminal{"xterm", 40, 10}, Environment{"X", "\x1b]0;no\x07\n\"", ""}, Exec{"shell", ""})
		put(t, w, 1, Output{[]byte("mira@web1:~$ ")})
		for _, c := range "ls\r" {
			put(t, w, 1, Input{[]byte(string(c))})
			if c != '\r' {
				put(t, w, 1, Output{[]byte(string(c))})
			}
		}
		put(t, w, 1, Output{[]byte("\r\n\x1b[34mSecret-Plans\x1b[0m \xe2")}, Output{[]byte("\x82\xac\xff\r\n")})
		put(t, w, 0, Note{NoteWarning, "5 minutes left"})
		put(t, w, 1, Output{[]byte("\x1b]8;;http://evil/\x07\x1b]52;c;eA==\x07\u202emira@web1:~$ ")}, Input{[]byte("sudo -i\r")}, Output{[]byte("sudo -i\r\nPassword: ")},
			Input{[]byte("hunter2\r")}, Output{[]byte("\r\nroot# ")}, Resize{60, 12}, Exit{1, ""})
		put(t, w, 2, Exec{"exec", "rm -rf /srv/\x1b[2J\nnow"}, Exit{0, "KILL"})
		put(t, w, 3, Open{"direct-tcpip", "127.0.0.1:1", "db1:5432"}, Close{1, 2}, File{"write", "/etc/pass\x9bwd", "", 0, 9, ""},
			Statement{"read", "select *\nfrom orders", "", 3, 30}, Request{"GET", "/a", 200, 1, 2, ""})
		put(t, w, 0, Note{NoteCut, "the grant ended"})
	})
	return b
}

// inert insists that a text does nothing to a terminal, or to a page.
func inert(t *testing.T, what, text string) {
	t.Helper()
	for _, r := range text {
		if !unicode.IsPrint(r) && r != '\n' || r == '<' {
			t.Fatalf("%s: %U in %q", what, r, text)
		}
	}
}

func TestAsciicast(t *testing.T) {
	k := newKeyring(t)
	b := shell(t, k)
	var out bytes.Buffer
	if err := Asciicast(&out, reader(t, b, k), 0); err != nil {
		t.Fatal(err)
	}
	inert(t, "asciicast", out.String())
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var head struct {
		Version, Width, Height int
		Timestamp              int64
		Title                  string
		Env                    map[string]string
	}
	if err := json.Unmarshal([]byte(lines[0]), &head); err != nil || head.Version != 2 || head.Width != 40 || head.Height != 10 || head.Title != "mira web1" ||
		head.Env["TERM"] != "xterm" || time.Since(time.Unix(head.Timestamp, 0)).Abs() > time.Hour {
		t.Errorf("%s: %+v, %v", lines[0], head, err)
	}
	all := map[string]string{}
	last := 0.0
	for _, line := range lines[1:] {
		var e []any
		if err := json.Unmarshal([]byte(line), &e); err != nil || len(e) != 3 || e[0].(float64) < last {
			t.Fatalf("%s: %v", line, err)
		}
		last = e[0].(float64)
		all[e[1].(string)] += e[2].(string) + "|"
	}
	if got := strings.ReplaceAll(all["o"], "|", ""); !strings.Contains(got, "\x1b[34mSecret-Plans\x1b[0m €\ufffd\r\n") || !strings.HasSuffix(got, "root# ") {
		t.Errorf("%q", got)
	}
	if all["r"] != "60x12|" || !strings.HasPrefix(all["i"], "l|s|\r|") || all["m"] != "warning: 5 minutes left|exit status 1|cut: the grant ended|" {
		t.Errorf("%q", all)
	}
	out.Reset()
	if err := Asciicast(&out, reader(t, b[:len(b)-1], k), 0); err == nil {
		t.Error("a recording that is cut off is exported without an error")
	}
}

func TestLines(t *testing.T) {
	k := newKeyring(t)
	b, _ := sample(t, k, "a", func(w *Writer) { put(t, w, 7, everything...) })
	var out bytes.Buffer
	if err := Lines(&out, reader(t, b, k)); err != nil {
		t.Fatal(err)
	}
	inert(t, "lines", out.String())
	kinds := ""
	for i, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		var r map[string]any
		if err := json.Unmarshal([]byte(line), &r); err != nil || r["record"] != float64(i) || r["channel"] != 7.0 {
			t.Fatalf("%s: %v", line, err)
		}
		kinds += " " + r["kind"].(string)
		if r["kind"] == "exec" {
			exact, err := base64.StdEncoding.DecodeString(r["command_base64"].(string))
			if err != nil || string(exact) != "ls -l /\xff" || r["command"] != "ls -l /\ufffd" {
				t.Errorf("%s: %v", line, err)
			}
		}
	}
	if kinds != " start start open terminal environment exec output problem input resize signal exit file close statement request note kind-200" {
		t.Error(kinds)
	}
}

func TestIndex(t *testing.T) {
	k := newKeyring(t)
	entries, more, err := Index(reader(t, shell(t, k), k))
	if err != nil || more {
		t.Fatal(more, err)
	}
	var got []string
	last := time.Duration(0)
	for _, e := range entries {
		inert(t, "index", e.Text)
		got = append(got, fmt.Sprint(e.Channel, " ", e.Kind, ": ", e.Text))
		last = max(last, e.At)
	}
	want := []string{
		"1 exec: shell",
		"1 command: mira@web1:~$ ls",
		"0 note: warning: 5 minutes left",
		"1 command: \ufffdmira@web1:~$ sudo -i",
		"1 command: Password:", // and not what was typed there
		"2 exec: exec rm -rf /srv/ now",
		"3 open: direct-tcpip 127.0.0.1:1 to db1:5432",
		"3 file: write /etc/pass\ufffdwd",
		"3 statement: select * from orders",
		"3 request: GET /a 200",
		"0 note: cut: the grant ended",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if last == 0 {
		t.Error("no entry says when it was")
	}
}

func TestSearch(t *testing.T) {
	k := newKeyring(t)
	good := shell(t, k)
	quiet, _ := sample(t, k, "ses_2", func(w *Writer) { put(t, w, 1, Output{[]byte("nothing\r\n")}) })
	files := map[string][]byte{"ses_0": good[:len(good)/2], "ses_1": good, "ses_2": quiet, "ses_3": good}
	sources := func(yield func(Source) bool) {
		for i := range 5 {
			name := fmt.Sprint("ses_", i)
			if !yield(Source{name, func(context.Context) (io.ReadCloser, error) {
				if files[name] == nil {
					return nil, ErrNotFound
				}
				return io.NopCloser(bytes.NewReader(files[name])), nil
			}}) {
				return
			}
		}
	}
	find := func(q Query) (hits, errs []string) {
		for h, err := range Search(t.Context(), q, sources, k.trust(), k.opener) {
			if err != nil {
				errs = append(errs, h.Recording)
			} else {
				inert(t, "hit", h.Text)
				hits = append(hits, h.Recording+" "+h.Kind+" "+h.Text)
			}
		}
		return hits, errs
	}
	hits, errs := find(Query{Text: "secret-plans", Lines: true})
	if len(hits) != 1 || hits[0] != "ses_1 line Secret-Plans €\ufffd" {
		t.Errorf("%q", hits)
	}
	if !slices.Equal(errs, []string{"ses_0", "ses_3", "ses_4"}) { // of another session, likewise, and missing
		t.Errorf("errors: %q", errs)
	}
	if hits, _ := find(Query{Text: "secret-plans"}); len(hits) != 0 {
		t.Errorf("in what was run: %q", hits)
	}
	if hits, _ := find(Query{Text: "hunter2", Lines: true}); len(hits) != 0 {
		t.Errorf("what was typed without echo is found: %q", hits)
	}
	if hits, _ := find(Query{Text: "RM -RF"}); len(hits) != 1 {
		t.Errorf("%q", hits)
	}
	if hits, errs := find(Query{Text: "", Lines: true, Hits: 3}); len(hits) != 3 || len(errs) != 1 {
		t.Errorf("%d hits, %q", len(hits), errs)
	}
	var last error
	for _, err := range Search(t.Context(), Query{Text: "zzz", Lines: true, Bytes: 1000}, sources, k.trust(), k.opener) {
		last = err
	}
	if !errors.Is(last, ErrEnough) {
		t.Errorf("too much: %v", last)
	}
}

func TestFrames(t *testing.T) {
	k := newKeyring(t)
	b := shell(t, k)
	var shots []Shot
	for s, err := range Frames(t.Context(), reader(t, b, k), 0, 0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range s.Frame.Lines {
			for _, run := range line {
				inert(t, "frame", strings.ReplaceAll(run.Text, " ", ""))
			}
		}
		shots = append(shots, s)
	}
	if len(shots) < 5 {
		t.Fatalf("%d shots", len(shots))
	}
	end := shots[len(shots)-1]
	if end.Frame.Columns != 60 || end.Frame.Rows != 12 || !strings.Contains(end.Frame.Text(), "Password:\nroot#") || strings.Contains(end.Frame.Text(), "evil") {
		t.Errorf("%+v\n%s", end, end.Frame.Text())
	}
	if first := shots[0].Frame; first.Columns != 40 {
		t.Errorf("%+v", first)
	}
	colour := false
	for _, l := range end.Frame.Lines {
		for _, r := range l {
			colour = colour || r.Text == "Secret-Plans" && r.Style == vt.Style{Foreground: 5}
		}
	}
	if !colour {
		t.Error("no colour")
	}
	// From a time on: first what stood there then.
	var late []Shot
	for s, err := range Frames(t.Context(), reader(t, b, k), 1, end.At+time.Hour, 0) {
		if err != nil {
			t.Fatal(err)
		}
		late = append(late, s)
	}
	if len(late) != 1 || late[0].At != end.At+time.Hour || late[0].Frame.Text() != end.Frame.Text() {
		t.Errorf("%d shots", len(late))
	}
	// In steps: fewer, and the same end.
	var steps []Shot
	for s, err := range Frames(t.Context(), reader(t, b, k), 1, 0, time.Hour) {
		if err != nil {
			t.Fatal(err)
		}
		steps = append(steps, s)
	}
	if len(steps) != 1 || steps[0].Frame.Text() != end.Frame.Text() {
		t.Errorf("%d shots", len(steps))
	}
	// What cannot be verified to its end says so.
	var last error
	for _, err := range Frames(t.Context(), reader(t, b[:len(b)-1], k), 1, 0, 0) {
		last = err
	}
	if last == nil {
		t.Error("cut off, and played as if it were whole")
	}
}

// TestFramesOfRequests: a session with a web application is played as its requests and their answers, in
// the order in which they came; what bodies held is on no screen.
func TestFramesOfRequests(t *testing.T) {
	k := newKeyring(t)
	b, _ := sample(t, k, "ses_1", func(w *Writer) {
		put(t, w, 0, Start{[]Fact{{FactProtocol, "http"}}})
		put(t, w, 1, Request{"GET", "/orders?\x1b]0;evil\x07", 0, 0, 0, "sent"})
		put(t, w, 2, Request{"DELETE", "/orders/7", 0, 0, 0, "refused: no rule allows it"})
		put(t, w, 1, Output{[]byte("a body")})
		put(t, w, 1, Request{"GET", "/orders", 200, 0, 6, ""}, Request{"GET", "/slow", 502, 0, 0, "it went away"})
		put(t, w, 0, Note{NoteCut, "the grant ended"})
	})
	all := ""
	for s, err := range Frames(t.Context(), reader(t, b, k), 0, 0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		all += s.Frame.Text() + "\n"
	}
	for _, want := range []string{"GET /orders?", "DELETE /orders/7 → refused: no rule allows it", "→ 200 GET /orders", "→ 502 GET /slow (it went away)"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not shown:\n%s", want, all)
		}
	}
	if strings.Contains(all, "a body") || strings.Contains(all, "evil") {
		t.Errorf("what it held, or said to terminals, is shown:\n%s", all)
	}
}

// TestFramesOfStatements: a session with a database is played as its statements, a line each, with
// what their words say that they do, and how they went. Nothing of them does anything to a screen.
func TestFramesOfStatements(t *testing.T) {
	k := newKeyring(t)
	b, _ := sample(t, k, "ses_1", func(w *Writer) {
		put(t, w, 0, Start{[]Fact{{FactProtocol, "postgres"}}})
		put(t, w, 1, Statement{"simple read", "select \x1b[2J\x1b]0;evil\x07*\nfrom orders", "sent", 0, 0}, Statement{"outcome", "SELECT 5", "", 5, 90})
		put(t, w, 2, Statement{"rejected ddl", "drop table orders", "refused: class ddl: the role denies it", 0, 0}, Statement{"outcome", "", "42501 stint: refused", 0, 0})
		put(t, w, 3, Statement{"simple", "from an older gateway", "sent", 0, 0}, Statement{"simple read", strings.Repeat("long ", 10_000), "sent", 0, 0})
		put(t, w, 0, Note{NoteCut, "the grant ended"})
	})
	var last Shot
	for s, err := range Frames(t.Context(), reader(t, b, k), 0, 0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		last = s
		for _, line := range s.Frame.Lines {
			for _, run := range line {
				inert(t, "frame", strings.ReplaceAll(run.Text, " ", ""))
			}
		}
	}
	if text := last.Frame.Text(); !strings.Contains(text, "long long") || strings.Contains(text, "evil") {
		t.Errorf("at the end:\n%s", text)
	}
	all := ""
	for s, err := range Frames(t.Context(), reader(t, b, k), 0, 0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		all += s.Frame.Text() + "\n"
	}
	for _, want := range []string{"[read] select * from orders", "→ SELECT 5", "[ddl] drop table orders → refused: class ddl", "→ 42501 stint: refused", "from an older gateway"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not shown:\n%s", want, all)
		}
	}
}

// TestLinesWithoutTerminal: what a command wrote into a pipe is replayed and exported as its lines, and
// what a terminal showed as that showed it.
func TestLinesWithoutTerminal(t *testing.T) {
	k := newKeyring(t)
	b, _ := sample(t, k, "ses_2", func(w *Writer) {
		put(t, w, 1, Open{"session", "", ""}, Exec{"exec", "ls"}, Output{[]byte("one\ntwo")}, Output{[]byte("\nthree\n")})
		put(t, w, 2, Open{"session", "", ""}, Terminal{"xterm", 0, 0}, // of a size that is not known
			Exec{"shell", ""}, Output{[]byte("one\r\ntwo\nthree")})
	})
	for channel, want := range map[uint32][2]string{
		1: {"one\ntwo\nthree", "one\r\ntwo\r\nthree\r\n"},
		2: {"one\ntwo\n   three", "one\r\ntwo\nthree"},
	} {
		got := ""
		for s, err := range Frames(t.Context(), reader(t, b, k), channel, 0, 0) {
			if err != nil {
				t.Fatal(err)
			}
			got = strings.TrimRight(s.Frame.Text(), "\n")
		}
		if got != want[0] {
			t.Errorf("channel %d is shown as %q", channel, got)
		}
		var out bytes.Buffer
		if err := Asciicast(&out, reader(t, b, k), channel); err != nil {
			t.Fatal(err)
		}
		got = ""
		for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n")[1:] {
			var e []any
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatal(err)
			}
			if e[1] == "o" {
				got += e[2].(string)
			}
		}
		if got != want[1] {
			t.Errorf("channel %d is exported as %q", channel, got)
		}
	}
}

func FuzzReader(f *testing.F) {
	k := keyringOf(f, childSeed)
	b := shell(f, k)
	// A worker of the fuzzer is another process, which writes another recording: each asks for its own.
	own, err := Verify(f.Context(), bytes.NewReader(b), k.trust())
	if err != nil {
		f.Fatal(err)
	}
	trust := k.trust()
	trust.Anchor = &own.Anchor
	f.Add(b)
	f.Add(b[:len(b)/2])
	f.Fuzz(func(t *testing.T, x []byte) {
		for _, y := range [][]byte{x, relinked(x)} {
			d, err := NewReader(bytes.NewReader(y), trust, k.opener)
			if err != nil {
				continue
			}
			if _, err := d.Verify(); err == nil && !bytes.Equal(y, b) {
				t.Fatal("a recording that nobody wrote verifies")
			}
		}
		if end, err := lastWhole(bytes.NewReader(x), int64(len(x))); err == nil && (end.end > int64(len(x)) || end.end < 0) {
			t.Fatalf("%+v of %d bytes", end, len(x))
		}
	})
}

func relinked(b []byte) []byte {
	if len(b) <= headFixed || len(b) < headFixed+int(b[headFixed-1])+linkSize {
		return nil
	}
	return relink(b)
}

// FuzzChunk: what is accepted encodes again byte for byte.
func FuzzChunk(f *testing.F) {
	var c chunk
	c.begin(3, 1000)
	for i, e := range everything {
		c.add(e.Kind(), uint32(i), uint64(1000*i), e.appendBody(nil))
	}
	f.Add(c.b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < chunkHead {
			return
		}
		first, base := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
		var rs []Record
		if _, _, err := decodeChunk(b, first, 0, func(r Record) error { rs = append(rs, r); return nil }); err != nil {
			return
		}
		var again chunk
		again.begin(first, base)
		for _, r := range rs {
			again.add(r.Event.Kind(), r.Channel, uint64(r.At.Microseconds()), r.Event.appendBody(nil))
			_ = appendLine(nil, r)
		}
		if !bytes.Equal(again.b, b) {
			t.Fatalf("%x\nbecame\n%x", b, again.b)
		}
	})
}

// FuzzLog: what a half of the log holds, as far as it is whole.
func FuzzLog(f *testing.F) {
	b := append([]byte(logMagic), make([]byte, logStart-len(logMagic))...)
	b = appendEntry(b, 7, "ses_1", 0, []byte("head"))
	b = appendEntry(b, 7, "ses_1", 4, []byte("frame"))
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		es := decodeEntries(b)
		if len(es) == 0 {
			return
		}
		var again []byte
		for _, e := range es {
			again = appendEntry(again, e.generation, e.name, e.offset, e.data)
		}
		if !bytes.HasPrefix(b[logStart:], again) {
			t.Fatal("what is accepted is not what is there")
		}
	})
}
