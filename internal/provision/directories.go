package provision

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"stint/internal/access"
	"stint/internal/directory"
	"stint/internal/policy"
)

// Turns is who reads a directory: one replica at a time, for the state that it leaves
// to the next.
type Turns interface {
	// Turn takes the turn or goes on with it, and answers with the state; mine is
	// false while another has it.
	Turn(ctx context.Context, name, owner string, lasts time.Duration) (state []byte, mine bool, err error)
	// Save keeps the state, if the turn is the owner's.
	Save(ctx context.Context, name, owner string, state []byte) error
	// States are those of all directories, by name.
	States(ctx context.Context) (map[string][]byte, error)
}

// DirectoryState is how a directory is doing.
type DirectoryState struct {
	Read  time.Time `json:"read"`  // what was known then was all that changed
	Whole time.Time `json:"whole"` // everything was read then
	Took  int64     `json:"took"`  // milliseconds, of the last look

	Since    time.Time `json:"since,omitzero"` // it cannot be read since then
	Why      string    `json:"why,omitempty"`
	Reported bool      `json:"reported,omitempty"`

	Users    int                 `json:"users"`
	Groups   int                 `json:"groups"`
	Problems []directory.Problem `json:"problems,omitempty"` // the first ones
	More     int                 `json:"more,omitempty"`     // problems besides
	Held     *Held               `json:"held,omitempty"`
	Leavings []Leaving           `json:"leavings,omitempty"` // of the last hour
	Answered int64               `json:"answered,omitempty"` // the order that was dealt with last
}

// Leaving is how many left or lost a group at a time, because nothing was said of them
// any more.
type Leaving struct {
	At time.Time `json:"at"`
	N  int       `json:"n"`
}

const (
	namesEvery   = 3 * time.Second // it is looked which directories there are
	turnLasts    = 20 * time.Second
	staleAfter   = time.Minute // of not being read, it is in the log
	againAfter   = time.Minute // what has problems is tried again
	leavingsOf   = time.Hour
	manyProblems = 20
)

// order is what an administrator wants of a directory.
type order struct {
	At      int64  `json:"at"` // milliseconds; also its number
	Confirm string `json:"confirm,omitempty"`
}

func orderSetting(name string) string { return "directory/" + name }

// confirmedFor is how long it counts that an administrator confirmed.
const confirmedFor = 10 * time.Minute

// Directories reads directories and has done what they say. It is safe for concurrent
// use.
type Directories struct {
	Store Store
	Ender Ender
	Door  directory.Door
	Turns Turns
	// Documents are the integrations of the type, as they are now.
	Documents func(ctx context.Context) ([]policy.Integration, error)
	Login     func(ctx context.Context, i policy.Integration) (directory.Login, error)
	Owner     string
	Now       func() time.Time
	Log       *slog.Logger

	mu   sync.Mutex
	wake map[string]chan struct{}
	read map[string]time.Time // the newest DirectoryState.Read that was seen of each
}

// Run serves all directories that the documents name until ctx is done.
func (d *Directories) Run(ctx context.Context) {
	running := map[string]context.CancelFunc{}
	var all sync.WaitGroup
	defer all.Wait()
	tick := time.NewTicker(namesEvery)
	defer tick.Stop()
	for {
		if is, err := d.Documents(ctx); err == nil {
			names := map[string]bool{}
			for _, i := range is {
				if names[i.Name] = true; running[i.Name] == nil {
					one, stop := context.WithCancel(ctx)
					running[i.Name] = stop
					wake := d.bell(i.Name)
					all.Go(func() { d.serve(one, i.Name, wake) })
				}
			}
			for name, stop := range running {
				if !names[name] {
					stop()
					delete(running, name)
				}
			}
		}
		select {
		case <-ctx.Done():
			for _, stop := range running {
				stop()
			}
			return
		case <-tick.C:
		}
	}
}

