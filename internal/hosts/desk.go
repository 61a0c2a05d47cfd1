package hosts

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"slices"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/envelope"
)

const (
	// here is how long a call waits for an agent that asks this replica, before it is
	// left for the others too.
	here = 100 * time.Millisecond
	// lookEvery is how soon a hint of another replica that was lost is made up for.
	lookEvery = time.Second
	// SilentAfter is when an agent that has not asked for calls is taken for silent:
	// it asks again at the latest after 25 seconds, and tries anew every 15.
	SilentAfter = 45 * time.Second
	seeEvery    = 30 * time.Second
	// handedAtOnce bounds what one poll is handed, by bytes; a longer call goes alone.
	handedAtOnce = 2 << 20
	// waitingAtMost bounds the calls in memory for one host.
	waitingAtMost = 4096
)

// Peers are the other replicas.
type Peers interface {
	// TellHosts says that there are calls for hosts, and answers to calls.
	TellHosts(hosts, answered []string)
	// Others is how many there are.
	Others() int
}

// Desk carries calls to agents. It is safe for concurrent use.
type Desk struct {
	register *Register
	store    Store
	peers    Peers // or nil
	log      *slog.Logger
	began    time.Time

	mu    sync.Mutex
	hosts map[string]*post
	calls map[string]*letter // those that wait for an answer here
}

// post is what is known of one host here.
type post struct {
	ends, rest []*letter // not handed out yet, the oldest first
	bell       chan struct{}
	polls      int       // that wait
	last       time.Time // when a poll came or went
	seen       time.Time // when the store was told of it last
}

// letter is a call on its way.
type letter struct {
	call   access.HostCall
	handed bool // to an agent, from memory
	answer chan string
}

// NewDesk makes a desk. peers may be nil.
func NewDesk(r *Register, s Store, peers Peers, log *slog.Logger) *Desk {
	return &Desk{register: r, store: s, peers: peers, log: log, began: time.Now(), hosts: map[string]*post{}, calls: map[string]*letter{}}
}

// post gives what is known of a host; the caller holds mu.
func (d *Desk) post(host string) *post {
	p := d.hosts[host]
	if p == nil {
		p = &post{bell: make(chan struct{}), last: d.began}
		d.hosts[host] = p
	}
	return p
}

// ring wakes the polls of a host; the caller holds mu.
func (p *post) ring() {
	close(p.bell)
	p.bell = make(chan struct{})
}

func (d *Desk) shared() bool { return d.peers != nil && d.peers.Others() > 0 }

// Carry brings a call to the agent of its host, and its answer back, with the key of
// the agent.
func (d *Desk) Carry(ctx context.Context, c access.HostCall) (answer string, agent ed25519.PublicKey, err error) {
	h, err := d.register.named(ctx, c.Host)
	if err != nil {
		return "", nil, err
	}
	l := &letter{call: c, answer: make(chan string, 1)}
	if err := d.take(l); err != nil {
		return "", nil, err
	}
	stored := false
	defer func() {
		handed := d.leave(l)
		if err == nil {
			return
		}
		if stored {
			after, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			untaken := false
			if no := d.store.Update(after, func(tx Tx) (err error) { untaken, err = tx.DropHostCall(c.ID); return err }); no != nil || !untaken {
				return
			}
		}
		if !handed {
			err = envelope.ErrNotSent
		}
	}()
	var share, look <-chan time.Time
	if d.shared() {
		t := time.NewTimer(here)
		defer t.Stop()
		share = t.C
	}
	due := time.NewTimer(time.Until(c.DueAt))
	defer due.Stop()
	for {
		select {
		case text := <-l.answer:
			return text, h.Key, nil
		case <-due.C:
			if !stored && d.withdraw(l) {
				return "", nil, envelope.ErrNotSent
			}
		case <-share:
			share = nil
			if d.isHanded(l) {
				// Its answer may come to another replica all the same.
			} else if err := d.store.Update(ctx, func(tx Tx) error { return tx.PutHostCall(c) }); err != nil {
				d.log.Debug("a call is not left for the other replicas", "host", c.Host, "error", err)
				continue
			} else {
				stored = true
				d.peers.TellHosts([]string{c.Host}, nil)
			}
			t := time.NewTicker(lookEvery)
			defer t.Stop()
			look = t.C
		case <-look:
			d.collect(ctx)
		case <-ctx.Done():
			return "", nil, ctx.Err()
		}
	}
}

