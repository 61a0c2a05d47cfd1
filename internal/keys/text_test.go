package keys

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
)

func line(n byte) string { return string(encodeText(*ringOf(n).ring.Load())) }

func TestTextGolden(t *testing.T) {
	want := "stint-seal-key-1:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n"
	if got := line(1); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	ring, err := parseText([]byte(want))
	if err != nil || len(ring) != 1 || !bytes.Equal(ring[0].secret(), ringOf(1).current().secret()) {
		t.Errorf("parsed to %v, %v", ring, err)
	}
}

func TestParseText(t *testing.T) {
	one, two := line(1), line(2)
	b64 := func(n int) string {
		return linePrefix + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{9}, n)) + "\n"
	}
	for _, c := range []struct {
		name, text string
		want       int    // keys
		err        string // part of the error
	}{
		{"one", one, 1, ""},
		{"one without a newline", strings.TrimSuffix(one, "\n"), 1, ""},
		{"two", one + two, 2, ""},
		{"two without the last newline", one + strings.TrimSuffix(two, "\n"), 2, ""},
		{"empty", "", 0, "empty"},
		{"newline", "\n", 0, "line 1"},
		{"blank line at the end", one + "\n", 0, "line 2"},
		{"blank line between", one + "\n" + two, 0, "line 2"},
		{"comment", "# my key\n" + one, 0, "line 1"},
		{"space before", " " + one, 0, "line 1"},
		{"space after", strings.TrimSuffix(one, "\n") + " \n", 0, "line 1"},
		{"carriage return", strings.TrimSuffix(one, "\n") + "\r\n", 0, "line 1"},
		{"carriage return in place of padding", strings.Replace(one, "=\n", "\r\n", 1), 0, "line 1"},
		{"another version", strings.Replace(one, "key-1", "key-2", 1), 0, "line 1"},
		{"no prefix", strings.TrimPrefix(one, linePrefix), 0, "line 1"},
		{"upper-case prefix", strings.Replace(one, "stint", "Stint", 1), 0, "line 1"},
		{"31 bytes", b64(31), 0, "line 1"},
		{"33 bytes", b64(33), 0, "line 1"},
		{"no bytes", b64(0), 0, "line 1"},
		{"no padding", strings.Replace(one, "=\n", "\n", 1), 0, "line 1"},
		{"loose last bits", strings.Replace(one, "E=\n", "F=\n", 1), 0, "line 1"},
		{"URL alphabet", strings.Replace(one, "AQE", "_-A", 1), 0, "line 1"},
		{"twice the same", one + two + one, 0, "line 3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ring, err := parseText([]byte(c.text))
			if len(ring) != c.want || (err == nil) != (c.err == "") {
				t.Fatalf("%d keys and %v; want %d", len(ring), err, c.want)
			}
			if err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %q, want it to say %q", err, c.err)
			}
			if err != nil && strings.Contains(err.Error(), "AQEB") {
				t.Errorf("the error shows the key: %q", err)
			}
		})
	}
}

func FuzzParseText(f *testing.F) {
	f.Add([]byte(line(1)))
	f.Add([]byte(line(1) + line(2)))
	f.Add([]byte(strings.TrimSuffix(line(3), "\n")))
	f.Add([]byte(strings.Replace(line(1), "=\n", "\r\n", 1)))
	f.Fuzz(func(t *testing.T, text []byte) {
		ring, err := parseText(text)
		if err != nil {
			return
		}
		if again := encodeText(ring); !bytes.Equal(again, text) && !bytes.Equal(again, append(bytes.Clone(text), '\n')) {
			t.Errorf("%q was read and is written as %q", text, again)
		}
	})
}
