// Dbcompare runs PostgreSQL's own regression suite through a gateway and without it, and
// compares what psql prints, byte for byte:
//
//	go run ./test/dbcompare -bin bin -suite DIR [-files a,b] [-keep DIR]
//
// DIR is src/test/regress of PostgreSQL's source, of the version that is installed. Both
// sides run every file of the schedule, one after the other, as the same account of a
// grant, which is made a superuser for it, in a fresh database of the same name. Where
// something differs without a reason, the side without the gateway is run once more: what
// it does not print again is no difference of the gateway's.
//
// What differs is looked up in differences.txt, which has a reason for each; anything else
// fails.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"stint/test/evidence"
)

func main() {
	var o options
	flag.StringVar(&o.bin, "bin", "bin", "folder of the programs")
	flag.StringVar(&o.suite, "suite", "", "src/test/regress of PostgreSQL's source")
	only := flag.String("files", "", "run these files of the schedule alone, and test_setup; all if not given")
	flag.BoolVar(&o.alone, "driver", false, "run the tests of a driver alone")
	flag.StringVar(&o.rules, "differences", "test/dbcompare/differences.txt", "what may differ, with reasons")
	flag.StringVar(&o.keep, "keep", "", "leave what psql printed in this folder")
	flag.StringVar(&o.evidence, "evidence", "", "folder for the result, for the assurance report")
	flag.Parse()
	if o.suite == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "dbcompare: usage: dbcompare -bin DIR -suite DIR; make db-compare fetches the suite")
		os.Exit(2)
	}
	if *only != "" {
		o.files = strings.Split(*only, ",")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "dbcompare:", err)
		os.Exit(1)
	}
}

type options struct {
	bin, suite, rules, keep, evidence string
	files                             []string
	alone                             bool
}

func run(ctx context.Context, o options) (err error) {
	began := time.Now()
	if o.suite, err = filepath.Abs(o.suite); err != nil {
		return err
	}
	rules, err := readRules(o.rules)
	if err != nil {
		return err
	}
	var suite []string
	if !o.alone {
		if suite, err = schedule(filepath.Join(o.suite, "parallel_schedule"), o.files); err != nil {
			return err
		}
	}
	s, err := openScene(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	both := func(name string) (map[string]string, error) {
		all := map[string]string{}
		if !o.alone {
			if all, err = s.side(ctx, name, suite); err != nil {
				return nil, err
			}
		}
		if len(o.files) > 0 {
			return all, nil
		}
		driver, err := s.drive(ctx, name)
		maps.Copy(all, driver)
		return all, err
	}
	files := suite
	if len(o.files) == 0 {
		if err := s.buildDriver(ctx); err != nil {
			return err
		}
		for _, p := range driverPackages {
			files = append(slices.Clip(files), "driver/"+p)
		}
	}
	direct, err := both("direct")
	if err != nil {
		return err
	}
	through, err := both("gateway")
	if err != nil {
		return err
	}
	if err := s.went(ctx, len(suite)); err != nil {
		return err
	}
	all := compare(files, direct, through, direct, rules)
	if len(all.wrong) > 0 {
		again, err := both("again")
		if err != nil {
			return err
		}
		all = compare(files, direct, through, again, rules)
	}
	expected := s.expected(through)
	for _, f := range all.files {
		if f.verdict != same {
			fmt.Printf("%-24s %s\n", f.name, f)
		}
	}
	for _, r := range rules {
		if !r.used && len(o.files) == 0 && !o.alone {
			all.wrong = append(all.wrong, "nothing differs any more as "+r.text+" says: take it out of the list")
		}
	}
	fmt.Printf("dbcompare: %d files: %d the same byte for byte, %d with differences that have a reason, %d not the same twice without the gateway; %d bytes compared; %d through the gateway are what PostgreSQL expects; %s\n",
		len(all.files), all.count(same), all.count(explained), all.count(unstable), all.bytes, expected, time.Since(began).Round(time.Second))
	r := evidence.New("db-compare", "comparison", "make db-compare")
	r.Seconds = time.Since(began).Seconds()
	r.Passed, r.Violated = len(all.wrong) == 0, all.wrong
	r.Count("files of PostgreSQL's regression suite", float64(len(suite)), "")
	tests := 0
	for _, p := range driverPackages {
		tests += strings.Count("\n"+through["driver/"+p], "\nPASS ")
	}
	r.Count("tests of the driver that pass through the gateway", float64(tests), "")
	r.Count("the same byte for byte", float64(all.count(same)), "")
	r.Count("with differences that have a reason", float64(all.count(explained)), "")
	r.Count("not the same twice without the gateway", float64(all.count(unstable)), "")
	r.Count("compared", float64(all.bytes), "bytes")
	r.Count("files that print through the gateway what PostgreSQL's developers expect", float64(expected), "")
	r.Goal("files that differ without a reason", float64(all.count(different)), "", "0", len(all.wrong) == 0, "")
	if len(all.wrong) > 0 {
		err = errors.New(strings.Join(all.wrong, "\n"))
	}
	if len(o.files) > 0 || o.alone { // a part is no evidence of the whole
		return err
	}
	return errors.Join(err, r.Write(o.evidence))
}

// schedule is the order of the suite's files.
func schedule(file string, only []string) (files []string, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("the suite has no schedule: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if names, is := strings.CutPrefix(line, "test:"); is {
			for _, name := range strings.Fields(names) {
				if len(only) == 0 || name == "test_setup" || slices.Contains(only, name) {
					files = append(files, name)
				}
			}
		}
	}
	if len(files) == 0 {
		return nil, errors.New("the schedule names none of these files")
	}
	return files, nil
}
