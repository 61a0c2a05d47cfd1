package sim

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/connector"
	"stint/test/sim/simtarget"
)

// Bounds of the oracles. Where nothing went wrong for a while, access ends within
// prompt. After the last thing that went wrong it is over within settled, which is
// L-01 and some room for a retry that was just put off; what no row knows is found
// by the sweep (L-06).
const (
	prompt  = 4 * time.Second
	settled = 75 * time.Second
	swept   = 200 * time.Second
	peace   = 2 * time.Minute // so long nothing must have gone wrong for prompt to count
)

// oracle compares what is on the targets with what people were told. It reads rows
// only to learn which order belongs to which request, and to compare them with the
// log; what is allowed it knows from the people.
type oracle struct {
	w *world
	// showing is held by a person who looks at the log. Between two steps people run one
	// at a time, but the runtime may put one off in the middle who ran for long, as on a
	// busy machine, and let the next one run.
	showing   sync.Mutex
	disturbed map[access.Place]time.Time // "" is everywhere
	slack     time.Duration              // by how much ends may be off because of clocks
	taken     map[string]time.Time       // when a failover last took something of an entity back
	when      []time.Time                // when each record of the log was made
	doubtAt   time.Time                  // when a transaction last doubted its time

	live     []access.Grant // room for those of one look
	logged   int
	versions map[string]int64
	last     map[string]access.EventType // of each grant
	shows    map[string]int
	expiry   map[access.GrantID]time.Time
	moved    map[access.GrantID]moved // when that last changed
	commits  int64

	owners  map[access.EntitlementID][]*ask
	doubted map[access.EntitlementID]bool // a call about it landed late: the password may be one that nobody knows
	// reported are those of which a person was told that what is there under their name
	// is not what was made: it is left, without login, for that person to look at.
	reported map[access.EntitlementID]bool
	alarmed  map[access.GrantID]bool    // break-glass access that everybody was told of
	strays   map[access.Place]time.Time // when something last landed later than the contract allows
	// setBack has the end to which a call that landed later than the contract allows set
	// the target's own back.
	setBack map[access.EntitlementID]time.Time
	changes int64
	asked   int // requests that the list knows of
	looked  time.Time
	deep    time.Time
	tracked []tracked
	first   map[string]time.Time
	numbers map[access.RequestID]int
}

// moved is a change of a grant's end. It is unheard where the process that made it
// was not told that it is committed.
type moved struct {
	at      time.Time
	unheard bool
}

// tracked is one thing on a target that somebody can use, or that is left of it.
type tracked struct {
	what    string
	place   access.Place
	usable  bool
	since   time.Time
	asks    []*ask
	session bool
	ent     access.EntitlementID
}

func (o *oracle) begin(w *world) {
	*o = oracle{w: w, disturbed: map[access.Place]time.Time{}, versions: map[string]int64{}, last: map[string]access.EventType{}, shows: map[string]int{},
		expiry: map[access.GrantID]time.Time{}, moved: map[access.GrantID]moved{}, owners: map[access.EntitlementID][]*ask{}, doubted: map[access.EntitlementID]bool{},
		strays: map[access.Place]time.Time{}, setBack: map[access.EntitlementID]time.Time{}, taken: map[string]time.Time{}, reported: map[access.EntitlementID]bool{}, alarmed: map[access.GrantID]bool{}, first: map[string]time.Time{}, numbers: map[access.RequestID]int{}}
}

