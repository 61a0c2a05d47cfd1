// Command storm measures what happens when very much happens at once: grants by
// the hundred thousand that end at one instant while targets are dead, a start
// with a million live grants, one person who asks without end.
//
//	go run ./test/storm -store sqlite
//
// Store and broker are the real ones, in this process, with the real log beside
// them, and commits are durable. The targets are simulated: each call takes
// 100 ms, for one order as for a thousand. So it is Stint's own work that shows,
// and what a target's own speed adds is what test/bench measures.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"time"

	"stint/test/evidence"
)

// options are the flags.
type options struct {
	store    string
	evidence string
	profile  string
	costs    string
	parts    []string
	delay    time.Duration // of each call to a target
	most     int           // grants that end at one instant
	smaller  []int         // and how many in the storms before
	places   int
	dead     int // of the places
	live     []int
	calls    time.Duration // how long each phase of requests lasts
	clients  int
	measured string
	slack    float64
}

var parts = []string{"issue", "ends", "dead", "live", "flood"}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "storm:", err)
		os.Exit(1)
	}
}

func parse(args []string) (o options, err error) {
	fs := flag.NewFlagSet("storm", flag.ContinueOnError)
	fs.StringVar(&o.store, "store", "sqlite", "sqlite or postgres")
	fs.StringVar(&o.evidence, "evidence", "", "folder for the result, for make assurance")
	fs.StringVar(&o.profile, "cpuprofile", "", "write a processor profile of the last storm to this file")
	fs.StringVar(&o.costs, "statements", "", "write what each statement cost the database server in the last storm to this file; takes pg_stat_statements")
	fs.DurationVar(&o.delay, "delay", 100*time.Millisecond, "what each call to a target takes")
	fs.IntVar(&o.most, "ends", 100_000, "grants that end at one instant")
	fs.IntVar(&o.places, "places", 100, "targets that they are on")
	fs.IntVar(&o.dead, "dead", 10, "targets that are dead in the second storm")
	fs.DurationVar(&o.calls, "calls", 10*time.Second, "length of each phase of requests")
	fs.IntVar(&o.clients, "clients", 32, "how many ask at once")
	fs.StringVar(&o.measured, "measured", "", "be the process that is measured, on the store in this folder")
	fs.Float64Var(&o.slack, "slack", 1, "give the machine so much more time to fill the store")
	only := fs.String("parts", "ends,dead,live,flood", "which of "+strings.Join(parts, ", "))
	smaller := fs.String("smaller", "1,100,1000,10000", "storms before that one; none that is not smaller")
	live := fs.String("live", "10000,100000", "how many live grants to start with; the first is what the others are compared with")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if o.live, err = numbers(*live); err != nil {
		return o, err
	}
	if o.smaller, err = numbers(*smaller); err != nil {
		return o, err
	}
	o.parts = strings.Split(*only, ",")
	for _, p := range o.parts {
		if !slices.Contains(parts, p) {
			return o, fmt.Errorf("there is no part %q; there are %s", p, strings.Join(parts, ", "))
		}
	}
	if o.dead >= o.places {
		return o, errors.New("some places must be alive")
	}
	return o, nil
}

func numbers(list string) (all []int, err error) {
	for word := range strings.SplitSeq(list, ",") {
		var n int
		if _, err := fmt.Sscan(word, &n); err != nil || n < 1 {
			return nil, fmt.Errorf("%q is not a number of grants", word)
		}
		all = append(all, n)
	}
	return all, nil
}

// storm is one run.
type storm struct {
	options
	began  time.Time
	result evidence.Result
}

func run(ctx context.Context, args []string) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	s := &storm{options: o, began: time.Now(), result: evidence.New("storm-"+o.store, "storm", "make storm STORE="+o.store)}
	s.result.Invariants = []string{"I-01", "I-05", "I-36", "L-01", "L-05"}
	if o.measured != "" {
		return s.asMeasured(ctx, o.measured)
	}
	for _, p := range o.parts {
		part := map[string]func(context.Context) error{"issue": s.issue, "ends": s.ends, "dead": s.withDead, "live": s.live, "flood": s.flood}[p]
		if err := part(ctx); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	s.result.Passed = true
	for _, f := range s.result.Figures {
		if f.Met != nil && !*f.Met {
			s.result.Passed = false
			s.result.Violated = append(s.result.Violated, fmt.Sprintf("%s: %.2f %s, the goal is %s", f.Name, f.Value, f.Unit, f.Goal))
		}
	}
	return s.result.Write(o.evidence)
}

// profiled writes a processor profile of what follows, if one was asked for, until
// stop is called; the last one stays.
func (s *storm) profiled() (stop func() error, err error) {
	if s.profile == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(s.profile)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() error { pprof.StopCPUProfile(); return f.Close() }, nil
}

// say tells who waits what is going on.
func (s *storm) say(format string, args ...any) {
	_, _ = fmt.Fprintf(os.Stderr, "%6.1fs  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

// figure notes a number, with its goal where there is one.
func (s *storm) figure(name string, value float64, unit, goal string, met bool) {
	if goal == "" {
		s.result.Count(name, value, unit)
		fmt.Printf("%-72s %10.2f %s\n", name, value, unit)
		return
	}
	s.result.Goal(name, value, unit, goal, met, "")
	verdict := "met"
	if !met {
		verdict = "MISSED"
	}
	fmt.Printf("%-72s %10.2f %-5s (goal %s: %s)\n", name, value, unit, goal, verdict)
}
