package policy

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
)

// many writes n policies, of which up to ten concern the role that ask asks for.
// Conditions differ, so that none is shared.
func many(n int) string {
	var b strings.Builder
	b.WriteString(shop)
	for i := range n {
		role := "any"
		if i%(max(n/10, 1)) == 0 {
			role = "reader"
		}
		fmt.Fprintf(&b, `kind: Policy
name: p%d
subjects: [group:platform, group:g%d]
roles: [%s]
zone: Europe/Berlin
when: |
  request.duration <= duration("%dm") && source.ip.inCIDR("127.0.0.0/8") &&
  now.hour >= 8 && now.hour < 20 && resource.labels.env == "prod"
require:
  reason: {minLength: 10}
  ticket: {pattern: "^INC-[0-9]+$"}
  approvals: [{from: [group:dba], count: 1}]
---
`, i, i, role, 120+i)
	}
	return b.String()
}

func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		s := compile(b, many(n))
		a := ask()
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if d := s.Decide(a, AtRequest, noon); d.Effect != access.Approve {
					b.Fatal(said(d))
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	docs := parse(b, many(1000))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(docs, schemas, 1); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	files := []File{{"policy.yaml", many(1000)}}
	b.SetBytes(int64(len(files[0].Text)))
	for b.Loop() {
		if _, err := Parse(files); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkHeap reports what a compiled set keeps in memory.
func BenchmarkHeap(b *testing.B) {
	for _, n := range []int{0, 1, 1000} {
		var docs []Document
		if n > 0 {
			docs = parse(b, many(n))
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var before, after runtime.MemStats
			for b.Loop() {
				runtime.GC()
				runtime.ReadMemStats(&before)
				s, err := Compile(docs, schemas, 1)
				if err != nil {
					b.Fatal(err)
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				runtime.KeepAlive(s)
			}
			b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/1024, "KiB")
		})
	}
}

// TestDecideIsFast holds the goal loosely, so that a loaded machine passes and a
// lost index does not: a decision must not look at policies of other roles.
func TestDecideIsFast(t *testing.T) {
	measure := func(n int) float64 {
		s := compile(t, many(n))
		a := ask()
		return testing.AllocsPerRun(20, func() { s.Decide(a, AtRequest, noon) })
	}
	if few, lots := measure(10), measure(1000); lots > 1.2*few {
		t.Errorf("%v allocations with 10 policies for the role, %v with 990 more for others", few, lots)
	}
	s := compile(t, many(1000))
	start := time.Now()
	for range 100 {
		s.Decide(ask(), AtRequest, noon)
	}
	if took := time.Since(start) / 100; took > 5*time.Millisecond {
		t.Errorf("a decision takes %s", took)
	}
}
