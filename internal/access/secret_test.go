package access

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"strings"
	"testing"
)

const plaintext = "hunter2-\"<&>-plain"

// leaks says how text gives the secret away, or nothing.
func leaks(text string) string {
	b := []byte(plaintext)
	numbers := strings.Trim(fmt.Sprint(b), "[]")
	for name, form := range map[string]string{
		"as it is": plaintext, "in part": "hunter2", "in hex": hex.EncodeToString(b), "in HEX": strings.ToUpper(hex.EncodeToString(b)), "in spaced hex": fmt.Sprintf("% x", b),
		"in base64": base64.StdEncoding.EncodeToString(b), "in numbers": numbers, "in numbers with commas": strings.ReplaceAll(numbers, " ", ","),
		"in Go": strings.Trim(fmt.Sprintf("%#v", b), "[]byte{}"), "in octal": strings.Trim(fmt.Sprintf("%o", b), "[]"), "in binary": strings.Trim(fmt.Sprintf("%b", b), "[]"),
	} {
		if strings.Contains(text, form) {
			return name
		}
	}
	return ""
}

// holders are the places a secret can be in when someone prints.
func holders() map[string]any {
	s := NewSecret([]byte(plaintext))
	type open struct{ S Secret }
	type shut struct{ s Secret }
	type deep struct{ p *shut }
	type embedded struct{ Secret }
	return map[string]any{
		"value": s, "pointer": &s, "field": open{s}, "unexported field": shut{s}, "pointer to unexported": &shut{s}, "deep": deep{&shut{s}},
		"embedded": embedded{s}, "slice": []Secret{s}, "slice of unexported": []shut{{s}}, "map": map[string]Secret{"k": s}, "map of unexported": map[string]shut{"k": {s}},
		"array": [1]Secret{s}, "any": []any{s, &s, shut{s}}, "in an error": errors.Join(fmt.Errorf("it is %v", shut{s})),
	}
}

func TestSecretNeverPrints(t *testing.T) {
	for name, v := range holders() {
		for c := rune('a'); c <= 'z'; c++ {
			for _, flags := range []string{"", "+", "#", " ", "0", "-", "+#", "# ", "20", ".3"} {
				for _, verb := range []rune{c, c - 'a' + 'A'} {
					format := "%" + flags + string(verb)
					if how := leaks(fmt.Sprintf(format, v)); how != "" {
						t.Errorf("%s with %s prints it %s", name, format, how)
					}
				}
			}
		}
		var buf bytes.Buffer
		fmt.Fprintln(&buf, v)
		log.New(&buf, "", 0).Print(v)
		slog.New(slog.NewJSONHandler(&buf, nil)).Info("m", "v", v, slog.Any("g", slog.GroupValue(slog.Any("v", v))))
		slog.New(slog.NewTextHandler(&buf, nil)).Info("m", "v", v, slog.Any("g", slog.GroupValue(slog.Any("v", v))))
		if b, err := json.Marshal(v); err == nil {
			buf.Write(b)
		}
		if b, err := json.MarshalIndent(map[string]any{"v": v}, "", " "); err == nil {
			buf.Write(b)
		}
		if b, err := xml.Marshal(v); err == nil {
			buf.Write(b)
		}
		_ = gob.NewEncoder(&buf).Encode(v)
		if how := leaks(buf.String()); how != "" {
			t.Errorf("%s is encoded %s: %s", name, how, buf.String())
		}
	}
}

// The placeholder shows, so that a reader knows that something is there.
func TestSecretShowsAPlaceholder(t *testing.T) {
	s := NewSecret([]byte(plaintext))
	b, err := json.Marshal(struct{ S Secret }{s})
	x, err2 := xml.Marshal(struct {
		XMLName xml.Name `xml:"x"`
		S       Secret   `xml:"s,attr"`
	}{S: s})
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	for _, got := range []string{s.String(), s.GoString(), fmt.Sprintf("%x", s), fmt.Sprintf("%d", Secret{}), string(b), string(x)} {
		if !strings.Contains(got, hidden) {
			t.Errorf("%q", got)
		}
	}
	if leaks(fmt.Sprint(struct{ b []byte }{[]byte(plaintext)})) == "" || leaks(plaintext) == "" {
		t.Error("the test does not see a secret that is printed")
	}
}

func TestSecret(t *testing.T) {
	s := NewSecret([]byte(plaintext))
	if string(s.Reveal()) != plaintext || s.Empty() {
		t.Error("the bytes are lost")
	}
	if !s.Equal(NewSecret([]byte(plaintext))) || s.Equal(NewSecret([]byte("x"))) || s.Equal(Secret{}) || !(Secret{}).Equal(NewSecret(nil)) {
		t.Error("Equal")
	}
	if !(Secret{}).Empty() || !NewSecret(nil).Empty() || !NewSecret([]byte{}).Empty() || (Secret{}).Reveal() != nil {
		t.Error("Empty")
	}
	copied := s
	s.Wipe()
	Secret{}.Wipe()
	if strings.Trim(string(copied.Reveal()), "\x00") != "" {
		t.Error("Wipe leaves the bytes in a copy")
	}
}
