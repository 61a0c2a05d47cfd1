package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// encodeYAML writes the JSON encoding of v as YAML, with the same names in the
// same order. Strings that a reader of YAML might take for something else, and
// all that a terminal could act on, are written as JSON strings, which are YAML
// too; a general encoder would write control characters as they are.
func encodeYAML(v any) ([]byte, error) {
	text, err := encodeJSON(v, "")
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var y yamlWriter
	if err := y.value(dec, 0, true); err != nil {
		return nil, fmt.Errorf("encode the result: %w", err)
	}
	return y.out.Bytes(), nil
}

type yamlWriter struct{ out bytes.Buffer }

// value writes the next value of dec. At the start of a line or after "- ",
// first is true and a collection goes on in place; else it begins a new line.
func (y *yamlWriter) value(dec *json.Decoder, depth int, first bool) error {
	tok, err := dec.Token()
	if err != nil {
		return err
	}
	switch delim, _ := tok.(json.Delim); delim {
	case '{', '[':
		if !dec.More() {
			y.space(first)
			y.out.WriteString(map[json.Delim]string{'{': "{}\n", '[': "[]\n"}[delim])
			_, err := dec.Token()
			return err
		}
		if !first {
			y.out.WriteByte('\n')
		}
		return y.collection(dec, delim, depth, first)
	}
	y.space(first)
	text, err := yamlScalar(tok)
	y.out.WriteString(text + "\n")
	return err
}

func (y *yamlWriter) collection(dec *json.Decoder, delim json.Delim, depth int, inPlace bool) error {
	for dec.More() {
		if !inPlace {
			y.out.WriteString(strings.Repeat("  ", depth))
		}
		inPlace = false
		if delim == '[' {
			y.out.WriteString("- ")
			if err := y.value(dec, depth+1, true); err != nil {
				return err
			}
			continue
		}
		key, err := dec.Token()
		if err != nil {
			return err
		}
		text, err := yamlScalar(key)
		if err != nil {
			return err
		}
		y.out.WriteString(text + ":")
		if err := y.value(dec, depth+1, false); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return err
}

func (y *yamlWriter) space(first bool) {
	if !first {
		y.out.WriteByte(' ')
	}
}

// plainYAML is text that every version of YAML reads as a string, if it is not
// one of the words below.
var plainYAML = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_./@-]*( [A-Za-z0-9_./@-]+)*$`)

func yamlScalar(tok json.Token) (string, error) {
	s, ok := tok.(string)
	if !ok {
		b, err := json.Marshal(tok)
		return string(b), err
	}
	switch strings.ToLower(s) {
	case "null", "true", "false", "yes", "no", "on", "off", "y", "n":
	default:
		if plainYAML.MatchString(s) {
			return s, nil
		}
	}
	b, err := encodeJSON(s, "")
	return strings.TrimSuffix(string(b), "\n"), err
}
