package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"stint/internal/access"
	"stint/internal/ident"
)

// servicesOf looks at how services get in: static tokens, ones that nobody uses, what is
// about to end, and documents that make programs a service which is not there.
func (p *process) servicesOf(ctx context.Context, x *examination) {
	all, now, err := ident.New(forIdent(p.store)).Services(ctx)
	if err != nil {
		x.broken("services", err, "nothing is known of them")
		return
	}
	set, err := p.broker.Documents(ctx)
	if err != nil {
		return // the documents say so themselves
	}
	documents := map[access.PrincipalID]int{}
	for _, w := range set.Workloads() {
		documents[w.Service]++
		if !slices.ContainsFunc(all, func(v ident.ServiceView) bool { return v.Principal.ID == w.Service }) {
			x.warn("workload "+w.Name, "there is no "+string(w.Service), "nobody can be it", "stint admin service add "+w.Service.Name()+" --owner NAME --for 180d --no-token")
		}
	}
	static, quiet := 0, true
	for _, v := range all {
		static += len(v.Tokens)
		if said := v.Remarks(now, documents[v.Principal.ID]); len(said) > 0 {
			quiet = false
			x.warn("service "+v.Principal.ID.Name(), strings.Join(said, "; "), "whoever has a static token is the service until it ends; what has ended stops a pipeline",
				"let its platform vouch for it (docs/identity/workloads.md), or renew it: stint admin service add")
		}
	}
	if quiet {
		x.ok("services", fmt.Sprintf("%d, with %d static tokens", len(all), static))
	}
}