// look is called after every step.
func (o *oracle) look() {
	w, now := o.w, time.Now()
	if n := w.store.Commits(); n != o.commits {
		o.commits = n
		o.readLog(true)
		o.live = w.store.GrantsInto(o.live[:0], true)
		o.readGrants(o.live)
		o.strict(o.live)
	}
	// A new request may share what is there already.
	changed := w.targets.Changes() != o.changes || len(w.asks) != o.asked
	if changed {
		o.changes, o.asked = w.targets.Changes(), len(w.asks)
		there := w.targets.Privileges()
		o.take(now, there)
		o.expiries(there)
		// Settings can be put back only if the record of what they were was not lost.
		for _, harm := range w.targets.Harm() {
			if !strings.Contains(harm, "were not put back") || !o.tookMark(harm) {
				w.fail("I-23", "what is not ours was harmed: %s", harm)
			}
		}
	}
	if len(o.tracked) > 0 && (changed || now.Sub(o.looked) > 250*time.Millisecond) {
		o.looked = now
		o.judge(now)
	}
	if now.Sub(o.deep) > 5*time.Minute && o.peaceful("", now, settled+30*time.Second) {
		o.deep = now
		o.promises(now)
	}
}

// peaceful reports whether nothing went wrong there for so long.
func (o *oracle) peaceful(p access.Place, now time.Time, d time.Duration) bool {
	return !o.trouble(p).Add(d).After(now)
}

// trouble is when something last went wrong that concerns the place.
func (o *oracle) trouble(p access.Place) time.Time {
	t := o.disturbed[""]
	if u := o.disturbed[p]; u.After(t) {
		t = u
	}
	return t
}

// readLog follows the audit log: every entity's versions are dense (I-15), and grants
// go through legal states only (I-14).
func (o *oracle) readLog(strict bool) {
	w := o.w
	log := w.store.Log()
	for i, ev := range log[o.logged:] {
		if n := o.logged + i; n == len(o.when) {
			o.when = append(o.when, time.Now())
		}
		was, known := o.versions[ev.Entity]
		if !known && (strings.HasPrefix(ev.Entity, "user:") || strings.HasPrefix(ev.Entity, "agent:")) {
			was = 1 // they were there before the day began
		}
		if want := was + 1; ev.Version != want {
			w.fail("I-15", "%s of %s is version %d, after %d", ev.Type, ev.Entity, ev.Version, want-1)
		}
		o.versions[ev.Entity] = ev.Version
		if strings.HasPrefix(ev.Entity, "grt_") {
			was := o.last[ev.Entity]
			if !slices.Contains(follows[was], ev.Type) {
				w.fail("I-14", "%s of %s follows %s", ev.Type, ev.Entity, was)
			}
			switch ev.Type {
			case access.CredentialShown:
				o.shows[ev.Entity]++
			case access.GrantShortened: // which is no state of its own
			default:
				o.last[ev.Entity] = ev.Type
			}
			if strict && (ev.Type == access.GrantEnding || ev.Type == access.GrantEnded && was != access.GrantEnding) {
				o.whyEnded(ev)
			}
		}
		if ev.Type == broker.ForeignFound && ev.Facts["entitlement"] != "" {
			o.reported[access.EntitlementID(ev.Facts["entitlement"])] = true
		}
		if ev.Type == access.BreakGlassOpened {
			o.alarmed[access.GrantID(ev.Facts["grant"])] = true
		}
		if strict && ev.Type == broker.SweepFound {
			w.sometimes("an orphan is swept")
		}
	}
	o.logged = len(log)
}

var follows = map[access.EventType][]access.EventType{
	"":                     {access.GrantCreated},
	access.GrantCreated:    {access.GrantStarted, access.GrantActive, access.GrantEnding, access.GrantEnded, access.GrantShortened},
	access.GrantStarted:    {access.GrantActive, access.GrantEnding, access.GrantShortened},
	access.GrantActive:     {access.GrantExtended, access.CredentialShown, access.GrantEnding, access.GrantShortened},
	access.GrantExtended:   {access.GrantExtended, access.CredentialShown, access.GrantEnding, access.GrantShortened},
	access.GrantEnding:     {access.GrantEnded},
	access.GrantEnded:      nil,
	access.CredentialShown: nil,
}

