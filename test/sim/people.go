package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/policy"
	"stint/test/sim/simtarget"
)

// groups says who is in which. omar may approve and ask: never for himself.
var groups = map[string][]access.Group{
	"root": nil, "rita": nil,
	"mira": {"platform"}, "noor": {"platform"}, "pia": {"platform"}, "paul": {"platform"},
	"vic": {"acme"}, "vera": {"acme"},
	"gus": {"guests"}, "gil": {"guests"}, "omar": {"dba", "guests"}, "olga": {"dba"}, "otto": {"dba"},
}

var requesters = []string{"mira", "noor", "pia", "paul", "gus", "gil", "omar", "vic", "vera"}
var approvers = []string{"omar", "olga", "otto"}

func (w *world) principals() (ps []access.Principal) {
	for _, name := range slices.Sorted(mapsKeys(groups)) {
		p := caller1(name).Principal
		if p.CreatedAt = time.Unix(1, 0).UTC(); p.Sponsor != "" {
			p.Until = w.began.Add(firstContract).UTC()
		}
		p.Identities = []access.Identity{{Provider: "desk", Subject: name}}
		ps = append(ps, p)
	}
	for _, name := range agentNames {
		ps = append(ps, agentPrincipal(name))
	}
	return ps
}

// caller1 is a person at their own device.
func caller1(name string) broker.Caller {
	id := access.NewPrincipalID(access.User, name)
	src := access.Source{Device: access.DeviceID("device-of-" + name)}
	p := access.Principal{ID: id, Person: access.Person(name), Groups: groups[name], Admin: len(groups[name]) == 0, Version: 1}
	if by := sponsors[name]; by != "" {
		p.Sponsor, p.Company = access.NewPrincipalID(access.User, by), "Acme"
	}
	return broker.Caller{Principal: p,
		Source: src, Actor: access.Actor{Principal: id, Person: access.Person(name), Device: src.Device}, SealKey: make([]byte, 32)}
}

// ask is one request of one person, what they were told about it, and when, in true
// time. It is the reference: what the broker may do is measured by it.
type ask struct {
	w     *world
	n     int
	who   string
	role  access.RoleName
	place int
	d     time.Duration
	ahead time.Duration // how far ahead it is to start; 0: at once
	rng   *rand.Rand
	// scripted: the story says what they do with it, and not chance.
	scripted, returns, extends bool
	glass                      bool // they break it
	ticket                     string
	agent                      string // who asks for them; empty: they do
	task                       access.TaskID
	baseless                   bool // the ticket does not bear what is asked with it

	sent     time.Time
	answered time.Time // with anything but "do not know"
	refused  bool
	id       access.RequestID
	grant    access.GrantID
	digest   access.Digest
	state    access.RequestState
	votes    []ballot
	voting   bool
	longer   []*extension

	active  time.Time // first told so
	end     time.Time // last told, by true time
	until   time.Time // the same by the store's clock
	heardAt time.Time // when they were told
	over    time.Time // told that it ends or has ended
	why     access.EndReason
	note    string
	// gone says that it was told to be verified gone.
	gone    time.Time
	creds   []login
	bare    bool // there is no credential to show: it is a membership
	session int64
	// taken is when a failover last took something about the request back.
	taken time.Time
	// unheard: the answer to an attempt of the last call got lost, and it may count.
	unheard bool
	// returning: the holder gives it back.
	returning bool
}

type ballot struct {
	by      string
	approve bool
	sent    time.Time
	heard   time.Time
	sure    bool
	d       time.Duration
}

type extension struct {
	d     time.Duration
	sent  time.Time
	sure  bool // told that it was granted
	never bool // told that it was refused
}

type login struct{ account, password string }

// between draws a duration; only the ask's own goroutine draws.
func (a *ask) between(x, y time.Duration) time.Duration {
	return x + time.Duration(a.rng.Int64N(int64(y-x)))
}
func (a *ask) chance(p float64) bool { return a.rng.Float64() < p }

