package sim

import (
	"encoding/json"
	"flag"
	"fmt"
	"testing"
	"time"
)

var huntFlag = flag.Bool("sim.hunt", false, "for test/sim/mutants: play the stories until something is wrong, and say what")

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

// TestHunt plays the stories, first without faults and then with each single one,
// and stops at the first failure. What takes the fewest steps comes first: one
// fault at every eleventh step, then at those between.
func TestHunt(t *testing.T) {
	if !*huntFlag {
		t.Skip("only for test/sim/mutants")
	}
	h := hunt(t)
	b, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("\n%s%s\n", resultMark, b)
}

func hunt(t *testing.T) (h hunted) {
	ops := map[string][]string{}
	for _, s := range scenarios {
		h.Runs++
		r := bubble(t, func() (r Result) { r, ops[s.name] = enact(s, nil, tracing{}); return r })
		if r.Failure != "" {
			h.Story, h.Failure = s.name, r.Failure
			return h
		}
	}
	const stride = 11
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
