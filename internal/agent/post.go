package agent

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"stint/internal/api"
	"stint/internal/envelope"
)

const (
	longestPoll = 25 * time.Second
	// answersAtOnce bounds one delivery, by bytes; a longer answer goes alone.
	answersAtOnce = 1 << 20
	// keptAnswers bounds what waits to be delivered. Beyond it the oldest go, and
	// whoever waits for them learns that it is not known what became of the call.
	keptAnswers = 16 << 20
	retryFirst  = 250 * time.Millisecond
	retryAtMost = 15 * time.Second
)

// listen polls for calls until ctx ends.
func (a *Agent) listen(ctx context.Context) {
	wait := retryFirst
	for ctx.Err() == nil {
		ends, rest := a.ends.room(), a.rest.room()
		if ends == 0 && rest == 0 {
			pause(ctx, 10*time.Millisecond)
			continue
		}
		held := a.Wait
		if ends == 0 || rest == 0 {
			held = time.Second // for what there is no room, it is asked again soon
		}
		got, err := a.Line.PollHost(ctx, api.HostPoll{RoomToEnd: ends, Room: rest, WaitMillis: held.Milliseconds(), Version: a.Version})
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			a.away.Store(true)
			a.look()
			a.Log.Warn("the control plane does not answer; what has to end, ends on time", "error", err, "again", wait.String())
			pause(ctx, wait/2+rand.N(wait/2+1))
			wait = min(2*wait, retryAtMost)
			continue
		}
		wait = retryFirst
		a.away.Store(false)
		a.met.Store(a.Clock.Wall().UnixNano())
		a.follow(got.Rolls)
		a.take(got.Calls)
	}
}

// tell delivers answers as soon as there are some; those that come meanwhile go
// together with the next ones.
func (a *Agent) tell(ctx context.Context) {
	wait := retryFirst
	for ctx.Err() == nil {
		if !a.answers.wait(ctx) {
			return
		}
		if err := a.deliver(ctx); err != nil && ctx.Err() == nil {
			pause(ctx, wait/2+rand.N(wait/2+1))
			wait = min(2*wait, retryAtMost)
			continue
		}
		wait = retryFirst
	}
}

func (a *Agent) deliver(ctx context.Context) error {
	ids, texts := a.answers.some(answersAtOnce)
	if len(ids) == 0 {
		return nil
	}
	_, err := a.Line.PollHost(ctx, api.HostPoll{Answers: texts, Version: a.Version})
	var refused *api.Error
	if err != nil && !(errors.As(err, &refused) && refused.Kind == api.Invalid) { // what is not understood now, never is
		return err
	}
	a.answers.delivered(ids)
	return nil
}

// farewell offers what is left once more, when the agent stops.
func (a *Agent) farewell(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for a.answers.waiting() && ctx.Err() == nil {
		if a.deliver(ctx) != nil {
			return
		}
	}
}

// Met is when the control plane answered last; zero before it has.
func (a *Agent) Met() time.Time {
	at := a.met.Load()
	if at == 0 {
		return time.Time{}
	}
	return time.Unix(0, at)
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// lane is calls of one kind that wait their turn, and a bound for how many there are.
type lane struct {
	mu     sync.Mutex
	most   int
	inside int // waiting or under way
	calls  chan parcel
}

func newLane(most int) *lane { return &lane{most: most, calls: make(chan parcel, 2*most)} }

func (l *lane) room() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(0, l.most-l.inside)
}

// put adds a call. A control plane that sends more than it was asked for waits.
func (l *lane) put(p parcel) {
	l.mu.Lock()
	l.inside++
	l.mu.Unlock()
	l.calls <- p
}

func (l *lane) next() (parcel, bool) { p, ok := <-l.calls; return p, ok }

func (l *lane) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inside--
}

func (l *lane) close() { close(l.calls) }

// outbox keeps answers until they are delivered or nobody waits for them.
type outbox struct {
	mu    sync.Mutex
	order []string // ids, the oldest first
	text  map[string]outgoing
	bytes int
	bell  chan struct{} // something is there to deliver
}

type outgoing struct {
	text  envelope.Sealed
	until time.Time
	going bool // it is on its way, and was not asked for anew since it left
	sent  bool
}

func newOutbox() *outbox { return &outbox{text: map[string]outgoing{}, bell: make(chan struct{}, 1)} }

func (o *outbox) put(id string, text envelope.Sealed, until time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, there := o.text[id]; there {
		return
	}
	o.order = append(o.order, id)
	o.text[id] = outgoing{text: text, until: until}
	o.bytes += len(text)
	now := time.Now()
	keep := o.order[:0]
	for _, id := range o.order { // the oldest first
		if x := o.text[id]; now.After(x.until) || o.bytes > keptAnswers {
			o.bytes -= len(x.text)
			delete(o.text, id)
			continue
		}
		keep = append(keep, id)
	}
	o.order = keep
	o.ring()
}

func (o *outbox) ring() {
	select {
	case o.bell <- struct{}{}:
	default:
	}
}

// again delivers an answer anew, if it is still there.
func (o *outbox) again(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if x, ok := o.text[id]; ok {
		x.going, x.sent = false, false
		o.text[id] = x
		o.ring()
	}
}

// wait returns when there is something to deliver; false when ctx ends.
func (o *outbox) wait(ctx context.Context) bool {
	for !o.waiting() {
		select {
		case <-ctx.Done():
			return false
		case <-o.bell:
		}
	}
	return ctx.Err() == nil
}

func (o *outbox) waiting() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, x := range o.text {
		if !x.sent {
			return true
		}
	}
	return false
}

// some is as much as one delivery takes, the oldest first.
func (o *outbox) some(most int) (ids, texts []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range o.order {
		x := o.text[id]
		if x.sent {
			continue
		}
		if most -= len(x.text); most < 0 && len(ids) > 0 {
			break
		}
		x.going = true
		o.text[id] = x
		ids, texts = append(ids, id), append(texts, string(x.text))
		if len(ids) == api.MaxHostAnswers {
			break
		}
	}
	return ids, texts
}

// delivered keeps an answer for a while still: it may have been lost behind the door
// that took it. One that was asked for anew while it was on its way goes once more: whoever
// asks may not be who was given it.
func (o *outbox) delivered(ids []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range ids {
		if x, ok := o.text[id]; ok {
			x.going, x.sent = false, x.going
			o.text[id] = x
		}
	}
}
