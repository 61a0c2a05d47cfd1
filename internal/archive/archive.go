package archive

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/recording"
)

// Tx is one transaction; see package store.
type Tx interface {
	Now() time.Time
	Append(evs ...access.Event) error
	Recording(session string) (access.Recording, error)
	Recordings(q access.RecordingQuery) ([]access.Recording, error)
	SaveRecording(r access.Recording) error
	Session(id access.SessionID) (access.Session, error)
	Host(name string) (access.Host, error)
	SaveTape(id access.SessionID, t access.Tape) error
}

// Store is the memory of all replicas.
type Store interface {
	Update(ctx context.Context, fn func(Tx) error) error
	View(ctx context.Context, fn func(Tx) error) error
}

// Config is what an Archive is made of. All of it is required, but Age.
type Config struct {
	Store   Store
	Inbox   *recording.Inbox // what is being written
	Kept    recording.Store  // what ended
	Openers []*recording.Opener
	Age     time.Duration // after which recordings are removed; 0: never
	Log     *slog.Logger
}

// Archive keeps recordings. It is safe for concurrent use.
type Archive struct {
	Config
	settling chan string // ended, and are to be kept

	mu    sync.Mutex // guards all below; no call is made under it
	known map[string]access.Recording
	views map[viewKey]*View
	bells map[string]*bell
}

// bell is for those who wait for more of one recording.
type bell struct {
	rung    chan struct{} // closed when more has come
	waiting int           // it is forgotten with the last
}

// New makes an archive.
func New(c Config) (*Archive, error) {
	if c.Store == nil || c.Inbox == nil || c.Kept == nil || len(c.Openers) == 0 || c.Log == nil {
		return nil, access.Fail(access.Internal, "archive-incomplete", "an archive of recordings lacks something it needs")
	}
	return &Archive{Config: c, settling: make(chan string, 1024), known: map[string]access.Recording{}, views: map[viewKey]*View{}, bells: map[string]*bell{}}, nil
}

// Writer is a gateway, and the key by which it seals.
type Writer struct {
	Gateway string
	Key     ed25519.PublicKey
}

// errNone says so of another gateway's sessions, too: who guesses learns nothing.
func errNone() error {
	return access.Fail(access.NotFound, "no-recording", "there is no recording of that name, or it is not this gateway's")
}

// Bring takes frames of a recording from its gateway; see recording.Inbox.
func (a *Archive) Bring(ctx context.Context, w Writer, session string, from uint64, frames []byte) (recording.Kept, error) {
	r, err := a.own(ctx, w, session, true)
	if err != nil {
		return recording.Kept{}, err
	}
	if r.State != access.RecordingRunning {
		return kept(r), nil
	}
	p, err := a.Inbox.Take(session, trustOf(r), from, frames)
	if gap := (*recording.Gap)(nil); errors.As(err, &gap) {
		return recording.Kept{Began: p.Bytes > 0, Frames: p.Frames}, access.Fail(access.Conflict, "frames-missing", gap.Error()).Try("ask how far the recording is here, and send from there")
	} else if damage := (*recording.Damage)(nil); errors.As(err, &damage) {
		return recording.Kept{}, access.Fail(access.Invalid, "bad-frames", damage.Error())
	} else if err != nil {
		return recording.Kept{}, err
	}
	a.ring(session)
	if p.State != recording.Unended {
		a.settleSoon(session)
	}
	return recording.Kept{Began: p.Bytes > 0, Frames: p.Frames}, nil
}

// Have says how far a recording is here, to its gateway.
func (a *Archive) Have(ctx context.Context, w Writer, session string) (recording.Kept, error) {
	r, err := a.own(ctx, w, session, false)
	if err != nil {
		return recording.Kept{}, err
	}
	if r.Version == 0 || r.State != access.RecordingRunning {
		return kept(r), nil
	}
	p, err := a.Inbox.Have(session)
	if errors.Is(err, recording.ErrNotFound) {
		return recording.Kept{}, nil
	}
	if err == nil && p.State != recording.Unended {
		a.settleSoon(session)
	}
	return recording.Kept{Began: p.Bytes > 0, Frames: p.Frames}, err
}

