package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// withMany measures what does not need haste but many: memory and start-up with
// live grants, then the log that so many grants leave behind.
func (b *bench) withMany(ctx context.Context, parts []string) (err error) {
	if slices.Contains(parts, "audit") {
		if err := b.auditInProcess(ctx); err != nil {
			return err
		}
	}
	b.say("a target and stintd on %s, for many grants", b.store)
	s, err := newScene(ctx, b.options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := b.live(ctx, s); err != nil {
		return fmt.Errorf("live: %w\n%s", err, s.LogTail(10))
	}
	if slices.Contains(parts, "audit") {
		return b.auditFromOutside(ctx, s)
	}
	return nil
}

// live measures stintd idle, and with live grants.
func (b *bench) live(ctx context.Context, s *scene) error {
	idle, err := b.restart(ctx, s)
	if err != nil {
		return err
	}
	b.add(row{name: "idle: memory (most since the start)", stint: idle.memory(), goal: "≤ 40 MB", met: reached(idle.now <= 40)})
	b.add(row{name: "idle: ready after the start", stint: ms(idle.ready)})
	examples := make([]string, len(s.callers))
	if err := share(ctx, 8, len(s.callers), func(ctx context.Context, _, i int) error {
		g, err := obtain(ctx, s.callers[i], quick)
		examples[i] = g.request
		return err
	}); err != nil {
		return err
	}
	have := len(examples)
	for _, n := range b.alive {
		if err := s.Stop(); err != nil {
			return err
		}
		b.say("filling up to %s live grants", group(n))
		if err := s.fill(ctx, examples, n-have); err != nil {
			return err
		}
		added := 5 * (n - have) // records
		have = n
		if err := b.number(ctx, s, added); err != nil {
			return err
		}
		with, err := b.restart(ctx, s)
		if err != nil {
			return err
		}
		name := group(n) + " live grants: "
		memory := row{name: name + "memory (most since the start)", bare: "idle " + idle.memory(), stint: with.memory(), ratio: fmt.Sprintf("%.2f", with.now/idle.now)}
		ready := row{name: name + "ready after the start", stint: ms(with.ready)}
		if n == 100_000 {
			memory.goal, memory.met = "≤ 2 × idle", reached(with.now <= 2*idle.now)
			ready.goal, ready.met = "≤ 300 ms", reached(with.ready <= 300*time.Millisecond)
		}
		b.add(memory)
		b.add(ready)
		w, err := repeat(ctx, 1, b.round, func(ctx context.Context, c, _ int) error {
			_, err := obtain(ctx, s.callers[c%people], quick)
			return err
		})
		if err != nil {
			return err
		}
		b.add(row{name: name + "request → credential, one iteration, 1 client p50 / p99", n: group(len(w.times)), stint: pair(w.times)})
	}
	return nil
}

// started is how stintd is after a start, once it has nothing left to do.
type started struct {
	ready     time.Duration
	now, most float64 // MB
}

func (x started) memory() string { return fmt.Sprintf("%.0f MB (%.0f)", x.now, x.most) }

// restart starts stintd anew and lets it come to rest.
func (b *bench) restart(ctx context.Context, s *scene) (x started, err error) {
	if s.Pid() != 0 {
		if err := s.Stop(); err != nil {
			return x, err
		}
	}
	began := time.Now()
	if err := s.Start(ctx); err != nil {
		return x, err
	}
	x.ready = time.Since(began)
	if err := rest(ctx, s.Pid()); err != nil {
		return x, err
	}
	x.now, x.most = resident(s.Pid())
	return x, nil
}

// rest waits until a process has used hardly any processor time for two seconds.
func rest(ctx context.Context, pid int) error {
	for quiet := 0; quiet < 2; {
		used := cpu(pid)
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
		if cpu(pid)-used <= 20*time.Millisecond {
			quiet++
		} else {
			quiet = 0
		}
	}
	return nil
}

// number starts stintd and waits until the log's records have their numbers.
func (b *bench) number(ctx context.Context, s *scene, records int) error {
	began := time.Now()
	if err := s.Start(ctx); err != nil {
		return err
	}
	for {
		left, err := metric(ctx, s.URL, "stint_audit_unsequenced_records")
		if err != nil {
			return err
		}
		if left == 0 {
			break
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	took := time.Since(began)
	b.add(row{name: "audit: records numbered and signed while starting", n: group(records), stint: fmt.Sprintf("%s/s", group(int(float64(records)/took.Seconds())))})
	return nil
}

// metric reads one number that stintd exposes.
func metric(ctx context.Context, url, name string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var text strings.Builder
	if _, err := io.Copy(&text, resp.Body); err != nil {
		return 0, err
	}
	for line := range strings.Lines(text.String()) {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(v), 64)
		}
	}
	return 0, fmt.Errorf("stintd exposes no %s", name)
}

// auditInProcess measures the log's own work, with the benchmarks it has.
func (b *bench) auditInProcess(ctx context.Context) error {
	b.say("audit, in process")
	found, err := goBench(ctx, "./internal/audit", "^Benchmark(Encode|Append|Verify)$", b.round)
	if err != nil {
		return err
	}
	for _, x := range []struct{ name, bench, metric string }{
		{"audit: encode a record", "BenchmarkEncode", "ns/op"},
		{"audit: append to the tree, in batches of 1,000", "BenchmarkAppend", "ns/record"},
		{"audit: verify, in process", "BenchmarkVerify", "ns/record"},
	} {
		ns := found[x.bench][x.metric]
		if ns == 0 {
			return fmt.Errorf("internal/audit has no %s with %s", x.bench, x.metric)
		}
		b.add(row{name: x.name, n: group(int(found[x.bench]["n"])), stint: fmt.Sprintf("%s/s", group(int(1e9/ns)))})
	}
	return nil
}

// auditFromOutside exports the log and verifies the export offline, as an
// auditor does.
func (b *bench) auditFromOutside(ctx context.Context, s *scene) error {
	file := filepath.Join(s.Dir, "export.jsonl")
	root := s.As("root")
	began := time.Now()
	if err := root.Run(ctx, "audit", "export", "--out", file).Failed(); err != nil {
		return err
	}
	exported := time.Since(began)
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	began = time.Now()
	var report struct {
		Size int `json:"size"`
	}
	if err := root.JSON(ctx, &report, "audit", "verify", "--export", file); err != nil {
		return err
	}
	verified := time.Since(began)
	if report.Size == 0 {
		return errors.New("audit verify does not say a size")
	}
	rate := func(d time.Duration) string {
		return fmt.Sprintf("%s/s, %.0f MB/s", group(int(float64(report.Size)/d.Seconds())), float64(info.Size())/1e6/d.Seconds())
	}
	b.add(row{name: "audit: `stint audit export`", n: group(report.Size), stint: rate(exported)})
	b.add(row{name: "audit: `stint audit verify --export`", n: group(report.Size), stint: rate(verified)})
	return nil
}
