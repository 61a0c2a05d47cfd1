package web

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/a-h/templ"

	"stint/internal/api"
	"stint/internal/web/ui"
)

// streams are the pages that stay true by themselves: by the name of the view, what
// renders every piece of it that changes, each in a ui.Partial. It is called when a
// stream begins and after what may be a change, and shows what the visitor may see then.
// Times that are left are counted from visit.at, so that what is the same has the same
// bytes, and is not sent again.
func streams() map[string]func(*Site, *visit) (templ.Component, error) {
	return map[string]func(*Site, *visit) (templ.Component, error){
		"access":   (*Site).accessLive,
		"requests": (*Site).requestsLive,
		"session":  (*Site).sessionLive,
		"sessions": (*Site).sessionsLive,
		"request":  (*Site).requestLive,
		"person":   (*Site).personLive,
		"reviews":  (*Site).reviewsLive,
		"review":   (*Site).reviewLive,

		"proposal":  (*Site).proposalLive,
		"proposals": (*Site).proposalsLive,
		"resource":  (*Site).resourceLive,
		"resources": (*Site).resourcesLive,
	}
}

const (
	gather      = 150 * time.Millisecond // changes that come together are one
	gatherMost  = 5 * time.Second        // while looking takes long, it is done seldom
	ping        = 15 * time.Second       // a proxy, or a dead line, is noticed by it
	writeFor    = 10 * time.Second       // a browser that does not read is let go
	streamsEach = 12                     // open pages of one person
	streamLife  = time.Hour              // then the browser comes again by itself
)

// looksAtOnce is how many streams look at a time, of all that are open: a change that
// concerns five hundred pages is worked on by so many, and what people click comes between.
func looksAtOnce() int { return max(4, 2*runtime.GOMAXPROCS(0)) }

var lineEnds = regexp.MustCompile(`\r\n?`)

var nonceForm = regexp.MustCompile(`^[A-Za-z0-9_-]{22}$`)

// open counts the streams of each person.
type open struct {
	mu  sync.Mutex
	per map[string]int
}

func (o *open) enter(who string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.per == nil {
		o.per = map[string]int{}
	}
	if o.per[who] >= streamsEach {
		return false
	}
	o.per[who]++
	return true
}

func (o *open) leave(who string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.per[who]--; o.per[who] <= 0 {
		delete(o.per, who)
	}
}

// events is the stream of a page: all of its pieces at first, so that nothing is missed
// however long the browser was away, and then those that changed.
func (s *Site) events(v *visit) error {
	render, ok := streams()[v.r.URL.Query().Get("view")]
	if !ok {
		return &api.Error{Kind: api.NotFound, Code: "no-such-view", Message: "there is no such stream", Next: "load the page again"}
	}
	// The pieces bear the nonce of the page that they go to. Whoever could choose it
	// without being that page gains nothing: it is answered to them alone.
	if v.nonce = v.r.Header.Get(ui.NonceHeader); !nonceForm.MatchString(v.nonce) {
		return &api.Error{Kind: api.Invalid, Code: "no-nonce", Message: "a stream is for a page of Stint's", Next: "load the page again"}
	}
	if !s.open.enter(v.person.Principal) {
		return &api.Error{Kind: api.TooMany, Code: "too-many-streams", Message: "you have too many pages open", Next: "close some of them"}
	}
	defer s.open.leave(v.person.Principal)
	// A mark from before the first look: what changes in between is looked at again.
	mark, err := s.doors.Mark(v.r.Context())
	if err != nil {
		return err
	}
	text, _, err := s.look(v, render)
	if err != nil {
		return err
	}
	shown := text
	h := v.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	out := &eventStream{w: v.w, control: http.NewResponseController(v.w)}
	_ = out.control.SetReadDeadline(time.Time{}) // the call is read; a deadline left would cut the stream short
	ctx, cancel := context.WithTimeout(v.r.Context(), streamLife)
	defer cancel()
	for {
		if out.send(mark, bytes.Join(text, nil)) != nil {
			return nil // the browser is gone
		}
		var next [][]byte
		if mark, next, err = s.next(ctx, v, out, mark, shown, render); err != nil {
			return nil // the stream ends, and the browser comes again and is told why
		}
		text = changed(shown, next)
		shown = next
	}
}