// kept is what a gateway is told of a recording that ended. One that was removed was kept before.
func kept(r access.Recording) recording.Kept {
	if r.Version == 0 {
		return recording.Kept{}
	}
	return recording.Kept{Began: true, Frames: r.Frames, Done: true, Size: r.Bytes, Digest: [sha256.Size]byte(r.Sum)}
}

func trustOf(r access.Recording) (t recording.Trust) {
	t.Name = r.Session
	for _, k := range r.Keys {
		t.Keys = append(t.Keys, ed25519.PublicKey(k))
	}
	return t
}

// own is the gateway's own recording; one of version 0 where nothing of it has come. With
// begin it is begun then, and the key is noted by which it is sealed.
func (a *Archive) own(ctx context.Context, w Writer, session string, begin bool) (access.Recording, error) {
	if !recording.ValidName(session) || w.Gateway == "" || len(w.Key) != ed25519.PublicKeySize {
		return access.Recording{}, errNone()
	}
	has := func(r access.Recording) bool {
		return slices.ContainsFunc(r.Keys, func(k []byte) bool { return w.Key.Equal(ed25519.PublicKey(k)) })
	}
	a.mu.Lock()
	r, ok := a.known[session]
	a.mu.Unlock()
	if ok && r.Gateway == w.Gateway && has(r) && r.State == access.RecordingRunning && begin {
		return r, nil
	}
	err := a.Store.View(ctx, func(tx Tx) (err error) { r, err = tx.Recording(session); return err })
	if err != nil && access.KindOf(err) == access.NotFound {
		var s access.Session
		err := a.Store.View(ctx, func(tx Tx) (err error) { s, err = tx.Session(access.SessionID(session)); return err })
		if access.KindOf(err) == access.NotFound && err != nil || err == nil && s.Gateway != w.Gateway {
			return r, errNone()
		} else if err != nil {
			return r, err
		}
		r = access.Recording{Session: session, Gateway: w.Gateway, Keys: [][]byte{w.Key}}
	} else if err != nil {
		return r, err
	}
	if r.Gateway != w.Gateway {
		return r, errNone()
	}
	if begin && (r.Version == 0 || !has(r) && r.State == access.RecordingRunning) {
		if r, err = a.change(ctx, r.Session, func(was access.Recording, now time.Time) (access.Recording, access.Event, bool) {
			switch {
			case was.Version == 0:
				next, ev := r.Begin(now)
				return next, ev, true
			case was.Gateway != w.Gateway || has(was):
				return was, access.Event{}, false
			}
			next, ev := was.Reseal(w.Key, now)
			return next, ev, true
		}); err != nil {
			return r, err
		}
		if r.Gateway != w.Gateway {
			return r, errNone()
		}
	}
	a.mu.Lock()
	if len(a.known) > 10_000 {
		clear(a.known)
	}
	if r.Version > 0 {
		a.known[session] = r
	}
	a.mu.Unlock()
	return r, nil
}

// change makes a new version of what is known of a recording, with its event; one of version 0 is not
// there yet.
func (a *Archive) change(ctx context.Context, session string, next func(was access.Recording, now time.Time) (access.Recording, access.Event, bool)) (r access.Recording, err error) {
	err = a.Store.Update(ctx, func(tx Tx) error {
		was, err := tx.Recording(session)
		if err != nil && access.KindOf(err) != access.NotFound {
			return err
		}
		var ev access.Event
		var changes bool
		if r, ev, changes = next(was, tx.Now()); !changes {
			return nil
		}
		if err := tx.SaveRecording(r); err != nil {
			return err
		}
		if was.State != r.State {
			tape := access.Tape{ID: session, State: access.TapeState(r.State), Bytes: r.Bytes}
			if err := tx.SaveTape(access.SessionID(session), tape); err != nil {
				return err
			}
		}
		return tx.Append(ev)
	})
	return r, err
}

// Get is what is known of a recording.
func (a *Archive) Get(ctx context.Context, session string) (r access.Recording, err error) {
	err = a.Store.View(ctx, func(tx Tx) (err error) { r, err = tx.Recording(session); return err })
	return r, err
}

func (a *Archive) settleSoon(session string) {
	select {
	case a.settling <- session:
	default: // it is looked for again
	}
}

