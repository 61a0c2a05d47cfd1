package access

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// world is a broker and its target in miniature: the entitlements and holds as
// the core makes them, and beside them what is true. Truth is kept without
// the core's help: who needs what, what is on the target, which calls are lost
// and may still land, and the newest secret each person has seen.
type world struct {
	t      *rapid.T
	now    time.Time
	grants map[GrantID]*holder
	ents   map[EntitlementID]Entitlement
	holds  map[GrantID]map[EntitlementID]Hold

	there   map[string]bool  // on the target, by place and key
	secret  map[string]int   // generation of a shared account's secret
	cut     map[string]int   // generation at which all sessions were last ended
	strays  []stray          // lost calls
	version map[string]int64 // last version of each entity's events
}

type holder struct {
	Grant
	keys  []string
	over  bool
	knows map[string]int // the generation of each shared secret when it left
}

type stray struct {
	key   string
	until time.Time
}

const callTime = 5 * time.Second

func newWorld(t *rapid.T) *world {
	return &world{
		t: t, now: t0, grants: map[GrantID]*holder{}, ents: map[EntitlementID]Entitlement{}, holds: map[GrantID]map[EntitlementID]Hold{},
		there: map[string]bool{}, secret: map[string]int{}, cut: map[string]int{}, version: map[string]int64{},
	}
}

func (w *world) event(ev Event) {
	if ev.Type == "" {
		return
	}
	if ev.Version != w.version[ev.Entity]+1 {
		w.t.Fatalf("%s has version %d after %d: %s", ev.Entity, ev.Version, w.version[ev.Entity], ev.Type)
	}
	w.version[ev.Entity] = ev.Version
}

func (w *world) live(key string) (Entitlement, bool) {
	var found []Entitlement
	for _, e := range w.ents {
		if e.Key == key && e.State != Gone {
			found = append(found, e)
		}
	}
	if len(found) > 1 {
		w.t.Fatalf("%d live entitlements of %s", len(found), key)
	}
	if len(found) == 0 {
		return Entitlement{}, false
	}
	return found[0], true
}

func (w *world) pick(what string, ok func(Entitlement) bool) (Entitlement, bool) {
	var ids []EntitlementID
	for id, e := range w.ents {
		if ok(e) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return Entitlement{}, false
	}
	slices.Sort(ids)
	return w.ents[rapid.SampledFrom(ids).Draw(w.t, what)], true
}

// Start plans a grant and takes its shares, all or none.
func (w *world) Start() {
	id := GrantID(fmt.Sprintf("grt_%02d", len(w.grants)))
	p := rapid.SampledFrom([]Permissions{
		{Mechanism: Member, Rights: []string{"read"}}, {Mechanism: Member, Rights: []string{"read", "write"}},
		{Mechanism: Enable}, {Mechanism: Enable, Exclusive: true}, {Mechanism: Account, Rights: []string{"read"}},
	}).Draw(w.t, "permissions")
	account := "mira"
	if p.Mechanism == Enable {
		account = map[bool]string{false: "admin", true: "root"}[p.Exclusive]
	}
	target := Target{Resource: "orders", Account: account, Connection: Connection{Type: "postgres", Address: "db:5432"}}
	twin := target
	twin.Resource = "stock" // another database of the same cluster
	g := Grant{
		ID: id, State: Active, Permissions: p, ActiveAt: w.now, Targets: []Target{target, twin}[:rapid.IntRange(1, 2).Draw(w.t, "targets")],
		ExpiresAt: w.now.Add(time.Duration(rapid.IntRange(1, 600).Draw(w.t, "seconds")) * time.Second),
	}
	es, hs := map[EntitlementID]Entitlement{}, map[EntitlementID]Hold{}
	var evs []Event
	var keys []string
	for i, e := range g.Plan() {
		keys = append(keys, e.Key)
		have, ok := w.live(e.Key)
		if !ok {
			eid := EntitlementID(fmt.Sprintf("ent_%02d_%d", len(w.grants), i))
			e, h, ev := e.Intend(eid, "tag", 1, g, w.now)
			es[eid], hs[eid], evs = e, h, append(evs, ev)
			continue
		}
		e, h, ev, err := have.Share(g, w.now)
		if errors.Is(err, Unavailable) || errors.Is(err, Conflict) && p.Exclusive {
			return // it waits, or is refused; nothing was saved
		}
		if err != nil {
			w.t.Fatal(err)
		}
		if p.Exclusive {
			w.t.Fatalf("%s was shared", e.Key)
		}
		es[e.ID], hs[e.ID], evs = e, h, append(evs, ev)
	}
	maps.Copy(w.ents, es)
	w.holds[id] = hs
	w.grants[id] = &holder{Grant: g, keys: keys, knows: map[string]int{}}
	for _, ev := range evs {
		w.event(ev)
	}
}

