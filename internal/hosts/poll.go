package hosts

import (
	"context"
	"time"

	"stint/internal/access"
	"stint/internal/envelope"
)

// Poll is what an agent brings and asks for.
type Poll struct {
	Answers    []string
	Ends, Rest int // how many calls of each kind it takes
	Wait       time.Duration
	Program    string
}

// Poll takes the answers of the agent of a host, and gives it calls: at once where
// there are some, and else when there are, within the time that it waits.
func (d *Desk) Poll(ctx context.Context, h access.Host, p Poll) ([]access.HostCall, error) {
	if err := d.answers(ctx, h, p.Answers); err != nil {
		return nil, err
	}
	if p.Ends <= 0 && p.Rest <= 0 {
		return nil, nil
	}
	d.come(ctx, h)
	defer d.part(h.Name)
	within, cancel := context.WithTimeout(ctx, p.Wait)
	defer cancel()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		bell, calls := d.hand(h.Name, p)
		if len(calls) == 0 && d.shared() {
			err := d.store.Update(ctx, func(tx Tx) (err error) { calls, err = tx.TakeHostCalls(h.Name, p.Ends, p.Rest); return err })
			if err != nil {
				d.log.Debug("calls of other replicas are not looked for", "host", h.Name, "error", err)
			}
		}
		if len(calls) > 0 || p.Wait <= 0 {
			return calls, nil
		}
		select {
		case <-within.Done():
			return nil, nil
		case <-bell:
		case <-look.C:
			// Whoever was revoked meanwhile gets nothing more.
			if now, err := d.register.Of(ctx, h.Agent); err != nil || now.Name != h.Name {
				return nil, err
			}
		}
	}
}

// hand gives out what waits for a host here, what ends access first.
func (d *Desk) hand(host string, want Poll) (bell <-chan struct{}, calls []access.HostCall) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.post(host)
	now, left := time.Now(), handedAtOnce
	from := func(queue []*letter, most int) []*letter {
		n := 0
		for n < len(queue) && most > 0 {
			l := queue[n]
			if now.Before(l.call.DueAt) {
				if left -= len(l.call.Call); left < 0 && len(calls) > 0 {
					break
				}
				calls = append(calls, l.call)
				l.handed = true
				most--
			}
			n++
		}
		return append([]*letter(nil), queue[n:]...)
	}
	p.ends = from(p.ends, want.Ends)
	if left > 0 {
		p.rest = from(p.rest, want.Rest)
	}
	return p.bell, calls
}

// come notes that an agent asks here.
func (d *Desk) come(ctx context.Context, h access.Host) {
	d.mu.Lock()
	p := d.post(h.Name)
	p.polls++
	p.last = time.Now()
	tell := time.Since(p.seen) >= seeEvery
	if tell {
		p.seen = p.last
	}
	d.mu.Unlock()
	if !tell {
		return
	}
	within, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := d.store.Update(within, func(tx Tx) error { return tx.SeeHost(h.Name) }); err != nil {
		d.log.Debug("that an agent is there is not in the store", "host", h.Name, "error", err)
	}
}

func (d *Desk) part(host string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.post(host)
	p.polls--
	p.last = time.Now()
}

// answers gives answers to who waits for them. One that nobody waits for is dropped:
// whoever did has given up, and looks again.
func (d *Desk) answers(ctx context.Context, h access.Host, texts []string) error {
	away := map[string]string{}
	for _, text := range texts {
		id, err := envelope.AnswerID(envelope.Sealed(text))
		if err != nil {
			d.doubt(ctx, h.Name, "an answer is not in the form of one")
			continue
		}
		here, foreign := d.deliver(h.Name, id, text)
		switch {
		case foreign:
			d.doubt(ctx, h.Name, "it answered a call to another host")
		case !here:
			away[id] = text
		}
	}
	if len(away) == 0 || !d.shared() {
		return nil
	}
	var ids []string
	err := d.store.Update(ctx, func(tx Tx) error {
		ids = ids[:0]
		for id, text := range away {
			if err := tx.AnswerHostCall(h.Name, id, text); err != nil {
				return err
			}
			ids = append(ids, id)
		}
		return nil
	})
	if err == nil {
		d.peers.TellHosts(nil, ids)
	}
	return err
}

func (d *Desk) doubt(ctx context.Context, host, why string) {
	d.log.Warn("the agent of a host gives answers that an honest one does not", "host", host, "why", why)
	if err := d.register.Doubt(ctx, host, why); err != nil {
		d.log.Error("a doubt about the agent of a host is not in the log", "host", host, "error", err)
	}
}

// Distrust is told by the connector of answers that do not hold.
func (d *Desk) Distrust(host string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	d.doubt(ctx, host, err.Error())
}