func (w *world) nextAsk() {
	d := w.between(0, 2*w.swarm.busy)
	if w.storm {
		d = w.between(0, 40*time.Second)
	}
	if len(w.asks) == 0 {
		d = 10 * time.Second
	}
	w.in(d, "ask", "", func() {
		if w.calm {
			return
		}
		a := w.anyAsk()
		like := *a
		w.ask(a)
		if w.storm && w.chance(0.1) { // a crew: they begin together and end together
			for range 2 {
				b := like
				b.who = pick(w.sched, requesters[:4])
				b.role, b.glass, b.ticket, b.baseless, b.agent, b.task = "reader", false, "", false, "", ""
				w.ask(&b)
			}
		}
		w.nextAsk()
	})
}

func (w *world) anyAsk() *ask {
	a := &ask{who: pick(w.sched, requesters), place: w.rng.IntN(len(w.places))}
	if len(w.asks) == 0 {
		a.who = "gus" // whom nobody answers
	}
	switch {
	case groups[a.who][0] == "platform":
		a.role = pick(w.sched, []access.RoleName{"reader", "reader", "owner", "owner", "shared", "shared", "admin", "watched", "writer"})
	default:
		a.role = pick(w.sched, []access.RoleName{"reader", "reader", "owner"})
	}
	a.d = w.between(15*time.Second, 6*time.Minute)
	if w.chance(0.15) {
		a.d = w.between(6*time.Minute, roleTimes[a.role])
	}
	a.d = a.d.Truncate(time.Millisecond)
	if w.chance(0.15) {
		a.ahead = w.between(5*time.Second, 10*time.Minute)
	}
	if len(w.asks) > 0 {
		w.smashes(a)
		w.byTicket(a)
		w.sends(a)
		w.bringForward(a)
	}
	return a
}

// ask lets a person ask, and live with the answer.
func (w *world) ask(a *ask) *ask {
	a.w, a.n = w, len(w.asks)
	a.rng = rand.New(rand.NewPCG(w.seed, uint64(5000+a.n)))
	// Who is saying that the task is done may be heard after this one: by a replica that
	// wakes, or the next time they say it.
	a.returning = a.agent != "" && w.saying[a.errand()] > 0
	w.asks = append(w.asks, a)
	w.people.Go(a.live)
	return a
}

// askKey is where a call of a person has the number of what it is about.
type askKey struct{}

// workOf tells apart steps of one kind that arrive together: by what the broker works
// on, and for calls of people by who calls and about which request.
func workOf(ctx context.Context) string {
	n, _ := ctx.Value(askKey{}).(int)
	return fmt.Sprint(broker.WorkOf(ctx), " ", broker.Behalf(ctx), " ", n)
}

// call lets a person call a replica that runs, and again another one when the answer
// got lost, as a client does. It reports false when it gave up.
func (a *ask) call(do func(context.Context, *replica) error) (err error, sure bool) {
	a.unheard, err = false, errDead
	for range 5 {
		if a.w.closed {
			return errDead, true
		}
		var rs []*replica
		if rs = a.w.alive(); len(rs) > 0 {
			ctx, done := context.WithTimeout(context.WithValue(context.Background(), askKey{}, a.n), 30*time.Second)
			err = do(ctx, rs[a.rng.IntN(len(rs))])
			done()
			if err == nil || !errors.Is(err, access.Unavailable) && !errors.Is(err, errDead) {
				return err, true
			}
			a.unheard = true
		}
		time.Sleep(a.between(time.Second, 8*time.Second))
	}
	return err, false
}

func (a *ask) name() string { return fmt.Sprintf("ask-%d", a.n) }

func (a *ask) resource() access.ResourceName { return access.ResourceName(fmt.Sprint("db", a.place)) }

