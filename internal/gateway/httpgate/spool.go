package httpgate

import (
	"context"

	"stint/internal/gateway"
	"stint/internal/gateway/reel"
	"stint/internal/recording"
)

// Spooled is a Recorder that writes recordings, each named after its session. The channel
// of a record is the number of its request.
func Spooled(s *recording.Spool) Recorder { return spooled{s} }

type spooled struct{ spool *recording.Spool }

// outcomeSent says that how a request went is said by a record of its own.
const outcomeSent = "sent"

// Begin starts a recording.
func (r spooled) Begin(s *gateway.Session, from Client) (Tape, error) {
	way := "device"
	if from.Browser {
		way = "browser"
	}
	w, err := reel.Begin(r.spool, s, "http", from.Source.String(),
		recording.Fact{Name: "program", Value: from.Program}, recording.Fact{Name: "by", Value: way})
	if err != nil {
		return nil, err
	}
	return taped{w}, nil
}

// taped is a Tape in a recording.
type taped struct{ w *recording.Writer }

func (t taped) add(n uint64, e recording.Event) error {
	return t.w.Append(context.Background(), uint32(n), e)
}

func (t taped) Request(r Request) error {
	outcome := outcomeSent
	if r.Why != "" {
		outcome = "refused: " + r.Why
	}
	return t.add(r.N, recording.Request{Method: r.Method, Target: r.Target, Outcome: outcome})
}

func (t taped) Body(n uint64, answer bool, data []byte) error {
	if answer {
		return t.add(n, recording.Output{Data: data})
	}
	return t.add(n, recording.Input{Data: data})
}

func (t taped) Outcome(n uint64, r Request, o Outcome) error {
	return t.add(n, recording.Request{Method: r.Method, Target: r.Target, Status: uint32(o.Status), Sent: o.Sent, Received: o.Received, Outcome: o.Failed})
}

// Close seals the recording, with why the session ended.
func (t taped) Close(why *gateway.Ended) error { return reel.Close(t.w, why) }