// Work makes or refreshes one entitlement; the call succeeds, fails, or is lost.
func (w *world) Work() {
	e, ok := w.pick("make", func(e Entitlement) bool { return e.State == Intended || e.State == Refreshing })
	if !ok {
		return
	}
	e = e.Calling(w.now.Add(callTime))
	w.ents[e.ID] = e
	switch rapid.SampledFrom([]string{"done", "done", "done", "not done", "lost"}).Draw(w.t, "call") {
	case "done":
		w.there[e.Key] = true
		if e.Mechanism == Enable && (e.Confirmed == 0 || e.Renew >= RenewSecret) {
			w.secret[e.Key]++
		}
		if e.Renew == RenewAll {
			w.cut[e.Key] = w.secret[e.Key]
		}
		seen := e.Rev
		if rapid.Bool().Draw(w.t, "meanwhile") {
			w.End() // the broker's answer comes after another change
		}
		e = w.ents[e.ID]
		next, ev, err := e.Confirm(seen, "", "", w.now)
		switch {
		case e.State == Removing && errors.Is(err, Conflict):
			next = e.Settle()
			ev = Event{}
		case err != nil:
			w.t.Fatal(err)
		}
		w.ents[e.ID] = next
		w.event(ev)
		w.settle()
	case "not done":
		w.ents[e.ID] = e.Settle().Retry("no", w.now)
	case "lost":
		w.strays = append(w.strays, stray{e.Key, w.now.Add(callTime)})
		w.ents[e.ID] = e.Retry("no answer", w.now)
	}
}

// Land lets a lost call take effect after all.
func (w *world) Land() {
	if len(w.strays) == 0 {
		return
	}
	i := rapid.IntRange(0, len(w.strays)-1).Draw(w.t, "stray")
	w.there[w.strays[i].key] = true
	w.strays = slices.Delete(w.strays, i, i+1)
}

// Pass lets time pass; a call whose deadline is over cannot land any more.
func (w *world) Pass() {
	w.now = w.now.Add(time.Duration(rapid.IntRange(1, 4000).Draw(w.t, "ms")) * time.Millisecond)
	w.strays = slices.DeleteFunc(w.strays, func(s stray) bool { return !w.now.Before(s.until) })
}

// Remove takes away one entitlement, reads back, and records that it is gone.
func (w *world) Remove() {
	e, ok := w.pick("remove", func(e Entitlement) bool { return e.State == Removing })
	if !ok {
		return
	}
	w.there[e.Key] = false
	next, ev, err := e.Vanish(w.now, w.now)
	if mayLand := slices.ContainsFunc(w.strays, func(s stray) bool { return s.key == e.Key }); mayLand && err == nil {
		w.t.Fatalf("%s is called gone while a call may still make it", e.Key)
	}
	if err != nil && !(errors.Is(err, Pending) && e.Quarantined(w.now)) {
		w.t.Fatal(err)
	}
	w.ents[e.ID] = next
	w.event(ev)
	w.settle()
}

// End ends one grant: it leaves all it holds.
func (w *world) End() {
	if id, ok := w.someone("end"); ok {
		w.end(id)
	}
}

