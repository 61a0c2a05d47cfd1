package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"
)

// What is signed must mean one thing only, whoever reads it. Go's decoders are
// lenient where that matters: JSON takes repeated names and names in another
// case, base64 takes line breaks. These take neither.

var errStrict = errors.New("it is not plain JSON")

// decode reads base64url without padding, exactly as encode writes it.
func decode(s string) ([]byte, error) {
	for i := range len(s) {
		if s[i] == '\r' || s[i] == '\n' {
			return nil, base64.CorruptInputError(i)
		}
	}
	return base64.RawURLEncoding.Strict().DecodeString(s)
}

// members reads one JSON object with exactly the required names, each once,
// and perhaps the optional one.
func members(object []byte, optional string, required ...string) (map[string]json.RawMessage, error) {
	if !utf8.Valid(object) {
		return nil, errStrict
	}
	dec := json.NewDecoder(bytes.NewReader(object))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errStrict
	}
	m := make(map[string]json.RawMessage, len(required)+1)
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, errStrict
		}
		if _, twice := m[name]; twice {
			return nil, errors.New("it says " + quoted(name) + " twice")
		}
		if name != optional && !slices.Contains(required, name) || name == "" {
			return nil, errors.New("it says " + quoted(name) + ", which is not understood")
		}
		var value json.RawMessage
		if dec.Decode(&value) != nil {
			return nil, errStrict
		}
		m[name] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, errStrict
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errStrict
	}
	for _, name := range required {
		if _, ok := m[name]; !ok {
			return nil, errors.New("it does not say " + quoted(name))
		}
	}
	return m, nil
}

// text is a JSON string; not null, which Go would take for an empty one.
func text(raw json.RawMessage) (string, bool) {
	var s string
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return "", false
	}
	return s, true
}

// seconds is a JSON number of whole seconds since 1970, written plainly.
func seconds(raw json.RawMessage) (int64, bool) {
	const most = 12 // digits; beyond the year 9999
	if len(raw) == 0 || len(raw) > most || raw[0] < '0' || raw[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	return n, err == nil
}
