package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Goals of the console.
const (
	pageWithin    = 50   // ms, at the 95th percentile
	loadWithin    = 100  // kB over the wire: a page, and all that it asks for, without a cache
	visibleWithin = 1000 // ms
)

// mustMeasure are pages without which the part says nothing.
var mustMeasure = []string{"My_access", "My_access_with_500_grants", "Request", "Approvals", "Request,_to_decide", "Sessions", "Insights", "Audit", "Policies", "Resources", "People"}

// pages measures what a page of the console takes, with 10,000 requests and 1,000 resources
// in the store, and when a change is on all pages that are open, with the benchmarks that
// the package has.
func (b *bench) pages(ctx context.Context, _ []string) error {
	b.say("pages of the console, with 10,000 requests and 1,000 resources")
	found, err := goBench(ctx, "./internal/apiserver", "^(BenchmarkPages|BenchmarkVisible)$", max(b.round, time.Second), "STORE="+b.store)
	if err != nil {
		return err
	}
	for _, page := range mustMeasure {
		if _, ok := found["BenchmarkPages/"+page]; !ok {
			return fmt.Errorf("the page %s was not measured; %d were", page, len(found))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		m := found[name]
		took := fmt.Sprintf("%.1f ms / %.1f ms", m["p50-ms"], m["p95-ms"])
		if n, ok := strings.CutPrefix(name, "BenchmarkVisible/"); ok {
			r := row{name: "a change is on all of " + n + " open pages, p50 / p95", n: group(int(m["n"])), stint: took}
			if n == "50" {
				r.goal, r.met = "≤ 1 s", reached(m["p95-ms"] <= visibleWithin)
			}
			b.add(r)
			continue
		}
		page := strings.ReplaceAll(strings.TrimPrefix(name, "BenchmarkPages/"), "_", " ")
		b.add(row{name: fmt.Sprintf("page %q p50 / p95; of the processor %.1f ms", page, m["cpu-ms"]), n: group(int(m["n"])), stint: took,
			goal: fmt.Sprintf("p95 ≤ %d ms", pageWithin), met: reached(m["p95-ms"] <= pageWithin)})
		b.add(row{name: fmt.Sprintf("page %q: a first load, the page alone", page), stint: fmt.Sprintf("%.0f kB, %.0f kB", m["load-kB"], m["page-kB"]),
			goal: fmt.Sprintf("≤ %d kB", loadWithin), met: reached(m["load-kB"] <= loadWithin)})
	}
	return nil
}