const (
	settleEvery = 15 * time.Second // what was missed
	loseEvery   = 5 * time.Minute
	expireEvery = time.Hour
	lookEvery   = 5 * time.Second // for views that nobody uses any more
)

// Run keeps what ended and removes what is old, until ctx is done.
func (a *Archive) Run(ctx context.Context) error {
	missed, old, look, lost := time.NewTicker(settleEvery), time.NewTicker(expireEvery), time.NewTicker(lookEvery), time.NewTicker(loseEvery)
	defer missed.Stop()
	defer lost.Stop()
	defer old.Stop()
	defer look.Stop()
	var beside sync.WaitGroup // what takes long does not keep views from closing
	defer beside.Wait()
	busy := make(chan struct{}, 1)
	do := func(f func()) {
		select {
		case busy <- struct{}{}:
			beside.Go(func() { defer func() { <-busy }(); f() })
		default: // the next time
		}
	}
	beside.Go(func() {
		for {
			select {
			case name := <-a.settling:
				a.settled(ctx, name)
			case <-ctx.Done():
				return
			}
		}
	})
	do(func() { a.settleAll(ctx); a.loseAll(ctx); a.expire(ctx) })
	for {
		select {
		case <-ctx.Done():
			a.closeViews(context.WithoutCancel(ctx), true)
			return nil
		case <-missed.C:
			do(func() { a.settleAll(ctx) })
		case <-old.C:
			do(func() { a.expire(ctx) })
		case <-lost.C:
			do(func() { a.loseAll(ctx) })
		case <-look.C:
			a.closeViews(ctx, false)
		}
	}
}

// settleAll finds what ended and was not kept yet: by a replica that died, or while the store was away.
func (a *Archive) settleAll(ctx context.Context) {
	names, err := a.Inbox.Names()
	if err != nil {
		a.Log.Error("recordings that ended are not looked for", "error", err)
		return
	}
	for _, name := range names {
		if p, err := a.Inbox.Have(name); err == nil && p.State != recording.Unended && ctx.Err() == nil {
			a.settled(ctx, name)
		}
	}
}

func (a *Archive) settled(ctx context.Context, session string) {
	if err := a.settle(ctx, session); err != nil && ctx.Err() == nil {
		a.Log.Error("a recording is not kept yet; tried again", "session", session, "error", err)
	}
}

// settle puts a recording where it stays, reads it back, and puts its anchor into the log.
func (a *Archive) settle(ctx context.Context, session string) error {
	r, err := a.Get(ctx, session)
	if err != nil {
		return err
	}
	if r.State != access.RecordingRunning { // another replica was faster
		if err := a.Inbox.Remove(session); err != nil && !errors.Is(err, recording.ErrNotFound) {
			return err
		}
		return nil
	}
	report, err := recording.NewKeep(a.Kept, trustOf(r)).Ship(ctx, stays{a.Inbox}, session)
	if errors.Is(err, recording.ErrNotFound) {
		return nil // likewise
	} else if err != nil {
		return err
	}
	if r, err = a.change(ctx, session, func(was access.Recording, now time.Time) (access.Recording, access.Event, bool) {
		if was.State != access.RecordingRunning {
			return was, access.Event{}, false
		}
		was.State = access.RecordingWhole
		if report.State == recording.Broken {
			was.State = access.RecordingBroken
		}
		was.Frames, was.Root, was.Bytes, was.Sum, was.Reason = report.Anchor.Frames, access.Digest(report.Anchor.Root), report.Bytes, access.Digest(report.Sum), report.Reason
		next, ev := was.Kept(now)
		return next, ev, true
	}); err != nil {
		return err
	}
	return a.settledNow(session)
}

// settledNow forgets what was known of a recording while it was written.
func (a *Archive) settledNow(session string) error {
	a.mu.Lock()
	delete(a.known, session)
	a.mu.Unlock()
	a.ring(session)
	if err := a.Inbox.Remove(session); err != nil && !errors.Is(err, recording.ErrNotFound) {
		return err
	}
	return nil
}

// stays is the inbox while its anchor is not in the log yet.
type stays struct{ *recording.Inbox }

func (stays) Remove(string) error { return nil }

