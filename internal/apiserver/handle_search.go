package apiserver

import (
	"context"
	"encoding/hex"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/archive"
	"stint/internal/recording"
)

const (
	searchBytes = 256 << 20 // that one search reads, of all recordings
	searchHits  = 100
	searchAmong = 1000 // sessions
)

type searchRecordingsIn struct {
	Text    string `query:"text" minLength:"2" maxLength:"200" required:"true" doc:"In any case of letters"`
	Output  bool   `query:"output" doc:"In what was shown, too, and not only in what was run"`
	Session string `query:"session" maxLength:"64" doc:"Only in this one"`
	Person  string `query:"person" maxLength:"64" doc:"Only in sessions of this person"`
	Since   string `query:"since" maxLength:"40" doc:"Only in sessions opened since"`
}

func (s *Server) searchRecordings(ctx context.Context, c call, in *searchRecordingsIn) (*reply[api.RecordingHits], error) {
	a, err := s.archived()
	if err != nil {
		return nil, err
	}
	var since api.Time
	if err := since.UnmarshalText([]byte(in.Since)); err != nil {
		return nil, err
	}
	var among []access.LiveSession
	if in.Session != "" {
		x, err := s.broker.Watch(ctx, c.asked(nil), in.Session)
		if err != nil {
			return nil, err
		}
		among = append(among, x)
	} else if among, err = s.broker.Watched(ctx, c.asked(nil), access.SessionQuery{Person: access.Person(in.Person), Since: since.Time, Limit: searchAmong}); err != nil {
		return nil, err
	}
	out := api.RecordingHits{Hits: []api.RecordingEntry{}, Skipped: []string{}}
	budget := int64(searchBytes)
	for _, x := range among {
		if x.Recording.State == access.TapeNone || x.Recording.State == access.TapeRemoved {
			continue
		}
		if err := s.searchOne(ctx, a, c, string(x.ID), in, &budget, &out); err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			out.Skipped = append(out.Skipped, string(x.ID)+": "+err.Error())
		}
		if out.Enough = budget <= 0 || len(out.Hits) >= searchHits; out.Enough {
			break
		}
	}
	return answer(out), nil
}

func (s *Server) searchOne(ctx context.Context, a *archive.Archive, c call, session string, in *searchRecordingsIn, budget *int64, out *api.RecordingHits) error {
	v, err := a.View(ctx, c.asked(nil).Actor, hex.EncodeToString(c.Login.Token[:8]), session, "search")
	if err != nil {
		return err
	}
	defer v.Done()
	out.Searched++
	d, f, err := v.Reader(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	err = recording.Find(d, in.Text, in.Output, func(e recording.Entry) bool {
		out.Hits = append(out.Hits, toEntry(session, e))
		v.Saw(e.At, e.At)
		return len(out.Hits) < searchHits && d.Report().Bytes < *budget
	})
	*budget -= d.Report().Bytes
	return err
}
