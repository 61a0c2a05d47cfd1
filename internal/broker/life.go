package broker

import (
	"context"
	"encoding/hex"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

// Peers are the other processes on the store.
type Peers interface {
	// Tell passes a hint on to them, soon or never. It waits for nothing.
	Tell(n access.Notice)
	// Vouched reports whether none of them can have taken this process for dead,
	// but for a second that callSlack allows for.
	Vouched() bool
}

// A life is this process under one name. Its leases begin with the name, and the
// others watch over it. When they may have taken it for dead, the life ends, and
// with it every call that could still create something; the process goes on in
// another life, of which the others know nothing yet.
//
// # What may land after a death
//
// Three kinds of calls end without an outcome. A read-back of "absent" proves
// something once none of them can take effect any more, and for none of them does
// that take until the deadline on record (callWithin + callSlack = 8 s):
//
//   - The call returned to a process that lives. What it sent it sent before now;
//     the target gives that up within connector.Late. So it lands before now + Late.
//
//   - The process is dead, and it was alone on its store (SQLite; the lock on the
//     file says so). What it sent it sent before this process had the lock. So it
//     lands before now + Late.
//
//   - The replica was lost: its liveness session has ended, which the others saw
//     at N. It may be dead; it may as well live and be cut off from the database.
//     The last beat that the database answered began before the session ended, and
//     so before N. The replica sends nothing that creates unless it is vouched for,
//     which is the case for a second after the beginning of an answered beat, and
//     it cuts its calls off when it notices, within the same second (store:
//     beatEvery + beatWithin). So everything is sent before N + 1 s, and lands
//     before N + 1 s + Late = N + callSlack.
//
// What is between the look at the clock and the write to the socket is beyond any
// process's reach: a machine that stops just there for longer than that lands a
// call late. It carries its tag, and the sweep finds it.
type life struct {
	name string // begins the name of every lease owner
	over context.Context
	end  context.CancelFunc
	// known is set before the others learn of the name. Of what is leased under a
	// name that they do not know they wait for the end.
	known atomic.Bool
}

func (b *Broker) newLife() *life {
	random := b.entropy()
	l := &life{name: b.Replica + "/" + hex.EncodeToString(random[:]) + "/"}
	l.over, l.end = context.WithCancel(context.Background())
	return l
}

// newOwner names the owner of one lease. Every lease has its own, so that a
// worker which lost its lease to another one in the same process knows it.
func (b *Broker) newOwner() string {
	return b.life.Load().name + strconv.FormatInt(b.owners.Add(1), 10)
}

// Join gives the name under which this process takes leases now. The others know
// it from here on.
func (b *Broker) Join() string {
	l := b.life.Load()
	l.known.Store(true)
	return l.name
}

// Fence ends the life: the others may have taken it for dead. Calls that create
// are cut off at once. Those that remove go on: doing it twice does no harm, and
// not doing it might.
func (b *Broker) Fence() {
	b.life.Swap(b.newLife()).end()
}

// whileAlive calls cancel when the life of a lease's owner ends, or at once when
// it has. The function that it returns ends the watch.
func (b *Broker) whileAlive(owner string, cancel context.CancelFunc) (done func()) {
	l := b.life.Load()
	if !strings.HasPrefix(owner, l.name) {
		cancel()
		return func() {}
	}
	stop := context.AfterFunc(l.over, cancel)
	return func() { stop() }
}

// vouched refuses a call that creates when the others may have taken its owner
// for dead.
func (b *Broker) vouched(owner string) error {
	l := b.life.Load()
	if strings.HasPrefix(owner, l.name) && (!l.known.Load() || b.Peers.Vouched()) {
		return nil
	}
	return &connector.Error{Outcome: connector.NotDone, Message: "this replica has lost sight of the others; one of them does it"}
}

// Bury takes over the work of a replica that was lost: its leases end, and its
// calls land within callSlack from now.
func (b *Broker) Bury(ctx context.Context, name string) error {
	began, taken := time.Now(), 0
	err := b.update(ctx, func(tx Tx, fx *effects) error {
		taken = -1
		dead, err := tx.Bury(name)
		if err != nil || !dead {
			return err
		}
		es, err := tx.TakeBack(name, "")
		if err != nil {
			return err
		}
		for _, e := range es {
			fx.entitlement(e.LandsBy(tx.Now().Add(callSlack)).AwaitLost())
		}
		taken = len(es)
		return nil
	})
	if err == nil && taken >= 0 {
		b.Log.Warn("a replica is gone; its work is taken over", "name", name, "leases", taken, "took", time.Since(began))
	}
	return err
}

// inherit takes over the work of whoever used the store before. They are all
// dead: only one process at a time may use it.
func (b *Broker) inherit(ctx context.Context) error {
	return b.Store.Update(ctx, func(tx Tx) error {
		es, err := tx.TakeBack("", b.life.Load().name)
		if err != nil || len(es) == 0 {
			return err
		}
		for i := range es {
			es[i] = es[i].AllLandBy(tx.Now().Add(connector.Late + onTheWay)).AwaitLost()
		}
		return tx.SaveEntitlements(es...)
	})
}

// onTheWay is how long what a process sent just before it died may take to the
// target.
const onTheWay = 250 * time.Millisecond

// Hear takes a hint of another replica: it wakes whoever waits here for what
// changed there.
func (b *Broker) Hear(n access.Notice) {
	b.watch.changed(&effects{changed: n.Requests})
	b.alarm.set(n.Due)
	if n.Again {
		b.again.Store(true)
		b.nudge()
	}
}

// tell passes on what a transaction changed. When it becomes due is told only
// where this process does not see to it itself, because it stops: else all would
// come at the same moment for what one of them can do.
func (b *Broker) tell(fx effects) {
	if b.Peers == nil {
		return
	}
	n := access.Notice{Requests: fx.changed}
	if !b.lanes.isOpen() {
		n.Due = fx.due
	}
	if len(n.Requests) > 0 || !n.Due.IsZero() {
		b.Peers.Tell(n)
	}
}

// tellAgain has the others decide all live grants again.
func (b *Broker) tellAgain() {
	if b.Peers != nil {
		b.Peers.Tell(access.Notice{Again: true})
	}
}

// lookAgain is how long a waiter waits at most before it looks for itself.
func (b *Broker) lookAgain() time.Duration {
	if b.Peers != nil && b.Peers.Vouched() {
		return lookSeldom
	}
	return lookAgain
}
