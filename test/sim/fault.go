package sim

import (
	"time"

	"stint/internal/connector"
)

// fault is what goes wrong with one step of I/O.
type fault string

// The faults. Which of them a step can meet is said by its menu.
const (
	none        fault = ""
	crashBefore fault = "crash before"     // the process dies, and the step did nothing
	crashAfter  fault = "crash after"      // the process dies, and the step did everything
	unknown     fault = "unknown"          // it happened, and the caller gets an error
	refused     fault = "refused"          // it did not happen, and the caller gets an error
	dropped     fault = "dropped"          // it did not happen, and the caller waits in vain
	delayed     fault = "delayed"          // it takes seconds; others go first
	paused      fault = "paused"           // the whole process sleeps, and goes on late
	late        fault = "late"             // the caller gives up, and then it happens, as late as a connector may be
	veryLate    fault = "very late"        // as late, but far later than a connector may be
	twice       fault = "twice"            // it happens, and a moment later once more
	lied        fault = "lied"             // the target says it is done, and did nothing
	partial     fault = "partial"          // some of a batch happened, and the caller does not know of the rest
	stale       fault = "stale"            // a list as it was some seconds ago
	repeated    fault = "repeated"         // the transaction runs twice, as after a conflict
	lost        fault = "commits lost"     // a failover takes the newest commits back, this one too
	cutOff      fault = "commit, then cut" // it is committed, and the caller hears so seconds later
)

var (
	updateMenu    = []fault{crashBefore, crashAfter, unknown, refused, delayed, paused, repeated, cutOff}
	viewMenu      = []fault{crashBefore, refused, delayed, paused}
	journalMenu   = []fault{crashBefore, crashAfter, refused, delayed, paused}
	readMenu      = []fault{crashBefore, refused, dropped, delayed, paused}
	inventoryMenu = []fault{crashBefore, refused, dropped, delayed, paused, stale}
	makeMenu      = []fault{crashBefore, crashAfter, unknown, refused, dropped, delayed, paused, late, twice, lied}
	// A target that says that it has changed a password and has not cannot be found
	// out by reading back: no target shows what a password is.
	rotateMenu = []fault{crashBefore, crashAfter, unknown, refused, dropped, delayed, paused, late, twice}
	takeMenu   = []fault{crashBefore, crashAfter, unknown, refused, dropped, delayed, paused, lied, partial, twice}
)

// creates reports whether a step can make privilege.
func (st *step) creates() bool { return st.op == "provision" || st.op == "rotate" }

// calls reports whether a step is a call to a target.
func (st *step) calls() bool { return st.op != "update" && st.op != "view" && st.op != "journal" }

// menu lists what can go wrong with an operation.
func menu(op string) []fault {
	switch op {
	case "update":
		return updateMenu
	case "view":
		return viewMenu
	case "journal":
		return journalMenu
	case "claim", "observe", "verify", "ticket":
		return readMenu
	case "inventory":
		return inventoryMenu
	case "provision":
		return makeMenu
	case "rotate":
		return rotateMenu
	default:
		return takeMenu
	}
}

// swarm is what a seed makes of the world: how much of everything there is, and
// what goes wrong how often. Each seed has a random part of the faults at random
// rates: a run with everything at once meets fewer situations than many runs with
// a few things each.
type swarm struct {
	replicas, places int
	rates            map[fault]float64 // at each step, during a storm
	crashes          time.Duration     // between two, in the mean, during a storm; 0: none
	pauses           time.Duration
	targetsDown      time.Duration
	storeDown        time.Duration
	losses           time.Duration // failovers that lose commits
	clockSteps       time.Duration // of the store's clock
	hostClocks       time.Duration // of a replica's
	strangers        time.Duration // calls that land later than any connector may be
	views            float64       // how many of the reads are steps, during a storm
	busy             time.Duration // between two requests, in the mean
	backstop         time.Duration // between two looks for what other replicas changed
	lossy            bool
}

func newSwarm(s *sched) swarm {
	w := swarm{replicas: []int{1, 1, 1, 2, 2, 2, 3, 3}[s.rng.IntN(8)], places: 1 + s.rng.IntN(3), rates: map[fault]float64{}, busy: s.between(7*time.Minute, 21*time.Minute)}
	for _, f := range []fault{crashBefore, crashAfter, unknown, refused, dropped, delayed, paused, late, twice, lied, partial, stale, repeated, cutOff} {
		on, rate := s.chance(0.5), s.rng.Float64()
		if on {
			w.rates[f] = []float64{0.002, 0.01, 0.04, 0.1}[s.rng.IntN(4)] * (0.5 + rate)
		}
	}
	for _, f := range []fault{crashBefore, crashAfter, paused} { // each of them costs more than one step
		w.rates[f] /= 4
	}
	sometimes := func(p float64, a, b time.Duration) time.Duration {
		on, d := s.chance(p), s.between(a, b)
		if !on {
			return 0
		}
		return d
	}
	w.crashes = sometimes(0.5, 20*time.Second, 5*time.Minute)
	w.pauses = sometimes(0.4, 30*time.Second, 5*time.Minute)
	w.targetsDown = sometimes(0.5, time.Minute, 5*time.Minute)
	w.storeDown = sometimes(0.35, time.Minute, 5*time.Minute)
	w.losses = sometimes(0.2, time.Minute, 6*time.Minute)
	w.clockSteps = sometimes(0.25, time.Minute, 10*time.Minute)
	w.hostClocks = sometimes(0.25, time.Minute, 10*time.Minute)
	w.strangers = sometimes(0.3, time.Minute, 5*time.Minute)
	w.views = []float64{0, 0.02, 0.2}[s.rng.IntN(3)]
	w.lossy = w.losses > 0
	w.backstop = []time.Duration{1, 3, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5}[s.rng.IntN(12)] * time.Second
	return w
}

// choose draws the fault of a step during a storm.
func (w swarm) choose(s *sched, op string) fault {
	for _, f := range menu(op) {
		rate := w.rates[f]
		if f == crashAfter && op == "provision" {
			rate *= 4 // the one moment that a product of this kind must get right
		}
		if s.chance(rate) {
			return f
		}
	}
	return none
}

// lateness is how long after the end of its caller's patience a call still lands.
func lateness(s *sched) time.Duration { return s.between(0, connector.Late) }
