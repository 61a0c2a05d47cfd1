package sim

import (
	"flag"
	"os"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"
)

var seedFlag = flag.Uint64("sim.seed", 0, "run this seed and print its trace")

func TestOne(t *testing.T) {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(1 << 30)
	var r Result
	began := time.Now()
	f, _ := os.Create("/tmp/w-sim-trace.txt")
	synctest.Test(t, func(t *testing.T) {
		r = simulate(*seedFlag, tracing{trace: func(s string) { f.WriteString(s + "\n") }})
	})
	t.Logf("%v %d steps %d requests %d grants %.1f h %v %s", time.Since(began), r.Steps, r.Requests, r.Grants, r.Hours, r.Counters, r.Trace)
	if r.Failure != "" {
		for _, l := range r.Tail[max(0, len(r.Tail)-40):] {
			t.Log(l)
		}
		t.Error(r.Failure)
	}
}