func (d *Directories) bell(name string) chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.wake == nil {
		d.wake = map[string]chan struct{}{}
	}
	if d.wake[name] == nil {
		d.wake[name] = make(chan struct{}, 1)
	}
	return d.wake[name]
}

// reading is what is remembered of a directory between two looks, by who has the turn.
type reading struct {
	mirror  directory.Mirror
	done    directory.Picture
	applied time.Time // when it was made so; zero: never
	held    bool
	trouble bool
}

func (d *Directories) serve(ctx context.Context, name string, wake <-chan struct{}) {
	r := &reading{mirror: directory.Mirror{Door: d.Door, Now: d.Now}}
	for ctx.Err() == nil {
		rest := time.Second
		i, ok, err := d.named(ctx, name)
		switch {
		case err != nil: // the store is away, and others say so
		case !ok: // Run ends this, unless the document comes back before it looks
		default:
			rest = directory.Read(i.Address, i.Options).Every
			if err := d.look(ctx, i, r); err != nil && ctx.Err() == nil {
				d.Log.Warn("a directory was not dealt with; tried again", "integration", name, "cause", err)
			}
		}
		select {
		case <-ctx.Done():
		case <-wake:
		case <-time.After(rest):
		}
	}
}

func (d *Directories) named(ctx context.Context, name string) (policy.Integration, bool, error) {
	is, err := d.Documents(ctx)
	for _, i := range is {
		if i.Name == name {
			return i, true, err
		}
	}
	return policy.Integration{}, false, err
}

// look reads a directory once and has done what it says, if it is this replica's turn.
func (d *Directories) look(ctx context.Context, i policy.Integration, r *reading) error {
	s := directory.Read(i.Address, i.Options)
	raw, mine, err := d.Turns.Turn(ctx, i.Name, d.Owner, turnLasts)
	if err != nil {
		return err
	}
	var st DirectoryState
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &st); err != nil {
			st = DirectoryState{} // an older or a newer form; all of it is read again
		}
	}
	d.noteRead(i.Name, st.Read)
	if !mine {
		*r = reading{mirror: directory.Mirror{Door: d.Door, Now: d.Now}} // another goes on
		return nil
	}
	ctx, stop := d.keep(ctx, i.Name)
	defer stop()
	var o order
	var began time.Time // by the store's time, which all replicas share and no clock takes back
	if err := d.Store.View(ctx, func(tx Tx) error {
		began = tx.Now()
		o, err = readOrder(tx, i.Name)
		return err
	}); err != nil {
		return err
	}
	from := d.Now()
	ordered := o.At > st.Answered
	whole := ordered || began.Sub(st.Whole) >= s.Whole
	who, err := d.Login(ctx, i)
	var pic directory.Picture
	if err == nil {
		pic, whole, err = r.mirror.Read(ctx, s, who, whole)
	}
	if err != nil {
		if ordered {
			st.Answered = o.At
		}
		return errors.Join(d.failed(ctx, i, &st, err), d.save(ctx, i.Name, st))
	}
	if err := d.apply(ctx, i, r, &st, pic, s, whole, o); err != nil {
		return err
	}
	if st.Reported {
		if err := d.event(ctx, i.Name, DirectoryRead, access.Actor{}, "since", stamp(st.Since)); err != nil {
			return err
		}
	}
	if !st.Since.IsZero() {
		d.Log.Info("a directory can be read again", "integration", i.Name, "since", st.Since)
	}
	st.Since, st.Why, st.Reported, st.Read = time.Time{}, "", false, began
	if whole {
		st.Whole = began
	}
	if ordered {
		st.Answered = o.At
	}
	st.Took = d.Now().Sub(from).Milliseconds()
	return d.save(ctx, i.Name, st) // who asks how fresh it is believes what is in the store
}

