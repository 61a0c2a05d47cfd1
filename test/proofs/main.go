// Command proofs runs the tests that prove an invariant by themselves, against real
// servers, disks and processes, and leaves which of them passed for the assurance
// report. A test that is not there, was skipped or did not run fails its proof.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"

	"stint/test/evidence"
)

// proof is what a few tests of one kind prove.
type proof struct {
	name, method string
	invariants   []string
	tests        map[string][]string // by the folder of their package
	command      string              // what runs it by itself; make proofs when empty
	args         []string            // of the tests
}

// drill is the restores, as many as are asked for. It is a run of its own.
func drill(n int) proof {
	return proof{"drill", "drill", []string{"I-33"}, map[string][]string{"./cmd/stintd": {"TestRestoreDrills"}},
		fmt.Sprintf("make drill N=%d", n), []string{"-drills", fmt.Sprint(n)}}
}

// proofs are the list. The tests are also those of `make test`; here each stands by its name.
var proofs = []proof{
	{name: "proofs-disk", method: "disk", invariants: []string{"I-03", "I-18", "L-07"}, tests: map[string][]string{
		"./test/e2e":         {"TestDiskFull", "TestDatabaseAway", "TestDiskErrors", "TestAuditFileFull", "TestSequencerBlocked", "TestNoTemporaryFolder"},
		"./internal/broker":  {"TestFailClosed", "TestEndsWithoutTheStore", "TestSharedWithoutTheStore", "TestRevokeWithoutTheStore", "TestMergesOnce"},
		"./internal/journal": {"TestDiskErrs", "TestReadOnlyDisk", "TestFullKeepsInMemory", "TestTornTail", "TestAnyDamage", "TestFileComesBack"},
		"./internal/store":   {"TestFullDisk"},
	}},
	{name: "proofs-clock", method: "clock", invariants: []string{"I-01", "I-21", "I-35"}, tests: map[string][]string{
		"./test/e2e":        {"TestClockSteps", "TestTwoAdministratorsAcceptTheClock"},
		"./internal/broker": {"TestUnsureClockStopsGrantsAndNoRevocation", "TestTwoPersonsAcceptAClock", "TestAcceptedClockProlongsNothing"},
		"./internal/clock":  {"TestWhateverTheWallDoes", "TestHonestWall", "TestSteps", "TestFreeze", "TestPeersAgree"},
	}},
	{name: "proofs-sweep", method: "sweep", invariants: []string{"I-03", "I-23", "L-06"}, tests: map[string][]string{
		"./internal/broker": {"TestClone", "TestStagingCopy", "TestRestoredBackup", "TestPlanted", "TestRenamed", "TestForgedClaim",
			"TestCarriedClaim", "TestLyingConnector", "TestSweepRemovesOursAndNothingElse", "TestSweepHasABudget"},
	}},
	{name: "proofs-secrets", method: "secrets", invariants: []string{"I-19"}, tests: map[string][]string{
		".":                             {"TestSecretsDoNotPrint"},
		"./test/e2e":                    {"TestPasswordsAreNowhere"},
		"./internal/connector/postgres": {"TestNoSecretIsTold", "TestImpostorGetsNoPassword"},
	}},
	{name: "proofs-residue", method: "residue", tests: map[string][]string{
		"./internal/broker":             {"TestResidue", "TestResidueInTheDark"},
		"./internal/connector/postgres": {"TestRedTeam", "TestResidueOfOthers", "TestResidueOfStanding", "TestResidueUnknowable", "TestFingerprintRunsNothing", "TestFingerprintIsBounded"},
	}},
	{name: "proofs-lanes", method: "lanes", invariants: []string{"L-05"}, tests: map[string][]string{
		"./internal/broker": {"TestOnePlaceLeavesRoom", "TestSilentPlacesShareHalf", "TestNobodyKeepsTimeFromEnding", "TestRemovalNeverGivesUp"},
	}},
	{name: "proofs-witness", method: "witness", invariants: []string{"I-17", "I-33"}, tests: map[string][]string{
		"./internal/witness": {"TestRefusesForksAndRollbacks", "TestHostile"},
		"./cmd/stintd":       {"TestRollbackIsNoticed", "TestUnwrittenBackup", "TestLyingWitness", "TestDamagedLogEndsAccess"},
		"./internal/audit":   {"TestMutations"},
	}},
}

