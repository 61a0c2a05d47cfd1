package recording

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Asciicast writes a channel of a recording as asciicast v2, as asciinema plays it; channel 0 is the
// first that has a terminal or shows something. Notes become markers, and so does the exit.
//
// A player of asciicast gets the bytes that the session's terminal got, whatever they do to
// a terminal. To look at what somebody hostile recorded, use Frames.
func Asciicast(w io.Writer, d *Reader, channel uint32) error {
	c := cast{w: bufio.NewWriter(w), channel: channel, columns: 80, rows: 24, began: d.Began()}
	for r, err := range d.Records() {
		if err != nil {
			return err
		}
		c.record(r)
	}
	c.header()
	for code := range c.rest {
		c.text(d.Report().Length, code, nil, true)
	}
	return c.w.Flush()
}

type cast struct {
	w             *bufio.Writer
	channel       uint32
	columns, rows uint32
	term, title   string
	cooked        bool // the channel has a terminal, which made whole line ends
	began         time.Time
	begun         bool
	rest          map[string][]byte // of each kind of event, the beginning of a character
}

func (c *cast) record(r Record) {
	switch e := r.Event.(type) {
	case Start:
		c.title = titleOf(e)
		return
	case Note:
		c.header()
		c.event(r.At, "m", e.What+": "+e.Text)
		return
	case Terminal:
		if c.channel == 0 {
			c.channel = r.Channel
		}
		if r.Channel == c.channel {
			c.cooked = true
		}
		if r.Channel == c.channel && !c.begun {
			c.term = e.Term
			if e.Columns > 0 && e.Rows > 0 { // 0 says that it is not known
				c.columns, c.rows = e.Columns, e.Rows
			}
		}
		return
	case Output, Problem:
		if c.channel == 0 {
			c.channel = r.Channel
		}
	}
	if r.Channel != c.channel {
		return
	}
	switch e := r.Event.(type) {
	case Output:
		c.text(r.At, "o", e.Data, false)
	case Problem:
		c.text(r.At, "o", e.Data, false)
	case Input:
		c.text(r.At, "i", e.Data, false)
	case Resize:
		c.header()
		c.event(r.At, "r", fmt.Sprintf("%dx%d", e.Columns, e.Rows))
	case Exit:
		c.header()
		c.event(r.At, "m", exitText(e))
	}
}

func titleOf(e Start) string {
	known := map[string]string{}
	for _, f := range e.Facts {
		known[f.Name] = f.Value
	}
	return strings.TrimSpace(strings.Join([]string{known[FactPerson], known[FactResource], known[FactSession]}, " "))
}

func exitText(e Exit) string {
	if e.Signal != "" {
		return "ended by signal " + e.Signal
	}
	return fmt.Sprintf("exit status %d", e.Status)
}

// header is written as late as the size is known.
func (c *cast) header() {
	if c.begun {
		return
	}
	c.begun = true
	b := fmt.Appendf(nil, `{"version": 2, "width": %d, "height": %d, "timestamp": %d`, c.columns, c.rows, c.began.Unix())
	if c.title != "" {
		b = appendQuoted(append(b, `, "title": `...), c.title)
	}
	if c.term != "" {
		b = append(appendQuoted(append(b, `, "env": {"TERM": `...), c.term), '}')
	}
	_, _ = c.w.Write(append(b, "}\n"...)) // Flush says it
}

// text writes bytes whose characters may be cut anywhere.
func (c *cast) text(at time.Duration, code string, b []byte, last bool) {
	c.header()
	if rest := c.rest[code]; len(rest) > 0 {
		b = append(rest[:len(rest):len(rest)], b...)
		delete(c.rest, code)
	}
	if n := unfinished(b); n > 0 && !last {
		if c.rest == nil {
			c.rest = map[string][]byte{}
		}
		c.rest[code] = append([]byte(nil), b[len(b)-n:]...)
		b = b[:len(b)-n]
	}
	if code == "o" && !c.cooked { // as a terminal would have made of it what is written into a pipe
		b = bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
	}
	if len(b) > 0 {
		c.event(at, code, string(b))
	}
}

