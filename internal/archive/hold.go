package archive

import (
	"context"
	"time"

	"stint/internal/access"
)

// Hold keeps a recording, whatever its age, until somebody frees it. The caller has found that
// they may.
func (a *Archive) Hold(ctx context.Context, by access.Actor, session, why string) (access.Recording, error) {
	return a.act(ctx, session, func(was access.Recording, now time.Time) (access.Recording, access.Event, error) {
		return was.Hold(by, why, now)
	})
}

// Free lets its age count again.
func (a *Archive) Free(ctx context.Context, by access.Actor, session, why string) (access.Recording, error) {
	return a.act(ctx, session, func(was access.Recording, now time.Time) (access.Recording, access.Event, error) {
		return was.Free(by, why, now)
	})
}

// act makes a new version by something that may be refused.
func (a *Archive) act(ctx context.Context, session string, next func(was access.Recording, now time.Time) (access.Recording, access.Event, error)) (access.Recording, error) {
	var refused error
	r, err := a.change(ctx, session, func(was access.Recording, now time.Time) (access.Recording, access.Event, bool) {
		if refused = nil; was.Version == 0 {
			refused = access.Fail(access.NotFound, "no-recording", "there is no recording of that session")
			return was, access.Event{}, false
		}
		r, ev, err := next(was, now)
		refused = err
		return r, ev, err == nil
	})
	if err == nil {
		err = refused
	}
	return r, err
}