func main() {
	to := flag.String("evidence", "", "folder for the results; none are kept without")
	drills := flag.Int("drills", 0, "do so many restores instead of the proofs")
	flag.Parse()
	run := proofs
	if *drills > 0 {
		run = []proof{drill(*drills)}
	}
	failed := false
	for _, p := range run {
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
	r := evidence.New(p.name, p.method, cmp.Or(p.command, "make proofs"))
	r.Invariants = p.invariants
	t := evidence.Table{Title: "Tests of " + strings.TrimPrefix(p.name, "proofs-"), Columns: []string{"Test", "Package", "Result", "Said"}}
	passed := 0
	for _, pkg := range slices.Sorted(maps.Keys(p.tests)) {
		fmt.Fprintf(w, "%-12s %-46s %s\n", "runs", strings.Join(p.tests[pkg], " "), pkg)
		ended, err := goTest(w, pkg, p.tests[pkg], p.args)
		if err != nil {
			r.Violated = append(r.Violated, fmt.Sprintf("go test %s: %v", pkg, err))
		}
		for _, name := range p.tests[pkg] {
			how := ended[name].how
			switch how {
			case "pass":
				passed++
			case "":
				how = "did not run"
				fallthrough
			default:
				r.Violated = append(r.Violated, fmt.Sprintf("%s of %s: %s", name, pkg, how))
			}
			said := strings.Join(ended[name].said, "; ")
			if len(p.args) == 0 {
				said = "" // a test that takes no number says what only its reader needs
			}
			t.Rows = append(t.Rows, []string{"`" + name + "`", pkg, how, said})
			fmt.Fprintf(w, "%-12s %-46s %s %s\n", how, name, pkg, said)
			for _, line := range ended[name].said {
				if how != "pass" && said == "" {
					fmt.Fprintln(w, "    "+line)
				}
			}
		}
	}
	r.Tables = []evidence.Table{t}
	r.Count("tests that passed", float64(passed), "")
	r.Passed = len(r.Violated) == 0
	return r
}

// ending is how a test ended, "pass", "fail" or "skip", and what it logged.
type ending struct {
	how  string
	said []string
}

// goTest runs the named tests of one package and returns how each ended. What they say
// of their progress is on w at once.
func goTest(w io.Writer, pkg string, names, args []string) (map[string]ending, error) {
	cmd := exec.Command("go", append([]string{"test", "-count=1", "-tags", "e2e", "-timeout", "60m", "-json",
		"-run", "^(" + strings.Join(names, "|") + ")$", pkg}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended, err := endings(out, w)
	if err != nil {
		_ = cmd.Process.Kill() // nobody listens to it any more
	}
	waited := cmd.Wait()
	if exit := (*exec.ExitError)(nil); err == nil && !errors.As(waited, &exit) {
		err = waited // else the tests say by themselves which of them failed
	}
	return ended, err
}

// logged is a line of t.Log: indented, and with the file that it is from.
var logged = regexp.MustCompile(`^ {4}\w+_test\.go:\d+: (.*)\n$`)

// counted is a line by which a test says how far it is.
var counted = regexp.MustCompile(`^\w+ \d+ of \d+: `)

// endings reads the events that go test -json prints; those of subtests are inside of their test's.
func endings(out io.Reader, progress io.Writer) (map[string]ending, error) {
	ended := map[string]ending{}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e struct{ Action, Test, Output string }
		if json.Unmarshal(lines.Bytes(), &e) != nil || e.Test == "" || strings.Contains(e.Test, "/") {
			continue
		}
		x := ended[e.Test]
		switch e.Action {
		case "pass", "fail", "skip":
			x.how = e.Action
		case "output":
			if said := logged.FindStringSubmatch(e.Output); said != nil {
				x.said = append(x.said, said[1])
			} else if counted.MatchString(e.Output) {
				_, _ = io.WriteString(progress, e.Output)
			}
		}
		ended[e.Test] = x
	}
	return ended, lines.Err()
}
