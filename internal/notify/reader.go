package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"stint/internal/access"
	"stint/internal/audit"
)

// Record is one numbered record of the log.
type Record struct {
	Seq     int64
	Encoded []byte // as audit.Encode made it
}

// Log is the audit log.
type Log interface {
	// Records are those with a greater number than after, in order; none when
	// there are no more.
	Records(ctx context.Context, after int64, limit int) ([]Record, error)
	// Wait returns when there is a record after that one, or ctx is done.
	Wait(ctx context.Context, after int64) error
}

// Memory keeps how far each channel has read, and what it sent. Of several replicas
// one has the turn; who has not gets access.Conflict for every change.
type Memory interface {
	// Begin makes a channel that has read up to a record. One that is there stays.
	Begin(ctx context.Context, channel string, seq int64) error
	// Turn takes or keeps the turn for a time, and says how far the channel has read,
	// also with access.Conflict. A channel that was not begun is access.NotFound.
	Turn(ctx context.Context, channel, owner string, lasts time.Duration) (seq int64, err error)
	// Read notes how far the channel has read, what that concerns, and what is the
	// matter with it, in one step.
	Read(ctx context.Context, channel, owner string, seq int64, concerns []Concern, state []byte) error
	// Due lists messages that wait to be sent, and says in how long the next one is
	// due if none is now; below zero if none waits.
	Due(ctx context.Context, channel string, limit int) ([]Pending, time.Duration, error)
	// States are what was noted last to be the matter, by channel.
	States(ctx context.Context) (map[string][]byte, error)
	// Sent notes that what stands in a message tells of record p.Have. While it wants
	// more it is due again after a while.
	Sent(ctx context.Context, channel, owner string, p Pending, again time.Duration) error
}

// Pending is a message that waits to be sent.
type Pending struct {
	Subject string
	Want    int64
	Have    int64
	State   []byte // of the message: sent, as JSON; empty before the first
}

// Sent is what stands in a channel for one subject.
type Sent struct {
	Remote string `json:"remote,omitempty"` // what the channel calls it
	Shows  string `json:"shows,omitempty"`  // digest of what was sent
	Stage  Stage  `json:"stage,omitempty"`  // the last one that was told
	Nudge  int    `json:"nudge,omitempty"`  // of the message that was told
	Parts  int    `json:"parts,omitempty"`  // how often something was sent
	Tries  int    `json:"tries,omitempty"`  // in vain, since then
}

// Channel tells of subjects, each in one message.
type Channel interface {
	// Send sees to it that what stands in the channel is m. before is what stood there:
	// its zero value at first. It returns what stands there now. A channel that cannot
	// change what it sent sends again, or nothing, as it sees fit.
	Send(ctx context.Context, m Message, before Sent) (Sent, error)
}

// Stream hands on the records themselves.
type Stream interface {
	Hand(ctx context.Context, r audit.Record, seq int64) error
}

// Refused is an answer that is about one message and not about the channel: it is
// tried again later, and others go on meanwhile.
type Refused struct{ Why string }

func (r *Refused) Error() string { return r.Why }

// Later is that a channel asks to be left alone for a while.
type Later struct {
	After time.Duration
	Why   string
}

func (l *Later) Error() string { return l.Why + "; again in " + l.After.String() }

// Pace of the work.
const (
	batch     = 200              // records at a time
	dueBatch  = 50               // messages at a time
	turnLasts = time.Minute      // longer than a call can take
	notOurs   = 5 * time.Second  // until the turn is looked at again
	firstWait = time.Second      // after a failure; doubled each time
	mostWait  = 5 * time.Minute  // and no longer than this
	mostAfter = 30 * time.Minute // a channel may ask for no more
	idleSeqs  = 1000             // records that concern nobody, until it is noted that they were read
)

// reader serves one channel.
type reader struct {
	name    string // of the channel, unlike any other that ever was
	owner   string
	site    Site
	filter  filter
	channel Channel // one of the two is set
	stream  Stream
	at      Integration
	own     Requesters // set in the reader that tells who asked

	source Log
	memory Memory
	world  World
	log    *slog.Logger

	seq   int64 // read up to here; may be ahead of what is noted
	noted int64
	fails int
	said  string // the trouble that was told of; empty: none
	begun bool
	took  time.Time // when the turn was taken last
	state []byte    // what was noted to be the matter
}

