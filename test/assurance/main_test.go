package main

import (
	"strings"
	"testing"

	"stint/test/evidence"
)

// What has no result says so, and a failed run does not count as proof.
func TestReportClaimsOnlyWhatRan(t *testing.T) {
	good, bad := evidence.Result{Name: "sim", Method: "simulation", Passed: true, Invariants: []string{"I-01"}},
		evidence.Result{Name: "failover", Method: "failover", Violated: []string{"one account | left"}, Invariants: []string{"I-02"}}
	good.Goal("violations", 0, "", "0", true, "200 seeds")
	text := string(report([]evidence.Result{bad, good}))
	for _, want := range []string{
		"| Simulation, random faults | `` |", "| sim | violations | 0 | 0 | yes | 200 seeds |",
		`**one account \| left**`, "| Soak | `make soak MINUTES=10` | | | | | **not measured** |",
		"| I-01 | no use after expiry | yes |", "| I-02 | no use after a revocation (**not measured here**) |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
}

// Each number that a result may name is known to the report.
func TestInvariantsAreNamedOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, i := range invariants {
		if seen[i.id] || i.says == "" {
			t.Errorf("%s is named twice, or says nothing", i.id)
		}
		seen[i.id] = true
	}
}
