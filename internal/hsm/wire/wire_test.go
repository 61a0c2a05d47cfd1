package wire

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func edKey(t testing.TB) Key {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return Key{Label: "stint-ssh-users-1", ID: []byte{1, 2}, Algorithm: Ed25519, Public: public}
}

func ecKey(t testing.TB) Key {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := k.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return Key{Label: "stint-ssh-hosts-1", ID: []byte{1}, Algorithm: P256, Public: public}
}

func messages(t testing.TB) []Message {
	return []Message{
		{Open, 1, [][]byte{[]byte("/usr/lib/m.so"), []byte("stint"), []byte("1234")}},
		{Keys, 2, [][]byte{[]byte("stint-")}},
		{Generate, 3, [][]byte{[]byte("stint-ssh-users-1"), {}}},
		{Sign, 1 << 63, [][]byte{edKey(t).Marshal(), bytes.Repeat([]byte{7}, 4096)}},
		{Done, 5, nil},
		{Done, 6, [][]byte{ecKey(t).Marshal(), edKey(t).Marshal()}},
		{Failed, 7, [][]byte{[]byte(NoToken), []byte("there is no token")}},
	}
}

func TestMessages(t *testing.T) {
	var all bytes.Buffer
	for _, m := range messages(t) {
		if err := Write(&all, m); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range messages(t) {
		got, err := Read(&all)
		if err != nil || got.Kind != want.Kind || got.Number != want.Number || len(got.Fields) != len(want.Fields) {
			t.Fatalf("got %v, %v; want %v", got, err, want)
		}
	}
	if _, err := Read(&all); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

// TestHostileFrames: what is not a message is no message, and takes no memory.
func TestHostileFrames(t *testing.T) {
	good := func(m Message) []byte {
		var b bytes.Buffer
		if err := Write(&b, m); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	open := good(messages(t)[0])
	bend := func(at int, to byte) []byte { b := bytes.Clone(open); b[at] = to; return b }
	framed := func(b []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }
	huge := binary.BigEndian.AppendUint32(nil, 1<<31)
	fieldsOf := func(k Kind, n int) []byte {
		b := append([]byte{version, byte(k)}, make([]byte, 8)...)
		for range n {
			b = appendField(b, nil)
		}
		return framed(b)
	}
	for name, b := range map[string][]byte{
		"cut off in its length":     open[:2],
		"cut off":                   open[:len(open)-1],
		"nothing in it":             framed(nil),
		"only a head":               framed(open[4:14]),
		"two gigabytes":             huge,
		"just too long":             framed(make([]byte, MaxFrame+1)),
		"of another version":        bend(4, 2),
		"of no kind":                bend(5, 9),
		"an answer with fields":     bend(5, byte(Failed)),
		"a field beyond its end":    bend(14, 1),
		"a field of four gigabytes": framed(append(bytes.Clone(open[4:14]), 0xff, 0xff, 0xff, 0xff)),
		"one field too few":         fieldsOf(Open, 2),
		"one field too many":        fieldsOf(Open, 4),
		"too many keys":             fieldsOf(Done, MaxKeys+1),
	} {
		if m, err := Read(bytes.NewReader(b)); err == nil {
			t.Errorf("%s: read %v", name, m)
		}
	}
	for name, m := range map[string]Message{
		"no kind":     {Fields: nil},
		"few fields":  {Kind: Open},
		"a long one":  {Kind: Sign, Fields: [][]byte{nil, make([]byte, MaxFrame+1)}},
		"long by sum": {Kind: Sign, Fields: [][]byte{make([]byte, MaxFrame/2), make([]byte, MaxFrame/2)}},
	} {
		if err := Write(io.Discard, m); err == nil {
			t.Errorf("%s is written", name)
		}
	}
}

func TestMessagePrintsNoPIN(t *testing.T) {
	m := Message{Open, 1, [][]byte{nil, nil, []byte("sesame")}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		for _, v := range []any{m, &m, struct{ M Message }{m}} {
			if out := fmt.Sprintf(verb, v); strings.Contains(out, "sesame") || strings.Contains(out, "736573") || strings.Contains(out, "115 101") {
				t.Errorf("%s prints %s", verb, out)
			}
		}
	}
}

func TestKeys(t *testing.T) {
	for _, k := range []Key{edKey(t), ecKey(t)} {
		got, err := ParseKey(k.Marshal())
		if err != nil || !got.Equal(k) {
			t.Errorf("%v, %v; want %v", got, err, k)
		}
		for name, bend := range map[string]func(*Key){
			"no label":             func(k *Key) { k.Label = "" },
			"a label with a space": func(k *Key) { k.Label = "a b" },
			"a label as an option": func(k *Key) { k.Label = "-a" },
			"a long label":         func(k *Key) { k.Label = strings.Repeat("a", maxLabel+1) },
			"no id":                func(k *Key) { k.ID = nil },
			"a long id":            func(k *Key) { k.ID = make([]byte, maxID+1) },
			"no algorithm":         func(k *Key) { k.Algorithm = "" },
			"no public key":        func(k *Key) { k.Public = nil },
			"a short public key":   func(k *Key) { k.Public = k.Public[:31] },
			"a point elsewhere":    func(k *Key) { k.Algorithm = P256; k.Public = append([]byte{4}, make([]byte, 64)...) },
		} {
			bad := k
			bend(&bad)
			if _, err := ParseKey(bad.Marshal()); err == nil {
				t.Errorf("%s: accepted", name)
			}
		}
		b := k.Marshal()
		for n := range b {
			if _, err := ParseKey(b[:n]); err == nil {
				t.Errorf("cut off after %d bytes: accepted", n)
			}
		}
		if _, err := ParseKey(append(b, 0)); err == nil {
			t.Error("with more behind it: accepted")
		}
	}
}

func TestFailureIsOneLine(t *testing.T) {
	f := FailureOf(Message{Failed, 1, [][]byte{[]byte("a\nb"), bytes.Repeat([]byte("\x1b[2J"), 1000)}})
	if strings.ContainsAny(f.Code+f.Text, "\n\x1b") || len(f.Text) > 300 {
		t.Errorf("%q %q", f.Code, f.Text)
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range messages(f) {
		b, err := m.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{version, byte(Done), 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		if again, err := m.Encode(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x decodes, and encodes to %x, %v", b, again, err)
		}
		if m.Kind == Failed {
			_ = FailureOf(m)
		}
	})
}

func FuzzKey(f *testing.F) {
	f.Add(edKey(f).Marshal())
	f.Add(ecKey(f).Marshal())
	f.Add([]byte("stint-token-key-1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := ParseKey(b)
		if err != nil {
			return
		}
		if !bytes.Equal(k.Marshal(), b) {
			t.Errorf("%x reads as %x", b, k.Marshal())
		}
		if _, err := k.PublicKey(); err != nil {
			t.Errorf("accepted without a public key: %v", err)
		}
	})
}