func (a *ask) live() {
	w := a.w
	a.sent = time.Now()
	stopped := w.rules.stopped
	q := broker.Ask{Resource: a.resource(), Role: a.role, Duration: a.d, Reason: a.name(), Ticket: a.ticket, Task: a.task, Key: a.name(), Body: access.Digest{byte(a.n)}}
	if a.ahead > 0 {
		q.Start = w.store.Now().Add(a.ahead)
	}
	err, sure := a.call(func(ctx context.Context, r *replica) error {
		if a.glass {
			return a.smash(ctx, r)
		}
		v, err := r.Submit(ctx, a.caller(), q)
		if err == nil {
			a.told(v)
		}
		return err
	})
	a.answered = time.Now()
	switch {
	case err != nil && sure:
		a.refused = true
		return
	case err != nil: // it may have been made; nobody knows its number
		return
	case stopped && w.rules.stopped && a.state == access.RequestIsGranted && a.sent.After(w.rules.stoppedAt) && !w.oracle.took("stop", w.rules.stoppedAt):
		w.fail("stop", "%s was granted while grants were stopped", a.name())
	}
	if a.state == access.RequestPending {
		w.collect(a)
	}
	if a.glass && a.state == access.RequestIsGranted {
		w.people.Go(func() { w.reviewed(a) })
	}
	a.wait()
}

// wait looks now and then at what became of the request, and uses it.
func (a *ask) wait() {
	w := a.w
	returns, extends := a.chance(0.25), a.chance(0.25)
	if a.scripted {
		returns, extends = a.returns, a.extends
	}
	patience := 3 * time.Second
	for a.over.IsZero() && !a.decidedNo() && time.Since(a.sent) < 25*time.Hour && !w.closed {
		wait := a.between(patience/2, patience)
		if left := time.Until(a.end); !a.end.IsZero() && left > 0 && left < wait {
			wait = left + a.between(time.Second, 3*time.Second)
		}
		time.Sleep(wait)
		patience = min(patience*3/2, 2*time.Minute)
		if a.state == access.RequestPending && time.Since(a.sent) > time.Hour {
			patience = 30 * time.Minute
		}
		if a.state == access.RequestPending && a.n > 3 && !a.scripted && a.chance(0.02) {
			a.call(func(ctx context.Context, r *replica) error {
				v, err := r.Cancel(ctx, a.caller(), string(a.id))
				if err == nil {
					a.told(v)
				}
				return err
			})
			continue
		}
		a.look()
		if a.active.IsZero() || !a.over.IsZero() {
			continue
		}
		if len(a.creds) == 0 && !a.bare {
			if a.fetch() {
				patience = 10 * time.Second
			}
		}
		left := time.Until(a.end)
		if extends && left > 5*time.Second && len(a.longer) < 2 && (a.chance(0.5) || a.scripted) {
			extends = !a.scripted
			a.extend()
		}
		if returns && left > 0 && (a.chance(0.3) || a.scripted) {
			if a.agent != "" && a.chance(0.5) {
				a.endTask()
			} else {
				a.giveBack()
			}
		}
	}
	// Somebody who was told that it ends looks until it is gone.
	for range 60 {
		if w.closed || a.over.IsZero() || !a.gone.IsZero() {
			return
		}
		time.Sleep(a.between(5*time.Second, 20*time.Second))
		a.look()
	}
}

func (a *ask) decidedNo() bool {
	return a.state == access.RequestIsDenied || a.state == access.RequestTimedOut || a.state == access.RequestWithdrawn
}

func (a *ask) look() {
	a.call(func(ctx context.Context, r *replica) error {
		v, err := r.View(ctx, a.caller(), string(a.id))
		if err == nil {
			a.told(v)
		}
		return err
	})
}

// fetch gets the credential and signs in with it.
func (a *ask) fetch() bool {
	var c broker.Credential
	err, _ := a.call(func(ctx context.Context, r *replica) (err error) {
		c, err = r.Credential(ctx, a.caller(), string(a.id))
		return err
	})
	var e *access.Error
	if errors.As(err, &e) && e.Code == "no-credential" {
		switch a.role {
		case "owner": // a membership has none, and never will
			a.bare = true
		case "shared", "admin": // one is made anew while somebody leaves
		default:
			if !a.forgot(a.sent) {
				a.w.fail("credential", "%s has %s, and there is nothing to sign in with", a.name(), a.role)
			}
		}
	}
	if err != nil {
		return false
	}
	a.w.oracle.shown(a)
	for _, s := range c.Sealed {
		var l struct{ Username, Password string }
		if err := json.Unmarshal(s.Blob, &l); err != nil || l.Username == "" {
			a.w.fail("credential", "%s got a credential that cannot be read: %s, %v", a.name(), s.Blob, err)
			return false
		}
		a.creds = append(a.creds, login{l.Username, l.Password})
		a.w.oracle.signIn(a, login{l.Username, l.Password})
	}
	return true
}

