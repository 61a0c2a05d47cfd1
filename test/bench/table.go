package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"stint/test/evidence"
)

// row is one line of the table. Cells that do not apply are empty.
type row struct {
	name  string
	n     string
	bare  string
	stint string
	ratio string
	goal  string
	met   verdict
}

// verdict says whether a goal was reached; none was set where it is empty.
type verdict string

func reached(is bool) verdict {
	if is {
		return "yes"
	}
	return "**no**"
}

// add puts a line into the table.
func (b *bench) add(r row) {
	b.rows = append(b.rows, r)
	b.say("%s: bare %s, stint %s, ratio %s (goal %s: %s)", r.name, dash(r.bare), dash(r.stint), dash(r.ratio), dash(r.goal), dash(string(r.met)))
}

func dash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// report writes what was measured, on what.
func (b *bench) report(w io.Writer) error {
	out := bufio.NewWriter(w)
	m := b.machine
	fmt.Fprintf(out, "Store %s. %s, %d processors, %s memory, %s, %s. Load %s before, %s after. Took %s.\n\n",
		b.store, m.processor, m.processors, m.memory, m.system, runtime.Version(), m.loadBefore, m.loadAfter, time.Since(b.began).Round(time.Second))
	fmt.Fprintln(out, "| What | n | bare | Stint | ratio | goal | met |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|")
	for _, r := range b.rows {
		fmt.Fprintf(out, "| %s | %s | %s | %s | %s | %s | %s |\n", r.name, dash(r.n), dash(r.bare), dash(r.stint), dash(r.ratio), dash(r.goal), dash(string(r.met)))
	}
	return out.Flush()
}

// keep writes the table as a result for the assurance report, unless the run was
// the soak, which writes its own.
func (b *bench) keep(args []string, cut error) error {
	if slices.Equal(b.parts, alone) {
		return nil
	}
	command := "make bench STORE=" + b.store
	if len(args) > 0 {
		command = "go run ./test/bench " + strings.Join(args, " ")
	}
	r := evidence.New("bench-"+b.store, "bench", command)
	r.At, r.Seconds, r.Passed = b.began.UTC().Truncate(time.Second), time.Since(b.began).Round(time.Second).Seconds(), true
	r.Invariants = []string{"I-01", "L-01"}
	t := evidence.Table{Title: "Benchmarks, store " + b.store, Columns: []string{"What", "n", "bare", "Stint", "ratio", "goal", "met"}}
	for _, x := range b.rows {
		t.Rows = append(t.Rows, []string{x.name, dash(x.n), dash(x.bare), dash(x.stint), dash(x.ratio), dash(x.goal), dash(string(x.met))})
		if x.met != "" && x.met != reached(true) {
			r.Passed = false
			r.Violated = append(r.Violated, x.name+": "+x.stint+", the goal is "+x.goal)
		}
	}
	if cut != nil {
		text, _, _ := strings.Cut(cut.Error(), "\n")
		r.Passed, r.Violated = false, append(r.Violated, "not measured from here on: "+text)
	}
	r.Tables = []evidence.Table{t}
	return r.Write(b.evidence)
}

// machine is what the numbers were measured on.
type machine struct {
	processor, memory, system string
	processors                int
	loadBefore, loadAfter     string
}

func lookAtMachine() machine {
	return machine{
		processor: field("/proc/cpuinfo", "model name"), memory: field("/proc/meminfo", "MemTotal"),
		system: firstLine("/proc/sys/kernel/ostype") + " " + firstLine("/proc/sys/kernel/osrelease"), processors: runtime.NumCPU(),
		loadBefore: load(), loadAfter: "?",
	}
}

func (m *machine) after() { m.loadAfter = load() }

// load is how many processes wanted to run, over a minute.
func load() string {
	one, _, _ := strings.Cut(firstLine("/proc/loadavg"), " ")
	return one
}

func firstLine(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return "?"
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(line)
}

// field finds "name : value" in a file of such lines.
func field(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return "?"
	}
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return "?"
}
