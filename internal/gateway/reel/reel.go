// Package reel begins and ends the recordings of sessions that go through a gateway, whatever they speak: what
// stands in the first record, in which mode it is written, and how it is sealed. What stands between is for
// the protocol's own package.
package reel

import (
	"context"
	"errors"
	"time"

	"stint/internal/gateway"
	"stint/internal/recording"
)

// endWithin is how long the last seal of a recording may take.
const endWithin = 30 * time.Second

// Begin starts the recording of a session, named after it. Its first record says which session this is: the
// protocol, where the person connects from, and what the protocol knows besides.
func Begin(spool *recording.Spool, s *gateway.Session, protocol, client string, more ...recording.Fact) (*recording.Writer, error) {
	mode := recording.Normal
	if s.Recording.Strict {
		mode = recording.Strict
	}
	w, err := spool.New(string(s.ID), mode)
	if err != nil {
		return nil, err
	}
	facts := append([]recording.Fact{
		{Name: recording.FactProtocol, Value: protocol}, {Name: recording.FactSession, Value: string(s.ID)},
		{Name: recording.FactGrant, Value: string(s.Grant)}, {Name: recording.FactPerson, Value: s.Person},
		{Name: recording.FactResource, Value: string(s.Resource)}, {Name: recording.FactAccount, Value: s.Target.Login},
		{Name: recording.FactTarget, Value: s.Target.Address}, {Name: recording.FactClient, Value: client},
	}, more...)
	if err := w.Append(context.Background(), 0, recording.Start{Facts: facts}); err != nil {
		ctx, done := context.WithTimeout(context.Background(), endWithin)
		defer done()
		return nil, errors.Join(err, w.Close(ctx, string(gateway.Unrecorded)))
	}
	return w, nil
}

// Close seals the recording, with why the session ended.
func Close(w *recording.Writer, why *gateway.Ended) error {
	ctx, done := context.WithTimeout(context.Background(), endWithin)
	defer done()
	if why.Reason != gateway.ClientGone {
		// Not waited for: the seal behind it is, and says the reason, too.
		_, _ = w.Add(ctx, 0, recording.Note{What: recording.NoteCut, Text: string(why.Reason) + ": " + why.Error()})
	}
	return w.Close(ctx, string(why.Reason))
}