func (a *ask) giveBack() {
	a.returning = true
	asked := time.Now()
	a.call(func(ctx context.Context, r *replica) error {
		v, err := r.End(ctx, a.caller(), string(a.id), "done")
		if err == nil {
			a.told(v)
			if a.over.IsZero() && !a.forgot(asked) { // a failover can take it back before the answer is there
				a.w.fail("end", "%s was given back and is still %s", a.name(), v.Grant.State)
			}
		}
		return err
	})
	a.w.sometimes("given back early")
}

func (a *ask) extend() {
	x := &extension{d: a.between(10*time.Second, 5*time.Minute).Truncate(time.Millisecond), sent: time.Now()}
	a.longer = append(a.longer, x)
	key := fmt.Sprintf("%s-longer-%d", a.name(), len(a.longer))
	var v broker.View
	err, sure := a.call(func(ctx context.Context, r *replica) (err error) {
		v, err = r.Extend(ctx, a.caller(), string(a.id), broker.Ask{Duration: x.d, Reason: key, Key: key, Body: access.Digest{7}})
		return err
	})
	switch {
	case err == nil && a.glass:
		a.w.fail("review", "break-glass access of %s is extended", a.name())
	case err == nil && v.Request.State == access.RequestIsGranted:
		x.sure = true
		a.w.sometimes("extended")
		a.look()
	case err == nil && v.Request.State == access.RequestPending:
		b := &ask{w: a.w, n: a.n, who: a.who, role: a.role, place: a.place, rng: a.rng, id: v.Request.ID, digest: v.Request.Digest, sent: x.sent}
		a.w.collect(b)
	case sure:
		x.never = true
	}
}

// told notes what a person was told, and that it fits what they were told before.
func (a *ask) told(v broker.View) {
	w, now := a.w, time.Now()
	r := v.Request
	if a.id == "" {
		a.id, a.digest = r.ID, r.Digest
	}
	if a.id != r.ID || a.digest != r.Digest {
		w.fail("I-28", "%s was told of %s, and now of %s with digest %s", a.name(), a.id, r.ID, r.Digest)
	}
	if a.state != "" && a.state != access.RequestPending && a.state != r.State && !a.forgot(a.answered) {
		w.fail("I-14", "%s was %s and is %s", a.name(), a.state, r.State)
	}
	a.state = r.State
	if v.Grant == nil {
		return
	}
	g := *v.Grant
	if a.grant == "" {
		a.grant = g.ID
	}
	if g.ID != a.grant && !a.forgot(a.sent) {
		w.fail("I-05", "%s was granted twice: %s and %s", a.name(), a.grant, g.ID)
	}
	a.grant = g.ID
	switch g.State {
	case access.Active:
		// A revocation without the store is in a journal, and the rows say active until
		// it is merged. That the access is gone by then is looked at on the target.
		if !a.over.IsZero() && !a.forgot(a.over) && !w.inJournal(g.ID) {
			w.fail("I-35", "%s was told at %s to be over, and is active again", a.name(), w.at(a.over))
		}
		end := g.ExpiresAt
		if !a.until.IsZero() && g.ExpiresAt.After(a.until.Add(a.extra())) && !a.forgot(a.heardAt) {
			w.fail("I-21", "%s was to end at %s and ends at %s", a.name(), a.until, g.ExpiresAt)
		}
		a.until, a.heardAt = g.ExpiresAt, now
		if g.Duration > a.d+a.extra() || g.Role != a.role || g.Principal != a.caller().Principal.ID {
			w.fail("I-11", "%s asked for %s and has %s of %s as %s", a.name(), a.d, g.Duration, g.Role, g.Principal)
		}
		if a.active.IsZero() {
			a.active = now
		}
		a.end = end
	case access.Ending, access.Ended, access.Failed:
		if a.over.IsZero() {
			a.over, a.why, a.note = now, g.EndReason, g.EndNote
		}
		if g.Over() && a.gone.IsZero() {
			a.gone = now
			w.oracle.toldGone(a)
		}
	}
}

