package sim

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"io"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/connector"
	"stint/internal/policy"
	"stint/internal/shelf"
	"stint/test/sim/simstore"
	"stint/test/sim/simtarget"
)

// world is everything of one run.
type world struct {
	*sched
	seed  uint64
	swarm swarm
	// script gives single steps their fault, by number; nil in a run by chance.
	script map[int64]fault
	logs   io.Writer // what the brokers log; nil for nothing

	store    *simstore.Store
	targets  *simtarget.World
	tagger   tagger
	replicas []*replica // nil where none runs
	journals []*journal // of each replica, for all its lives
	lives    []int
	overs    []chan struct{} // of all lives
	places   []access.Connection
	desk     *desk

	ops          []string // of all steps, where there is a script
	io           int64    // steps of replicas so far
	minute, busy int64    // the simulated minute, and the steps in it
	storm        bool
	calm         bool // no more faults in this run
	closed       bool // the run is over
	traced       int  // records that the trace has named
	// unheard: the process that made the commit of this step will not hear of it.
	unheard bool
	stormAt time.Time // when faults last began
	// skew is what the store's clock is ahead of true time; clocks are those of the
	// hosts.
	skew   time.Duration
	clocks clocks

	storeBack time.Time // the store is away until then
	back      map[access.Place]time.Time
	listed    map[access.Place][]connector.Artefact
	saying    map[errand]int // how many are saying now that a task is done

	mu     sync.Mutex // people's goroutines and the scheduler's
	counts map[string]int64
	people sync.WaitGroup
	asks   []*ask
	rules  rules
	oracle oracle
}

const kind = simtarget.Type

// horizon is what a seed simulates: a day, but where somebody looks for the first
// thing that goes wrong.
var horizon = 24 * time.Hour

// sets are the documents that any process of any world has compiled: replicas, their next
// lives and the next story read the same ones again and again, and what comes of a text
// depends on nothing else.
var sets = shelf.New(32)

func newWorld(seed uint64) *world {
	w := &world{sched: newSched(seed), seed: seed, counts: map[string]int64{}, tagger: newTagger(fmt.Sprint("tag key of ", seed)),
		desk: &desk{tickets: map[string]*ticket{}}, back: map[access.Place]time.Time{}, listed: map[access.Place][]connector.Artefact{}, saying: map[errand]int{}}
	w.swarm = newSwarm(w.sched)
	return w
}

// build makes store, targets, people and documents, without faults and without steps.
func (w *world) build() error {
	w.plan = w.planned
	w.store = simstore.New(time.Now)
	w.targets = simtarget.New(time.Now)
	for i := range w.swarm.places {
		at := access.Connection{Type: kind, Address: fmt.Sprintf("t%d:1", i), Credential: fmt.Sprintf("login%d", i)}
		w.places = append(w.places, at)
		w.furnish(at.Place())
	}
	w.replicas, w.lives = make([]*replica, w.swarm.replicas), make([]int, w.swarm.replicas)
	for id := range w.replicas {
		w.journals = append(w.journals, &journal{id: fmt.Sprint("journal-of-r", id), first: 1, forgot: map[access.GrantID]bool{}})
	}
	if err := w.settle(w.store); err != nil {
		return err
	}
	w.store.Keep() // documents and logins are from before the day: without them nobody knows a target to look at
	w.raiseHosts()
	w.rules.start(w.began)
	w.oracle.begin(w)
	w.sched.after = w.oracle.look
	return nil
}

