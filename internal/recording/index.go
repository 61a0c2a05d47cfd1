package recording

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"stint/internal/recording/vt"
)

// Entry is something in a recording that one looks for or goes to.
type Entry struct {
	At      time.Duration
	Channel uint32
	Kind    string // "command", "line" of output, or the name of a record's kind
	Text    string // of printable characters only
}

// MaxEntries is how many entries an index has at most, and maxTracked how many channels at
// once are followed for lines.
const (
	MaxEntries = 10_000
	maxTracked = 64
	maxExcerpt = 400
)

// Index lists what was run and what the product did: commands, statements, requests, operations on files,
// forwarded connections, notes. more says that there is more than an index holds.
//
// A shell does not say what commands it runs. What stands for one is the line on which the cursor was
// when the person pressed Enter, with its prompt, if input is recorded. So a command that was not
// echoed, that a script ran or an editor started is not in the list.
func Index(d *Reader) (entries []Entry, more bool, err error) {
	full := errors.New("")
	err = walk(d, false, func(e Entry) error {
		if len(entries) == MaxEntries {
			return full
		}
		entries = append(entries, e)
		return nil
	})
	if err == full {
		return entries, true, nil
	}
	return entries, false, err
}

// walk calls each for all entries, with lines of output if they are wanted.
func walk(d *Reader, lines bool, each func(Entry) error) error {
	s := scan{lines: lines, each: each, tracks: map[uint32]*track{}}
	for r, err := range d.Records() {
		if err == nil {
			err = s.record(r)
		}
		if err != nil {
			return err
		}
	}
	for c := range s.tracks {
		s.end(c, d.Report().Length)
	}
	return s.err
}

type scan struct {
	lines  bool
	each   func(Entry) error
	tracks map[uint32]*track
	err    error
}

// track follows the lines of a channel.
type track struct {
	text    vt.Stripper
	now     time.Duration
	pressed time.Duration // when Enter was
	enter   bool
}

func (s *scan) track(channel uint32) *track {
	t := s.tracks[channel]
	if t == nil && len(s.tracks) < maxTracked {
		t = &track{}
		t.text.Line = func(text string) { s.line(t, channel, text) }
		s.tracks[channel] = t
	}
	return t
}

func (s *scan) line(t *track, channel uint32, text string) {
	switch {
	case t.enter && !t.text.Alternate():
		t.enter = false
		s.say(Entry{t.pressed, channel, "command", text})
	case s.lines:
		s.say(Entry{t.now, channel, "line", text})
	}
}

func (s *scan) say(e Entry) {
	if s.err == nil {
		s.err = s.each(e)
	}
}

func (s *scan) end(channel uint32, at time.Duration) {
	if t := s.tracks[channel]; t != nil {
		t.now = at
		t.text.Flush()
		delete(s.tracks, channel)
	}
}

func (s *scan) record(r Record) error {
	say := func(kind Kind, parts ...string) {
		text := ""
		for _, p := range parts {
			if p = plain(p); p != "" {
				text += " " + p
			}
		}
		s.say(Entry{r.At, r.Channel, kind.String(), strings.TrimSpace(text)})
	}
	switch e := r.Event.(type) {
	case Output:
		s.show(r, e.Data)
	case Problem:
		s.show(r, e.Data)
	case Input:
		if t := s.track(r.Channel); t != nil && strings.ContainsAny(string(e.Data), "\r\n") && !t.text.Alternate() {
			t.enter, t.pressed = true, r.At
		}
	case Open:
		if e.From != "" || e.To != "" {
			say(KindOpen, e.Type, e.From, "to", e.To)
		}
	case Exec:
		say(KindExec, e.Type, e.Command)
	case File:
		say(KindFile, e.Op, e.Path, e.To, e.Outcome)
	case Statement:
		say(KindStatement, e.does(), e.Text, e.Outcome)
	case Request:
		say(KindRequest, e.Method, e.Target, fmt.Sprint(e.Status), e.Outcome)
	case Note:
		say(KindNote, e.What+":", e.Text)
	case Close:
		s.end(r.Channel, r.At)
	}
	return s.err
}

func (s *scan) show(r Record, b []byte) {
	if t := s.track(r.Channel); t != nil {
		t.now = r.At
		_, _ = t.text.Write(b) // never fails
	}
}

// plain is a text as one line of printable characters.
func plain(s string) string {
	var lines []string
	p := vt.Stripper{Line: func(text string) { lines = append(lines, text) }}
	_, _ = p.Write([]byte(s)) // never fails
	p.Flush()
	return strings.Join(lines, " ")
}

// Source is a recording to search.
type Source struct {
	Name string
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// Query is what to look for, in any case of letters.
type Query struct {
	Text  string
	Lines bool  // in the output, too, and not only in what was run
	Hits  int   // how many are enough; 0: 100
	Bytes int64 // how much to read at most; 0: no bound
}

// Hit is a place where it stands.
type Hit struct {
	Recording string
	Entry
}

// ErrEnough says that a search ended because it had read as much as it may.
var ErrEnough = errors.New("the search has read as much as it may; narrow it down")

// Search looks through recordings, one after the other. A recording that cannot be read, or is
// damaged, gives an error and the next ones are searched all the same.
func Search(ctx context.Context, q Query, sources iter.Seq[Source], trust Trust, openers ...*Opener) iter.Seq2[Hit, error] {
	return func(yield func(Hit, error) bool) {
		want := strings.ToLower(q.Text)
		left := q.Hits
		if left <= 0 {
			left = 100
		}
		over := errors.New("")
		budget := q.Bytes
		for src := range sources {
			err := func() error {
				r, err := src.Open(ctx)
				if err != nil {
					return err
				}
				defer func() { _ = r.Close() }() // only read
				var from io.Reader = cancellable{ctx, r}
				if q.Bytes > 0 {
					from = &bounded{from, &budget}
				}
				trust.Name = src.Name
				d, err := NewReader(from, trust, openers...)
				if err != nil {
					return err
				}
				return walk(d, q.Lines, func(e Entry) error {
					at := strings.Index(strings.ToLower(e.Text), want)
					if at < 0 {
						return nil
					}
					e.Text = excerpt(e.Text, at)
					if !yield(Hit{src.Name, e}, nil) {
						return over
					}
					if left--; left == 0 {
						return over
					}
					return nil
				})
			}()
			switch {
			case err == over:
				return
			case err == nil:
			case errors.Is(err, ErrEnough) || ctx.Err() != nil:
				yield(Hit{Recording: src.Name}, err)
				return
			case !yield(Hit{Recording: src.Name}, err):
				return
			}
		}
	}
}

// excerpt is what of a long text stands around a place in it, which is about right in the letters'
// other case.
func excerpt(s string, at int) string {
	if len(s) <= maxExcerpt {
		return s
	}
	from := max(0, min(at-maxExcerpt/4, len(s)-maxExcerpt))
	return strings.ToValidUTF8(s[from:from+maxExcerpt], "")
}

// bounded reads no more than is left of a budget.
type bounded struct {
	r    io.Reader
	left *int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if *b.left <= 0 {
		return 0, ErrEnough
	}
	n, err := b.r.Read(p[:min(int64(len(p)), *b.left)])
	*b.left -= int64(n)
	return n, err
}
