// Package evidence keeps what a run of a deep test printed, as a file that the
// assurance report is made of: what is not in such a file was not measured.
package evidence

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Result is one run of one deep test.
type Result struct {
	Name     string    `json:"name"`    // the file's name: "chaos-sqlite"
	Command  string    `json:"command"` // what anybody can run to see it again
	Commit   string    `json:"commit"`  // of the tree that ran; "-dirty" when it was changed
	At       time.Time `json:"at"`
	Seconds  float64   `json:"seconds"`
	Machine  string    `json:"machine"`
	Passed   bool      `json:"passed"`
	Violated []string  `json:"violated,omitempty"` // what went wrong, a sentence each
	// Method is the column of the grid of invariants: one of methods.
	Method string `json:"method"`
	// Invariants are those that the run looks at, by their number: "I-01", "L-03".
	Invariants []string `json:"invariants,omitempty"`
	Figures    []Figure `json:"figures"`
	Tables     []Table  `json:"tables,omitempty"`
}

// Figure is one number that was measured or counted.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit,omitempty"` // "ms", "MB", "x"; empty for a count
	// Beside is what the number is to be read beside: the other side of a ratio.
	Beside string `json:"beside,omitempty"`
	Goal   string `json:"goal,omitempty"` // "<= 100 ms"
	Met    *bool  `json:"met,omitempty"`  // nil without a goal
}

// Table is a list with columns: mutants with their seeds, counters.
type Table struct {
	Title   string     `json:"title"`
	Columns []string   `json:"columns"`
	Rows    [][]string `json:"rows"`
}

// New begins a result at this moment and with this tree's commit.
func New(name, method, command string) Result {
	return Result{Name: name, Method: method, Command: command, Commit: commit(), At: time.Now().UTC().Truncate(time.Second),
		Machine: fmt.Sprintf("%s/%s, %d CPUs", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())}
}

// Goal adds a figure that has a goal.
func (r *Result) Goal(name string, value float64, unit, goal string, met bool, beside string) {
	r.Figures = append(r.Figures, Figure{Name: name, Value: value, Unit: unit, Goal: goal, Met: &met, Beside: beside})
}

// Count adds a figure without a goal.
func (r *Result) Count(name string, value float64, unit string) {
	r.Figures = append(r.Figures, Figure{Name: name, Value: value, Unit: unit})
}

var (
	validName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	methods   = []string{"simulation", "mutant", "kill", "failover", "upgrade", "clock", "disk", "storm", "flood", "bench", "soak", "drill",
		"residue", "sweep", "secrets", "lanes", "witness", "comparison"}
)

// Write ends the result and puts it into dir, in the place of an earlier one of
// its name. With dir "" it does nothing.
func (r Result) Write(dir string) error {
	if dir == "" {
		return nil
	}
	if !validName.MatchString(r.Name) || !slices.Contains(methods, r.Method) {
		return fmt.Errorf("evidence: bad name %q or method %q", r.Name, r.Method)
	}
	if r.Seconds == 0 {
		r.Seconds = time.Since(r.At).Round(100 * time.Millisecond).Seconds()
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".result-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(append(b, '\n'))
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(dir, r.Name+".json"))
	}
	if err != nil {
		err = errors.Join(err, os.Remove(tmp.Name()))
	}
	return err
}

// Load reads every result in dir, ordered by name.
func Load(dir string) (rs []Result, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		var r Result
		if err := json.Unmarshal(b, &r); err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		if r.Name+".json" != filepath.Base(f) {
			return nil, fmt.Errorf("%s: holds the result of %q", f, r.Name)
		}
		rs = append(rs, r)
	}
	return rs, nil
}

// commit names the tree; "unknown" outside of a repository.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
