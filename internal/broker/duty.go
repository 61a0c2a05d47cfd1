package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/moment"
	"stint/internal/oncall"
	"stint/internal/policy"
)

// The events of schedules that are kept elsewhere. Their entity is "oncall/NAME".
const (
	DutyChanged access.EventType = "oncall.changed" // somebody else is on call within a day than was known
	DutyLost    access.EventType = "oncall.lost"    // it cannot be found out any more
)

// duty is what is known of one schedule that is kept elsewhere, in the store so that all
// replicas decide alike. Only bookkeeping leaves Version as it is.
type duty struct {
	Version int64          `json:"version"`
	Of      string         `json:"of"` // where it is kept, and as what
	ReadAt  time.Time      `json:"read_at,omitzero"`
	From    time.Time      `json:"from,omitzero"` // what the shifts cover
	Until   time.Time      `json:"until,omitzero"`
	Shifts  []oncall.Shift `json:"shifts,omitempty"`
	TriedAt time.Time      `json:"tried_at,omitzero"`
	Problem string         `json:"problem,omitempty"` // of the last try
}

func dutyName(schedule string) string { return "oncall/" + schedule }

// keptAs says where a schedule is kept, so that what is known of another place does not
// count for it.
func keptAs(k policy.Kept, i policy.Integration) string {
	return strings.Join([]string{i.Type, i.Address, i.Credential, k.Calendar}, " ")
}

func readDuty(tx Tx, schedule string) (d duty, err error) {
	body, err := tx.Setting(dutyName(schedule))
	if err != nil || len(body) == 0 {
		return d, err
	}
	if err := json.Unmarshal(body, &d); err != nil {
		return d, access.Fail(access.Internal, "bad-setting", "who is on call in "+schedule+" cannot be read from the store").Wrap(err)
	}
	return d, nil
}

// onDuty completes documents with who is on call in schedules that are kept elsewhere. An
// answer that is older than the schedule allows counts for nobody.
func onDuty(tx Tx, set *policy.Set) (*policy.Set, error) {
	elsewhere := set.Elsewhere()
	if len(elsewhere) == 0 {
		return set, nil
	}
	known := map[string]policy.Duty{}
	for _, s := range elsewhere {
		d, err := readDuty(tx, s.Name)
		if err != nil {
			return nil, err
		}
		i, _ := set.Integration(s.Kept.Integration)
		known[s.Name] = policy.Duty{Shifts: d.Shifts, Trouble: d.trouble(s, keptAs(s.Kept, i), tx.Now())}
	}
	return set.With(known), nil
}

// trouble says why what is known does not count; empty: it does.
func (d duty) trouble(s policy.Schedule, of string, now time.Time) string {
	why := ""
	if d.Problem != "" {
		why = ": " + d.Problem
	}
	switch {
	case d.Of != of || d.ReadAt.IsZero():
		return "who is on call in " + s.Name + " was not found out yet" + why
	case now.Sub(d.ReadAt) > s.Kept.MaxAge || !now.Before(d.Until):
		return fmt.Sprintf("who is on call in %s was last found out %s ago, which counts for %s%s", s.Name, moment.Span(now.Sub(d.ReadAt).Round(time.Second)), moment.Span(s.Kept.MaxAge), why)
	}
	return ""
}

// DutySource is a schedule that is kept elsewhere, for whoever asks there.
type DutySource struct {
	Schedule    string
	Kept        policy.Kept
	Integration policy.Integration
	ReadAt      time.Time // of the last good answer; zero: none that counts for this place
	Now         time.Time // the store's
}

// DutySources lists the schedules that are kept elsewhere.
func (b *Broker) DutySources(ctx context.Context) (all []DutySource, err error) {
	err = b.Store.View(ctx, func(tx Tx) error {
		all = nil
		set, err := b.documents(tx)
		if err != nil {
			return err
		}
		for _, s := range set.Elsewhere() {
			i, ok := set.Integration(s.Kept.Integration)
			if !ok {
				continue // documents that name none do not compile
			}
			x := DutySource{Schedule: s.Name, Kept: s.Kept, Integration: i, Now: tx.Now()}
			d, err := readDuty(tx, s.Name)
			if err != nil {
				return err
			}
			if d.Of == keptAs(s.Kept, i) {
				x.ReadAt = d.ReadAt
			}
			all = append(all, x)
		}
		return nil
	})
	return all, err
}

// KeepDuty records what was found out of a schedule that is kept elsewhere, for what time;
// or, with a problem, that it could not be. What was known before counts as long as it may.
func (b *Broker) KeepDuty(ctx context.Context, s DutySource, shifts []oncall.Shift, from, until time.Time, problem error) error {
	return b.update(ctx, func(tx Tx, fx *effects) error {
		old, err := readDuty(tx, s.Schedule)
		if err != nil {
			return err
		}
		now, of := tx.Now(), keptAs(s.Kept, s.Integration)
		d := old
		if d.Of != of { // another place: nothing is known of it
			d = duty{Version: old.Version, Of: of}
		}
		d.TriedAt, d.Problem = now, ""
		var ev []string
		event := DutyChanged
		switch {
		case problem != nil:
			if d.Problem = problem.Error(); old.Problem == "" || old.Of != of {
				event, ev = DutyLost, []string{"why", d.Problem, "last_read", instantText(d.ReadAt)}
			}
		default:
			before := d
			d.ReadAt, d.From, d.Until, d.Shifts = now, from, until, shifts
			was, is := before.names(s, now), d.names(s, now)
			if before.ReadAt.IsZero() || old.Problem != "" || !slices.Equal(was, is) {
				ev = []string{"on_call", strings.Join(d.at(s, now), ","), "within_a_day", strings.Join(is, ","), "unknown", strings.Join(d.unknown(s, now), ",")}
			}
		}
		if ev != nil {
			d.Version++
			facts := map[string]string{"integration": s.Integration.Name}
			for i := 0; i+1 < len(ev); i += 2 {
				if ev[i+1] != "" {
					facts[ev[i]] = ev[i+1]
				}
			}
			fx.event(access.Event{Type: event, At: now, Entity: dutyName(s.Schedule), Version: d.Version, Actor: access.System, Facts: facts})
		}
		body, err := json.Marshal(d)
		if err != nil {
			return err
		}
		return tx.SaveSetting(dutyName(s.Schedule), body)
	})
}

func instantText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(access.Stamp)
}

// names lists who is on call within a day, as Stint knows them.
func (d duty) names(s DutySource, now time.Time) []string {
	return s.known(oncall.Schedule{Overrides: d.Shifts}.Between(now, now.Add(24*time.Hour)))
}

func (d duty) at(s DutySource, now time.Time) []string {
	return s.known(oncall.Schedule{Overrides: d.Shifts}.At(now))
}

// known translates, and leaves out who is nobody here.
func (s DutySource) known(there []string) (names []string) {
	for _, m := range there {
		if who, ok := s.Kept.People[m]; ok {
			names = append(names, string(who))
		}
	}
	return names
}

// unknown lists who is on call within a day and nobody here, a few of them.
func (d duty) unknown(s DutySource, now time.Time) (names []string) {
	for _, m := range (oncall.Schedule{Overrides: d.Shifts}).Between(now, now.Add(24*time.Hour)) {
		if _, ok := s.Kept.People[m]; !ok && len(names) < 5 {
			names = append(names, m)
		}
	}
	return names
}
