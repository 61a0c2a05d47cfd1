package broker

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/policy"
)

// Who has privileged access to a target without Stint is found by asking the target, once
// a day and when somebody wants to know (connector.Surveyor). It is told and counted, and
// never taken away. All of that is on a lane of its own: nothing that begins or ends
// access waits for it, and what does not succeed is said on the page and tried again
// later. RFD 32.

const (
	// surveyLook is how often is looked which resources are due.
	surveyLook = time.Minute
	// surveyWithin bounds one survey, and surveysAtOnce how many are under way on a replica.
	surveyWithin, surveysAtOnce = 20 * time.Second, 2
	// surveyAgain is how long after a survey that failed the next is tried.
	surveyAgain = time.Hour
	// surveySpread is over how much of the first hours of a day, in UTC, the surveys of
	// all resources are spread.
	surveySpread = 6 * time.Hour
	// StandingKept bounds what is kept of one resource.
	StandingKept = 2000
	// standingTold bounds how many are named in one record of the log.
	standingTold = 10
)

// StandingFound reports what a survey found, where that is not what the one before did,
// or somebody asked for it.
const StandingFound access.EventType = "standing.found"

// surveys are those under way in this process.
type surveys struct {
	slots chan struct{}
	poked chan struct{}
	wg    sync.WaitGroup
}

func newSurveys() surveys {
	return surveys{slots: make(chan struct{}, surveysAtOnce), poked: make(chan struct{}, 1)}
}

// poke has what is due looked for now: there may be a new resource.
func (s *surveys) poke() {
	select {
	case s.poked <- struct{}{}:
	default:
	}
}

// watchStanding surveys every resource whose connector can, each day.
func (b *Broker) watchStanding(ctx context.Context) {
	if !b.surveys() {
		return
	}
	t := time.NewTicker(surveyLook)
	defer t.Stop()
	for {
		if err := b.surveyDue(ctx); err != nil && ctx.Err() == nil {
			b.storeTrouble(ctx, "looking for resources to survey", err)
		}
		select {
		case <-ctx.Done():
			b.surveying.wg.Wait()
			return
		case <-b.surveying.poked:
		case <-t.C:
		}
	}
}

// surveys reports whether any kind of target can be surveyed.
func (b *Broker) surveys() bool {
	for _, c := range b.Connectors {
		if _, ok := c.(connector.Surveyor); ok {
			return true
		}
	}
	return false
}