// expire removes what is older than it may become.
func (a *Archive) expire(ctx context.Context) {
	if a.Age <= 0 { // zero never means at once
		return
	}
	for ctx.Err() == nil {
		var old []access.Recording
		err := a.Store.View(ctx, func(tx Tx) (err error) {
			old, err = tx.Recordings(access.RecordingQuery{Begun: tx.Now().Add(-a.Age), Limit: 100})
			return err
		})
		if err != nil {
			a.Log.Error("recordings that are old are not removed", "error", err)
			return
		}
		gone := 0
		for _, r := range old {
			if err := a.remove(ctx, r, access.System, "its time is over"); err != nil {
				a.Log.Error("a recording that is old is not removed", "session", r.Session, "error", err)
				continue
			}
			gone++
		}
		if gone == 0 {
			return
		}
	}
}

// remove removes a recording. One that somebody holds meanwhile stays.
func (a *Archive) remove(ctx context.Context, r access.Recording, by access.Actor, why string) error {
	next, err := a.change(ctx, r.Session, func(was access.Recording, now time.Time) (access.Recording, access.Event, bool) {
		if was.State == access.RecordingGone || !was.HeldAt.IsZero() {
			return was, access.Event{}, false
		}
		next, ev := was.Remove(by, why, now)
		return next, ev, true
	})
	if err != nil || next.State != access.RecordingGone {
		return err
	}
	_, err = recording.NewKeep(a.Kept, trustOf(r)).Delete(ctx, r.Session, recording.Act{By: string(by.Principal), Why: why, When: next.GoneAt})
	if errors.Is(err, recording.ErrNotFound) {
		err = nil
	}
	if e := a.Inbox.Remove(r.Session); e != nil && !errors.Is(e, recording.ErrNotFound) {
		err = errors.Join(err, e)
	}
	return err
}

// ring wakes who watches a recording.
func (a *Archive) ring(session string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if b := a.bells[session]; b != nil {
		close(b.rung)
		delete(a.bells, session)
	}
}

// Bell is closed when more of a recording has come here. Where it comes to another replica it may
// stay silent. Who waits no more calls done.
func (a *Archive) Bell(session string) (rung <-chan struct{}, done func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.bells[session]
	if b == nil {
		b = &bell{rung: make(chan struct{})}
		a.bells[session] = b
	}
	b.waiting++
	return b.rung, sync.OnceFunc(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if b.waiting--; b.waiting == 0 && a.bells[session] == b {
			delete(a.bells, session)
		}
	})
}

// Recipient is the public half of the recordings key in force, to which gateways seal.
func (a *Archive) Recipient() recording.Recipient { return a.Openers[0].Recipient() }

// file opens the bytes of a recording, and says what must be true of them.
func (a *Archive) file(ctx context.Context, r access.Recording) (io.ReadCloser, recording.Trust, error) {
	trust := trustOf(r)
	switch r.State {
	case access.RecordingGone:
		return nil, trust, access.Fail(access.NotFound, "recording-removed", "the recording is not kept any more").
			Because("it was removed at " + r.GoneAt.UTC().Format(time.RFC3339) + "; its last frame was " + r.Root.String())
	case access.RecordingRunning:
		trust.Live = true
		f, err := a.Inbox.OpenFile(r.Session)
		if errors.Is(err, recording.ErrNotFound) {
			if now, err := a.Get(ctx, r.Session); err == nil && now.State != access.RecordingRunning { // it ended meanwhile
				return a.file(ctx, now)
			}
			return nil, trust, access.Fail(access.Unavailable, "recording-elsewhere", "the recording is being written, and not to where this server looks").
				Try("replicas need one folder of recordings that they share (recordings.folder)")
		}
		return f, trust, err
	}
	trust.Lost = r.State == access.RecordingLost
	trust.Anchor = &recording.Anchor{Frames: r.Frames, Root: recording.Link(r.Root)}
	rc, err := recording.NewKeep(a.Kept, trust).Open(ctx, r.Session)
	if errors.Is(err, recording.ErrNotFound) {
		return nil, trust, access.Fail(access.Unavailable, "recording-missing", "the recording is not where it was kept").
			Because("the log knows " + r.Root.String() + " as its last frame").Try("look at the folder or bucket of recordings, and who could write to it")
	}
	return rc, trust, err
}
