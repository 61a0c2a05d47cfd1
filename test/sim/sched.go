package sim

import (
	"cmp"
	"container/heap"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

// sched is the one who decides what happens next. Every transaction and every call
// to a target parks here as a step and waits; when nothing in the bubble can go on
// by itself, the earliest step takes effect, alone, and its caller goes on. Each
// step happens at an instant of its own, so that the order of events is the order
// of the queue and never one of the runtime's.
type sched struct {
	rng   *rand.Rand // only the scheduler's goroutine draws
	began time.Time

	mu      sync.Mutex
	arrived []*step
	bell    chan struct{}

	queue  queue
	inStep bool    // a step has its effect just now
	told   []*step // answered by it
	seq    int64
	steps  int64
	moment time.Time // of the last step
	trace  trace

	// plan gives a step that came from a replica its time and its fault.
	plan func(*step)
	// after looks at the world after each step.
	after func()
	// failed stops the run: an invariant does not hold.
	failed error
}

// step is one thing that happens at one instant.
type step struct {
	at  time.Time
	seq int64

	by       *replica // nil: the world's own doing
	op       string   // "update", "provision", "crash"
	label    string   // who in the broker asks, or what it is about
	detail   string
	key      string // tells apart what has the same label; not in the trace
	fault    fault
	wait     time.Time // until when the caller has patience
	do       func(*step)
	done     chan struct{} // closed once the caller may go on; nil for the world's own
	said     string        // what the caller was told, for the trace
	answered bool          // once is enough
}

func (st *step) less(u *step) bool {
	if c := st.at.Compare(u.at); c != 0 {
		return c < 0
	}
	return st.seq < u.seq
}

// order compares steps that arrived together, by what they are and not by when the
// runtime let them run.
func (st *step) order(u *step) int {
	return cmp.Or(cmp.Compare(st.by.number(), u.by.number()), cmp.Compare(st.op, u.op), cmp.Compare(st.label, u.label), cmp.Compare(st.key, u.key), cmp.Compare(st.detail, u.detail))
}

type queue []*step

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].less(q[j]) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(*step)) }
func (q *queue) Pop() any {
	last := len(*q) - 1
	st := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return st
}

func newSched(seed uint64) *sched {
	return &sched{rng: rand.New(rand.NewPCG(seed, 0x5717)), began: time.Now(), moment: time.Now(), bell: make(chan struct{}, 1), trace: newTrace()}
}

// park hands a step of a replica to the scheduler. The caller waits on st.done.
func (s *sched) park(st *step) {
	st.done = make(chan struct{})
	s.mu.Lock()
	s.arrived = append(s.arrived, st)
	s.mu.Unlock()
	select {
	case s.bell <- struct{}{}:
	default:
	}
}

// in lets the world do something d from now. Only the scheduler's goroutine calls it.
func (s *sched) in(d time.Duration, op, label string, do func()) {
	s.push(&step{at: time.Now().Add(d), op: op, label: label, do: func(*step) { do() }})
}

func (s *sched) push(st *step) {
	s.seq++
	st.seq = s.seq
	heap.Push(&s.queue, st)
}

// run lets things happen until the given time, or until something failed.
func (s *sched) run(until time.Time) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for s.failed == nil {
		synctest.Wait()
		s.mu.Lock()
		arrived := s.arrived
		s.arrived = nil
		s.mu.Unlock()
		if len(arrived) > 1 {
			slices.SortStableFunc(arrived, (*step).order)
		}
		for _, st := range arrived {
			s.plan(st)
		}
		now := time.Now()
		next := until
		if len(s.queue) > 0 && s.queue[0].at.Before(until) {
			next = s.queue[0].at
		}
		if !next.After(s.moment) {
			next = s.moment.Add(time.Microsecond)
		}
		if wait := next.Sub(now); wait > 0 {
			timer.Reset(wait)
			select {
			case <-s.bell:
			case <-timer.C:
			}
			continue
		}
		if len(s.queue) == 0 || !now.Before(until) {
			return
		}
		s.release(heap.Pop(&s.queue).(*step), now)
	}
}

func (s *sched) release(st *step, now time.Time) {
	s.moment = now
	s.steps++
	s.inStep = true
	st.do(st)
	s.inStep = false
	s.trace.add(s.steps, now.Sub(s.began), st)
	if s.after != nil && s.failed == nil {
		s.after()
	}
	for _, st := range s.told {
		close(st.done)
	}
	s.told = s.told[:0]
}

// answer lets the caller of a step go on. Within a step that is when the step is over,
// and was looked at: a machine so busy that the process stands still in the middle of it
// would else let the caller run beside.
func (s *sched) answer(st *step, said string) {
	if st.said == "" {
		st.said = said
	}
	if st.answered {
		return
	}
	st.answered = true
	if s.inStep {
		s.told = append(s.told, st)
		return
	}
	close(st.done)
}

// fail stops the run. The first failure counts.
func (s *sched) fail(invariant, format string, args ...any) {
	if s.failed == nil {
		s.failed = fmt.Errorf("%s: %s", invariant, fmt.Sprintf(format, args...))
	}
}

// chance reports true once in a while.
func (s *sched) chance(p float64) bool { return p > 0 && s.rng.Float64() < p }

// between draws a duration.
func (s *sched) between(a, b time.Duration) time.Duration {
	if b <= a {
		return a
	}
	return a + time.Duration(s.rng.Int64N(int64(b-a)))
}

func pick[T any](s *sched, xs []T) T { return xs[s.rng.IntN(len(xs))] }

// trace keeps a hash over all steps, and the last ones as text.
type trace struct {
	sum  hash.Hash
	buf  []byte
	last [120]string
	n    int
	all  func(string) // gets every line; may be nil
}

func newTrace() trace { return trace{sum: sha256.New()} }

func (t *trace) add(n int64, at time.Duration, st *step) {
	b := t.buf[:0]
	var room [32]byte
	b = right(b, strconv.AppendInt(room[:0], n, 10), 7)
	b = right(append(b, ' '), strconv.AppendFloat(room[:0], at.Seconds(), 'f', 6, 64), 14)
	b = left(append(b, ' '), st.by.name(), 8)
	b = left(append(b, ' '), st.op, 10)
	b = left(append(b, ' '), st.label, 28)
	b = append(append(b, ' '), st.detail...)
	if st.fault != none {
		b = append(append(append(b, "  ["...), st.fault...), ']')
	}
	if st.said != "" {
		b = append(append(b, "  -> "...), st.said...)
	}
	t.buf = b
	t.line(string(b))
}

// right and left append a text that is as wide as a column, on its right or left side.
func right(b, text []byte, wide int) []byte {
	for range wide - len(text) {
		b = append(b, ' ')
	}
	return append(b, text...)
}

func left(b []byte, text string, wide int) []byte {
	b = append(b, text...)
	for range wide - utf8.RuneCountInString(text) {
		b = append(b, ' ')
	}
	return b
}

func (t *trace) line(text string) {
	io.WriteString(t.sum, text)
	t.sum.Write(newline)
	t.last[t.n%len(t.last)] = text
	t.n++
	if t.all != nil {
		t.all(text)
	}
}

var newline = []byte{'\n'}

func (t *trace) tail() []string {
	var lines []string
	for i := max(0, t.n-len(t.last)); i < t.n; i++ {
		lines = append(lines, t.last[i%len(t.last)])
	}
	return lines
}

func (t *trace) digest() string { return hex.EncodeToString(t.sum.Sum(nil)[:16]) }