// apply has done what a picture says, unless it was done already.
func (d *Directories) apply(ctx context.Context, i policy.Integration, r *reading, st *DirectoryState, pic directory.Picture, s directory.Settings, whole bool, o order) error {
	now := d.Now()
	st.Leavings = slices.DeleteFunc(st.Leavings, func(l Leaving) bool { return now.Sub(l.At) >= leavingsOf })
	same := !r.applied.IsZero() && reflect.DeepEqual(pic, r.done)
	if same && !whole && !r.held && (!r.trouble || now.Sub(r.applied) < againAfter) {
		return nil
	}
	trust := Trust{Leavers: s.Leavers}
	for _, l := range st.Leavings {
		trust.Recent += l.N
	}
	if o.Confirm != "" && now.Sub(time.UnixMilli(o.At)) < confirmedFor {
		trust.Confirmed = o.Confirm
	}
	out, err := ForDirectory(i, d.Store, d.Ender).Mirror(ctx, pic, trust)
	if n := out.Left + out.Lost; n > 0 {
		st.Leavings = append(st.Leavings, Leaving{now, n})
	}
	if err != nil {
		if len(st.Leavings) > 0 {
			err = errors.Join(err, d.save(ctx, i.Name, *st)) // who left counts, whatever came after
		}
		return err
	}
	if trust.Confirmed != "" && out.Held == nil {
		st.Leavings = nil // they were said to be right
	}
	if out.Held != nil && st.Held == nil {
		d.Log.Error("a directory says that more people are gone than is believed; nobody loses anything until an administrator confirms", "integration", i.Name,
			"gone", out.Held.Gone, "of", out.Held.Known)
		if err := d.event(ctx, i.Name, DirectoryHeld, access.Actor{}, "gone", fmt.Sprint(out.Held.Gone), "of", fmt.Sprint(out.Held.Known), "digest", out.Held.Digest,
			"sample", strings.Join(out.Held.Sample, ",")); err != nil {
			return err
		}
	}
	if out.Made+out.Changed+out.Left > 0 {
		d.Log.Info("a directory was taken over", "integration", i.Name, "made", out.Made, "changed", out.Changed, "left", out.Left, "lost a group", out.Lost)
	}
	st.Users, st.Groups, st.Held = out.Users, out.Groups, out.Held
	st.Problems, st.More = out.Problems, 0
	if n := len(out.Problems); n > manyProblems {
		st.Problems, st.More = out.Problems[:manyProblems], n-manyProblems
	}
	r.done, r.applied, r.held, r.trouble = pic, now, out.Held != nil, len(out.Problems) > 0
	return nil
}

// failed notes that a directory cannot be read. Nobody loses anything by it.
func (d *Directories) failed(ctx context.Context, i policy.Integration, st *DirectoryState, cause error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if st.Since.IsZero() {
		st.Since = d.Now()
		d.Log.Warn("a directory cannot be read; who is known stays", "integration", i.Name, "cause", cause)
	}
	st.Why = visible(cause.Error())
	if st.Reported || d.Now().Sub(st.Since) < staleAfter {
		return nil
	}
	st.Reported = true
	return d.event(ctx, i.Name, DirectoryStale, access.Actor{}, "since", stamp(st.Since), "why", st.Why)
}

func (d *Directories) save(ctx context.Context, name string, st DirectoryState) error {
	raw, err := json.Marshal(st)
	if err != nil {
		return err
	}
	return d.Turns.Save(ctx, name, d.Owner, raw)
}

// keep holds the turn for as long as a look takes, and ends the look when it is lost.
func (d *Directories) keep(ctx context.Context, name string) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		t := time.NewTicker(turnLasts / 4)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				if _, mine, err := d.Turns.Turn(ctx, name, d.Owner, turnLasts); err == nil && !mine {
					cancel()
				}
			}
		}
	})
	return ctx, func() { cancel(); done.Wait() }
}

// event appends a record. Each is about itself, like all reports.
func (d *Directories) event(ctx context.Context, name string, t access.EventType, by access.Actor, kv ...string) error {
	return d.Store.Update(ctx, func(tx Tx) error {
		e := DirectoryEvent(t, name, by, tx.Now(), kv...)
		return tx.Append(e)
	})
}

