package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/connector"
	"stint/test/sim/simstore"
)

// replica is one life of one process of Stint. After a crash the next life is
// another replica: whatever the old one still tries has no effect.
type replica struct {
	*broker.Broker
	w     *world
	id    int
	life  int
	named string // r<id>.<life>
	stop  context.CancelFunc
	over  chan struct{} // closed when Run has returned

	clock  *hostClock
	time   simstore.Clock // what the clock reads
	dead   bool
	asleep time.Time // paused until then
}

// errDead is what a dead process would be told, were it there to hear it. It is of
// no kind, so that nothing tries again.
var errDead = errors.New("sim: the process is dead")

func (r *replica) number() int {
	if r == nil {
		return -1
	}
	return r.id*10000 + r.life
}

func (r *replica) name() string {
	if r == nil {
		return "world"
	}
	return r.named
}

// start begins a life of a process.
func (w *world) start(id int) {
	w.lives[id]++
	r := &replica{w: w, id: id, life: w.lives[id], named: fmt.Sprintf("r%d.%d", id, w.lives[id]), over: make(chan struct{}), clock: w.newClock(id)}
	log := slog.New(slog.DiscardHandler)
	if w.logs != nil {
		log = slog.New(slog.NewTextHandler(prefixed{w.logs, r.name() + " "}, nil))
	}
	j := w.journals[id]
	j.lose()
	r.time = r.clock.read
	b, err := broker.New(broker.Config{
		Journal: journalSeam{r, j}, Store: storeSeam{r}, Connectors: map[string]connector.Connector{kind: targetSeam{r, w.targets.Connector()}},
		Integrations: []access.Schema{deskSchema}, Sets: sets, Tickets: deskSeam{r}, Tagger: w.tagger, Vault: clearVault{}, SealTo: sealInClear, Installation: "sim", Epoch: 1,
		Replica: r.name(), Alone: w.swarm.replicas == 1, ReviewWithin: reviewWithin, Backstop: w.swarm.backstop, Log: log, Rand: w.randomness(r.number()),
	})
	if err != nil {
		panic(err) // the configuration is the simulator's own
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.Broker, r.stop = b, cancel
	w.replicas[id] = r
	w.overs = append(w.overs, r.over)
	tickets := make(chan struct{})
	go func() {
		defer close(tickets)
		r.watchTickets(ctx)
	}()
	go func() {
		defer close(r.over)
		defer func() { <-tickets }()
		for ctx.Err() == nil { // a failed start is started again, as a supervisor would
			if err := b.Run(ctx); err != nil && ctx.Err() == nil {
				time.Sleep(time.Second)
			}
		}
	}()
}

// crash ends a life at once. What it had sent to targets may still arrive.
func (w *world) crash(r *replica) {
	if r.dead {
		return
	}
	r.dead = true
	r.stop()
	w.replicas[r.id] = nil
	w.disturb("", w.now())
	w.restart(r.id)
	var keep queue
	for _, st := range w.queue {
		if st.by != r {
			keep = append(keep, st)
			continue
		}
		if st.creates() && w.chance(0.5) { // it is on the wire
			w.sometimes("crash with a create in flight")
			keep = append(keep, st)
			continue
		}
		w.answer(st, "dead")
	}
	w.requeue(keep)
}

// randomness gives ids. A transaction that writes draws while it is the one step that
// happens, so the order of draws is that of the steps. Reads draw elsewhere: what
// they make of it is thrown away, and they have no place in the order.
type randomness struct {
	w           *world
	steps, rest *rand.Rand
	mu          sync.Mutex
}

func (w *world) randomness(n int) *randomness {
	return &randomness{w: w, steps: rand.New(rand.NewPCG(w.seed, uint64(1000+n))), rest: rand.New(rand.NewPCG(w.seed, uint64(1<<40+n)))}
}

func (x *randomness) Read(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	from := x.rest
	if x.w.inStep {
		from = x.steps
	}
	for i := range p {
		p[i] = byte(from.Uint32())
	}
	return len(p), nil
}

// clearVault keeps connector logins as they are: what seals them is tested elsewhere.
type clearVault struct{}

func (clearVault) Seal(_, _ string, b []byte) ([]byte, error) { return bytes.Clone(b), nil }
func (clearVault) Open(_, _ string, b []byte) ([]byte, error) { return bytes.Clone(b), nil }

func sealInClear(_ []byte, _ string, plain []byte) ([]byte, error) { return bytes.Clone(plain), nil }

type prefixed struct {
	to     io.Writer
	prefix string
}

func (p prefixed) Write(b []byte) (int, error) {
	_, err := io.WriteString(p.to, p.prefix+string(b))
	return len(b), err
}

// storeSeam is the store as one replica reaches it.
type storeSeam struct{ r *replica }

// Update is a step; what it does is committed at one instant.
func (x storeSeam) Update(ctx context.Context, fn func(broker.Tx) error) error {
	r, w := x.r, x.r.w
	if r.dead {
		return errDead
	}
	label := caller()
	if strings.HasPrefix(label, "probe") && r.asleep.IsZero() && (!w.storm || !w.coin(probed, r.number(), label)) {
		// A look whether the store takes changes, four in a second; it changes nothing.
		if w.storeDown() {
			return unavailable("the store did not answer")
		}
		return w.store.UpdateBy(ctx, r.time, fn)
	}
	err := errDead
	st := &step{by: r, op: "update", label: label, key: workOf(ctx)}
	st.do = func(st *step) {
		if r.dead {
			w.answer(st, "dead")
			return
		}
		if st.fault == crashBefore {
			w.crash(r)
			w.sometimes("crash before a commit")
			w.answer(st, "dead")
			return
		}
		before := w.store.Commits()
		switch {
		case w.storeDown(), st.fault == refused:
			err = unavailable("the store did not answer")
			w.answer(st, "unavailable")
			return
		case ctx.Err() != nil:
			err = access.Fail(access.Unavailable, "store", "the store did not answer in time").Wrap(ctx.Err())
			w.answer(st, "out of time")
			return
		case st.fault == repeated: // it ran, was not serializable, and runs again
			_ = w.store.UpdateBy(context.Background(), r.time, func(tx broker.Tx) error {
				_ = fn(tx)
				return errAgain
			})
			w.sometimes("transaction run twice")
		}
		var doubt error
		logged := len(w.store.Log())
		err = w.store.UpdateBy(context.Background(), r.time, func(tx broker.Tx) error {
			doubt = tx.Certain()
			return fn(tx)
		})
		w.inDoubt(r, logged, doubt, err)
		st.detail = ""
		committed := err == nil && w.store.Commits() > before
		w.unheard = st.fault == unknown || st.fault == cutOff || st.fault == crashAfter
		if committed {
			w.committed(st)
		}
		switch st.fault {
		case unknown:
			if err == nil {
				err = access.Fail(access.Unavailable, "commit-unknown", "the connection was lost during the commit")
				w.sometimes("commit unknown")
			}
		case crashAfter:
			w.crash(r)
			w.sometimes("crash after a commit")
			err = errDead
		case lost:
			w.lose(1)
			err = unavailable("the store failed over")
		case cutOff:
			w.sometimes("commit heard of late")
			told := w.between(time.Second, 15*time.Second)
			w.in(told, "answer", st.label, func() { w.answer(st, "") })
			st.said = outcome(err)
			return
		}
		w.answer(st, outcome(err))
	}
	w.park(st)
	<-st.done
	return err
}

var errAgain = errors.New("sim: not serializable")

// probed is how many of the looks whether the store takes changes can meet a fault, during
// a storm. All of them would be a quarter of what happens.
const probed = 0.25

// View reads. Reads change nothing, so most of them need no place in the order of
// steps: they see what the step before left. Some take one all the same, so that
// they can fail, and be late.
func (x storeSeam) View(ctx context.Context, fn func(broker.Tx) error) error {
	r, w := x.r, x.r.w
	if r.dead {
		return errDead
	}
	if !w.storm && r.asleep.IsZero() && !w.storeDown() {
		return w.store.ViewBy(ctx, r.time, fn)
	}
	if r.asleep.IsZero() && w.swarm.views == 0 {
		if w.storeDown() {
			return unavailable("the store did not answer")
		}
		return w.store.ViewBy(ctx, r.time, fn)
	}
	if r.asleep.IsZero() {
		// Logins are kept for a moment, and whichever loop comes first reads them: that
		// is not to decide what is a step.
		label := caller()
		if strings.HasPrefix(label, "target<") || !w.coin(w.swarm.views, r.number(), label+broker.WorkOf(ctx)) {
			if w.storeDown() {
				return unavailable("the store did not answer")
			}
			return w.store.ViewBy(ctx, r.time, fn)
		}
	}
	err := errDead
	st := &step{by: r, op: "view", label: caller(), key: workOf(ctx)}
	st.do = func(st *step) {
		switch {
		case r.dead:
		case st.fault == crashBefore:
			w.crash(r)
		case w.storeDown(), st.fault == refused, ctx.Err() != nil:
			err = unavailable("the store did not answer")
		default:
			err = w.store.ViewBy(context.Background(), r.time, fn)
		}
		w.answer(st, outcome(err))
	}
	w.park(st)
	<-st.done
	return err
}

func unavailable(why string) error { return access.Fail(access.Unavailable, "store", why) }

// outcome is what a trace says of an error: its kind, and no more, because texts
// may hold what is not the same in every run.
func outcome(err error) string {
	var e *access.Error
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, errDead):
		return "dead"
	case errors.As(err, &e):
		return e.Code
	default:
		return "error"
	}
}