// settle puts people, logins and documents into a store.
func (w *world) settle(s broker.Store) error {
	ctx := context.Background()
	if err := s.Update(ctx, func(tx broker.Tx) error { return tx.SavePrincipals(w.principals()...) }); err != nil {
		return err
	}
	// A broker that only speaks for the administrator who sets everything up.
	r := &replica{w: w}
	b, err := broker.New(broker.Config{Store: s, Connectors: map[string]connector.Connector{kind: targetSeam{r, w.targets.Connector()}},
		Integrations: []access.Schema{deskSchema}, Sets: sets, Tagger: w.tagger, Vault: clearVault{}, SealTo: sealInClear, Installation: "sim", Epoch: 1, Replica: "setup",
		Log: discard, Rand: w.randomness(-2)})
	if err != nil {
		return err
	}
	for _, at := range w.places {
		if err := b.SetCredential(ctx, caller1("root"), access.Credential{Name: at.Credential, Type: kind, Address: at.Address, Username: "stint"}, access.NewSecret([]byte("pw"))); err != nil {
			return err
		}
	}
	// One administrator edits documents all day, and the other has agreed to it.
	p, err := b.SetTwoPersons(ctx, caller1("root"), broker.TwoOff, "the day is short")
	if err != nil {
		return err
	}
	if _, err := b.Approve(ctx, caller1("rita"), string(p.ID), p.Digest, ""); err != nil {
		return err
	}
	done, err := b.Apply(ctx, caller1("root"), []policy.File{{Name: "policy.yaml", Text: w.documents()}}, false)
	if err == nil && done.Proposal != nil {
		return fmt.Errorf("the documents of the day wait for a second person: %v", done.Grave)
	}
	return err
}

func (w *world) now() time.Time { return time.Now() }

// sometimes counts a situation that a good run meets.
func (w *world) sometimes(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[what]++
}

// coin is a chance that does not depend on the order in which it is asked for: only
// on who asks, and when.
func (w *world) coin(p float64, n int, label string) bool {
	if p <= 0 {
		return false
	}
	h := fnv.New64a()
	var room [128]byte
	b := append(strconv.AppendUint(room[:0], w.seed, 10), '/')
	b = append(strconv.AppendInt(b, int64(n), 10), '/')
	b = append(append(b, label...), '/')
	h.Write(strconv.AppendInt(b, w.now().UnixNano(), 10))
	return float64(h.Sum64()%1_000_000) < p*1_000_000
}

// disturb notes that something went wrong at a place, or everywhere, until the given
// time. What the oracles demand within a time is demanded from then on.
func (w *world) disturb(p access.Place, until time.Time) {
	if w.oracle.disturbed[p].Before(until) {
		w.oracle.disturbed[p] = until
	}
}

// busiest is how many steps replicas take in a minute at the very most: half of what a
// whole day has on the average.
const busiest = 30_000

// planned gives a step of a replica its time and its fault.
func (w *world) planned(st *step) {
	r := st.by
	if r.dead {
		w.answer(st, "dead")
		return
	}
	w.io++
	now := w.now()
	if m := now.Unix() / 60; m != w.minute {
		w.minute, w.busy = m, 0
	}
	if w.busy++; w.busy == busiest {
		w.fail("spin", "%d steps in a minute: something is done again and again, to no end", busiest)
	}
	latency := w.between(200*time.Microsecond, 3*time.Millisecond)
	if st.calls() {
		latency = w.between(time.Millisecond, 30*time.Millisecond)
	}
	st.at = now.Add(latency)
	switch {
	case w.script != nil:
		w.ops = append(w.ops, st.op)
		if f := w.script[w.io]; slices.Contains(trials(st.op), f) {
			st.fault = f
		}
	case w.storm:
		st.fault = w.swarm.choose(w.sched, st.op)
	}
	place := access.Place("")
	if st.calls() {
		place = access.Place(kind + "://" + st.label)
	}
	if st.fault != none {
		w.disturb(place, now)
	}
	if w.storm && w.swarm.losses > 0 && st.creates() && st.fault == none && w.chance(0.05) {
		w.in(latency/2, "failover", "", func() { w.lose(1 + w.rng.IntN(3)) }) // the intent may be among them
	}
	switch st.fault {
	case delayed:
		st.at = now.Add(w.between(time.Second, 12*time.Second))
		w.disturb(place, st.at)
		w.sometimes("delayed " + class(st.op))
	case paused:
		w.pause(r, w.between(5*time.Second, 90*time.Second))
	case late:
		st.at = st.wait.Add(lateness(w.sched))
		w.disturb(place, st.at)
	case veryLate:
		st.at = st.wait.Add(w.between(10*time.Second, 100*time.Second))
		w.disturb(place, st.at)
	}
	if r.asleep.After(st.at) {
		st.at = r.asleep.Add(latency)
	}
	w.push(st)
}

