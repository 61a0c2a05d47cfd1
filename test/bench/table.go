package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
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
