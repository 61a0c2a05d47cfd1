package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// Forms of the result.
const (
	asTable = "table"
	asJSON  = "json"
	asYAML  = "yaml"
	asName  = "name"
)

// result is what a command found, in the forms that can be asked for.
type result struct {
	value any      // json, yaml
	names []string // name: one per line
	table *table   // table, if there are rows
	text  string   // table: of a single thing, its facts
}

// checkOutput settles the form before anything is done: a wrong -o must not
// show only after the change.
func (c *cli) checkOutput() error {
	if c.output == "" {
		c.output = c.env["STINT_OUTPUT"]
	}
	switch c.output {
	case "":
		c.output = asTable
	case asTable, asJSON, asYAML, asName:
	default:
		return wrong("unknown-output", quote(c.output)+" is not a form of output", "", "use -o table, json, yaml or name")
	}
	return nil
}

// show writes the result.
func (c *cli) show(r result) error {
	var text []byte
	switch c.output {
	case asJSON:
		b, err := encodeJSON(r.value, "  ")
		if err != nil {
			return err
		}
		text = b
	case asYAML:
		b, err := encodeYAML(r.value)
		if err != nil {
			return err
		}
		text = b
	case asName:
		for _, n := range r.names {
			text = append(append(text, printable(n)...), '\n')
		}
	default:
		text = []byte(r.text)
		if r.table != nil && len(r.table.rows) > 0 {
			text = append(text, r.table.render(c.columns(), c.choosePaint(c.out, c.tty.out))...)
		}
	}
	return c.write(text)
}

// write puts bytes on stdout. A reader that went away is told by the exit code.
func (c *cli) write(text []byte) error {
	if _, err := c.out.Write(text); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

// encodeJSON encodes v for a terminal as well as for a program: no HTML
// escapes, and every rune that a terminal could act on written as an escape,
// which means the same in JSON.
func encodeJSON(v any, indent string) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode the result: %w", err)
	}
	return escapeJSON(b.Bytes()), nil
}

// escapeJSON escapes what json.Encoder leaves as it is. Such runes stand only
// inside strings; the line breaks and spaces outside of them stay.
func escapeJSON(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == '\n' || r >= ' ' && !unsafeRune(r):
			out = append(out, text[:size]...)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, hi, lo)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		text = text[size:]
	}
	return out
}

// jsonLine writes v as one line, for results that have no end.
func (c *cli) jsonLine(v any) error {
	b, err := encodeJSON(v, "")
	if err != nil {
		return err
	}
	_, err = io.Writer(c.out).Write(b)
	return err
}
