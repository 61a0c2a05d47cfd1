// Command proofs runs the tests that prove an invariant by themselves, against real
// servers, disks and processes, and leaves which of them passed for the assurance
// report. A test that is not there, was skipped or did not run fails its proof.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"

	"stint/test/evidence"
)

// proof is what a few tests of one kind prove.
type proof struct {
	name, method string
	invariants   []string
	tests        map[string][]string // by the folder of their package
}

// proofs are the list. The tests are also those of `make test`; here each stands by its name.
var proofs = []proof{
	{"proofs-disk", "disk", []string{"I-03", "I-18", "L-07"}, map[string][]string{
		"./test/e2e":         {"TestDiskFull", "TestDatabaseAway", "TestDiskErrors", "TestAuditFileFull", "TestSequencerBlocked", "TestNoTemporaryFolder"},
		"./internal/broker":  {"TestFailClosed", "TestEndsWithoutTheStore", "TestSharedWithoutTheStore", "TestRevokeWithoutTheStore", "TestMergesOnce"},
		"./internal/journal": {"TestDiskErrs", "TestReadOnlyDisk", "TestFullKeepsInMemory", "TestTornTail", "TestAnyDamage", "TestFileComesBack"},
		"./internal/store":   {"TestFullDisk"},
	}},
	{"proofs-clock", "clock", []string{"I-01", "I-21", "I-35"}, map[string][]string{
		"./test/e2e":        {"TestClockSteps", "TestTwoAdministratorsAcceptTheClock"},
		"./internal/broker": {"TestUnsureClockStopsGrantsAndNoRevocation", "TestTwoPersonsAcceptAClock", "TestAcceptedClockProlongsNothing"},
		"./internal/clock":  {"TestWhateverTheWallDoes", "TestHonestWall", "TestSteps", "TestFreeze", "TestPeersAgree"},
	}},
	{"proofs-sweep", "sweep", []string{"I-03", "I-23", "L-06"}, map[string][]string{
		"./internal/broker": {"TestClone", "TestStagingCopy", "TestRestoredBackup", "TestPlanted", "TestRenamed", "TestForgedClaim",
			"TestCarriedClaim", "TestLyingConnector", "TestSweepRemovesOursAndNothingElse", "TestSweepHasABudget"},
	}},
	{"proofs-secrets", "secrets", []string{"I-19"}, map[string][]string{
		".":                             {"TestSecretsDoNotPrint"},
		"./test/e2e":                    {"TestPasswordsAreNowhere"},
		"./internal/connector/postgres": {"TestNoSecretIsTold", "TestImpostorGetsNoPassword"},
	}},
	{"proofs-residue", "residue", nil, map[string][]string{
		"./internal/broker":             {"TestResidue", "TestResidueInTheDark"},
		"./internal/connector/postgres": {"TestRedTeam", "TestResidueOfOthers", "TestResidueOfStanding", "TestResidueUnknowable", "TestFingerprintRunsNothing", "TestFingerprintIsBounded"},
	}},
	{"proofs-lanes", "lanes", []string{"L-05"}, map[string][]string{
		"./internal/broker": {"TestOnePlaceLeavesRoom", "TestSilentPlacesShareHalf", "TestNobodyKeepsTimeFromEnding", "TestRemovalNeverGivesUp"},
	}},
	{"proofs-witness", "witness", []string{"I-17", "I-33"}, map[string][]string{
		"./internal/witness": {"TestRefusesForksAndRollbacks", "TestHostile"},
		"./cmd/stintd":       {"TestRollbackIsNoticed", "TestUnwrittenBackup", "TestLyingWitness", "TestDamagedLogEndsAccess"},
		"./internal/audit":   {"TestMutations"},
	}},
}

func main() {
	to := flag.String("evidence", "", "folder for the results; none are kept without")
	flag.Parse()
	failed := false
	for _, p := range proofs {
		r := p.run(os.Stdout)
		failed = failed || !r.Passed
		if err := r.Write(*to); err != nil {
			fmt.Fprintln(os.Stderr, "proofs:", err)
			os.Exit(1)
		}
	}
	if failed {
		fmt.Fprintln(os.Stderr, "proofs: not all passed")
		os.Exit(1)
	}
}

// run has the tests of p run, says how they ended on w, and returns it as a result.
func (p proof) run(w io.Writer) evidence.Result {
	r := evidence.New(p.name, p.method, "make proofs")
	r.Invariants = p.invariants
	t := evidence.Table{Title: "Tests of " + strings.TrimPrefix(p.name, "proofs-"), Columns: []string{"Test", "Package", "Result"}}
	passed := 0
	for _, pkg := range slices.Sorted(maps.Keys(p.tests)) {
		ended, err := goTest(pkg, p.tests[pkg])
		if err != nil {
			r.Violated = append(r.Violated, fmt.Sprintf("go test %s: %v", pkg, err))
		}
		for _, name := range p.tests[pkg] {
			how := ended[name]
			switch how {
			case "pass":
				passed++
			case "":
				how = "did not run"
				fallthrough
			default:
				r.Violated = append(r.Violated, fmt.Sprintf("%s of %s: %s", name, pkg, how))
			}
			t.Rows = append(t.Rows, []string{"`" + name + "`", pkg, how})
			fmt.Fprintf(w, "%-12s %-46s %s\n", how, name, pkg)
		}
	}
	r.Tables = []evidence.Table{t}
	r.Count("tests that passed", float64(passed), "")
	r.Passed = len(r.Violated) == 0
	return r
}

// goTest runs the named tests of one package and returns how each ended: "pass", "fail", "skip".
func goTest(pkg string, names []string) (map[string]string, error) {
	cmd := exec.Command("go", "test", "-count=1", "-tags", "e2e", "-timeout", "20m", "-json", "-run", "^("+strings.Join(names, "|")+")$", pkg)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = nil // the tests say by themselves which of them failed
	}
	return endings(out), err
}

// endings reads the events that go test -json prints; those of subtests are inside of their test's.
func endings(out []byte) map[string]string {
	ended := map[string]string{}
	for line := range bytes.Lines(out) {
		var e struct{ Action, Test string }
		if json.Unmarshal(line, &e) != nil || e.Test == "" || strings.Contains(e.Test, "/") {
			continue
		}
		if e.Action == "pass" || e.Action == "fail" || e.Action == "skip" {
			ended[e.Test] = e.Action
		}
	}
	return ended
}
