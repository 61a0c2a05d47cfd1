package pggate

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"stint/internal/gateway"
	"stint/internal/gateway/statement"
)

// sayWithin is for how long a client may keep the gateway from saying why a session ends.
const sayWithin = 250 * time.Millisecond

// session is one client's connection and one to the server.
type session struct {
	*gateway.Session
	server *Server
	client net.Conn
	source netip.AddrPort
	up     *upstream
	tape   Tape
	track  *tracker
	told   map[statement.Refusal]string // what the client is told of what was refused; upward's alone

	pid    uint32 // the cancel key that the client has
	secret [4]byte

	carried atomic.Uint64 // bytes of rows and copied data, for the limit
	copied  atomic.Uint64 // bytes that the client copied in since the last outcome

	// out guards what is written to the client: a message of the server's, or one of ours.
	out    sync.Mutex
	toward *outlet
	torn   bool // a message was begun and not ended
}

// run carries messages until the session is over, and closes everything.
func (o *session) run() {
	o.toward = &outlet{to: o.client}
	o.server.enter(o)
	var both sync.WaitGroup
	both.Go(func() { o.finish(o.upward()) })
	both.Go(func() { o.finish(o.downward()) })
	both.Go(o.notices)
	<-o.Context().Done()
	o.close()
	both.Wait()
	o.server.leave(o)
	if err := o.tape.Close(o.Over()); err != nil {
		o.server.Log.Error("the end of a session was not recorded", "session", o.ID, "error", err)
	}
	o.Closed()
}

// ending is an error that says why a session ends.
type ending struct {
	reason gateway.Reason
	text   string
}

func (e *ending) Error() string { return string(e.reason) + ": " + e.text }

// finish ends the session because one direction has.
func (o *session) finish(err error) {
	var e *ending
	if errors.As(err, &e) {
		o.End(e.reason, e.text)
	}
}

// lost is the end because a peer went away, or sent what the protocol does not have.
func lost(gone gateway.Reason, err error) error {
	var e *ending
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, errMalformed), errors.Is(err, errTooLong):
		return &ending{gateway.Refused, err.Error()}
	}
	return &ending{reason: gone}
}

func (o *session) unrecorded(err error) error {
	o.server.Log.Error("a session could not be recorded", "session", o.ID, "error", err)
	return &ending{reason: gateway.Unrecorded}
}

// close says why, stops what runs, and closes both connections. Nothing of it waits
// for a peer for longer than a moment.
func (o *session) close() {
	var stop sync.WaitGroup
	// Of a session that waits for its client nothing runs, and nothing more is sent: a
	// thousand that end at once are not a thousand connections more.
	if o.track.shut() {
		stop.Go(func() {
			if err := o.server.cancel(context.Background(), o.up); err != nil {
				o.server.Log.Debug("a statement was not cancelled", "session", o.ID, "error", err)
			}
		})
	}
	_ = o.client.SetWriteDeadline(time.Now().Add(sayWithin)) // it ends a message that is under way, too
	o.out.Lock()
	if !o.torn && o.Over().Reason != gateway.ClientGone {
		why := o.Over()
		_, _ = o.toward.awake().Write(said('E', "S", "FATAL", "V", "FATAL", "C", "57P01", "M", "stint: the session has ended: "+why.Reason.Sentence(), "D", why.Text,
			"H", next(why.Reason)))
		_ = o.toward.Flush()
	}
	o.torn = true // nothing more is written
	o.out.Unlock()
	stop.Wait()
	hangUp(o.up.Conn)
	hangUp(o.client)
}

// hangUp closes a connection without TLS's own goodbye, which waits for a peer that does
// not read.
func hangUp(c net.Conn) {
	if h, is := c.(*hijacked); is {
		c = h.Conn
	}
	if t, is := c.(*tls.Conn); is {
		c = t.NetConn()
	}
	_ = c.Close()
}

func next(r gateway.Reason) string {
	switch r {
	case gateway.Expired, gateway.Revoked, gateway.Returned, gateway.Policy:
		return "ask again with: stint request"
	case gateway.Partitioned, gateway.Stopping, gateway.Unknown:
		return "connect again"
	}
	return ""
}