// extra is by how much extensions may have moved the end.
func (a *ask) extra() (d time.Duration) {
	for _, x := range a.longer {
		if !x.never {
			d += x.d
		}
	}
	return d
}

// limit is the latest true time at which the person may have the access, as far as
// they and those who can end it were told.
func (a *ask) limit() time.Time {
	w := a.w
	if a.refused {
		return a.answered
	}
	last := a.answered
	if last.IsZero() { // nobody has heard yet
		return time.Now().Add(24 * time.Hour)
	}
	for _, b := range a.votes {
		if b.heard.After(last) || b.heard.IsZero() {
			last = b.heard
		}
		if b.heard.IsZero() {
			return time.Now().Add(24 * time.Hour)
		}
	}
	if start := a.sent.Add(a.ahead); start.After(last) {
		last = start
	}
	at := last.Add(access.SetupWithin + a.d + a.extra())
	if !a.end.IsZero() {
		at = a.end.Add(a.possible())
		if a.forgot(a.heardAt) {
			at = latest(at, a.rowEnd())
		}
	}
	if t, bounded := a.restsUntil(); bounded && t.Before(at) {
		at = t
	}
	at = at.Add(w.oracle.slack)
	// A failover that loses commits can lose an end. The grant then has the end that
	// its rows still say, and nobody can know better until they ask.
	if !a.over.IsZero() && a.over.Before(at) && !a.forgot(a.over) {
		at = a.over
	}
	if t := w.rules.against(a); !t.IsZero() && t.Before(at) && !w.oracle.tookRules(a, t) {
		at = t
	}
	return at
}

// possible is by how much extensions may have moved the end since it was last told.
func (a *ask) possible() (d time.Duration) {
	for _, x := range a.longer {
		if !x.never {
			d += x.d
		}
	}
	return d
}

// collect lets people decide a request: those who may, and some who may not.
func (w *world) collect(a *ask) {
	if a.n == 0 && !a.scripted {
		return // nobody ever decides this one: it times out just before the day is over
	}
	if a.scripted {
		w.people.Go(func() {
			time.Sleep(2 * time.Second)
			w.vote(a, &ask{w: w, n: a.n, rng: rand.New(rand.NewPCG(w.seed, 1)), scripted: true}, "omar")
		})
		return
	}
	a.voting = true
	voters := slices.Clone(approvers)
	if a.chance(0.3) {
		voters = append(voters, a.who) // who asked
	}
	if a.chance(0.2) {
		voters = append(voters, "gil") // who has no say
	}
	if a.chance(0.5) { // who has one if somebody handed it over
		name := standIns[a.rng.IntN(len(standIns))]
		if s := w.rules.away(); s != nil && a.chance(0.8) {
			name = s.to
		}
		voters = append(voters, name)
	}
	late := a.role == "writer" && a.chance(0.3) // few are there, and others are asked besides
	if late {
		voters = voters[:1]
	}
	delay := a.between(2*time.Second, 4*time.Minute)
	slow := a.chance(0.1)
	for i := range voters {
		j := a.rng.IntN(i + 1)
		voters[i], voters[j] = voters[j], voters[i]
	}
	at := time.Duration(0)
	for i, name := range voters {
		at += a.between(0, delay)
		if slow {
			at += a.between(0, 20*time.Minute)
		}
		v := &ask{w: w, n: a.n, rng: rand.New(rand.NewPCG(w.seed, uint64(1_000_000+a.n*100+i*10+len(a.longer))))}
		after := at
		w.people.Go(func() {
			time.Sleep(after)
			w.vote(a, v, name)
		})
	}
	if late {
		after := at + a.between(5*time.Minute, 90*time.Minute)
		v := &ask{w: w, n: a.n, rng: rand.New(rand.NewPCG(w.seed, uint64(5_000_000+a.n)))}
		w.people.Go(func() {
			time.Sleep(after)
			w.vote(a, v, "root")
		})
	}
}

