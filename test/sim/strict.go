package sim

import (
	"time"

	"stint/internal/access"
	"stint/test/sim/simtarget"
)

// strict is what must hold of rows and targets in every state that was ever
// committed, whatever people were told.
func (o *oracle) strict(live []access.Grant) {
	w := o.w
	if broken := w.store.Broken(); len(broken) > 0 {
		w.fail("rule", "the store had to refuse a change that breaks a rule: %s", broken[0])
	}
	for _, g := range live {
		o.within(g)
		if g.State != access.Active {
			continue
		}
		switch has := g.ExpiresAt.Sub(g.ActiveAt); {
		case has > g.Duration:
			w.fail("I-11", "%s is active for %s, and its duration is %s", g.ID, has, g.Duration)
		case g.Emergency.Is() && has > access.MaxEmergency:
			w.fail("I-11", "%s is break-glass access for %s", g.ID, has)
		case has > roleTimes[g.Role]:
			w.fail("I-11", "%s is active for %s as %s, which is for %s at most", g.ID, has, g.Role, roleTimes[g.Role])
		}
	}
}

// expiries checks that targets end by themselves what nobody ends (the dead man's
// switch): not later than the last of its holders, if only by a moment.
func (o *oracle) expiries(there []simtarget.Privilege) {
	w := o.w
	for _, p := range there {
		if p.Mechanism == access.Member || !p.Usable {
			continue
		}
		id, ok := w.entitlementOf(p.Place, p.Tag)
		if !ok || o.took(string(id), time.Time{}) {
			continue // the store may have forgotten an extension that the target has
		}
		if e, known := w.store.Entitlement(id); known && (p.Ends.IsZero() || p.Ends.After(e.ExpiresAt.Add(time.Second))) {
			w.fail("expiry", "%s at %s ends by itself at %s, and its holders by %s", p.Account, p.Place, p.Ends, e.ExpiresAt)
		}
	}
}
