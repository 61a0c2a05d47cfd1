package tcpgate

import (
	"context"
	"errors"
	"net/netip"

	"stint/internal/gateway"
	"stint/internal/gateway/reel"
	"stint/internal/recording"
)

// Spooled is a Recorder that writes recordings, each named after its session.
func Spooled(s *recording.Spool) Recorder { return spooled{s} }

type spooled struct{ spool *recording.Spool }

// Begin starts a recording.
func (r spooled) Begin(s *gateway.Session, source netip.AddrPort) (Tape, error) {
	w, err := reel.Begin(r.spool, s, "tcp", source.String())
	if err != nil {
		return nil, err
	}
	t := taped{w}
	if err := t.add(recording.Open{Type: "tcp", From: source.String(), To: s.Target.Address}); err != nil {
		return nil, errors.Join(err, t.Close(&gateway.Ended{Reason: gateway.Unrecorded}))
	}
	return t, nil
}

// taped is a Tape in a recording, which has one channel.
type taped struct{ w *recording.Writer }

func (t taped) add(e recording.Event) error { return t.w.Append(context.Background(), 1, e) }

func (t taped) Count(sent, received uint64) error {
	return t.add(recording.Close{Sent: sent, Received: received})
}

// Close seals the recording, with why the session ended.
func (t taped) Close(why *gateway.Ended) error { return reel.Close(t.w, why) }