// run serves the channel until ctx is done.
func (r *reader) run(ctx context.Context) {
	for ctx.Err() == nil {
		wait, err := r.step(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case access.KindOf(err) == access.Conflict:
			r.begun = false
			wait = notOurs
		case err != nil:
			wait = r.failed(ctx, err)
		}
		if wait != 0 {
			r.wait(ctx, wait)
		}
	}
}

// wait waits for new records, or for a time; a negative one is for ever.
func (r *reader) wait(ctx context.Context, d time.Duration) {
	if d >= 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	if r.fails > 0 || !r.begun { // new records are no reason to try sooner
		<-ctx.Done()
		return
	}
	if err := r.source.Wait(ctx, r.seq); err != nil && ctx.Err() == nil {
		pause(ctx, firstWait)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// failed says what went wrong, once, and how long to wait.
func (r *reader) failed(ctx context.Context, err error) time.Duration {
	d := backoff(r.fails)
	r.fails++
	var later *Later
	if errors.As(err, &later) {
		d = min(max(later.After, 0), mostAfter)
	}
	if why := cut(err.Error(), 500); r.said == "" {
		r.log.Warn("messages wait", "error", why)
		r.said = why
		r.note(ctx, Trouble{Why: why, Since: time.Now().UTC().Truncate(time.Second)})
	}
	return d
}

// note keeps what is the matter where administrators see it. It is a courtesy.
func (r *reader) note(ctx context.Context, t Trouble) {
	state, err := json.Marshal(t)
	if err == nil && r.begun {
		r.state = state
		err = r.memory.Read(ctx, r.name, r.owner, r.seq, nil, state)
	}
	if err == nil {
		r.noted = r.seq
	}
}

// worked says that all is well again.
func (r *reader) worked(ctx context.Context) {
	r.fails = 0
	if r.said != "" {
		r.log.Info("messages go out again")
		r.said = ""
		r.note(ctx, Trouble{})
	}
}

// backoff is how long to wait after so many failures, within a tenth.
func backoff(fails int) time.Duration {
	d := mostWait
	if fails < 16 {
		d = min(firstWait<<fails, mostWait)
	}
	return d - rand.N(d/10+1) //nolint:gosec // no secret
}

// step does what is to be done now and says how long there is nothing to do: below
// zero until there are new records.
func (r *reader) step(ctx context.Context) (wait time.Duration, err error) {
	if err := r.turn(ctx); err != nil {
		return 0, err
	}
	recs, err := r.source.Records(ctx, r.seq, batch)
	if err != nil {
		return 0, fmt.Errorf("read the audit log: %w", err)
	}
	if r.stream != nil {
		return r.hand(ctx, recs)
	}
	if err := r.read(ctx, recs); err != nil {
		return 0, err
	}
	due, next, err := r.memory.Due(ctx, r.name, dueBatch)
	if err != nil {
		return 0, err
	}
	for _, p := range due {
		if err := r.tell(ctx, p); err != nil {
			return 0, err
		}
	}
	if len(recs) == batch || len(due) == dueBatch {
		return 0, nil
	}
	if len(due) > 0 { // what was refused is due again in a while
		_, next, err = r.memory.Due(ctx, r.name, 1)
	}
	if next >= 0 {
		next = max(next, 10*time.Millisecond)
	}
	return next, err
}

// turn makes sure that it is ours to serve the channel, for longer than a call takes.
func (r *reader) turn(ctx context.Context) error {
	now := time.Now()
	if r.begun && now.Sub(r.took) < turnLasts/3 {
		return nil
	}
	seq, err := r.memory.Turn(ctx, r.name, r.owner, turnLasts)
	if err != nil {
		return err
	}
	if r.took = now; !r.begun || seq > r.seq {
		r.seq, r.noted, r.begun = seq, seq, true
	}
	return nil
}

// read notes what the records concern.
func (r *reader) read(ctx context.Context, recs []Record) error {
	var concerns []Concern
	seq := r.seq
	for _, rec := range recs {
		e, err := audit.Decode(rec.Encoded)
		if err != nil {
			return fmt.Errorf("record %d of the audit log: %w", rec.Seq, err)
		}
		if r.own != nil {
			concerns = append(concerns, concernsOwn(rec.Seq, e.Event)...)
			seq = rec.Seq
			continue
		}
		c, ok, err := r.filter.concern(ctx, r.world, rec.Seq, e.Event)
		if err != nil {
			return err
		}
		if ok {
			concerns = append(concerns, c)
		}
		seq = rec.Seq
	}
	if len(concerns) > 0 || seq-r.noted >= idleSeqs {
		if err := r.memory.Read(ctx, r.name, r.owner, seq, concerns, r.state); err != nil {
			return err
		}
		r.noted = seq
	}
	r.seq = seq
	return nil
}

// tell sends one message, unless it stands there already.
func (r *reader) tell(ctx context.Context, p Pending) error {
	var before Sent
	if len(p.State) > 0 {
		if err := json.Unmarshal(p.State, &before); err != nil {
			return fmt.Errorf("what was sent of %s cannot be read: %w", p.Subject, err)
		}
	}
	var m Message
	var ok bool
	var again time.Duration
	var err error
	if r.own != nil {
		m, again, ok, err = r.toOwn(ctx, p)
	} else {
		m, ok, err = r.message(ctx, p)
	}
	if err != nil {
		return err
	}
	after := before
	after.Tries = 0
	if shows := m.print(); ok && shows != before.Shows {
		if err := r.turn(ctx); err != nil { // a call takes less time than a turn
			return err
		}
		sent, err := r.channel.Send(ctx, m, before)
		var refused *Refused
		switch {
		case errors.As(err, &refused):
			again, after.Tries = backoff(before.Tries), before.Tries+1
			if before.Tries == 0 {
				r.log.Warn("a message was refused; it is tried again", "subject", p.Subject, "error", cut(err.Error(), 500))
			}
		case err != nil:
			return err
		default:
			after = sent
			after.Shows, after.Stage, after.Nudge, after.Tries = shows, m.Stage, m.Nudge, 0
		}
	}
	if again == 0 {
		p.Have = p.Want
	}
	if p.State, err = json.Marshal(after); err != nil {
		return err
	}
	if err := r.memory.Sent(ctx, r.name, r.owner, p, again); err != nil {
		return err
	}
	r.worked(ctx)
	return nil
}

// message renders a subject as it is now; false where there is nothing to say.
func (r *reader) message(ctx context.Context, p Pending) (Message, bool, error) {
	if len(p.Subject) > 4 && p.Subject[:4] == "req_" {
		req, g, err := r.world.Request(ctx, access.RequestID(p.Subject))
		if access.KindOf(err) == access.NotFound {
			return Message{}, false, nil
		}
		if err != nil {
			return Message{}, false, err
		}
		return OfRequest(r.site, req, g), true, nil
	}
	recs, err := r.source.Records(ctx, p.Want-1, 1)
	if err == nil && (len(recs) == 0 || recs[0].Seq != p.Want) {
		err = errors.New("there is none")
	}
	if err != nil {
		return Message{}, false, fmt.Errorf("record %d of the audit log: %w", p.Want, err)
	}
	e, err := audit.Decode(recs[0].Encoded)
	if err != nil {
		return Message{}, false, err
	}
	return OfTrouble(e.Event), true, nil
}

// hand gives the records to a stream, each when the one before was taken.
func (r *reader) hand(ctx context.Context, recs []Record) (time.Duration, error) {
	for _, rec := range recs {
		e, err := audit.Decode(rec.Encoded)
		if err != nil {
			return 0, fmt.Errorf("record %d of the audit log: %w", rec.Seq, err)
		}
		if r.filter.takes(e.Event.Type) {
			fits, err := r.filter.fits(ctx, r.world, e.Event)
			if err != nil {
				return 0, err
			}
			if fits {
				if err := r.turn(ctx); err != nil {
					return 0, err
				}
				if err := r.stream.Hand(ctx, e, rec.Seq); err != nil {
					return 0, err
				}
				r.seq = rec.Seq
				if err := r.memory.Read(ctx, r.name, r.owner, r.seq, nil, r.state); err != nil {
					return 0, err
				}
				r.noted = r.seq
				r.worked(ctx)
				continue
			}
		}
		r.seq = rec.Seq
		if r.seq-r.noted >= idleSeqs {
			if err := r.memory.Read(ctx, r.name, r.owner, r.seq, nil, r.state); err != nil {
				return 0, err
			}
			r.noted = r.seq
		}
	}
	if len(recs) == batch {
		return 0, nil
	}
	return -1, nil
}