// surveyDue surveys what is due, a few at a time, and forgets what was seen of resources
// that are no more.
func (b *Broker) surveyDue(ctx context.Context) error {
	var due []policy.Resource
	var lent map[access.ResourceName][]string
	var over []access.ResourceName
	err := b.Store.View(ctx, func(tx Tx) error {
		due, over, lent = nil, nil, map[access.ResourceName][]string{}
		set, err := b.documents(tx)
		if err != nil {
			return err
		}
		known, err := tx.Surveys()
		if err != nil {
			return err
		}
		probed, err := tx.Probes()
		if err != nil {
			return err
		}
		last := map[access.ResourceName]access.Survey{}
		for _, s := range known {
			last[s.Resource] = s
			if _, ok := set.Resource(s.Resource); !ok {
				over = append(over, s.Resource)
			}
		}
		for _, p := range probed {
			if _, ok := set.Resource(p.Resource); !ok && !slices.Contains(over, p.Resource) {
				over = append(over, p.Resource)
			}
		}
		for _, r := range set.Resources() {
			if _, ok := b.Connectors[r.Type].(connector.Surveyor); ok && surveyIsDue(last[r.Name], r.Name, tx.Now()) {
				due = append(due, r)
				lent[r.Name] = lentOn(set, r)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(over) > 0 {
		if err := b.Store.Update(ctx, func(tx Tx) error {
			for _, r := range over {
				if err := tx.DropStanding(r); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	for _, r := range due {
		select {
		case b.surveying.slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		b.surveying.wg.Go(func() {
			defer func() { <-b.surveying.slots }()
			if mine, err := b.reserveSurvey(ctx, r.Name); err != nil || !mine {
				if err != nil && ctx.Err() == nil {
					b.storeTrouble(ctx, "reserving a survey", err)
				}
				return
			}
			if _, err := b.survey(ctx, r, lent[r.Name], access.System, false); err != nil && ctx.Err() == nil {
				b.Log.Warn("a resource was not surveyed for standing privileges", "resource", r.Name, "error", err)
			}
		})
	}
	return nil
}

// surveyIsDue says whether a resource is to be surveyed: at once when it never was, some
// time after a failure, and else once a day, at a moment of its own.
func surveyIsDue(s access.Survey, name access.ResourceName, now time.Time) bool {
	switch {
	case s.TriedAt.IsZero():
		return true
	case s.At.Before(s.TriedAt):
		return now.Sub(s.TriedAt) >= surveyAgain
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	today := now.UTC().Truncate(24 * time.Hour)
	return s.At.Before(today) && now.Sub(today) >= time.Duration(h.Sum32())%surveySpread
}

// reserveSurvey makes sure that one replica surveys a resource at a time.
func (b *Broker) reserveSurvey(ctx context.Context, name access.ResourceName) (mine bool, err error) {
	err = b.Store.Update(ctx, func(tx Tx) error {
		s, err := tx.Survey(name)
		if err != nil && !missing(err) {
			return err
		}
		if mine = surveyIsDue(s, name, tx.Now()); !mine {
			return nil
		}
		s.Resource, s.TriedAt = name, tx.Now()
		return tx.SaveSurvey(s)
	})
	return mine, err
}

// lentOn are the groups that roles give on a resource.
func lentOn(set *policy.Set, r policy.Resource) (groups []string) {
	for _, role := range set.Roles() {
		if role.Covers(&r) {
			groups = append(groups, role.Rights...)
		}
	}
	slices.Sort(groups)
	return slices.Compact(groups)
}

// survey asks a target and keeps what it says. What does not succeed is kept too.
func (b *Broker) survey(ctx context.Context, r policy.Resource, lent []string, by access.Actor, told bool) (access.Survey, error) {
	call, cancel := context.WithTimeout(withWork(ctx, "survey "+string(r.Name)), surveyWithin)
	defer cancel()
	var found []connector.Stand
	var cut bool
	conn, t, err := b.target(call, r.Connection)
	if err == nil {
		if v, ok := conn.(connector.Surveyor); ok {
			found, cut, err = v.Survey(call, t, lent, StandingKept)
		} else {
			err = access.Fail(access.Invalid, "no-survey", "a "+r.Type+" cannot be asked for standing privileges")
		}
	}
	if storeFailed(err) {
		return access.Survey{}, err
	}
	ctx, done := outlive(ctx, surveyWithin)
	defer done()
	var out access.Survey
	kept := b.update(ctx, func(tx Tx, fx *effects) (e error) {
		out, e = b.keepSurvey(tx, fx, r.Name, found, cut, err, by, told)
		return e
	})
	return out, errors.Join(err, kept)
}

// keepSurvey writes what one survey found.
func (b *Broker) keepSurvey(tx Tx, fx *effects, name access.ResourceName, found []connector.Stand, cut bool, failed error, by access.Actor, told bool) (access.Survey, error) {
	now := tx.Now()
	s, err := tx.Survey(name)
	if err != nil && !missing(err) {
		return s, err
	}
	s.Resource, s.TriedAt, s.Said = name, now, ""
	if failed != nil {
		s.Said = publicText(failed)
		if s.At.Equal(now) {
			s.TriedAt = now.Add(time.Millisecond) // it was tried after the one that succeeded
		}
		if !s.At.IsZero() { // what was there yesterday is taken to be there today
			if err := tx.SaveStandingDays(access.StandingDay{Day: now, Resource: name, Edges: s.Edges, Accounts: s.Accounts}); err != nil {
				return s, err
			}
		}
		return s, tx.SaveSurvey(s)
	}
	known, err := tx.Standing(access.StandingQuery{Resource: name, Gone: true, Limit: 10_000})
	if err != nil {
		return s, err
	}
	was := map[access.StandingKey]access.Standing{}
	for _, k := range known {
		was[k.Key()] = k
	}
	var saves []access.Standing
	var fresh, gone []string
	accounts := map[string]bool{}
	for _, f := range found {
		x := access.Standing{Resource: name, Account: f.Account, Privilege: f.Privilege, Kind: f.Kind, Right: f.Right, Undo: f.Undo, Note: f.Note, FirstSeen: now, LastSeen: now}
		if old, ok := was[x.Key()]; ok && old.GoneAt.IsZero() {
			x.FirstSeen = old.FirstSeen
		} else {
			fresh = append(fresh, x.Account+" "+x.Privilege)
		}
		delete(was, x.Key())
		accounts[x.Account] = true
		saves = append(saves, x)
	}
	if !cut { // an incomplete list proves nothing gone
		for _, k := range known {
			if old, ok := was[k.Key()]; ok && old.GoneAt.IsZero() {
				old.GoneAt = now
				gone = append(gone, old.Account+" "+old.Privilege)
				saves = append(saves, old)
			}
		}
	}
	s.At, s.Edges, s.Accounts, s.Cut = now, len(found), len(accounts), cut
	if told || len(fresh)+len(gone) > 0 {
		fx.event(b.alarmEvent(StandingFound, now, by, "resource", string(name), "found", strconv.Itoa(len(found)), "accounts", strconv.Itoa(len(accounts)),
			"new", named(fresh), "gone", named(gone)))
	}
	return s, errors.Join(tx.SaveStanding(saves...), tx.SaveSurvey(s),
		tx.SaveStandingDays(access.StandingDay{Day: now, Resource: name, Edges: s.Edges, Accounts: s.Accounts}))
}

// named are the first of a list, and how many more there are.
func named(all []string) string {
	if n := len(all); n > standingTold {
		return strings.Join(all[:standingTold], "; ") + fmt.Sprintf("; and %d more", n-standingTold)
	}
	return strings.Join(all, "; ")
}

// publicText is what an error says to people: an error of a connector or of ours, and of
// others only that there was one.
func publicText(err error) string {
	var c *connector.Error
	var a *access.Error
	switch {
	case errors.As(err, &c):
		return c.Message
	case errors.As(err, &a):
		if a.Why != "" {
			return a.Message + ": " + a.Why
		}
		return a.Message
	case errors.Is(err, context.DeadlineExceeded):
		return "it did not answer in time"
	}
	return "it could not be asked"
}

// oversees: whoever administers, audits or writes policies sees what stands everywhere,
// and owners of a resource what stands there.
func (c Caller) oversees(set *policy.Set, name access.ResourceName) bool {
	return c.Glass == nil && (c.seesAll() || name != "" && c.owns(set, name))
}

func notOverseen(name access.ResourceName) error {
	what := "standing privileges are"
	if name != "" {
		what = "what stands on " + string(name) + " is"
	}
	return access.Fail(access.Denied, "not-yours", what+" for administrators, auditors, policy authors and owners of the resource").Try("ask one of its owners")
}

// Survey surveys a resource now; for administrators and the resource's owners.
func (b *Broker) Survey(ctx context.Context, c Caller, name access.ResourceName) (access.Survey, error) {
	set, err := b.Documents(ctx)
	if err != nil {
		return access.Survey{}, err
	}
	r, ok := set.Resource(name)
	switch {
	case !ok:
		return access.Survey{}, noResource(set, name)
	case !c.Principal.Admin && !c.owns(set, name):
		return access.Survey{}, access.Fail(access.Denied, "not-yours", "surveying "+string(name)+" is for its owners and administrators")
	}
	s, err := b.survey(ctx, r, lentOn(set, r), c.Actor, true)
	if err != nil {
		return s, access.Fail(access.Unavailable, "survey-failed", string(name)+" could not be surveyed").Because(publicText(err)).Try("see what is wrong with: stint resource check " + string(name)).Wrap(err)
	}
	return s, nil
}

// Standing lists the standing privileges that surveys found, by resource, account and
// privilege. Administrators, auditors and policy authors see all; owners name a resource.
func (b *Broker) Standing(ctx context.Context, c Caller, q access.StandingQuery) (out []access.Standing, err error) {
	err = b.Store.View(ctx, func(tx Tx) error {
		set, err := b.documents(tx)
		if err != nil {
			return err
		}
		if _, ok := set.Resource(q.Resource); !ok && q.Resource != "" {
			return noResource(set, q.Resource)
		}
		if !c.oversees(set, q.Resource) {
			return notOverseen(q.Resource)
		}
		out, err = tx.Standing(q)
		return err
	})
	return out, err
}

// StandingDays is how much standing privilege there was on each day from one to another,
// both included, added up over the resources or of one. A day on which nothing was
// surveyed is not among them; a resource that could not be asked counts as the day before.
func (b *Broker) StandingDays(ctx context.Context, c Caller, r access.ResourceName, from, to time.Time) (out []access.StandingDay, err error) {
	err = b.Store.View(ctx, func(tx Tx) error {
		set, err := b.documents(tx)
		if err != nil {
			return err
		}
		if !c.oversees(set, r) {
			return notOverseen(r)
		}
		out, err = tx.StandingDays(r, from, to)
		return err
	})
	return out, err
}

// ResourceState is what is known of a resource besides its document.
type ResourceState struct {
	Probe  access.Probe  // zero: it was never checked
	Survey access.Survey // zero: it was never surveyed
	Live   int           // grants that are not over
	// Surveyed says that its kind can be surveyed at all.
	Surveyable bool
}

// ResourceStates tells it of all resources that the caller oversees, without the steps of
// probes.
func (b *Broker) ResourceStates(ctx context.Context, c Caller) (map[access.ResourceName]ResourceState, error) {
	out := map[access.ResourceName]ResourceState{}
	err := b.Store.View(ctx, func(tx Tx) error {
		clear(out)
		set, err := b.documents(tx)
		if err != nil {
			return err
		}
		probes, err := tx.Probes()
		if err != nil {
			return err
		}
		ss, err := tx.Surveys()
		if err != nil {
			return err
		}
		live, err := tx.LiveByResource()
		if err != nil {
			return err
		}
		for _, r := range set.Resources() {
			if c.oversees(set, r.Name) {
				_, can := b.Connectors[r.Type].(connector.Surveyor)
				out[r.Name] = ResourceState{Live: live[r.Name], Surveyable: can}
			}
		}
		for _, p := range probes {
			if x, ok := out[p.Resource]; ok {
				x.Probe = p
				out[p.Resource] = x
			}
		}
		for _, s := range ss {
			if x, ok := out[s.Resource]; ok {
				x.Survey = s
				out[s.Resource] = x
			}
		}
		return nil
	})
	return out, err
}

// LastProbe is the last check of a resource with its steps; zero when there was none.
func (b *Broker) LastProbe(ctx context.Context, c Caller, name access.ResourceName) (p access.Probe, err error) {
	err = b.Store.View(ctx, func(tx Tx) error {
		set, err := b.documents(tx)
		if err != nil {
			return err
		}
		if !c.oversees(set, name) {
			return notOverseen(name)
		}
		if p, err = tx.Probe(name); missing(err) {
			p, err = access.Probe{}, nil
		}
		return err
	})
	return p, err
}

// probeOf is a check as it is kept.
func probeOf(name access.ResourceName, by access.PrincipalID, rep connector.Report, now time.Time) access.Probe {
	p := access.Probe{Resource: name, At: now, By: by, OK: rep.OK()}
	for _, s := range rep.Steps {
		p.Steps = append(p.Steps, access.ProbeStep{Name: s.Name, OK: s.OK, Detail: s.Detail, Fix: s.Fix})
		if !s.OK && p.Said == "" {
			p.Said = s.Name + ": " + s.Detail
		}
	}
	if p.OK {
		p.Said = strconv.Itoa(len(p.Steps)) + " steps passed"
	}
	return p
}