// whyEnded checks that a grant ends for a reason that somebody or something gave.
func (o *oracle) whyEnded(ev access.Event) {
	w, now := o.w, time.Now()
	a := w.askOf(access.RequestID(ev.Facts["request"]))
	if a == nil {
		return
	}
	why, ok := access.EndReason(ev.Facts["end_reason"]), true
	since := now.Add(-5 * time.Minute) // a call may be heard of before what it does is done everywhere
	switch why {
	case access.ByTime:
		ok = a.end.IsZero() || a.forgot(a.heardAt) || w.rules.contracts[a.who].over(a.sent, now, max(o.slack, prompt)) || !now.Before(a.end.Add(-10*time.Millisecond-max(o.slack, w.driftSlack())))
		if w.targetDown(w.places[a.place].Place()) {
			w.sometimes("expiry while its target is down")
		}
	case access.ByHolder:
		ok = a.returning || a.role == "watched"
		if !a.returning {
			w.sometimes("ended by logout or idling")
		}
	case access.ByPerson:
		ok = w.rules.mayEnd(a, why, since)
	case access.ByPolicy:
		if !a.closedAt().IsZero() && strings.HasPrefix(ev.Facts["note"], "ticket ") {
			w.sometimes("a closed ticket ends access")
		}
		ok = w.rules.mayEnd(a, why, since) || a.onTicket(now) || !w.rules.against(a).IsZero() || w.rules.contracts[a.who].over(a.sent, now, max(o.slack, prompt)) ||
			ev.Facts["note"] == access.EndsBeforeStart && w.rules.contracts[a.who].over(a.sent, a.sent.Add(a.ahead), max(o.slack, prompt)) ||
			strings.HasPrefix(ev.Facts["note"], "the approvals no longer suffice") && w.rules.spoilt(a) ||
			strings.HasPrefix(ev.Facts["note"], "nothing new is granted ") && !o.peaceful("", now, 3*time.Minute) ||
			strings.HasPrefix(ev.Facts["note"], "its access was taken away while the store") && o.mayNotKnow(access.GrantID(ev.Entity))
		w.sometimes("ended by policy")
	case access.BySetup:
		ok = a.role == "admin" || a.ticket != "" && !o.peaceful(deskAt.Place(), now, unknownFor+3*time.Minute) || now.Sub(o.doubtAt) < 3*time.Minute || !o.peaceful(w.places[a.place].Place(), now, 3*time.Minute)
		w.sometimes("set-up failed")
	}
	if !ok {
		w.fail("reason", "%s ends as %q (%s), and nobody gave that reason; told active %s, end %s", a.name(), why, ev.Facts["note"], w.at(a.active), w.at(a.end))
	}
}

// mayNotKnow reports whether a process that ended a grant without the store need
// not have known its end (RFD 12): another replica moved it since the trouble began,
// or up to two readings before; or this one did, and the answer
// of the store was lost, or a failover took it back; or the store's clock was set back, and by what has truly
// passed the end has come. A replica that is alone knows what it was told itself.
func (o *oracle) mayNotKnow(g access.GrantID) bool {
	m := o.moved[g]
	if o.took(string(g), o.w.stormAt) {
		return true // it had ended, or its end was moved, and the failover took that back
	}
	if m.at.Before(o.w.stormAt.Add(-10 * o.w.swarm.backstop)) {
		return o.slack > 0
	}
	return len(o.w.replicas) > 1 || m.unheard || o.slack > 0
}

