package main

import (
	"context"
	"fmt"

	"stint/internal/broker"
)

// twoPersonsOf reports when one person alone can change what reaches high criticality.
func (p *process) twoPersonsOf(ctx context.Context, x *examination) {
	const why = "whoever takes over one administrator changes every policy alone"
	st, err := p.broker.TwoPersonsState(ctx)
	switch {
	case err != nil:
		x.broken("two persons", err, why)
	case st.Mode == broker.TwoOff:
		x.warn("two persons", "grave changes never take two persons: "+st.Why, why, "stint admin two-persons auto --why …")
	case !st.InForce:
		x.warn("two persons", fmt.Sprintf("%d administers or writes policies, so grave changes are made alone", st.Keepers), why,
			"make a second person: stint admin user add NAME --policy-author")
	case st.Keepers < 2:
		x.warn("two persons", "grave changes take two persons, and there is one", "nobody can approve them but owners of what they reach", "make a second person: stint admin user add NAME --policy-author")
	default:
		x.ok("two persons", fmt.Sprintf("grave changes take two of %d persons", st.Keepers))
	}
}