// someone picks a grant that is not over.
func (w *world) someone(what string) (GrantID, bool) {
	var ids []GrantID
	for id, g := range w.grants {
		if !g.over {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return "", false
	}
	slices.Sort(ids)
	return rapid.SampledFrom(ids).Draw(w.t, what), true
}

func (w *world) end(id GrantID) {
	g := w.grants[id]
	g.over = true
	for eid, h := range w.holds[id] {
		e := w.ents[eid]
		others := 0
		for other, x := range w.grants {
			if !x.over && slices.Contains(x.keys, e.Key) && other != id {
				others++
			}
		}
		g.knows[e.Key] = w.secret[e.Key]
		e, h, ev, _ := e.Release(h, others, w.now)
		if h.Settled && others == 0 && e.State != Gone {
			w.t.Fatalf("%s is settled for the last to leave, and is %s", e.Key, e.State)
		}
		w.ents[eid], w.holds[id][eid] = e, h
		w.event(ev)
	}
	w.settle()
}

// Extend raises the end of one grant, and what it holds follows.
func (w *world) Extend() {
	id, ok := w.someone("extend")
	if !ok {
		return
	}
	g := w.grants[id]
	g.ExpiresAt = g.ExpiresAt.Add(time.Minute)
	for eid := range w.holds[id] {
		e, ev, _ := w.ents[eid].Raise(g.Grant, w.now)
		w.ents[eid] = e
		w.event(ev)
	}
}

func (w *world) settle() {
	for id, hs := range w.holds {
		for eid, h := range hs {
			w.holds[id][eid], _ = h.Settle(w.ents[eid])
		}
	}
}

// Check compares records with truth.
func (w *world) Check() {
	need := map[string]int{}
	latest := map[string]time.Time{}
	for _, g := range w.grants {
		if g.over {
			continue
		}
		for _, k := range g.keys {
			need[k]++
			if g.ExpiresAt.After(latest[k]) {
				latest[k] = g.ExpiresAt
			}
		}
	}
	for k, n := range need {
		e, ok := w.live(k)
		switch {
		case !ok || e.State == Removing:
			w.t.Fatalf("%d need %s, which is %q", n, k, e.State)
		case e.Exclusive && n > 1:
			w.t.Fatalf("%d have %s for themselves", n, k)
		case e.ExpiresAt.Before(latest[k]):
			w.t.Fatalf("%s expires at %v, before its holder's end, %v", k, e.ExpiresAt, latest[k])
		case (e.State == Present || e.State == Refreshing) && !w.there[k]:
			w.t.Fatalf("%s is %s and is not there", k, e.State)
		}
	}
	for _, e := range w.ents {
		if _, again := w.live(e.Key); e.State == Gone && !again && w.there[e.Key] {
			w.t.Fatalf("%s is gone and is there", e.Key)
		}
		if (e.State == Intended || e.State == Present || e.State == Refreshing) && need[e.Key] == 0 {
			w.t.Fatalf("nobody needs %s, which is %s", e.Key, e.State)
		}
		if e.State == Present && (e.Confirmed != e.Rev || e.Renew != RenewNothing) {
			w.t.Fatalf("%s is present at revision %d of %d", e.Key, e.Confirmed, e.Rev)
		}
	}
	for id, g := range w.grants {
		for eid, h := range w.holds[id] {
			e := w.ents[eid]
			switch {
			case h.ReleasedAt.IsZero() == g.over:
				w.t.Fatalf("hold %+v of a grant that is over: %v", h, g.over)
			case h.Settled && e.State != Gone && e.Mechanism == Enable && w.cut[e.Key] <= g.knows[e.Key] && g.knows[e.Key] > 0:
				w.t.Fatalf("%s is settled for %s, which knows secret %d; sessions were ended at %d", e.Key, id, g.knows[e.Key], w.cut[e.Key])
			case !g.over && h.Ready(e) && !w.there[e.Key]:
				w.t.Fatalf("%s is ready for %s and is not there", e.Key, id)
			}
		}
	}
}

// Drain ends everything and lets the work be done: nothing may stay.
func (w *world) Drain() {
	for id, g := range w.grants {
		if !g.over {
			w.end(id)
		}
	}
	w.now = w.now.Add(time.Hour)
	w.strays = nil
	for id, e := range w.ents {
		if e.State == Removing {
			w.there[e.Key] = false
			next, ev, err := e.Vanish(w.now, w.now)
			if err != nil {
				w.t.Fatal(err)
			}
			w.ents[id] = next
			w.event(ev)
		}
	}
	w.settle()
	for id, hs := range w.holds {
		for eid, h := range hs {
			if !h.Settled || w.ents[eid].State != Gone {
				w.t.Errorf("after the end %s holds %+v on %s", id, h, w.ents[eid].State)
			}
		}
	}
	for k, there := range w.there {
		if there {
			w.t.Errorf("after the end %s is still there", k)
		}
	}
}

func TestSharing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		t.Repeat(map[string]func(*rapid.T){
			"start": func(*rapid.T) { w.Start() }, "work": func(*rapid.T) { w.Work() }, "land": func(*rapid.T) { w.Land() },
			"pass": func(*rapid.T) { w.Pass() }, "remove": func(*rapid.T) { w.Remove() }, "end": func(*rapid.T) { w.End() },
			"extend": func(*rapid.T) { w.Extend() }, "": func(*rapid.T) { w.Check() },
		})
		w.Drain()
	})
}
