package main

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strconv"
	"time"
)

// ssh measures sessions through the gateway beside the same without it: a real sshd, a
// strict recording on this disk, and the client and the gateway on the same processors. The
// control plane is a stand-in in memory: what a certificate costs there is in the part
// certificates.
func (b *bench) ssh(ctx context.Context, _ []string) error {
	b.say("SSH sessions")
	on := max(2, runtime.NumCPU())
	const gate = "./internal/gateway/sshgate"
	env := []string{"STINT_BENCH_MIB=" + strconv.Itoa(b.copied), "STINT_BENCH_SESSIONS=" + strconv.Itoa(b.idle), "STINT_BENCH_BIN=" + filepath.Join(b.bin, "stint")}
	prompt, err := goBenchOn(ctx, on, "./cmd/stint", "^BenchmarkPrompt$", b.round, env...)
	if err != nil {
		return err
	}
	small, err := goBenchOn(ctx, on, gate, "^Benchmark(Connect|Exec|Keystroke|Login)$", b.round, env...)
	if err != nil {
		return err
	}
	// One after the other: a gigabyte is a sample by itself.
	large, err := goBenchOn(ctx, on, gate, "^Benchmark(Bulk|Copy)$", max(b.round, 5*time.Second), env...)
	if err != nil {
		return err
	}
	cut, err := goBenchOn(ctx, on, gate, "^BenchmarkCutAll$", time.Nanosecond, env...)
	if err != nil {
		return err
	}
	pair := func(from map[string]map[string]float64, name, bare, ours string) (direct, through map[string]float64, err error) {
		direct, through = from["Benchmark"+name+"/"+bare], from["Benchmark"+name+"/"+ours]
		if direct == nil || through == nil {
			err = fmt.Errorf("there is no Benchmark%s with %s and %s", name, bare, ours)
		}
		return direct, through, err
	}
	times := func(m map[string]float64) string {
		return fmt.Sprintf("p50 %.2f ms, p99 %.2f ms", m["p50-ms"], m["p99-ms"])
	}
	for _, x := range []struct {
		from             map[string]map[string]float64
		name, bare, ours string
		what             string
		most             float64 // of the ratio; 0: no goal
	}{
		{prompt, "Prompt", "ssh", "stint_ssh", "stint ssh until a command runs, beside ssh with the certificate", 0},
		{small, "Login", "direct", "gateway", "ssh HOST true, as a program", 0},
		{small, "Connect", "direct", "gateway", "connecting, one command, leaving", 0},
		{small, "Exec", "direct", "gateway", "a command in a connection that is there", 1.5},
	} {
		direct, through, err := pair(x.from, x.name, x.bare, x.ours)
		if err != nil {
			return err
		}
		ratio := through["p50-ms"] / direct["p50-ms"]
		r := row{name: x.what, n: group(int(through["n"])), bare: times(direct), stint: times(through), ratio: fmt.Sprintf("%.2f", ratio)}
		if x.most > 0 {
			r.goal, r.met = fmt.Sprintf("p50 ≤ %.1f ×", x.most), reached(ratio <= x.most)
		}
		b.add(r)
	}
	direct, through, err := pair(small, "Keystroke", "direct", "gateway")
	if err != nil {
		return err
	}
	more := through["p99-ms"] - direct["p99-ms"]
	b.add(row{name: "a key, there and back", n: group(int(through["n"])), bare: times(direct), stint: times(through), ratio: fmt.Sprintf("+%.2f ms at p99", more),
		goal: "≤ 2 ms more at p99", met: reached(more <= 2)})
	for name, what := range map[string]string{"Bulk": "output of a command, 64 MiB, all of it recorded", "Copy": fmt.Sprintf("scp of %s MiB", group(b.copied))} {
		direct, through, err := pair(large, name, "direct", "gateway")
		if err != nil {
			return err
		}
		share := through["MB/s"] / direct["MB/s"]
		b.add(row{name: what, n: group(int(through["n"])), bare: fmt.Sprintf("%.0f MB/s", direct["MB/s"]), stint: fmt.Sprintf("%.0f MB/s", through["MB/s"]), ratio: fmt.Sprintf("%.0f %%", 100*share),
			goal: "≥ 70 %", met: reached(share >= 0.7)})
	}
	all := cut["BenchmarkCutAll"]
	if all == nil {
		return fmt.Errorf("%s has no BenchmarkCutAll", gate)
	}
	b.add(row{name: fmt.Sprintf("memory of each of %s idle sessions, gateway and client together", group(b.idle)), n: group(b.idle), stint: fmt.Sprintf("%.0f kB", all["kB/session"]),
		goal: "≤ 250 kB", met: reached(all["kB/session"] <= 250)})
	b.add(row{name: fmt.Sprintf("%s sessions cut at once", group(b.idle)), n: group(b.idle), stint: times(all), goal: "p99 ≤ 1 s", met: reached(all["p99-ms"] <= 1000)})
	return nil
}