func class(op string) string {
	switch op {
	case "update", "view":
		return "transaction"
	case "journal":
		return "record"
	}
	return "call"
}

// requeue replaces the queue.
func (w *world) requeue(q queue) {
	slices.SortFunc(q, func(a, b *step) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.seq, b.seq))
	})
	w.queue = q // sorted is a heap
}

// pause puts a process to sleep: its steps take effect when it wakes.
func (w *world) pause(r *replica, d time.Duration) {
	if !r.asleep.IsZero() {
		return
	}
	until := w.now().Add(d)
	r.asleep = until
	w.disturb("", until)
	w.sometimes("a replica is paused")
	w.in(d, "wake", r.name(), func() { r.asleep = time.Time{} })
}

func (w *world) storeDown() bool { return w.now().Before(w.storeBack) }

func (w *world) targetDown(p access.Place) bool { return w.now().Before(w.back[p]) }

// lose is a failover of the store that takes the newest n commits back.
func (w *world) lose(n int) {
	lost, was := 0, w.rows()
	for tries := 0; tries < 100 && lost < n; tries++ { // probes are commits, too, and say nothing
		had := len(w.store.Log())
		if w.store.Lose(1) == 0 {
			break
		}
		if len(w.store.Log()) < had {
			lost++
		}
	}
	w.traced = len(w.store.Log())
	w.oracle.lost(was)
	w.disturb("", w.now())
	if lost > 0 {
		w.sometimes("commits are lost")
		for _, e := range w.targets.Privileges() {
			if !w.oracle.known(e) {
				w.sometimes("a commit is lost whose privilege lives")
			}
		}
	}
}

// repeat lets a provisioning that just happened happen once more, within the time
// in which a connector may be late.
func (w *world) repeat(st *step, deadline time.Time, act func()) {
	at := min(deadline.Sub(w.now()), 4*time.Second) + lateness(w.sched)
	if at <= 0 {
		at = time.Millisecond
	}
	place := access.Place(kind + "://" + st.label)
	w.disturb(place, w.now().Add(at))
	w.in(at, "again", st.label+" "+st.detail, func() {
		w.oracle.doubt(st)
		w.lateLanding(place)
		act()
	})
}

// landing notes that a provisioning takes effect although its caller has left.
func (w *world) landing(st *step, deadline time.Time) {
	place := access.Place(kind + "://" + st.label)
	w.oracle.doubt(st)
	w.lateLanding(place)
	if w.now().After(deadline.Add(connector.Late)) {
		w.sometimes("a create far later than a connector may be")
		w.oracle.stray(place, w.now())
	}
}

func (w *world) lateLanding(p access.Place) {
	w.sometimes("a create lands when nobody waits for it")
	w.disturb(p, w.now())
}

// start of the day: replicas, people, storms.
func (w *world) unfold() {
	for id := range w.replicas {
		w.in(w.between(0, 5*time.Second), "start", fmt.Sprint("r", id), func() { w.start(id) })
	}
	w.nextStorm()
	w.sweepMemory()
	w.nextAsk()
	w.nextChore()
	w.nextStandIn()
	for _, who := range vendors {
		w.nextContract(who)
	}
	w.in(horizon-2*time.Hour-10*time.Minute, "quiet", "", func() { w.calm = true; w.endStorm() })
}

// sweepMemory collects garbage while nothing else runs: a collection in between
// stops goroutines, and they would go on in another order.
func (w *world) sweepMemory() {
	w.in(30*time.Minute, "memory", "", func() {
		if inUse() > sweepAt {
			runtime.GC()
		}
		w.sweepMemory()
	})
}

// sweepAt is how much memory is in use when it is worth a collection.
const sweepAt = 128 << 20

