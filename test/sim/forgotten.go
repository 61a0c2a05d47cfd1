package sim

import (
	"reflect"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
	"stint/test/sim/simstore"
)

// A failover that loses commits breaks promises that the product cannot know of. What
// is excused for it is found thing by thing: only what one took back may be otherwise
// than people were told, and only what they were told before.

// rows are the store as it was before a failover.
type rows struct {
	log  []access.Event
	mark simstore.Mark
}

func (w *world) rows() rows { return rows{w.store.Log(), w.store.Mark()} }

// lost is told what the store was before it lost commits.
func (o *oracle) lost(was rows) {
	now, w := time.Now(), o.w
	for len(o.when) < len(was.log) { // made in this very step, and not read yet
		o.when = append(o.when, now)
	}
	take := func(entity string) { o.taken[entity] = now }
	askBy := func(id access.GrantID) *ask {
		g, _ := was.mark.Grant(id)
		r, ok := was.mark.Request(g.Request)
		if !ok {
			return nil
		}
		return w.askNamed(r.Reason)
	}
	requests, grants, ents := w.store.Replaced(was.mark)
	for _, r := range requests {
		if is, ok := w.store.Request(r.ID); !ok || !reflect.DeepEqual(is, r) {
			take(string(r.ID))
			w.askNamed(r.Reason).lose(now)
		}
	}
	for _, g := range grants {
		if is, ok := w.store.Grant(g.ID); !ok || !reflect.DeepEqual(is, g) {
			take(string(g.ID))
			askBy(g.ID).lose(now)
		}
	}
	for _, e := range ents {
		if is, ok := w.store.Entitlement(e.ID); !ok || !reflect.DeepEqual(is, e) {
			take(string(e.ID))
			for _, a := range o.owners[e.ID] {
				a.lose(now)
			}
			for _, g := range was.mark.Holders(e.ID) {
				askBy(g).lose(now)
			}
		}
	}
	// Who was told of a change of the rules is told nothing of its end.
	var rules time.Time // when the first change of rules that is lost was made
	for i := len(w.store.Log()); i < len(was.log); i++ {
		entity := was.log[i].Entity
		take(entity)
		if strings.HasPrefix(entity, "dlg_") {
			for _, s := range w.rules.standIns {
				s.until = s.most
			}
		}
		if entity == "documents" || entity == "stop" || strings.HasPrefix(entity, "user:") || strings.HasPrefix(entity, "agent:") {
			if rules.IsZero() {
				rules = o.when[i]
			}
			if entity == "documents" {
				w.rules.reopen()
			}
		}
	}
	for i, e := range w.rules.ends {
		if e.why == access.ByPolicy && !rules.IsZero() && !e.heard.Before(rules) {
			w.rules.ends[i].heard = time.Time{} // what was undone may be in force again
		}
	}
	o.forgetContracts()
	o.when = o.when[:min(len(o.when), len(w.store.Log()))]
	clear(o.versions)
	clear(o.last)
	clear(o.shows)
	clear(o.expiry)
	o.logged = 0
	o.readLog(false)
}

// took reports whether a failover took something of an entity back since the given time.
func (o *oracle) took(entity string, since time.Time) bool {
	t, ok := o.taken[entity]
	return ok && !t.Before(since)
}

// tookOf reports whether a failover took something back of what is there, or of those
// it belongs to, since it is there or just before.
func (o *oracle) tookOf(t tracked) bool {
	since := t.since.Add(-time.Minute)
	return o.took(string(t.ent), since) || slices.ContainsFunc(t.asks, func(a *ask) bool { return a.forgot(since) })
}

// tookRules reports the same of what speaks against the person's access.
func (o *oracle) tookRules(a *ask, since time.Time) bool {
	return o.took("documents", since) || o.took("user:"+a.who, since) || o.took("user:"+sponsors[a.who], since)
}

// tookMark reports the same of the entitlement that a word about harm names first: the
// mechanism, then the tag.
func (o *oracle) tookMark(harm string) bool {
	words := strings.Fields(harm)
	return len(words) > 1 && len(words[1]) > 26 && o.took("ent_"+strings.ToUpper(words[1][:26]), time.Time{})
}

// lose notes that a failover took something about the request back.
func (a *ask) lose(now time.Time) {
	if a != nil {
		a.taken = now
	}
}

// forgot reports whether what the person was told at the given time may not be true
// any more, because a failover took something about their request back since.
func (a *ask) forgot(since time.Time) bool { return !a.taken.IsZero() && !a.taken.Before(since) }

// rowEnd is the end that the rows say, of a grant that the person may not know of:
// their request can be undecided again after a failover, and be approved anew.
func (a *ask) rowEnd() (end time.Time) {
	if g, ok := a.w.store.GrantOf(a.id); ok && !g.Over() {
		end = g.ExpiresAt
	}
	return end
}

// reopen notes that the documents are an earlier version again: what they asked before
// the last edit may be in force.
func (r *rules) reopen() {
	if n := len(r.least); n > 1 {
		r.least[n-2].until = time.Time{}
	}
}

// need notes that guests need n approvals from now on, or may.
func (r *rules) need(n int) {
	for i := range r.least {
		if r.least[i].until.IsZero() {
			r.least[i].until = time.Now()
		}
	}
	r.least = append(r.least, need{n: n})
}
