package hsm

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWrapper: the key in the token is made once, what it wrapped says which it was, and
// no answer is believed in its form.
func TestWrapper(t *testing.T) {
	r := newRoom(t)
	w := Wrapper{Settings: r.settings, Label: "stint-seal"}
	key := bytes.Repeat([]byte{7}, 32)
	var wrapped []byte
	for range 2 {
		var err error
		wrapped, err = w.Wrap("0123", key)
		must(t, err)
	}
	if made, err := os.ReadFile(filepath.Join(r.dir, "secret")); err != nil || string(made) != "stint-seal\n" {
		t.Errorf("it made %q, %v", made, err)
	}
	if !bytes.HasPrefix(wrapped, []byte("\x01\x0astint-seal")) || bytes.Contains(wrapped, key) {
		t.Errorf("%q", wrapped)
	}
	w.Label = "another" // the label of before is in what was wrapped
	if got, err := w.Unwrap("0123", wrapped); err != nil || !bytes.Equal(got, key) {
		t.Errorf("%x, %v", got, err)
	}
	if got, err := w.Unwrap("9123", wrapped); err == nil && bytes.Equal(got, key) {
		t.Error("it opens in the place of another key")
	}
	for _, bad := range []string{"", "\x01", "\x02" + string(wrapped[1:]), "\x01\xff" + string(wrapped[2:]), "\x01\x03a/b1234"} {
		if got, err := w.Unwrap("0123", []byte(bad)); err == nil {
			t.Errorf("%q opens: %x", bad, got)
		}
	}
	for _, ill := range []string{"empty", "die", "away"} {
		r.file(ill, "")
		if got, err := w.Unwrap("0123", wrapped); err == nil || strings.Contains(err.Error(), "5678") {
			t.Errorf("%s: %x, %v", ill, got, err)
		}
		must(t, os.Remove(filepath.Join(r.dir, ill)))
	}
}