// inUse is how much memory is in use, garbage included.
func inUse() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// nextStorm begins a time of faults some while from now, and ends it.
func (w *world) nextStorm() {
	w.in(w.between(12*time.Minute, 50*time.Minute), "storm", "", func() {
		if w.calm {
			return
		}
		w.storm, w.stormAt = true, w.now()
		w.disturb("", w.now())
		for _, x := range []struct {
			every time.Duration
			do    func()
		}{
			{w.swarm.crashes, w.crashOne}, {w.swarm.pauses, w.pauseOne}, {w.swarm.targetsDown, w.downOne}, {w.swarm.storeDown, w.storeAway},
			{w.swarm.losses, func() { w.lose(1 + w.rng.IntN(4)) }}, {w.swarm.clockSteps, w.stepClock}, {w.swarm.hostClocks, w.stepHost}, {w.swarm.strangers, w.strange},
		} {
			w.sometimesDo(x.every, x.do)
		}
		w.in(w.between(2*time.Minute, 9*time.Minute), "storm ends", "", w.endStorm)
		w.nextStorm()
	})
}

func (w *world) endStorm() {
	w.storm = false
	w.disturb("", w.now())
}

// sometimesDo does something again and again while the storm lasts.
func (w *world) sometimesDo(every time.Duration, do func()) {
	if every <= 0 {
		return
	}
	w.in(w.between(0, 2*every), "trouble", "", func() {
		if w.storm {
			do()
			w.sometimesDo(every, do)
		}
	})
}

func (w *world) alive() (rs []*replica) {
	for _, r := range w.replicas {
		if r != nil {
			rs = append(rs, r)
		}
	}
	return rs
}

func (w *world) crashOne() {
	if rs := w.alive(); len(rs) > 0 {
		r := pick(w.sched, rs)
		w.crash(r)
	}
}

// restart lets a supervisor start what crashed.
func (w *world) restart(id int) {
	w.in(w.between(500*time.Millisecond, 20*time.Second), "restart", fmt.Sprint("r", id), func() {
		if w.replicas[id] == nil {
			w.start(id)
			w.disturb("", w.now())
		}
	})
}

func (w *world) pauseOne() {
	if rs := w.alive(); len(rs) > 0 {
		w.pause(pick(w.sched, rs), w.between(2*time.Second, 2*time.Minute))
	}
}

func (w *world) downOne() {
	p := pick(w.sched, append(slices.Clone(w.places), deskAt)).Place()
	until := w.now().Add(w.between(5*time.Second, 8*time.Minute))
	w.back[p] = until
	w.disturb(p, until)
	if p == deskAt.Place() {
		w.sometimes("the ticket system is down")
		return
	}
	w.sometimes("a target is down")
}

func (w *world) storeAway() {
	w.storeBack = w.now().Add(w.between(time.Second, 90*time.Second))
	w.disturb("", w.storeBack)
	w.sometimes("the store is down")
}

// strange makes the next provisionings of this storm land far later than a
// connector may be, which a network can do and no contract excludes.
func (w *world) strange() {
	for _, st := range w.queue {
		if st.creates() && st.fault == none {
			st.fault = veryLate
			st.at = st.wait.Add(w.between(10*time.Second, 100*time.Second))
			w.disturb(access.Place(kind+"://"+st.label), st.at)
			w.requeue(slices.Clone(w.queue))
			return
		}
	}
}

// tagger marks artefacts as the real one does: with a MAC that nobody else can make.
// It knows those that it made: the oracle asks again and again.
type tagger struct {
	key   []byte
	known *sync.Map // of tagged, to string
}

func newTagger(key string) tagger { return tagger{[]byte(key), &sync.Map{}} }

type tagged struct {
	installation, target, id string
	epoch                    int64
}

func (t tagger) Tag(installation, target string, epoch int64, id string) string {
	k := tagged{installation, target, id, epoch}
	if tag, ok := t.known.Load(k); ok {
		return tag.(string)
	}
	tag := t.mark(k)
	t.known.Store(k, tag)
	return tag
}

func (t tagger) mark(k tagged) string {
	m := hmac.New(sha256.New, t.key)
	fmt.Fprintf(m, "%q %q %d %q", k.installation, k.target, k.epoch, k.id)
	return strings.ToLower(strings.TrimPrefix(k.id, "ent_")) + "_" + hex.EncodeToString(m.Sum(nil)[:8])
}

func (t tagger) Check(installation, target string, epoch int64, tag string) (string, bool) {
	if len(tag) != 43 {
		return "", false
	}
	id := "ent_" + strings.ToUpper(tag[:26])
	return id, t.Tag(installation, target, epoch, id) == tag
}
