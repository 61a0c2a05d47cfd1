package broker

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/clock"
)

// The events about time.
const (
	ClockDoubted  access.EventType = "clock.doubted"  // a replica does not trust its clock, and grants nothing
	ClockTrusted  access.EventType = "clock.trusted"  // and does again
	ClockVouched  access.EventType = "clock.vouched"  // an administrator says that a clock far away is right
	ClockAccepted access.EventType = "clock.accepted" // a second one said so too
)

// Clock is what the broker sees of the store's time beside Tx.Now.
type Clock interface {
	Clock() clock.State
	// AcceptClock takes a clock far away for the right one, if it still is ahead by
	// about as much (negative: behind).
	AcceptClock(ahead time.Duration) bool
}

// How a doubt about time is told and ended.
const (
	lookAtClock = time.Second
	// tellClock is the least time between two reports of one replica, so that a
	// clock which comes and goes does not flood the log.
	tellClock = time.Minute
	// acceptWithin is for how long the first person's word waits for a second one's,
	// and for how long both are good.
	acceptWithin = 10 * time.Minute
)

// watchClock reports when this replica stops and begins again to trust its
// clock, and does what two persons have decided about it.
func (b *Broker) watchClock(ctx context.Context) {
	told := clockReport{trusted: true}
	every(ctx, lookAtClock, func() {
		st := b.Clock.Clock()
		if st.Far && !st.Slowed {
			if err := b.followAccepted(ctx, st); err != nil && access.KindOf(err) != access.Conflict {
				b.storeTrouble(ctx, "reading what was decided about the clock", err)
			}
		}
		if !told.due(st.Trusted, time.Now()) {
			return
		}
		t, level := ClockTrusted, b.Log.Info
		if !st.Trusted {
			t, level = ClockDoubted, b.Log.Error
		}
		level("the clock "+map[bool]string{true: "is trusted again", false: "is in doubt: nothing new is granted, everything still ends"}[st.Trusted],
			"why", st.Why, "wall", st.Wall, "ahead", st.Ahead, "skew", st.Skew)
		if err := b.update(ctx, func(tx Tx, fx *effects) error {
			fx.event(b.alarmEvent(t, tx.Now(), access.System, "why", st.Why, "ahead", st.Ahead.String(), "skew", st.Skew.String(), "replica", b.Replica))
			return nil
		}); err != nil {
			b.storeTrouble(ctx, "recording a doubt about the clock", err)
			return
		}
		told.tell(st.Trusted, time.Now())
	})
}

// clockReport is what was last told of the clock.
type clockReport struct {
	trusted bool
	at      time.Time
}

func (r clockReport) due(trusted bool, now time.Time) bool {
	return trusted != r.trusted && (r.at.IsZero() || now.Sub(r.at) >= tellClock)
}

func (r *clockReport) tell(trusted bool, now time.Time) { r.trusted, r.at = trusted, now }

// acceptance is what persons said of a clock that is far away: that it is right.
type acceptance struct {
	Ahead   time.Duration   `json:"ahead"` // of the wall before Stint's time, as the first one saw it
	Persons []access.Person `json:"persons"`
	At      time.Time       `json:"at"`    // the newest word, in Stint's time
	Final   bool            `json:"final"` // enough have said so
	Version int64           `json:"version"`
}

const (
	acceptSetting = "clock-accept"
	acceptPersons = 2
)

func readAcceptance(tx Tx) (a acceptance, err error) {
	v, err := tx.Setting(acceptSetting)
	if err != nil || v == nil {
		return a, err
	}
	if err := json.Unmarshal(v, &a); err != nil {
		return acceptance{}, nil // nothing was decided, then
	}
	return a, nil
}

// stands reports whether what was said is about this difference, and recent.
func (a acceptance) stands(ahead time.Duration, now time.Time) bool {
	age := now.Sub(a.At)
	return len(a.Persons) > 0 && age >= -clock.Near && age <= acceptWithin && a.Ahead < 0 == (ahead < 0) && (a.Ahead-ahead).Abs() <= clock.Near
}

func (b *Broker) followAccepted(ctx context.Context, st clock.State) error {
	final := false
	if err := b.Store.View(ctx, func(tx Tx) error {
		a, err := readAcceptance(tx)
		final = a.Final && a.stands(st.Ahead, tx.Now())
		if !final || err != nil {
			return err
		}
		return prolongsNothing(tx, st)
	}); err != nil {
		return err
	}
	if final {
		b.Clock.AcceptClock(st.Ahead)
	}
	return nil
}