// readGrants looks at the live rows: ends are finite and never move later but by an
// extension (I-21), and what is granted is what was asked (I-11, I-12).
func (o *oracle) readGrants(live []access.Grant) {
	w := o.w
	for _, g := range live {
		was, known := o.expiry[g.ID]
		if known && was.Equal(g.ExpiresAt) {
			continue
		}
		o.expiry[g.ID], o.moved[g.ID] = g.ExpiresAt, moved{time.Now(), w.unheard}
		a := w.askOf(g.Request)
		switch {
		case g.ExpiresAt.IsZero() || g.ExpiresAt.After(g.CreatedAt.Add(100*24*time.Hour)):
			w.fail("I-21", "%s has no end: %s", g.ID, g.ExpiresAt)
		case a == nil:
			w.fail("I-11", "%s is for a request that nobody made: %s", g.ID, g.Request)
		case g.Person != access.Person(a.who) || g.Role != a.role || g.Duration > a.d+a.extra() || string(g.Targets[0].Resource) != string(a.resource()):
			w.fail("I-11", "%s has %s of %s for %s, and %s of %s for %s was asked", g.ID, g.Duration, g.Role, g.Person, a.d, a.role, a.who)
		case known && g.ExpiresAt.After(was) && len(a.longer) == 0 && !a.forgot(a.sent):
			w.fail("I-21", "the end of %s moved from %s to %s", g.ID, was, g.ExpiresAt)
		case !known && a.baseless:
			w.fail("ticket", "%s is granted by a ticket that does not bear it, %s", a.name(), a.ticket)
		case !known && (a.role == "mender") != (a.ticket != ""):
			w.fail("ticket", "%s has %s with the ticket %q", a.name(), a.role, a.ticket)
		case !known:
			o.glassy(g, a)
		}
	}
}

// askOf is the ask behind a request: its reason names it.
func (w *world) askOf(id access.RequestID) *ask {
	if n, ok := w.oracle.numbers[id]; ok {
		return w.asks[n]
	}
	r, ok := w.store.Request(id)
	if !ok {
		return nil
	}
	a := w.askNamed(r.Reason)
	if a != nil {
		w.oracle.numbers[id] = a.n
	}
	return a
}

func (w *world) askNamed(reason string) *ask {
	number, ok := strings.CutPrefix(reason, "ask-")
	if end := strings.IndexFunc(number, func(c rune) bool { return c < '0' || c > '9' }); end >= 0 {
		number = number[:end] // an extension says more
	}
	n, err := strconv.Atoi(number)
	if !ok || err != nil || n >= len(w.asks) {
		return nil
	}
	return w.asks[n]
}

// asked sees a provisioning before it has any effect: its intent must be on record
// (I-04), and those who hold it must have got the approvals they need (I-09, I-10).
func (w *world) asked(r *replica, place access.Place, q connector.Order) {
	o := &w.oracle
	e, ok := w.store.Entitlement(q.Entitlement)
	if !ok || e.Tag != q.Tag {
		if !o.took(string(q.Entitlement), time.Now().Add(-5*time.Minute)) {
			w.fail("I-04", "%s makes %s at %s, and no intent is on record", r.name(), q.Entitlement, place)
		}
		return
	}
	type held struct {
		g access.Grant
		h access.Hold
	}
	var all []held
	_ = w.store.View(context.Background(), func(tx broker.Tx) error {
		hs, err := tx.HoldsOf(q.Entitlement)
		for _, h := range hs {
			if g, err := tx.Grant(h.Grant); err == nil {
				all = append(all, held{g, h})
			}
		}
		return err
	})
	for _, x := range all {
		a := w.askOf(x.g.Request)
		if a == nil {
			continue
		}
		if !slices.Contains(o.owners[q.Entitlement], a) {
			o.owners[q.Entitlement] = append(o.owners[q.Entitlement], a)
		}
		if !x.h.ReleasedAt.IsZero() {
			continue
		}
		if r, known := w.store.Request(x.g.Request); known {
			o.once(r)
		}
		have, since := a.approvalsOf()
		if need := w.rules.needed(a, since); have < need {
			w.fail("I-09", "%s is being set up with %d approvals of %d", a.name(), have, need)
		}
	}
}

// made sees a provisioning that had its effect.
func (w *world) made(place access.Place, q connector.Order, _ connector.Receipt, err error) {
	if err != nil {
		return
	}
	if e, ok := w.store.Entitlement(q.Entitlement); ok && e.State == access.Gone {
		w.sometimes("late create after gone")
	} else if ok && e.State == access.Removing {
		w.sometimes("create while it is being removed")
	} else if !ok {
		w.sometimes("create of what no row knows")
	}
}

// doubt notes that a call about an entitlement landed late.
func (o *oracle) doubt(st *step) { o.strayed(st.detail) }

