package elevate

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

// FuzzReader: what is read is written again byte for byte, and nothing makes the reader
// hold more than one frame.
func FuzzReader(f *testing.F) {
	ask, err := Encode(KindAsk, Ask{Version: version, Argv: []string{"/usr/bin/id", "-u"}, Terminal: &Terminal{Term: "xterm", Window: Window{80, 24}}}).Append(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ask)
	f.Add(append(ask, 'I', 0, 0, 0, 2, 'h', 'i', 'E', 0, 0, 0, 0))
	f.Add([]byte{'I', 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{'O', 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, r := range []*Reader{NewClientReader(bytes.NewReader(b)), NewRunnerReader(bytes.NewReader(b))} {
			var again []byte
			var err error
			for {
				var x Frame
				if x, err = r.Next(); err != nil {
					break
				}
				if len(x.Payload) > MaxPayload {
					t.Fatalf("a frame of %d bytes", len(x.Payload))
				}
				if again, err = x.Append(again); err != nil {
					t.Fatal(err)
				}
				var a Ask
				if x.Kind == KindAsk && Decode(x, &a) == nil && a.Check() == nil {
					var twice Ask
					if err := Decode(Encode(KindAsk, a), &twice); err != nil || !reflect.DeepEqual(a, twice) {
						t.Fatalf("%+v is read again as %+v, %v", a, twice, err)
					}
				}
			}
			if !bytes.HasPrefix(b, again) || errors.Is(err, io.EOF) && len(again) != len(b) {
				t.Fatalf("%q is written again as %q (%v)", b, again, err)
			}
		}
	})
}

func TestBounds(t *testing.T) {
	if _, err := (Frame{KindInput, make([]byte, MaxPayload+1)}).Append(nil); !errors.Is(err, errFrame) {
		t.Errorf("a frame that is too large is written: %v", err)
	}
	huge := binary.BigEndian.AppendUint32([]byte{byte(KindInput)}, MaxPayload+1)
	if _, err := NewClientReader(bytes.NewReader(huge)).Next(); !errors.Is(err, errFrame) {
		t.Errorf("a head that promises too much: %v", err)
	}
	for name, text := range map[string]string{
		"cut in the head": "I\x00\x00", "cut in the payload": "I\x00\x00\x00\x05abc",
	} {
		if _, err := NewClientReader(strings.NewReader(text)).Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What the other side sends is not taken for what this one does.
	if _, err := NewClientReader(strings.NewReader("O\x00\x00\x00\x00")).Next(); !errors.Is(err, errFrame) {
		t.Errorf("a client sends output: %v", err)
	}
	if _, err := NewRunnerReader(strings.NewReader("R\x00\x00\x00\x00")).Next(); !errors.Is(err, errFrame) {
		t.Errorf("the runner asks: %v", err)
	}
}

func TestHostileAsks(t *testing.T) {
	good := Ask{Version: version, Argv: []string{"/usr/bin/id"}}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	term := func(name string) Ask {
		a := good
		a.Terminal = &Terminal{Term: name}
		return a
	}
	for name, a := range map[string]Ask{
		"another version": {Version: 2, Argv: good.Argv}, "no command": {Version: version}, "a NUL": {Version: version, Argv: []string{"/bin/a\x00b"}},
		"no text": {Version: version, Argv: []string{"/bin/\xff"}}, "too many words": {Version: version, Argv: make([]string, maxArgv+1)},
		"too long":           {Version: version, Argv: []string{strings.Repeat("a", maxArgText+1)}},
		"a path as terminal": term("../../tmp/evil"), "a hidden one": term(".evil"), "none": term(""), "a line": term("x\nLD_PRELOAD=y"), "a variable": term("x=y"), "a long one": term(strings.Repeat("x", maxTerm+1)),
	} {
		if a.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for name, text := range map[string]string{"unknown fields": `{"v":1,"argv":["/bin/id"],"uid":0}`, "two values": `{"v":1,"argv":["/bin/id"]}{}`, "no JSON": `{`, "nothing": ``} {
		var a Ask
		if err := Decode(Frame{KindAsk, []byte(text)}, &a); !errors.Is(err, errFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
