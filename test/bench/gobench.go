package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// policy measures decisions, with the benchmark that the package has.
func (b *bench) policy(ctx context.Context, _ []string) error {
	b.say("policy decisions")
	found, err := goBench(ctx, "./internal/policy", "^BenchmarkDecide$", b.round)
	if err != nil {
		return err
	}
	for _, n := range []int{10, 100, 1000} {
		m, ok := found["BenchmarkDecide/"+strconv.Itoa(n)]
		if !ok {
			return fmt.Errorf("internal/policy has no BenchmarkDecide/%d", n)
		}
		r := row{name: fmt.Sprintf("a decision over %s policies, ten concern the role", group(n)), n: group(int(m["n"])),
			stint: fmt.Sprintf("%.1f µs, %s/s", m["ns/op"]/1000, group(int(1e9/m["ns/op"])))}
		if n == 10 {
			r.name = "a decision over 10 policies, all concern the role"
		}
		if n == 1000 {
			r.goal, r.met = "≤ 100 µs", reached(m["ns/op"] <= 100_000)
		}
		b.add(r)
	}
	return nil
}

// goBench runs benchmarks of one of our packages and gives their metrics by name. env is
// added to their environment.
func goBench(ctx context.Context, pkg, which string, d time.Duration, env ...string) (map[string]map[string]float64, error) {
	return goBenchOn(ctx, 1, pkg, which, d, env...)
}

// goBenchOn is the same on several processors, for what serves several clients at once.
func goBenchOn(ctx context.Context, processors int, pkg, which string, d time.Duration, env ...string) (map[string]map[string]float64, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", which, "-benchtime", d.String(), "-cpu", strconv.Itoa(processors), pkg)
	cmd.Stderr, cmd.Env = os.Stderr, append(os.Environ(), env...)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go test -bench %s %s: %w\n%s", which, pkg, err, out)
	}
	found := map[string]map[string]float64{}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		m := map[string]float64{}
		m["n"], _ = strconv.ParseFloat(f[1], 64)
		for i := 2; i+1 < len(f); i += 2 {
			m[f[i+1]], _ = strconv.ParseFloat(f[i], 64)
		}
		name := f[0]
		if processors > 1 {
			name = strings.TrimSuffix(name, "-"+strconv.Itoa(processors))
		}
		found[name] = m
	}
	return found, nil
}