func (o *oracle) strayed(detail string) {
	for id := range o.owners {
		if strings.HasPrefix(detail, short(string(id))) {
			o.doubted[id] = true
		}
	}
}

// known reports whether a row stands behind a privilege.
func (o *oracle) known(p simtarget.Privilege) bool {
	id, ok := o.w.entitlementOf(p.Place, p.Tag)
	if !ok {
		return false
	}
	_, ok = o.w.store.Entitlement(id)
	return ok
}

func (w *world) entitlementOf(p access.Place, t access.Tag) (access.EntitlementID, bool) {
	id, ok := w.tagger.Check("sim", string(p), 1, string(t))
	return access.EntitlementID(id), ok
}

// take makes the list of what is on the targets because of Stint.
func (o *oracle) take(now time.Time, there []simtarget.Privilege) {
	w := o.w
	o.tracked = o.tracked[:0]
	first := make(map[string]time.Time, len(o.first))
	add := func(t tracked) {
		t.since = now
		if s, ok := o.first[t.what]; ok {
			t.since = s
		}
		first[t.what] = t.since
		o.tracked = append(o.tracked, t)
	}
	accounts := map[access.EntitlementID]string{}
	for _, p := range there {
		t := tracked{what: string(p.Mechanism) + " " + p.Account + " " + p.Right + " at " + string(p.Place), place: p.Place, usable: p.Usable}
		id, ok := w.entitlementOf(p.Place, p.Tag)
		if ok {
			t.ent = id
		}
		switch {
		case p.Mechanism == access.Member:
			t.asks = w.asksOf(p.Place, func(a *ask) bool { return a.role == "owner" && a.who == p.Account })
		case p.Mechanism == access.Enable:
			t.asks = w.asksOf(p.Place, func(a *ask) bool { return shared[a.role] == p.Account })
		case ok:
			t.asks = o.owners[id]
			if other, twice := accounts[id]; twice {
				w.fail("I-05", "%s was made twice: %s and %s", id, other, p.Account)
			}
			accounts[id] = p.Account
		}
		add(t)
	}
	for _, s := range w.targets.Sessions() {
		for _, tag := range s.Tags {
			if id, ok := w.entitlementOf(s.Place, tag); ok {
				add(tracked{what: fmt.Sprintf("session %d of %s at %s by %s", s.ID, s.Account, s.Place, short(string(id))), place: s.Place, usable: true,
					asks: o.owners[id], session: true, ent: id})
			}
		}
	}
	o.first = first
}

// shared are the accounts that roles enable.
var shared = map[access.RoleName]string{"shared": "dba", "admin": "chief"}

func (w *world) asksOf(p access.Place, want func(*ask) bool) (as []*ask) {
	n := slices.IndexFunc(w.places, func(at access.Connection) bool { return at.Place() == p })
	for _, a := range w.asks {
		if !a.refused && a.place == n && want(a) {
			as = append(as, a)
		}
	}
	return as
}

// judge compares what there is with what may be (I-01, I-02, I-03, I-07, I-22, I-26).
func (o *oracle) judge(now time.Time) {
	w := o.w
	for _, t := range o.tracked {
		until := t.since // what belongs to nobody should not be there at all
		for _, a := range t.asks {
			if l := a.limit(); l.After(until) {
				until = l
			}
		}
		if !now.After(until) {
			continue
		}
		if !t.usable && o.reported[t.ent] {
			o.w.sometimes("a namesake is left without login and reported")
			continue
		}
		trouble := o.trouble(t.place)
		if slices.ContainsFunc(t.asks, func(a *ask) bool { return a.ticket != "" }) {
			trouble = latest(trouble, o.trouble(deskAt.Place()))
		}
		allowed := until.Add(prompt)
		switch {
		case len(t.asks) == 0 || o.tookOf(t) || o.strays[t.place].After(t.since.Add(-time.Minute)):
			allowed = latest(until, trouble, o.strays[t.place]).Add(swept)
		case trouble.After(until.Add(-peace)):
			allowed = latest(until, trouble).Add(settled)
		case !t.usable:
			allowed = until.Add(settled)
		}
		// Retries are put off by the store's clock, which stands still after a step back.
		if now.After(allowed.Add(o.slack)) {
			names := []string{}
			for _, a := range t.asks {
				names = append(names, fmt.Sprintf("%s (%s, until %s, told active %s, end %s, over %s %s)", a.name(), a.who, w.at(a.limit()), w.at(a.active), w.at(a.end), w.at(a.over), a.why))
			}
			w.fail("I-01", "%s is there at %s and should be gone by %s; usable: %t, since %s, last trouble %s; it belongs to %s", t.what, w.at(now), w.at(until), t.usable, w.at(t.since), w.at(trouble), strings.Join(names, ", "))
		}
	}
}