// unfinished is how many bytes at the end begin a character and do not end it.
func unfinished(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if c := b[len(b)-n]; utf8.RuneStart(c) {
			if !utf8.FullRune(b[len(b)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}

func (c *cast) event(at time.Duration, code, text string) {
	b := append(make([]byte, 0, len(text)+32), '[')
	b = appendSeconds(b, at)
	b = append(b, `, "`+code+`", `...)
	b = append(appendQuoted(b, text), "]\n"...)
	_, _ = c.w.Write(b) // Flush says it
}

func appendSeconds(b []byte, d time.Duration) []byte {
	return strconv.AppendFloat(b, float64(d.Microseconds())/1e6, 'f', 6, 64)
}

// appendQuoted writes a text as JSON of which nothing is a control, also of a terminal
// that it is shown on: C1, bidirectional and other invisible controls are escaped. What is no UTF-8 becomes U+FFFD.
func appendQuoted(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, '\\', 'n')
		case r == '\r':
			b = append(b, '\\', 'r')
		case r == '\t':
			b = append(b, '\\', 't')
		case r == '<' || r == '>' || r == '&', !unicode.IsPrint(r) && r != ' ' && r < 0x10000:
			b = append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		case !unicode.IsPrint(r) && r != ' ':
			for _, u := range [2]rune{0xd800 + (r-0x10000)>>10, 0xdc00 + (r-0x10000)&0x3ff} {
				b = append(b, '\\', 'u', hex[u>>12&15], hex[u>>8&15], hex[u>>4&15], hex[u&15])
			}
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// Lines writes a recording as one JSON object a line:
//
//	{"record": 7, "at": 1.250000, "channel": 1, "kind": "output", "text": "…"}
//
// Bytes that are no UTF-8 are there once more, exactly, as base64: "text_base64" for a
// field "text".
func Lines(w io.Writer, d *Reader) error {
	out := bufio.NewWriter(w)
	for r, err := range d.Records() {
		if err != nil {
			return err
		}
		if _, err := out.Write(append(appendLine(nil, r), '\n')); err != nil {
			return err
		}
	}
	return out.Flush()
}

func appendLine(b []byte, r Record) []byte {
	b = fmt.Appendf(b, `{"record": %d, "at": `, r.Number)
	b = appendSeconds(b, r.At)
	b = fmt.Appendf(b, `, "channel": %d, "kind": "%s"`, r.Channel, r.Event.Kind())
	number := func(name string, v uint64) { b = fmt.Appendf(b, `, "%s": %d`, name, v) }
	text := func(name, v string) {
		b = appendQuoted(fmt.Appendf(b, `, "%s": `, name), v)
		if !utf8.ValidString(v) {
			b = fmt.Appendf(b, `, "%s_base64": "%s"`, name, base64.StdEncoding.EncodeToString([]byte(v)))
		}
	}
	switch e := r.Event.(type) {
	case Start:
		b = append(b, `, "facts": {`...)
		for i, f := range e.Facts {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = appendQuoted(append(appendQuoted(b, f.Name), ": "...), f.Value)
		}
		b = append(b, '}')
	case Open:
		text("type", e.Type)
		text("from", e.From)
		text("to", e.To)
	case Terminal:
		text("term", e.Term)
		number("columns", uint64(e.Columns))
		number("rows", uint64(e.Rows))
	case Environment:
		text("name", e.Name)
		text("value", e.Value)
		text("outcome", e.Outcome)
	case Exec:
		text("type", e.Type)
		text("command", e.Command)
	case Output:
		text("text", string(e.Data))
	case Problem:
		text("text", string(e.Data))
	case Input:
		text("text", string(e.Data))
	case Resize:
		number("columns", uint64(e.Columns))
		number("rows", uint64(e.Rows))
	case Signal:
		text("name", e.Name)
	case Exit:
		number("status", uint64(e.Status))
		text("signal", e.Signal)
	case File:
		text("op", e.Op)
		text("path", e.Path)
		text("to", e.To)
		number("offset", e.Offset)
		number("bytes", e.Bytes)
		text("outcome", e.Outcome)
	case Close:
		number("sent", e.Sent)
		number("received", e.Received)
	case Statement:
		text("class", e.Class)
		text("text", e.Text)
		text("outcome", e.Outcome)
		number("rows", e.Rows)
		number("bytes", e.Bytes)
	case Request:
		text("method", e.Method)
		text("target", e.Target)
		number("status", uint64(e.Status))
		number("sent", e.Sent)
		number("received", e.Received)
		text("outcome", e.Outcome)
	case Note:
		text("what", e.What)
		text("text", e.Text)
	case Unknown:
		text("body", string(e.Body))
	}
	return append(b, '}')
}
