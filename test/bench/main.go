// Command bench measures what Stint costs and how fast its access ends, on real
// servers, and puts each number beside that of the bare statement that somebody
// would send without Stint.
//
//	go run ./test/bench -bin bin -store sqlite
//
// How it measures:
//
//   - One run, one machine: rounds of Stint and of the bare statement take turns,
//     so that what else the machine does hurts both. Ratios travel, seconds do not.
//   - From outside: it calls stintd over HTTP as a client does, without a process
//     for each call, and asks the target itself what is there. Times of an end
//     count from the end that was promised to the moment at which the client's
//     own connection breaks, or the account is not in pg_authid any more.
//   - Commits are durable: fsync is on in the target and in both stores.
//   - The client's work is on the same processors as the servers', and counts.
//   - A number that misses its goal is printed like the others.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	bin   string
	store string
	out   string
	parts []string

	round      time.Duration // length of one round
	rounds     int           // of each side
	clients    []int         // at once
	iterations []int         // of verifiers: 4096 or 1
	single     int           // expiries one by one
	many       []int         // grants that expire at once
	open       []int         // the same, each with an open session
	alive      []int         // live grants in memory and at start-up
	crash      int           // grants that expire while stintd is down
	copied     int           // MiB by scp
	idle       int           // SSH and database sessions
	bulkMB     int           // by COPY
	vaulted    int           // accounts that are rotated
	slack      float64       // stretches every wait for the machine
	soakFor    time.Duration // length of the soak
	evidence   string        // folder for results
}

// parts in the order in which they run.
var parts = []string{"issue", "expiry", "policy", "crash", "live", "audit", "crowd", "doors", "certificates", "ssh", "db", "pages"}

// alone are the parts that run only when they are asked for.
var alone = []string{"soak"}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse(args []string) (o options, err error) {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	quick := fs.Bool("quick", false, "smaller numbers, in about 90 s")
	only := fs.String("parts", strings.Join(parts, ","), "which parts to run")
	fs.StringVar(&o.bin, "bin", "bin", "folder of stint and stintd")
	fs.StringVar(&o.store, "store", "sqlite", "sqlite or postgres")
	fs.StringVar(&o.out, "out", "", "write the report to this file, too")
	fs.DurationVar(&o.round, "round", 1500*time.Millisecond, "length of a round of requests")
	fs.IntVar(&o.rounds, "rounds", 3, "rounds of each side")
	fs.IntVar(&o.single, "single", 100, "grants that expire one by one")
	fs.IntVar(&o.crash, "crash", 500, "grants that expire while stintd is down")
	fs.IntVar(&o.copied, "copied", 1024, "MiB that are copied through the gateway")
	fs.IntVar(&o.idle, "idle", 1000, "SSH sessions, and of databases, that are idle at once")
	fs.IntVar(&o.bulkMB, "bulk", 256, "MB that are copied out of a database, and into it")
	fs.IntVar(&o.vaulted, "vaulted", 1000, "accounts in the vault that are rotated")
	fs.Float64Var(&o.slack, "slack", 1, "give the machine so much more time to set things up")
	fs.DurationVar(&o.soakFor, "soak", 10*time.Minute, "length of the soak, a part that runs only when it is asked for")
	fs.StringVar(&o.evidence, "evidence", "", "folder for the results, for make assurance")
	clients := fs.String("clients", "1,8,32", "how many ask at once")
	iterations := fs.String("iterations", "4096,1", "of the verifiers: 4096, 1")
	many := fs.String("many", "100,1000,10000", "how many expire at once")
	open := fs.String("open", "100,1000", "how many expire at once that have a session each")
	alive := fs.String("live", "10000,100000", "how many live grants to start with")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if *quick {
		given := map[string]bool{}
		fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
		for name, value := range map[string]string{"round": "600ms", "rounds": "2", "single": "30", "many": "100,1000", "open": "100", "live": "10000", "crash": "200", "copied": "64", "idle": "200", "bulk": "32", "vaulted": "100"} {
			if given[name] {
				continue
			}
			if err := fs.Set(name, value); err != nil {
				return o, err
			}
		}
	}
	for list, into := range map[*string]*[]int{clients: &o.clients, iterations: &o.iterations, many: &o.many, open: &o.open, alive: &o.alive} {
		if *into, err = numbers(*list); err != nil {
			return o, err
		}
	}
	o.parts = strings.Split(*only, ",")
	for _, p := range o.parts {
		if !slices.Contains(parts, p) && !slices.Contains(alone, p) {
			return o, fmt.Errorf("there is no part %q; there are %s", p, strings.Join(slices.Concat(parts, alone), ", "))
		}
	}
	if slices.Contains(o.parts, "db") { // not found out after the other parts
		if _, err := findBouncer(); err != nil {
			return o, err
		}
	}
	if o.bin, err = filepath.Abs(o.bin); err != nil {
		return o, err
	}
	return o, nil
}

func numbers(list string) (ns []int, err error) {
	for word := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is not a number that can be measured with", word)
		}
		ns = append(ns, n)
	}
	return ns, nil
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	b := &bench{options: o, began: time.Now(), progress: os.Stderr}
	err = b.all(ctx) // what was measured until then counts
	if rerr := b.report(stdout); err == nil {
		err = rerr
	}
	err = errors.Join(err, b.keep(args, err))
	if o.out != "" && err == nil {
		f, cerr := os.Create(o.out)
		if cerr != nil {
			return cerr
		}
		err = errors.Join(b.report(f), f.Close())
	}
	return err
}

// bench is one run.
type bench struct {
	options
	began    time.Time
	progress io.Writer
	rows     []row
	machine  machine
}

func (b *bench) all(ctx context.Context) error {
	b.machine = lookAtMachine()
	for _, group := range []struct {
		parts []string
		run   func(context.Context, []string) error
	}{
		{[]string{"issue", "expiry", "crash", "soak"}, b.withScene},
		{[]string{"policy"}, b.policy},
		{[]string{"crowd"}, func(ctx context.Context, _ []string) error { return b.crowd(ctx) }},
		{[]string{"doors"}, b.doors},
		{[]string{"certificates"}, b.certificates},
		{[]string{"ssh"}, b.ssh},
		{[]string{"db"}, b.db},
		{[]string{"pages"}, b.pages},
		{[]string{"live", "audit"}, b.withMany},
	} {
		var wanted []string
		for _, p := range group.parts {
			if slices.Contains(b.parts, p) {
				wanted = append(wanted, p)
			}
		}
		if len(wanted) == 0 {
			continue
		}
		if err := group.run(ctx, wanted); err != nil {
			return err
		}
	}
	b.machine.after()
	return nil
}

// say tells who waits what is going on.
func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.progress, "%6.1fs  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}

// withScene runs the parts that need people and a target.
func (b *bench) withScene(ctx context.Context, parts []string) (err error) {
	b.say("a target, stintd on %s, and people", b.store)
	s, err := newScene(ctx, b.options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	b.say("people are signed in")
	for _, p := range parts {
		part := map[string]func(context.Context, *scene) error{"issue": b.issue, "expiry": b.expiry, "crash": b.afterCrash, "soak": b.soak}[p]
		if err := part(ctx, s); err != nil {
			return fmt.Errorf("%s: %w\n%s", p, err, s.LogTail(10))
		}
	}
	return nil
}