func latest(ts ...time.Time) (t time.Time) {
	for _, u := range ts {
		if u.After(t) {
			t = u
		}
	}
	return t
}

// promises looks at what people were promised: a grant that is active has its
// privilege, rows and log say the same (I-15), and nothing of others was touched.
func (o *oracle) promises(now time.Time) {
	w := o.w
	have := map[string]bool{}
	for _, p := range w.targets.Privileges() {
		if o.endsByStray(p) {
			have[string(p.Place)+" "+p.Account+" "+p.Right] = true
		}
		if p.Usable || o.slack > 0 { // where the clock of the store was set back, the target ends access before it
			have[string(p.Place)+" "+p.Account+" "+p.Right] = true
		}
	}
	storeNow := w.store.Now()
	for _, g := range w.store.Grants(true) {
		if o.versions[string(g.ID)] != g.Version {
			w.fail("I-15", "%s is version %d and the log says %d", g.ID, g.Version, o.versions[string(g.ID)])
		}
		if g.State != access.Active || storeNow.Sub(g.ActiveAt) < settled || g.ExpiresAt.Sub(storeNow) < time.Second {
			continue
		}
		if a := w.askOf(g.Request); a == nil || a.forgot(time.Now().Add(-storeNow.Sub(g.ActiveAt))) || w.endedAhead(g.ID) {
			continue
		}
		_ = w.store.View(context.Background(), func(tx broker.Tx) error {
			hs, _ := tx.HoldsBy(g.ID)
			if len(hs) == 0 {
				w.fail("promise", "%s is active and holds nothing", g.ID)
			}
			for _, h := range hs {
				e, err := tx.Entitlement(h.Entitlement)
				right := ""
				if e.Mechanism == access.Member {
					right = e.Rights[0]
				}
				if err != nil || e.State == access.Gone || e.State == access.Removing {
					w.fail("promise", "%s is active and %s is %s", g.ID, h.Entitlement, e.State)
				} else if place := e.Target.Connection.Place(); !o.peaceful(place, now, settled+30*time.Second) {
					continue // nobody could put there what was prolonged, or made anew, while it was away
				} else if !e.Existing && !have[string(e.Target.Connection.Place())+" "+e.Account+" "+right] {
					w.fail("promise", "%s is active until %s, and %s %s is not on %s", g.ID, g.ExpiresAt, e.Account, right, e.Target.Connection.Place())
				}
			}
			return nil
		})
	}
	for _, e := range w.store.Entitlements(true) {
		if o.versions[string(e.ID)] != e.Version {
			w.fail("I-15", "%s is version %d and the log says %d", e.ID, e.Version, o.versions[string(e.ID)])
		}
	}
	o.foreign()
	o.contracts()
}

// endedAhead reports whether the access was taken without the store, and the word of
// it lost: its journal failed, and the process died before the store was back. The
// row then says active until its end, which is the safe side.
func (w *world) endedAhead(g access.GrantID) bool {
	for _, j := range w.journals {
		if j.forgot[g] {
			return true
		}
	}
	return false
}

// shown: what a person sees of a credential was put on record before (I-16).
func (o *oracle) shown(a *ask) {
	o.showing.Lock()
	defer o.showing.Unlock()
	o.readLog(true)
	if o.shows[string(a.grant)] == 0 && !a.forgot(a.sent) {
		o.w.fail("I-16", "%s was shown a credential, and the log does not say so", a.name())
	}
}

