package sim

import (
	"time"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/test/sim/simtarget"
)

// What the oracle remembers of calls that landed later than any connector may have them
// land: strays.

func (o *oracle) stray(p access.Place, t time.Time) { o.strays[p] = t }

// setsBack is told of a call that lands later than the contract allows, just before.
func (o *oracle) setsBack(q connector.Order) {
	for _, p := range o.w.targets.Privileges() {
		if id, ok := o.w.entitlementOf(p.Place, p.Tag); ok && id == q.Entitlement && q.ExpiresAt.Before(p.Ends) {
			o.setBack[id] = q.ExpiresAt
		}
	}
}

// endsByStray reports whether what is there is out of use only because a call that
// landed later than any connector may be set the target's own end back to the one that it
// was sent with. Nobody waits for such a call, and it takes away and gives nothing.
func (o *oracle) endsByStray(p simtarget.Privilege) bool {
	id, ok := o.w.entitlementOf(p.Place, p.Tag)
	if !ok || p.Usable {
		return false
	}
	end, strayed := o.setBack[id]
	return strayed && p.Ends.Equal(end) && !end.After(o.w.now())
}
