package apiserver

import (
	"context"
	"encoding/hex"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/recording"
	"stint/internal/web"
	"stint/internal/web/views"
)

const (
	shownTaped   = 50
	shownEntries = 500
	shownTimes   = 4000 // moments at which a screen changed, that a page has to go to
	replayStep   = 100 * time.Millisecond
)

// Taped are the newest sessions through gateways that the visitor may see.
func (d doors) Taped(ctx context.Context, v web.Visitor, grant string) (views.TapedSessions, error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return views.TapedSessions{}, err
	}
	found, err := d.broker.Sessions(ctx, callBy(c).asked(nil), access.SessionQuery{Grant: access.GrantID(grant), Limit: shownTaped + 1})
	if access.KindOf(err) == access.Denied && err != nil { // owners name a resource: they find theirs by its grants
		return views.TapedSessions{}, nil
	} else if err != nil {
		return views.TapedSessions{}, err
	}
	out := views.TapedSessions{More: len(found) > shownTaped}
	for _, x := range found[:min(len(found), shownTaped)] {
		t, err := d.taped(ctx, callBy(c), x)
		if err != nil {
			return out, err
		}
		out.Items = append(out.Items, t)
	}
	return out, nil
}

// taped is a session with what the visitor may do about it.
func (d doors) taped(ctx context.Context, c call, x access.LiveSession) (views.Taped, error) {
	may, err := d.broker.MayOfSession(ctx, c.asked(nil), x.Session)
	return views.Taped{Session: d.toSession(x), MayWatch: may.Watch, MayPause: may.Pause, MayEnd: may.End}, err
}

// Replay is one of them, with what is in its recording.
func (d doors) Replay(ctx context.Context, v web.Visitor, id, text string, channel uint32) (views.Replay, error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return views.Replay{}, err
	}
	by := callBy(c)
	x, err := d.broker.Session(ctx, by.asked(nil), id)
	if err != nil {
		return views.Replay{}, err
	}
	m := views.Replay{}
	if m.Taped, err = d.taped(ctx, by, x); err != nil || !m.MayWatch || d.archive == nil {
		return m, err
	}
	what := "replay"
	switch {
	case m.ClosedAt.IsZero():
		what = "watch"
	case text != "":
		what = "search"
	}
	view, err := d.archive.View(ctx, by.asked(nil).Actor, hex.EncodeToString(c.Login.Token[:8]), string(x.ID), what)
	if access.KindOf(err) == access.NotFound && err != nil {
		return m, nil
	} else if err != nil {
		return m, err
	}
	defer view.Done()
	r, f, err := view.Reader(ctx)
	if err != nil {
		m.Damage = d.Refusal(ctx, err).Message
		return m, nil
	}
	defer func() { _ = f.Close() }() // only read
	found, _, err := recording.Channels(r)
	if ctx.Err() != nil {
		return m, err
	} else if err != nil {
		m.Damage = err.Error()
	}
	for _, x := range found {
		m.Channels = append(m.Channels, views.ReplayChannel{ID: x.ID, What: x.What})
	}
	if m.ClosedAt.IsZero() { // the screen comes by itself
		return m, nil
	}
	// A reading of its own for the moments, and one for what was run: each says by itself what is damaged.
	shots, sf, err := view.Reader(ctx)
	if err != nil {
		return m, nil
	}
	defer func() { _ = sf.Close() }() // only read
	for shot, err := range recording.Frames(ctx, shots, channel, 0, replayStep) {
		if err != nil {
			if ctx.Err() != nil {
				return m, err
			}
			m.Damage = err.Error()
			break
		}
		m.Times = append(m.Times, reached(shot.At))
		if len(m.Times) > 2*shownTimes { // so long a recording has fewer places to stop at
			for i := range shownTimes {
				m.Times[i] = m.Times[2*i]
			}
			m.Times = m.Times[:shownTimes]
		}
	}
	m.Length = reached(shots.Report().Length)
	view.Saw(0, shots.Report().Length)
	again, g, err := view.Reader(ctx)
	if err != nil {
		return m, nil // it said why already
	}
	defer func() { _ = g.Close() }() // only read
	each := func(e recording.Entry) bool {
		if m.More = len(m.Entries) >= shownEntries; m.More {
			return false
		}
		m.Entries = append(m.Entries, toEntry("", e))
		return true
	}
	if err = recording.Find(again, text, text != "", each); err != nil && m.Damage == "" {
		m.Damage = err.Error()
	}
	return m, nil
}

// reached is the first whole millisecond at which a moment has come: a page that goes there shows what was
// shown then, and not what stood before it.
func reached(at time.Duration) int64 { return (at + time.Millisecond - 1).Milliseconds() }

// Screen is what stood on the screen at a time.
func (d doors) Screen(ctx context.Context, v web.Visitor, id string, channel uint32, at time.Duration, newest bool) (api.Screen, error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return api.Screen{}, err
	}
	what := "replay"
	if newest {
		what = "watch"
	}
	_, view, err := d.view(ctx, callBy(c), id, what)
	if err != nil {
		return api.Screen{}, err
	}
	defer view.Done()
	r, f, err := view.Reader(ctx)
	if err != nil {
		return api.Screen{}, err
	}
	defer func() { _ = f.Close() }() // only read
	from, step := at, time.Duration(0)
	if newest {
		from, step = 0, 1<<62 // only the last
	}
	var out api.Screen
	for shot, err := range recording.Frames(ctx, r, channel, from, step) {
		if err != nil {
			if len(out.Lines) > 0 { // what stands before the damage is shown
				break
			}
			return out, err
		}
		if !newest && shot.At > at { // nothing stood there yet
			break
		}
		out = toScreen(shot)
		view.Saw(shot.At, shot.At)
		if !newest {
			break
		}
	}
	return out, nil
}

// Grown returns when there may be more of a recording.
func (d doors) Grown(ctx context.Context, v web.Visitor, id string) (over bool, err error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return false, err
	}
	a, err := d.archived()
	if err != nil {
		return false, err
	}
	x, err := d.broker.Watch(ctx, callBy(c).asked(nil), id)
	if err != nil {
		return false, err
	}
	bell, silence := a.Bell(string(x.ID))
	defer silence()
	if !x.ClosedAt.IsZero() {
		return true, nil
	}
	held, done := d.hold(ctx, time.Second) // it may come to another replica
	defer done()
	select {
	case <-bell:
	case <-held.Done():
	}
	return false, ctx.Err()
}

// PauseTaped stops what passes in a session, or lets it go on.
func (d doors) PauseTaped(ctx context.Context, v web.Visitor, id string, pause bool) error {
	c, err := d.caller(ctx, v)
	if err != nil {
		return err
	}
	_, err = d.broker.PauseSession(ctx, callBy(c).asked(nil), id, "in the console", pause)
	return err
}

// EndTaped ends one.
func (d doors) EndTaped(ctx context.Context, v web.Visitor, id, why string) error {
	c, err := d.caller(ctx, v)
	if err != nil {
		return err
	}
	_, err = d.broker.EndSession(ctx, callBy(c).asked(nil), id, why)
	return err
}