// next waits for a change that shows, and gives what is to be sent.
func (s *Site) next(ctx context.Context, v *visit, out *eventStream, mark int64, shown [][]byte, render func(*Site, *visit) (templ.Component, error)) (int64, [][]byte, error) {
	for {
		held, done := context.WithTimeout(ctx, ping)
		now, err := s.doors.Follow(held, v.Visitor, mark)
		quiet := held.Err() != nil
		done()
		switch {
		case ctx.Err() != nil:
			return 0, nil, ctx.Err()
		case err != nil:
			return 0, nil, err
		case quiet && now == mark:
			if err := out.ping(); err != nil {
				return 0, nil, err
			}
			if !strings.HasPrefix(v.r.URL.Query().Get("view"), "session") { // what targets have open is in no record
				continue
			}
		}
		mark = now
		select {
		case <-ctx.Done():
			return 0, nil, ctx.Err()
		case <-time.After(min(gatherMost, max(gather, 10*out.cost))):
		}
		text, took, err := s.look(v, render)
		out.cost = took
		if s.kind(v, err) == api.TooMany { // of the person's looks in all; this one comes a moment later
			out.cost, mark = gatherMost, mark-1
			continue
		}
		if err != nil || len(changed(shown, text)) > 0 {
			return mark, text, err
		}
	}
}

// changed are the pieces that are not as they were. One that is as it was stays away from
// the page, where somebody may have opened or begun something in it.
func changed(was, is [][]byte) (out [][]byte) {
	for i, p := range is {
		if len(was) != len(is) || !bytes.Equal(was[i], p) {
			out = append(out, p)
		}
	}
	return out
}

// look renders a page's pieces when it is this stream's turn. It is a queue and no lock: the
// store is asked meanwhile. What took is without the wait, of which the queue itself takes care.
func (s *Site) look(v *visit, render func(*Site, *visit) (templ.Component, error)) (text [][]byte, took time.Duration, err error) {
	select {
	case s.looks <- struct{}{}:
		defer func() { <-s.looks }()
	case <-v.r.Context().Done():
		return nil, 0, v.r.Context().Err()
	}
	began := time.Now()
	text, err = s.pieces(v, render)
	return text, time.Since(began), err
}

// pieces renders what changes on a page, each for itself. What people wrote is escaped,
// so that none ends a piece.
func (s *Site) pieces(v *visit, render func(*Site, *visit) (templ.Component, error)) ([][]byte, error) {
	all, err := render(s, v)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := all.Render(templ.WithNonce(v.r.Context(), v.nonce), &out); err != nil {
		return nil, fmt.Errorf("render a stream: %w", err)
	}
	return bytes.SplitAfter(out.Bytes(), []byte("</hx-partial>")), nil
}

// eventStream writes server-sent events.
type eventStream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	cost    time.Duration // of the last look
}

// send sends one message without a name. Its data are as many lines as the text has, and
// a carriage return ends a line too (the HTML standard, section 9.2.6): a reason with one
// in it begins no field of its own.
func (e *eventStream) send(id int64, text []byte) error {
	var out bytes.Buffer
	fmt.Fprintf(&out, "id: %d\n", id)
	for line := range bytes.SplitSeq(lineEnds.ReplaceAll(text, []byte("\n")), []byte("\n")) {
		out.WriteString("data: ")
		out.Write(line)
		out.WriteByte('\n')
	}
	out.WriteByte('\n')
	return e.write(out.Bytes())
}

func (e *eventStream) ping() error { return e.write([]byte(": \n\n")) }

func (e *eventStream) write(b []byte) error {
	if err := e.control.SetWriteDeadline(time.Now().Add(writeFor)); err != nil {
		return err
	}
	if _, err := e.w.Write(b); err != nil {
		return err
	}
	return e.control.Flush()
}
