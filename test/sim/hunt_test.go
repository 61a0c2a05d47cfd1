package sim

import (
	"encoding/json"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"
)

var huntFlag = flag.String("sim.hunt", "", "for test/sim/mutants: play `stories` without faults, or with single faults (singles), until something is wrong, and say what")

func init() {
	flag.Func("sim.hours", "simulate so many hours for each seed, and not 24", func(s string) error {
		var hours int
		if _, err := fmt.Sscan(s, &hours); err != nil || hours < 4 {
			return fmt.Errorf("%q is no number of hours from 4 on: the last two are quiet", s)
		}
		horizon = time.Duration(hours) * time.Hour
		return nil
	})
}

// hunted is what a hunt found: the first thing that is wrong.
type hunted struct {
	Runs    int    `json:"runs"`
	Story   string `json:"story,omitempty"`
	Step    int    `json:"step,omitempty"` // at which one fault was; 0: none
	Op      string `json:"op,omitempty"`
	Fault   fault  `json:"fault,omitempty"`
	Failure string `json:"failure,omitempty"`
}

// TestHunt plays stories and stops at the first failure.
func TestHunt(t *testing.T) {
	var h hunted
	switch *huntFlag {
	case "":
		t.Skip("only for test/sim/mutants")
	case "stories":
		h = huntStories(t)
	case "singles":
		h = huntSingles(t)
	}
	b, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("\n%s%s\n", resultMark, b)
}

func huntStories(t *testing.T) (h hunted) {
	for _, p := range protections {
		h.Runs++
		if r := bubble(t, func() Result { return protect(p) }); r.Failure != "" {
			h.Story, h.Failure = p.name, r.Failure
			return h
		}
	}
	for _, s := range scenarios {
		h.Runs++
		if r := bubble(t, func() Result { r, _ := enact(s, nil, tracing{}); return r }); r.Failure != "" {
			h.Story, h.Failure = s.name, r.Failure
			return h
		}
	}
	return h
}

// huntSingles tries single faults: at every eleventh step of all stories first, then
// at those between.
func huntSingles(t *testing.T) (h hunted) {
	const stride = 11
	ops := map[string][]string{}
	for _, s := range scenarios {
		bubble(t, func() (r Result) { r, ops[s.name] = enact(s, nil, tracing{}); return r })
	}
	for from := range stride {
		for _, s := range scenarios {
			for i := from; i < len(ops[s.name]); i += stride {
				op := ops[s.name][i]
				for _, f := range trials(op) {
					h.Runs++
					r := bubble(t, func() Result { r, _ := enact(s, map[int64]fault{int64(i + 1): f}, tracing{}); return r })
					if r.Failure != "" {
						h.Story, h.Step, h.Op, h.Fault, h.Failure = s.name, i+1, op, f, r.Failure
						return h
					}
				}
			}
		}
	}
	return h
}

// TestProtections plays the stories about single mitigations.
func TestProtections(t *testing.T) {
	for _, p := range protections {
		t.Run(p.name, func(t *testing.T) {
			began := time.Now()
			r := bubble(t, func() Result { return protect(p) })
			if r.Failure != "" {
				t.Errorf("%s\n%s", r.Failure, strings.Join(last(r.Tail, 60), "\n"))
			}
			t.Logf("%d steps, %s", r.Steps, time.Since(began).Round(time.Millisecond))
		})
	}
}