func (w *world) vote(a, as *ask, name string) {
	if w.rules.isDisabled(name) && as.chance(0.5) {
		return
	}
	yes := as.scripted || !as.chance(0.08)
	vote := access.Vote{Approve: yes, Note: "as you say", Seen: a.digest}
	if yes && !as.scripted && as.chance(0.2) && a.d > time.Minute {
		vote.Duration = (a.d / 2).Truncate(time.Millisecond)
	}
	wrong := !as.scripted && as.chance(0.05)
	if wrong {
		vote.Seen = access.Digest{1, 2, 3}
	}
	edits := w.rules.edits
	b := ballot{by: name, approve: yes, sent: time.Now(), d: vote.Duration}
	a.votes = append(a.votes, b)
	i := len(a.votes) - 1
	var v broker.View
	err, sure := as.call(func(ctx context.Context, r *replica) (err error) {
		v, err = r.Vote(ctx, caller1(name), string(a.id), vote)
		return err
	})
	a.votes[i].heard, a.votes[i].sure = time.Now(), sure
	if err == nil {
		switch {
		case name == a.who:
			w.fail("I-08", "%s decided the request of themselves, %s", name, a.name())
		case slices.Contains(approvers, name):
		case name == "root" && a.role == "writer":
			w.sometimes("who is asked besides decides")
		case w.rules.standsIn(name, b.sent, time.Now(), w.oracle.slack+prompt) == nil:
			w.fail("I-10", "%s decided %s and may not", name, a.name())
		}
		switch {
		case wrong:
			w.fail("I-12", "%s approved %s with another digest", name, a.name())
		case w.rules.edits > edits:
			w.sometimes("policy edit while a vote is on its way")
		}
		if s := w.rules.standsIn(name, b.sent, time.Now(), 0); s != nil && v.Request.State == access.RequestPending && !slices.ContainsFunc(a.votes, func(b ballot) bool { return b.by == s.from }) {
			w.vote(a, as, s.from) // who is away after all votes as well: it is one vote of the two
		}
		if v.Request.State == access.RequestIsGranted && v.Grant != nil && v.Grant.State == access.Scheduled {
			w.sometimes("approved and waiting to start")
		}
	}
	if err != nil && sure && !as.unheard {
		a.votes[i].approve = false // it does not count, and they know
	}
	if yes && as.unheard {
		w.sometimes("a vote of which nobody knows whether it counts")
	}
	if name == a.who || wrong {
		a.votes[i].approve = false
	}
}

// approvalsOf counts the people whose yes may count, and says when the last of them gave it.
func (a *ask) approvalsOf() (n int, since time.Time) {
	yes := map[string]bool{}
	since = a.sent
	count := func(name string, b ballot) bool {
		if yes[name] {
			return false
		}
		yes[name], since = true, latest(since, b.sent)
		return true
	}
	for _, b := range a.votes {
		if b.approve && b.by != a.who && (slices.Contains(approvers, b.by) || b.by == "root" && a.role == "writer") {
			count(b.by, b)
		}
	}
	slack := a.w.oracle.slack + prompt
	for _, b := range a.votes {
		until := b.heard
		if until.IsZero() {
			until = time.Now()
		}
		if !b.approve || b.by == a.who || !slices.Contains(standIns, b.by) {
			continue
		}
		for _, s := range a.w.rules.standIns { // more than one may have held, where a failover took an end back
			if s.may(b.by, b.sent, until, slack) && s.from != a.who && count(s.from, b) {
				break
			}
		}
	}
	return len(yes), since
}

func (w *world) at(t time.Time) string { return fmt.Sprintf("%.6f", t.Sub(w.began).Seconds()) }

var _ = policy.File{}
var _ = simtarget.Type