// visible is at most 500 characters of a text that a directory may have had a hand in.
func visible(s string) string {
	n := 0
	return strings.Map(func(r rune) rune {
		if n++; n > 500 || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}

func noteID(now time.Time) string {
	var e access.Entropy
	_, _ = rand.Read(e[:]) // never fails
	return "note_" + string(access.NewRequestID(now.UnixMilli(), e))[len("req_"):]
}

func stamp(t time.Time) string { return t.UTC().Format(access.Stamp) }

func readOrder(tx Tx, name string) (o order, err error) {
	raw, err := tx.Setting(orderSetting(name))
	if err == nil && raw != nil {
		err = json.Unmarshal(raw, &o)
	}
	return o, err
}

// Order has a directory read as a whole, soon; with confirm, a digest that Held showed,
// those it names leave. It answers with the number that the state will show as answered.
func (d *Directories) Order(ctx context.Context, by access.Actor, name, confirm string) (number int64, err error) {
	if confirm != "" {
		states, err := d.States(ctx)
		switch st := states[name]; {
		case err != nil:
			return 0, err
		case st.Held == nil:
			return 0, access.Fail(access.Conflict, "not-held", "nothing of "+name+" waits for a confirmation")
		case st.Held.Digest != confirm:
			return 0, access.Fail(access.Conflict, "other-held", "it is others now who would leave").
				Because("the directory has changed since it was looked at").Try("look again with stint admin directory show " + name)
		}
	}
	err = d.Store.Update(ctx, func(tx Tx) error {
		was, err := readOrder(tx, name)
		if err != nil {
			return err
		}
		number = max(tx.Now().UnixMilli(), was.At+1)
		raw, err := json.Marshal(order{At: number, Confirm: confirm})
		if err == nil {
			err = tx.SaveSetting(orderSetting(name), raw)
		}
		if err == nil && confirm != "" {
			err = tx.Append(DirectoryEvent(DirectoryConfirmed, name, by, tx.Now(), "digest", confirm))
		}
		return err
	})
	if err == nil {
		select {
		case d.bell(name) <- struct{}{}:
		default:
		}
	}
	return number, err
}

// States are how directories are doing, by name.
func (d *Directories) States(ctx context.Context) (map[string]DirectoryState, error) {
	raw, err := d.Turns.States(ctx)
	all := map[string]DirectoryState{}
	for name, text := range raw {
		var st DirectoryState
		if len(text) > 0 && json.Unmarshal(text, &st) != nil {
			continue
		}
		all[name] = st
	}
	return all, err
}

// Trial is what a directory says, without anything being done about it.
type Trial struct {
	Users, Active, Groups, Memberships int
	Took                               time.Duration
	Problems                           []directory.Problem
	Found                              []directory.User // who has the name that was asked for
	In                                 []string         // groups there of who was found
}

// Try reads a directory as a whole, and somebody of that name if there is one.
func (d *Directories) Try(ctx context.Context, i policy.Integration, name string) (t Trial, err error) {
	s := directory.Read(i.Address, i.Options)
	who, err := d.Login(ctx, i)
	if err != nil {
		return t, err
	}
	began := time.Now()
	m := directory.Mirror{Door: d.Door, Now: d.Now}
	p, _, err := m.Read(ctx, s, who, true)
	if err != nil {
		return t, err
	}
	t.Users, t.Groups, t.Problems = len(p.Users), len(p.Groups), p.Problems
	for _, u := range p.Users {
		if u.Active {
			t.Active++
		}
	}
	if name != "" {
		if t.Found, err = d.Door.Find(ctx, s, who, name); err != nil {
			return t, err
		}
	}
	for _, g := range p.Groups {
		t.Memberships += len(g.Members)
		for _, u := range t.Found {
			if _, in := slices.BinarySearch(g.Members, u.Subject); in && !slices.Contains(t.In, g.Name) {
				t.In = append(t.In, g.Name)
			}
		}
	}
	slices.Sort(t.In)
	t.Took = time.Since(began)
	return t, nil
}