// notices tells the client how long it has left, between two messages of the server's.
func (o *session) notices() {
	heard, stop := o.Notices()
	defer stop()
	for {
		var n gateway.Notice
		select {
		case <-o.Context().Done():
			return
		case n = <-heard:
		}
		text, hint := fmt.Sprintf("stint: your access to %s ends in %s", o.Resource, n.Left.Round(time.Second)), "for more time: stint extend "+string(o.Grant)+` --for 30m --why "…"; in psql, with \! before it`
		switch {
		case n.Paused:
			text, hint = fmt.Sprintf("stint: your session on %s is paused", o.Resource), "nothing passes until whoever watches it lets it go on"
		case n.Resumed:
			text, hint = fmt.Sprintf("stint: your session on %s goes on", o.Resource), ""
		case n.Extended:
			text, hint = fmt.Sprintf("stint: your access to %s was extended, and ends in %s", o.Resource, n.Left.Round(time.Second)), ""
		}
		o.out.Lock()
		if !o.torn {
			_, err := o.toward.awake().Write(said('N', "S", "WARNING", "V", "WARNING", "C", "01000", "M", text, "H", hint))
			if err == nil {
				err = o.toward.Flush()
			}
			o.torn = o.torn || err != nil
		}
		o.out.Unlock()
	}
}

// upward carries what the client sends, statements recorded first.
func (o *session) upward() error {
	r, w := newInlet(o.client), &outlet{to: o.up}
	defer r.release()
	var below *ahead // of the client's TLS
	if t, is := o.client.(*tls.Conn); is {
		below, _ = t.NetConn().(*ahead)
	}
	for {
		if r.Buffered() < headLen && !below.more() {
			if err := w.Flush(); err != nil {
				return lost(gateway.TargetGone, err)
			}
		}
		r.wait()
		h, err := peekHead(r.Reader)
		if err != nil {
			return lost(gateway.ClientGone, err)
		}
		if over := o.Pass(); over != nil { // it may be paused
			return &ending{reason: over.Reason}
		}
		if r.Buffered() < headLen+h.n && !below.more() { // what came before it does not wait for the rest of it
			if err := w.Flush(); err != nil {
				return lost(gateway.TargetGone, err)
			}
		}
		if err := o.upOne(r.Reader, w.awake(), h); err != nil {
			return err
		}
		if h.kind == 'X' {
			_ = w.Flush()
			return &ending{reason: gateway.ClientGone}
		}
	}
}

