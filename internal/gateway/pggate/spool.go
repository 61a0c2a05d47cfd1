package pggate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"stint/internal/gateway"
	"stint/internal/recording"
)

// Spooled is a Recorder that writes recordings, each named after its session. The channel
// of a record is the number of its statement.
func Spooled(s *recording.Spool) Recorder { return spooled{s} }

type spooled struct{ spool *recording.Spool }

// endWithin is how long the last seal of a recording may take.
const endWithin = 30 * time.Second

// Classes of a recording's statements: how one was sent, and what became of it.
const (
	classOutcome = "outcome" // Text is the server's word for what was done
	outcomeSent  = "sent"    // how it went is said by a record of its own
)

var classes = map[How]string{Simple: "simple", Prepared: "prepare", Executed: "execute", Rejected: "rejected"}

// Begin starts a recording. Its first record says what session this is.
func (r spooled) Begin(s *gateway.Session, from Client) (Tape, error) {
	mode := recording.Normal
	if s.Recording.Strict {
		mode = recording.Strict
	}
	w, err := r.spool.New(string(s.ID), mode)
	if err != nil {
		return nil, err
	}
	t := reel{w}
	err = t.add(0, recording.Start{Facts: []recording.Fact{
		{Name: recording.FactProtocol, Value: "postgres"}, {Name: recording.FactSession, Value: string(s.ID)},
		{Name: recording.FactGrant, Value: string(s.Grant)}, {Name: recording.FactPerson, Value: s.Person},
		{Name: recording.FactResource, Value: string(s.Resource)}, {Name: recording.FactAccount, Value: s.Target.Login},
		{Name: recording.FactTarget, Value: s.Target.Address}, {Name: recording.FactClient, Value: from.Source.String()},
		{Name: "program", Value: from.Application}, {Name: "database", Value: from.Database},
	}})
	if err != nil {
		ctx, done := context.WithTimeout(context.Background(), endWithin)
		defer done()
		return nil, errors.Join(err, w.Close(ctx, string(gateway.Unrecorded)))
	}
	return t, nil
}

// reel is a Tape in a recording.
type reel struct{ w *recording.Writer }

func (t reel) add(n uint64, e recording.Event) error {
	return t.w.Append(context.Background(), uint32(n), e)
}

func (t reel) Statement(s Statement) error {
	text := s.Text
	if s.How == Executed {
		text = "something prepared, of a number that is not known any more"
		if s.Of > 0 {
			text = fmt.Sprintf("statement %d", s.Of)
		}
	}
	return t.add(s.N, recording.Statement{Class: classes[s.How], Text: text, Outcome: outcomeSent})
}

func (t reel) Outcome(n uint64, o Outcome) error {
	return t.add(n, recording.Statement{Class: classOutcome, Text: o.Tag, Outcome: o.Failed, Rows: o.Rows, Bytes: o.Bytes})
}

func (t reel) Note(text string) error { return t.add(0, recording.Note{What: "server", Text: text}) }

// Close seals the recording, with why the session ended.
func (t reel) Close(why *gateway.Ended) error {
	ctx, done := context.WithTimeout(context.Background(), endWithin)
	defer done()
	if why.Reason != gateway.ClientGone {
		_ = t.add(0, recording.Note{What: recording.NoteCut, Text: why.Error()}) // the seal says the reason, too
	}
	return t.w.Close(ctx, string(why.Reason))
}