func (d *Desk) take(l *letter) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.post(l.call.Host)
	if p.polls == 0 && time.Since(p.last) > SilentAfter && !d.shared() {
		return envelope.ErrNotSent // it would only be waited for
	}
	if len(p.ends)+len(p.rest) >= waitingAtMost && !l.call.Ends {
		return access.Fail(access.TooMany, "host-busy", "too many calls wait for "+l.call.Host).Wrap(envelope.ErrNotSent)
	}
	d.calls[l.call.ID] = l
	if l.call.Ends {
		p.ends = append(p.ends, l)
	} else {
		p.rest = append(p.rest, l)
	}
	p.ring()
	return nil
}

// leave forgets a call, and reports whether an agent was handed it from memory.
func (d *Desk) leave(l *letter) (handed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.calls, l.call.ID)
	p := d.post(l.call.Host)
	same := func(x *letter) bool { return x == l }
	p.ends, p.rest = slices.DeleteFunc(p.ends, same), slices.DeleteFunc(p.rest, same)
	return l.handed
}

// withdraw takes a call back that no agent was handed.
func (d *Desk) withdraw(l *letter) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l.handed {
		return false
	}
	p := d.post(l.call.Host)
	same := func(x *letter) bool { return x == l }
	p.ends, p.rest = slices.DeleteFunc(p.ends, same), slices.DeleteFunc(p.rest, same)
	return true
}

func (d *Desk) isHanded(l *letter) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return l.handed
}

// deliver gives an answer to who waits for it here, and reports whether somebody does
// or should not have got it from this host.
func (d *Desk) deliver(host, id, text string) (here, foreign bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l, ok := d.calls[id]
	switch {
	case !ok:
		return false, false
	case l.call.Host != host:
		return true, true
	}
	select {
	case l.answer <- text:
	default: // there is one
	}
	return true, false
}

// Hear takes a hint of another replica.
func (d *Desk) Hear(hosts, answered []string) {
	d.mu.Lock()
	ours := false
	for _, id := range answered {
		ours = ours || d.calls[id] != nil
	}
	for _, h := range hosts {
		if p := d.hosts[h]; p != nil && p.polls > 0 {
			p.ring()
		}
	}
	d.mu.Unlock()
	if ours {
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			d.collect(ctx)
		}()
	}
}

// collect fetches answers that came to other replicas.
func (d *Desk) collect(ctx context.Context) {
	want := map[string]string{}
	d.mu.Lock()
	for id, l := range d.calls {
		want[id] = l.call.Host
	}
	d.mu.Unlock()
	var found map[string]string
	if len(want) > 0 {
		if err := d.store.View(ctx, func(tx Tx) (err error) { found, err = tx.HostAnswers(want); return err }); err != nil {
			return // it is looked again
		}
	}
	for id, text := range found {
		d.deliver(want[id], id, text)
	}
	if len(found) == 0 {
		return
	}
	// They take the place of others; what is not dropped now is pruned later.
	if err := d.store.Update(ctx, func(tx Tx) error {
		for id := range found {
			if _, err := tx.DropHostCall(id); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		d.log.Debug("answers that were fetched are not dropped", "error", err)
	}
}

// Waiting is how many calls wait for an answer here, and how many agents ask here.
func (d *Desk) Waiting() (calls, agents int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.hosts {
		if p.polls > 0 {
			agents++
		}
	}
	return len(d.calls), agents
}