// upOne carries one message. Its head stands in r still.
func (o *session) upOne(r *bufio.Reader, w *bufio.Writer, h head) error {
	most, refused := longestSmall, ""
	switch h.kind {
	case 'Q', 'P':
		most = mostStatement
	case 'B', 'd':
		return o.upLarge(r, w, h)
	case 'E', 'D', 'C', 'S', 'H', 'c', 'f', 'X':
	case 'F':
		_ = o.tape.Statement(Statement{N: o.track.number(), How: Rejected, Text: "a function call without a statement", Why: "no statement"})
		return &ending{gateway.Refused, "function calls that are no statements do not pass: they would not be recorded"}
	default:
		return &ending{gateway.Refused, fmt.Sprintf("a message of type %q", h.kind)}
	}
	b, err := whole(r, h, most)
	if err != nil {
		return lost(gateway.ClientGone, err)
	}
	body := b[headLen:]
	switch h.kind {
	case 'Q':
		text, rest, err := word(body)
		if err != nil || len(rest) > 0 {
			return &ending{gateway.Refused, "a query that is not one text"}
		}
		if refused, err = o.statement(Statement{How: Simple, Text: text}, pending{kind: 'Q'}); err != nil {
			return err
		}
		if refused != "" {
			b = frame('Q', []byte(nothing+"\x00"))
		}
	case 'P':
		name, rest, err := word(body)
		if err != nil || len(name) > longestName {
			return &ending{gateway.Refused, "a statement without a name that can be"}
		}
		text, _, err := word(rest)
		if err != nil {
			return &ending{gateway.Refused, "a statement that is no text"}
		}
		if refused, err = o.statement(Statement{How: Prepared, Text: text}, pending{kind: 'P', name: &named{space: ofStatements, name: name}}); err != nil {
			return err
		}
		if refused != "" {
			b = frame('P', []byte(name+"\x00"+nothing+"\x00\x00\x00"))
		}
	case 'E':
		portal, _, err := word(body)
		if err != nil {
			return &ending{gateway.Refused, "a portal that has no name"}
		}
		of := o.track.of(portal)
		if _, err := o.statement(Statement{How: Executed, Of: of.n, Classes: of.classes}, pending{kind: 'E', name: &named{space: ofPortals, name: portal, what: of}}); err != nil {
			return err
		}
	case 'C':
		if len(body) < 2 || body[0] != ofStatements && body[0] != ofPortals {
			return &ending{gateway.Refused, "it closes nothing"}
		}
		name, _, err := word(body[1:])
		if err != nil {
			return &ending{gateway.Refused, "it closes what has no name"}
		}
		if err := o.track.sent(pending{kind: 'C', name: &named{space: body[0], name: name}}); err != nil {
			return err
		}
	case 'D', 'S':
		if err := o.track.sent(pending{kind: h.kind}); err != nil {
			return err
		}
	case 'c', 'f':
		if err := o.track.copyEnds(); err != nil {
			return err
		}
	}
	if _, err := w.Write(b); err != nil {
		return lost(gateway.TargetGone, err)
	}
	return nil // upward flushes before it waits
}

// statement records one, and then notes that it will be answered. The order is the
// invariant: what was not recorded is not sent. Where it is refused, its answer is refused.
func (o *session) statement(s Statement, p pending) (refused string, _ error) {
	s.N = o.track.number()
	if s.How != Executed {
		refused = o.judge(&s)
	}
	if err := o.tape.Statement(s); err != nil {
		return "", o.unrecorded(err)
	}
	p.n, p.refused = s.N, refused
	switch {
	case refused != "":
		p.name = nil // nothing gets it
	case s.How == Prepared:
		p.name.what = origin{s.N, s.Classes}
	}
	return refused, o.track.sent(p)
}

// upLarge carries what may be of any size: values, and copied data.
func (o *session) upLarge(r *bufio.Reader, w *bufio.Writer, h head) error {
	if h.kind == 'B' {
		b, err := r.Peek(headLen + min(h.n, 2*(longestName+1)))
		if err != nil {
			return lost(gateway.ClientGone, err)
		}
		portal, rest, err := word(b[headLen:])
		if err != nil || len(portal) > longestName {
			return &ending{gateway.Refused, "a portal without a name that can be"}
		}
		statement, _, err := word(rest)
		if err != nil || len(statement) > longestName {
			return &ending{gateway.Refused, "values for a statement without a name that can be"}
		}
		if err := o.track.sent(pending{kind: 'B', name: &named{space: ofPortals, name: portal, of: statement}}); err != nil {
			return err
		}
	} else {
		o.copied.Add(uint64(h.n))
		if err := o.within(0, uint64(h.n), nil); err != nil {
			return err
		}
	}
	reading, writing := pass(w, r, h)
	switch {
	case reading != nil:
		return lost(gateway.ClientGone, reading)
	case writing != nil:
		return lost(gateway.TargetGone, writing)
	}
	return nil
}

// within counts what passes, and ends the session where it is more than the role allows.
func (o *session) within(rows, bytes uint64, sum *uint64) error {
	all := o.carried.Add(bytes)
	if most := o.Limits.Bytes; most > 0 && all > most {
		return &ending{gateway.Policy, fmt.Sprintf("more than the %d bytes that the role allows in one session", most)}
	}
	if sum != nil {
		*sum += rows
		if most := o.Limits.Rows; most > 0 && *sum > most {
			return &ending{gateway.Policy, fmt.Sprintf("more than the %d rows that the role allows in one session", most)}
		}
	}
	return nil
}
