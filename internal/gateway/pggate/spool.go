package pggate

import (
	"context"
	"fmt"
	"unicode/utf8"

	"stint/internal/gateway"
	"stint/internal/gateway/reel"
	"stint/internal/recording"
)

// Spooled is a Recorder that writes recordings, each named after its session. The channel
// of a record is the number of its statement.
func Spooled(s *recording.Spool) Recorder { return spooled{s} }

type spooled struct{ spool *recording.Spool }

// Classes of a recording's statements: how one was sent, behind a blank what its words say
// that it does, and what became of it.
const (
	classOutcome = "outcome" // Text is the server's word for what was done
	classMore    = "more"    // Text goes on where that of the record before it, of the same statement, ends
	outcomeSent  = "sent"    // how it went is said by a record of its own
)

var classes = map[How]string{Simple: "simple", Prepared: "prepare", Executed: "execute", Rejected: "rejected"}

// Begin starts a recording.
func (r spooled) Begin(s *gateway.Session, from Client) (Tape, error) {
	w, err := reel.Begin(r.spool, s, "postgres", from.Source.String(),
		recording.Fact{Name: "program", Value: from.Application}, recording.Fact{Name: "database", Value: from.Database})
	if err != nil {
		return nil, err
	}
	return taped{w}, nil
}

// taped is a Tape in a recording.
type taped struct{ w *recording.Writer }

func (t taped) add(n uint64, e recording.Event) error {
	return t.w.Append(context.Background(), uint32(n), inPieces(e)...)
}

// mostText is how much of a statement is one record: a record is of 256 KiB at most.
const mostText = 128 << 10

// inPieces is a record, or several where it is a statement with a text that is too long for
// one. None of them ends within a character.
func inPieces(e recording.Event) (all []recording.Event) {
	s, is := e.(recording.Statement)
	for is && len(s.Text) > mostText {
		cut := mostText
		for cut > mostText-utf8.UTFMax && !utf8.RuneStart(s.Text[cut]) {
			cut--
		}
		piece := s
		piece.Text, s.Text = s.Text[:cut], s.Text[cut:]
		s.Class = classMore
		all, e = append(all, piece), s
	}
	return append(all, e)
}

func (t taped) Statement(s Statement) error {
	text := s.Text
	if s.How == Executed {
		text = "something prepared, of a number that is not known any more"
		if s.Of > 0 {
			text = fmt.Sprintf("statement %d", s.Of)
		}
	}
	class, outcome := classes[s.How], outcomeSent
	if s.Classes != 0 {
		class += " " + s.Classes.String()
	}
	if s.How == Rejected && s.Why != "" {
		outcome = "refused: " + s.Why
	}
	return t.add(s.N, recording.Statement{Class: class, Text: text, Outcome: outcome})
}

func (t taped) Outcome(n uint64, o Outcome) error {
	return t.add(n, recording.Statement{Class: classOutcome, Text: o.Tag, Outcome: o.Failed, Rows: o.Rows, Bytes: o.Bytes})
}

func (t taped) Note(text string) error { return t.add(0, recording.Note{What: "server", Text: text}) }

// Close seals the recording, with why the session ended.
func (t taped) Close(why *gateway.Ended) error { return reel.Close(t.w, why) }
