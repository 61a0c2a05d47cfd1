package archive

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/recording"
)

const (
	idleView  = time.Minute // then somebody has stopped to look
	mostViews = 10_000
)

// viewKey is who reads which recording, by which login, and for what.
type viewKey struct{ session, login, what string }

// View is that somebody reads a recording. It is in the log before there is one, and
// what they saw is when it ends. Calls that follow each other are one view.
type View struct {
	a     *Archive
	key   viewKey
	alone bool // it is not among those that calls go on with, and closes with its only one
	by    access.Actor
	since time.Time

	mu       sync.Mutex // guards what follows
	of       access.Recording
	from, to time.Duration // what of it was seen
	saw      bool
	used     time.Time
	open     int // calls under way
	closed   bool
}

// View begins to read a recording, or goes on. The caller has found that they may, and
// calls Done. what says for what: "replay", "watch", "search", "export", "verify".
func (a *Archive) View(ctx context.Context, by access.Actor, login, session, what string) (*View, error) {
	key := viewKey{session, login, what}
	a.mu.Lock()
	v := a.views[key]
	full := len(a.views) >= mostViews
	a.mu.Unlock()
	if v != nil && v.enter() {
		r, err := a.Get(ctx, session)
		if err != nil {
			v.Done()
			return nil, err
		}
		v.mu.Lock()
		v.of = r
		v.mu.Unlock()
		return v, nil
	}
	if full {
		return nil, access.Fail(access.TooMany, "too-many-views", "too many recordings are being read").Try("try again in a minute")
	}
	var opened time.Time
	r, err := a.change(ctx, session, func(was access.Recording, now time.Time) (access.Recording, access.Event, bool) {
		if was.Version == 0 {
			return was, access.Event{}, false
		}
		opened = now
		next, ev := was.Open(by, what, now)
		return next, ev, true
	})
	if err != nil {
		return nil, err
	}
	if r.Version == 0 {
		return nil, access.Fail(access.NotFound, "no-recording", "there is no recording of that session")
	}
	v = &View{of: r, a: a, key: key, by: by, since: opened, used: time.Now(), open: 1}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.views[key] == nil {
		a.views[key] = v
	} else { // two calls at once: each is in the log, and this one closes for itself
		v.alone = true
	}
	return v, nil
}

func (v *View) enter() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return false
	}
	v.open++
	v.used = time.Now()
	return true
}

// Saw notes what of the recording was shown.
func (v *View) Saw(from, to time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.saw {
		v.from, v.to, v.saw = from, to, true
		return
	}
	v.from, v.to = min(v.from, from), max(v.to, to)
}

// Done says that one call is over. The view stays open for the next one, for a minute.
func (v *View) Done() {
	v.mu.Lock()
	v.open--
	v.used = time.Now()
	over := v.alone && v.open == 0 && !v.closed
	v.closed = v.closed || over
	v.mu.Unlock()
	if over {
		v.tell(context.Background())
	}
}

// tell puts into the log what was seen. Who closed the view calls it, once.
func (v *View) tell(ctx context.Context) {
	v.mu.Lock()
	session, from, to, used := v.of.Session, v.from, v.to, v.used
	v.mu.Unlock()
	within, done := context.WithTimeout(ctx, 10*time.Second)
	defer done()
	_, err := v.a.change(within, session, func(was access.Recording, now time.Time) (access.Recording, access.Event, bool) {
		next, ev := was.Close(v.by, v.key.what, from, to, v.since, now)
		ev.Facts["seen_until"] = used.UTC().Format(access.Stamp)
		return next, ev, was.Version > 0
	})
	if err != nil {
		v.a.Log.Warn("that somebody stopped to read a recording is not in the log", "session", session, "error", err)
	}
}

// closeViews ends what nobody has used for a while, or all.
func (a *Archive) closeViews(ctx context.Context, all bool) {
	now := time.Now()
	var over []*View
	a.mu.Lock()
	for key, v := range a.views {
		v.mu.Lock()
		if all || v.open == 0 && now.Sub(v.used) > idleView {
			v.closed = true // in the same hold: nobody enters it who found it before
			over = append(over, v)
			delete(a.views, key)
		}
		v.mu.Unlock()
	}
	a.mu.Unlock()
	for _, v := range over {
		v.tell(ctx)
	}
}

// Reader opens the recording to be read from its beginning. It is decrypted here and
// nowhere else.
func (v *View) Reader(ctx context.Context) (*recording.Reader, io.Closer, error) {
	f, trust, err := v.a.file(ctx, v.Recording())
	if err != nil {
		return nil, nil, err
	}
	d, err := recording.NewReader(cancellable{ctx, f}, trust, v.a.Openers...)
	if err != nil {
		return nil, nil, errors.Join(damaged(err), f.Close())
	}
	return d, f, nil
}

// Raw opens the recording as it is kept: encrypted, and to be verified by anybody.
func (v *View) Raw(ctx context.Context) (io.ReadCloser, recording.Trust, error) {
	return v.a.file(ctx, v.Recording())
}

// Recording is what is known of it, as of the last call that began.
func (v *View) Recording() access.Recording {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.of
}

// damaged is the error of a recording that is not as it was written, for people.
func damaged(err error) error {
	if d := (*recording.Damage)(nil); errors.As(err, &d) {
		return access.Fail(access.Conflict, "recording-damaged", d.Error()).Try("verify it: stint session verify ID; what stands before the damage can be read").Wrap(err)
	}
	return err
}

// cancellable ends reading when its context does.
type cancellable struct {
	ctx context.Context
	io.Reader
}

func (c cancellable) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.Reader.Read(b)
}

// CloseViews puts into the log what was seen so far, of all that are open: they are over.
func (a *Archive) CloseViews(ctx context.Context) { a.closeViews(ctx, true) }