// signIn lets a person use what they got, and others try what they still have of
// an account that one person has at a time (I-24).
func (o *oracle) signIn(a *ask, l login) {
	w, now, place := o.w, time.Now(), o.w.places[a.place].Place()
	id, err := w.targets.SignIn(place, l.account, l.password)
	switch {
	case err == nil:
		a.session = id
		w.sometimes("signed in")
	case o.peaceful(place, now, peace) && o.strays[place].Add(peace).Before(now) && now.Before(a.end.Add(-time.Second)) && a.role != "shared" && !w.rules.contracts[a.who].over(a.sent, now, prompt) && o.slack == 0 && w.rules.against(a).IsZero() && !w.rules.mayEnd(a, access.ByPerson, now.Add(-time.Minute)):
		w.fail("promise", "%s got a credential for %s that does not work", a.name(), l.account)
	}
	if a.role != "admin" {
		return
	}
	for _, b := range w.asksOf(place, func(b *ask) bool { return b != a && b.role == "admin" }) {
		for _, old := range b.creds {
			if _, err := w.targets.SignIn(place, old.account, old.password); err == nil {
				w.fail("I-24", "%s holds %s, and the password of %s still works", a.name(), l.account, b.name())
			}
		}
	}
}

// toldGone: what is told to be verified gone lets nobody in any more (I-02). Where a
// failover took back rows of the request, the word is about the rows that are left: what
// was made for the others is a leftover then, which the sweep has its own time for.
func (o *oracle) toldGone(a *ask) {
	if a.forgot(a.sent) {
		return
	}
	w, place := o.w, o.w.places[a.place].Place()
	for _, l := range a.creds {
		if id, err := w.targets.SignIn(place, l.account, l.password); err == nil {
			w.fail("I-02", "%s was told that its access is gone, and signs in as %s (session %d)", a.name(), l.account, id)
		}
	}
	if a.session != 0 && w.targets.Alive(a.session) {
		w.fail("I-22", "%s was told that its access is gone, and its session lives", a.name())
	}
}

// furnish puts on a target what is there without Stint.
func (w *world) furnish(p access.Place) {
	w.targets.Groups(p, "app_read", "app_write", "app_owner")
	for name := range groupsSorted() {
		if groups[name] != nil {
			s := simtarget.Standing{Name: name, Password: "own-" + name}
			if name == "noor" {
				s.Groups = []string{"app_owner"} // from before, and by somebody else
			}
			w.must(w.targets.Stand(p, s))
		}
	}
	w.must(w.targets.Stand(p, simtarget.Standing{Name: "dba", Dormant: true}))
	w.must(w.targets.Stand(p, simtarget.Standing{Name: "chief", Dormant: true}))
	w.must(w.targets.Stand(p, simtarget.Standing{Name: "stint_backup", Password: "x", Groups: []string{"app_read"}})) // a name of our kind
}

func groupsSorted() func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, n := range slices.Sorted(mapsKeys(groups)) {
			if !yield(n) {
				return
			}
		}
	}
}

func (w *world) must(_ string, err error) {
	if err != nil {
		panic(err) // the furniture is the simulator's own
	}
}

// foreign checks that what others made is as they made it.
func (o *oracle) foreign() {
	w := o.w
	for _, at := range w.places {
		p := at.Place()
		for name := range groupsSorted() {
			if groups[name] == nil {
				continue
			}
			acc, ok := w.targets.Account(p, name)
			if !ok || !acc.Login || name == "noor" && !slices.Contains(acc.Groups, "app_owner") {
				w.fail("I-23", "%s at %s is not what it was: %+v", name, p, acc)
			}
		}
		if acc, ok := w.targets.Account(p, "stint_backup"); !ok || !acc.Login || len(acc.Groups) != 1 {
			w.fail("I-23", "stint_backup at %s is not what it was: %+v", p, acc)
		}
	}
}
