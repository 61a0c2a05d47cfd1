package archive

import (
	"context"
	"errors"
	"time"

	"stint/internal/access"
	"stint/internal/recording"
)

const (
	// goneFor is how long the writer of a recording has been revoked, or is not known any
	// more, when the rest is not waited for. Somebody may enrol it anew.
	goneFor = time.Hour
	// silentFor is likewise for one that is enrolled: its disk may have died, and it has
	// another.
	silentFor = 7 * 24 * time.Hour
)

// loseAll settles recordings of which the rest will not come, as far as they came.
func (a *Archive) loseAll(ctx context.Context) {
	before := ""
	for ctx.Err() == nil {
		var page, lost []access.Recording
		err := a.Store.View(ctx, func(tx Tx) (err error) {
			lost = nil
			if page, err = tx.Recordings(access.RecordingQuery{State: access.RecordingRunning, Before: before, Limit: 100}); err != nil {
				return err
			}
			for _, r := range page {
				switch is, err := isLost(tx, r); {
				case err != nil:
					return err
				case is:
					lost = append(lost, r)
				}
			}
			return nil
		})
		if err != nil {
			a.Log.Error("recordings that will not be ended are not looked for", "error", err)
			return
		}
		for _, r := range lost {
			if err := a.lose(ctx, r); err != nil {
				a.Log.Error("what came of a recording is not kept yet; tried again", "session", r.Session, "error", err)
			}
		}
		if len(page) < 100 {
			return
		}
		before = page[len(page)-1].Session
	}
}

// isLost reports whether the rest of a recording will not come: its session is over for long,
// and its writer is gone, or has said nothing of it for very long.
func isLost(tx Tx, r access.Recording) (bool, error) {
	s, err := tx.Session(access.SessionID(r.Session))
	if err != nil && access.KindOf(err) != access.NotFound {
		return false, err
	}
	if err == nil && s.ClosedAt.IsZero() {
		return false, nil
	}
	over := tx.Now().Sub(s.ClosedAt) // for ever, where there is no session any more
	if over >= silentFor {
		return true, nil
	}
	name, is := access.CarriedByHost(r.Gateway)
	if !is {
		name = access.GatewayHost(r.Gateway)
	}
	h, err := tx.Host(name)
	if err != nil && access.KindOf(err) != access.NotFound {
		return false, err
	}
	return over >= goneFor && !h.Enrolled() && tx.Now().Sub(h.RevokedAt) >= goneFor, nil
}

// lose keeps what there is of a recording, and says in the log where it ends.
func (a *Archive) lose(ctx context.Context, r access.Recording) error {
	report, err := recording.NewKeep(a.Kept, trustOf(r)).Salvage(ctx, stays{a.Inbox}, r.Session)
	if err != nil && !errors.Is(err, recording.ErrNotFound) { // of which nothing is here: so the log says
		return err
	}
	if _, err := a.change(ctx, r.Session, func(was access.Recording, now time.Time) (access.Recording, access.Event, bool) {
		if was.State != access.RecordingRunning {
			return was, access.Event{}, false
		}
		was.State, was.Reason = access.RecordingLost, "its writer is gone, and did not send the rest"
		was.Frames, was.Root, was.Bytes, was.Sum = report.Anchor.Frames, access.Digest(report.Anchor.Root), report.Bytes, access.Digest(report.Sum)
		next, ev := was.Kept(now)
		return next, ev, true
	}); err != nil {
		return err
	}
	return a.settledNow(r.Session)
}
