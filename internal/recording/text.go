package recording

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Text writes what a recording shows as lines of printable characters: what was shown, line by
// line, and between that, with their time, what was run and what the product did. Channel 0 is
// all of them.
func Text(w io.Writer, d *Reader, channel uint32) error {
	out := bufio.NewWriter(w)
	err := walk(d, true, func(e Entry) (err error) {
		switch {
		case channel != 0 && e.Channel != channel && e.Channel != 0:
		case e.Kind == "line", e.Kind == "command":
			_, err = fmt.Fprintln(out, e.Text)
		default:
			_, err = fmt.Fprintf(out, "--- %s %s: %s\n", Offset(e.At), e.Kind, e.Text)
		}
		return err
	})
	return errors.Join(err, out.Flush())
}

// Offset is a time within a recording, as people read it: 1:02:03.4.
func Offset(d time.Duration) string {
	d = d.Truncate(100 * time.Millisecond)
	s := fmt.Sprintf("%02d:%04.1f", int(d.Minutes())%60, (d % time.Minute).Seconds())
	if h := int(d.Hours()); h > 0 {
		return fmt.Sprintf("%d:%s", h, s)
	}
	return s
}

// Find calls each for the entries of a recording in which a text stands, in any case of letters,
// until it says no: with lines in what was shown, too, and not only in what was run.
func Find(d *Reader, text string, lines bool, each func(Entry) bool) error {
	want, over := strings.ToLower(text), errors.New("")
	err := walk(d, lines, func(e Entry) error {
		at := strings.Index(strings.ToLower(e.Text), want)
		if at < 0 {
			return nil
		}
		if e.Text = excerpt(e.Text, at); !each(e) {
			return over
		}
		return nil
	})
	if err == over {
		return nil
	}
	return err
}