// caller names the function of the broker that asks.
func caller() string {
	// Most often the nearest functions are enough, and going up the stack is what costs.
	var near [5]uintptr
	n := runtime.Callers(3, near[:])
	callers.Lock()
	defer callers.Unlock()
	name, known := callers.near[near]
	if !known {
		var whole bool
		if name, whole = named(near[:n]); !whole {
			name = ""
		}
		callers.near[near] = name
	}
	if name != "" {
		return name
	}
	var pcs [10]uintptr
	n = runtime.Callers(3, pcs[:])
	name, known = callers.names[pcs]
	if !known {
		name, _ = named(pcs[:n])
		callers.names[pcs] = name
	}
	return name
}

// named is the name that a stack gives, of two functions at most, and whether it has both:
// then what is further up changes nothing.
func named(pcs []uintptr) (name string, whole bool) {
	var names []string
	frames := runtime.CallersFrames(pcs)
	for {
		f, more := frames.Next()
		if name := drawn(f.Function); name != "" && len(names) < 2 && (len(names) == 0 || names[0] != name) {
			names = append(names, name)
		}
		if !more {
			break
		}
	}
	return strings.Join(names, "<"), len(names) == 2
}

// drawn is the name by which a function of the broker asks; empty for what has none.
func drawn(function string) string {
	name, ours := strings.CutPrefix(function, "stint/internal/")
	of, method, isMethod := strings.Cut(name, ").")
	if !ours || !isMethod {
		return ""
	}
	method, _, _ = strings.Cut(method, ".")
	method, _, _ = strings.Cut(method, "_planted") // a step of a mutant is named like that of the product
	if as, other := drawnAs[of+")."+method]; other {
		return as
	}
	if of != "broker.(*Broker" {
		return ""
	}
	return method
}

// drawnAs are functions that have other names than when seeds were first drawn: who asks
// is part of what they draw by. Those without a name are passed over.
var drawnAs = map[string]string{
	"broker.(*Broker).update":        "",
	"broker.(*Broker).insist":        "",
	"broker.(*Broker).watchSessions": "watchSessions-fm",

	"approvers.(*Copy).Ask":     "counting",
	"approvers.(*Copy).fresh":   "readRoster",
	"broker.(*Broker).users":    "",
	"broker.(*Broker).users-fm": "",

	"ticketdesk.(*Desk).Read":      "readTicket",
	"ticketdesk.(*Desk).look":      "look",
	"ticketdesk.(*Desk).personify": "personify",
}

// callers are the names of those that asked before, by where they stand.
var callers = struct {
	sync.Mutex
	names map[[10]uintptr]string
	near  map[[5]uintptr]string // empty: these do not tell
}{names: map[[10]uintptr]string{}, near: map[[5]uintptr]string{}}
