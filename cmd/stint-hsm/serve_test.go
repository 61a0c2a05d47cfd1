package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stint/internal/hsm/wire"
	"stint/internal/program"
)

// paper is a token without a library.
type paper struct{ signed int }

func (*paper) Keys(string) ([]wire.Key, error) { return []wire.Key{paperKey()}, nil }
func (*paper) About() []string                 { return nil }
func (*paper) Generate(label string, _ wire.Algorithm) (wire.Key, error) {
	k := paperKey()
	k.Label = label
	return k, nil
}
func (p *paper) Sign(wire.Key, []byte) ([]byte, error) { p.signed++; return make([]byte, 64), nil }

func (p *paper) GenerateSecret(string) error { return nil }
func (p *paper) Encrypt(_ string, _, text []byte) ([]byte, error) {
	p.signed++
	return bytes.Clone(text), nil
}
func (p *paper) Decrypt(_ string, _, text []byte) ([]byte, error) {
	p.signed++
	return bytes.Clone(text), nil
}

func paperKey() wire.Key {
	return wire.Key{Label: "stint-1", ID: []byte{1}, Algorithm: wire.Ed25519, Public: make([]byte, 32)}
}

const anyModule = "/etc/passwd" // what only root can exchange; nobody loads it

func ask(t testing.TB, m wire.Message) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := wire.Write(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func openAsk(t testing.TB, module string) []byte {
	return ask(t, wire.Message{Kind: wire.Open, Number: 1, Fields: [][]byte{[]byte(module), []byte("stint"), []byte("5678")}})
}

// answers are what a token answers to questions, until they end or make no sense.
func answers(t testing.TB, questions ...[]byte) (out []wire.Message, p *paper, err error) {
	t.Helper()
	p = &paper{}
	var said bytes.Buffer
	err = serve(bytes.NewReader(bytes.Join(questions, nil)), &said, func(string, string, []byte) (token, error) { return p, nil }, func(int) {})
	for {
		m, e := wire.Read(&said)
		if e != nil {
			if e != io.EOF {
				t.Fatal(e)
			}
			return out, p, err
		}
		out = append(out, m)
	}
}

func TestServe(t *testing.T) {
	sign := ask(t, wire.Message{Kind: wire.Sign, Number: 2, Fields: [][]byte{paperKey().Marshal(), []byte("text")}})
	got, p, err := answers(t, openAsk(t, anyModule), sign,
		ask(t, wire.Message{Kind: wire.Generate, Number: 3, Fields: [][]byte{[]byte("stint-2"), {}}}),
		ask(t, wire.Message{Kind: wire.Keys, Number: 4, Fields: [][]byte{[]byte("stint-")}}))
	if err != nil || len(got) != 4 || p.signed != 1 {
		t.Fatalf("%v, %v, signed %d", got, err, p.signed)
	}
	crypt, p, err := answers(t, openAsk(t, anyModule),
		ask(t, wire.Message{Kind: wire.Secret, Number: 2, Fields: [][]byte{[]byte("stint-seal")}}),
		ask(t, wire.Message{Kind: wire.Encrypt, Number: 3, Fields: [][]byte{[]byte("stint-seal"), []byte("about"), []byte("text")}}),
		ask(t, wire.Message{Kind: wire.Decrypt, Number: 4, Fields: [][]byte{[]byte("stint-seal"), []byte("about"), []byte("text")}}))
	if err != nil || len(crypt) != 4 || p.signed != 2 || string(crypt[2].Fields[0]) != "text" {
		t.Fatalf("%v, %v", crypt, err)
	}
	for i, m := range append(got, crypt...) {
		i %= 4
		if m.Kind != wire.Done || m.Number != uint64(i+1) {
			t.Errorf("answer %d is %v", i+1, m)
		}
	}
	for name, c := range map[string]struct {
		questions [][]byte
		code      string
	}{
		"before it is open":  {[][]byte{sign}, wire.Question},
		"opened twice":       {[][]byte{openAsk(t, anyModule), openAsk(t, anyModule)}, wire.Question},
		"an answer":          {[][]byte{openAsk(t, anyModule), ask(t, wire.Message{Kind: wire.Done})}, wire.Question},
		"a key that is none": {[][]byte{openAsk(t, anyModule), ask(t, wire.Message{Kind: wire.Sign, Fields: [][]byte{[]byte("key"), nil}})}, wire.Question},
		"a label that is none": {[][]byte{openAsk(t, anyModule), ask(t, wire.Message{Kind: wire.Generate, Fields: [][]byte{[]byte("a\nb"), nil}})},
			wire.Question},
		"encrypt before it is open": {[][]byte{ask(t, wire.Message{Kind: wire.Encrypt, Fields: [][]byte{[]byte("a"), nil, nil}})}, wire.Question},
		"decrypt by a label that is none": {[][]byte{openAsk(t, anyModule), ask(t, wire.Message{Kind: wire.Decrypt, Fields: [][]byte{[]byte("a/b"), nil, nil}})},
			wire.Question},
		"no module": {[][]byte{openAsk(t, "/none")}, wire.Module},
	} {
		got, p, _ := answers(t, c.questions...)
		if len(got) == 0 || got[len(got)-1].Kind != wire.Failed || wire.FailureOf(got[len(got)-1]).Code != c.code || p.signed > 0 {
			t.Errorf("%s: %v, signed %d", name, got, p.signed)
		}
	}
	if got, p, err := answers(t, openAsk(t, anyModule), []byte{0xff, 0xff, 0xff, 0xff}, sign); err == nil || len(got) > 1 || p.signed > 0 {
		t.Errorf("after what is no question: %v, %v", got, err)
	}
}

// TestLoadsWhatWasLookedAt: a link is not followed anew when the library is loaded.
func TestLoadsWhatWasLookedAt(t *testing.T) {
	link := filepath.Join(t.TempDir(), "module.so")
	if err := os.Symlink(anyModule, link); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 { // who is not root has no link of root's
		link = anyModule
	}
	var loaded string
	err := serve(bytes.NewReader(openAsk(t, link)), io.Discard, func(path, _ string, _ []byte) (token, error) { loaded = path; return &paper{}, nil }, func(int) {})
	if err != nil || loaded != anyModule {
		t.Errorf("%q, %v", loaded, err)
	}
}

// TestEndsWithItsInput: when stintd is gone the program ends, also while the library hangs.
func TestEndsWithItsInput(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	inside, never, code := make(chan struct{}), make(chan struct{}), make(chan int, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = serve(in, io.Discard, func(string, string, []byte) (token, error) { close(inside); <-never; return &paper{}, nil }, func(c int) { code <- c })
	}()
	if _, err := out.Write(openAsk(t, anyModule)); err != nil {
		t.Fatal(err)
	}
	<-inside
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case c := <-code:
		if c != program.Done {
			t.Errorf("it ended with %d", c)
		}
	case <-time.After(time.Minute):
		t.Error("it goes on")
	}
	close(never)
	<-ended
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"", program.Done, "stint-hsm check"},
		{"version", program.Done, "PKCS#11"},
		{"check", program.Usage, "--module is missing"},
		{"check --none", program.Usage, "unknown flag"},
		{"check --module /none --token a --pin-file /none", program.Failure, "not to be trusted"},
		{"serve more", program.Usage, "is not understood here"},
	} {
		var out bytes.Buffer
		if code := Main(t.Context(), strings.Fields(c.args), &out, &out); code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("stint-hsm %s: exit %d\n%s", c.args, code, out.String())
		}
	}
}

// FuzzServe: no questions make it do what was not asked in order.
func FuzzServe(f *testing.F) {
	f.Add(openAsk(f, anyModule))
	f.Add(append(openAsk(f, anyModule), ask(f, wire.Message{Kind: wire.Sign, Number: 2, Fields: [][]byte{paperKey().Marshal(), []byte("text")}})...))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, p, _ := answers(t, b)
		done := 0
		for _, m := range got {
			if m.Kind == wire.Done {
				done++
			}
		}
		if p.signed > 0 && done < 2 {
			t.Errorf("it signed, and nothing was opened before")
		}
	})
}