// prolongsNothing refuses a clock that is behind while anybody has access: Stint's
// time then runs at half speed, and what lives by it would live up to twice as long.
// Nothing begins meanwhile, since the clock is in doubt until it has caught up: so
// either this holds for the whole way, or it is refused.
func prolongsNothing(tx Tx, st clock.State) error {
	if st.Ahead >= 0 {
		return nil
	}
	live, err := tx.Grants(access.GrantQuery{States: []access.GrantState{access.Provisioning, access.Active}, Limit: 1})
	if err != nil || len(live) == 0 {
		return err
	}
	return access.Fail(access.Conflict, "clock-prolongs", "a clock that is behind is not accepted while anybody has access").
		Because("time would run at half speed until the clock has caught up, and what ends by time would end later").
		Try("wait until it has ended, or end it: stint revoke --all --why …; nothing new begins before the clock is right")
}

// ClockView is what an administrator is shown of the clock of one replica.
type ClockView struct {
	clock.State
	Replica string
	// Accepted are the persons who said, not long ago, that the clock which is
	// far away is right.
	Accepted []access.Person
}

// ClockState shows the clock of this replica; administrators and auditors.
func (b *Broker) ClockState(ctx context.Context, c Caller) (v ClockView, err error) {
	if !c.Principal.Admin && !c.Principal.Auditor {
		return v, access.Fail(access.Denied, "not-yours", "the clock is for administrators and auditors")
	}
	if b.Clock == nil {
		return v, errNoClock
	}
	return b.clockView(ctx)
}

var errNoClock = access.Fail(access.Unavailable, "no-clock", "this server does not show its clock")

func (b *Broker) clockView(ctx context.Context) (v ClockView, err error) {
	v = ClockView{State: b.Clock.Clock(), Replica: b.Replica}
	err = b.Store.View(ctx, func(tx Tx) error {
		a, err := readAcceptance(tx)
		if a.stands(v.Ahead, tx.Now()) && v.Far {
			v.Accepted = a.Persons
		}
		return err
	})
	return v, err
}

// AcceptClock is an administrator's word that a clock which is far away is right.
// The word of a second person within acceptWithin makes every replica that sees
// the same difference take it: one that is ahead at once, which ends what its
// time says is over; behind one that is behind, Stint's time runs at half speed
// until it is caught up, which is refused while anybody has access.
func (b *Broker) AcceptClock(ctx context.Context, c Caller, why string) (v ClockView, err error) {
	if err := c.admin(); err != nil {
		return v, err
	}
	if strings.TrimSpace(why) == "" {
		return v, access.Fail(access.Invalid, "no-reason", "say why the clock is right").Try("say it with --why")
	}
	if b.Clock == nil {
		return v, errNoClock
	}
	st := b.Clock.Clock()
	switch {
	case st.Trusted:
		return v, access.Fail(access.Conflict, "clock-trusted", "the clock is trusted; there is nothing to accept")
	case !st.Far:
		return v, access.Fail(access.Conflict, "clock-near", "this doubt is not ended by accepting the clock").Because(st.Why).
			Try("set the clock right, or wait: a small difference is made up for by itself")
	case st.Slowed:
		return v, access.Fail(access.Conflict, "clock-accepted", "it is accepted already; time runs at half speed until the clock has caught up")
	}
	var a acceptance
	err = b.update(ctx, func(tx Tx, fx *effects) error {
		if err := prolongsNothing(tx, st); err != nil {
			return err
		}
		if a, err = readAcceptance(tx); err != nil {
			return err
		}
		if a.Final || !a.stands(st.Ahead, tx.Now()) {
			a = acceptance{Ahead: st.Ahead, Version: a.Version}
		}
		if slices.Contains(a.Persons, c.Principal.Person) {
			return access.Fail(access.Conflict, "own-word", "you have said so already; it takes another person").
				Try("another administrator runs: stint admin clock accept")
		}
		a.Persons, a.At = append(slices.Clone(a.Persons), c.Principal.Person), tx.Now()
		a.Final = len(a.Persons) >= acceptPersons
		a.Version++
		body, err := json.Marshal(a)
		if err != nil {
			return err
		}
		if err := tx.SaveSetting(acceptSetting, body); err != nil {
			return err
		}
		t := ClockVouched
		if a.Final {
			t = ClockAccepted
		}
		fx.event(access.Event{Type: t, At: tx.Now(), Entity: "clock", Version: a.Version, Actor: c.Actor, Facts: map[string]string{
			"why": why, "ahead": st.Ahead.String(), "wall": st.Wall.Format(time.RFC3339)}})
		return nil
	})
	if err != nil {
		return v, err
	}
	if a.Final {
		b.Clock.AcceptClock(st.Ahead)
	}
	return b.clockView(ctx)
}
