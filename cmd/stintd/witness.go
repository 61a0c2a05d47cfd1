package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"stint/internal/access"
	"stint/internal/audit"
	"stint/internal/broker"
	"stint/internal/store"
	"stint/internal/witness"
)

// How soon the log's head is with its witnesses: after so long, or so many
// records, whichever is first.
const (
	witnessEvery   = 45 * time.Second // and a call of at most witnessWithin: below a minute
	witnessRecords = 1000
	witnessLook    = 5 * time.Second
	witnessWithin  = 10 * time.Second
	// witnessAtBoot is how long the doors stay closed for the first comparison.
	// Revocation does not wait for it.
	witnessAtBoot = 5 * time.Second
)

// witnesses keep the log's head on other hosts, and compare.
type witnesses struct {
	store    *store.Store
	broker   *broker.Broker
	origin   string
	verifier string
	clients  []*witness.Client
	log      *slog.Logger

	mu    sync.Mutex
	state []witnessState // by client
}

// witnessState is what is known of one witness.
type witnessState struct {
	size int64     // of the newest checkpoint that it signed
	at   time.Time // when it did
	err  error     // of the last call
}

func newWitnesses(s settings, st *store.Store, b *broker.Broker, id identity, log *slog.Logger) *witnesses {
	w := &witnesses{store: st, broker: b, origin: id.origin, verifier: id.verifier, log: log, state: make([]witnessState, len(s.witnesses))}
	for _, c := range s.witnesses {
		w.clients = append(w.clients, &witness.Client{URL: c.url, Witness: c.key, HTTP: &http.Client{
			Timeout: witnessWithin, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}})
		if local(c.url.Hostname()) {
			log.Warn("a witness on this host is a copy: whoever can change the store can change it too", "witness", c.url.String())
		}
	}
	return w
}

// compare asks every witness once, at the same time. What none of them answers is
// not known.
func (w *witnesses) compare(ctx context.Context) {
	var wg sync.WaitGroup
	for i := range w.clients {
		wg.Go(func() { w.ask(ctx, i) })
	}
	wg.Wait()
	w.conclude(ctx)
}

// run shows the log's head to every witness until ctx ends.
func (w *witnesses) run(ctx context.Context) {
	var wg sync.WaitGroup
	for i := range w.clients {
		wg.Go(func() {
			last, failed := time.Now(), 0
			for {
				pause(ctx, witnessLook)
				if ctx.Err() != nil {
					return
				}
				known := w.of(i)
				head, err := w.store.Head(ctx)
				if err != nil || head.Size == 0 {
					continue // the store says so itself
				}
				due := time.Since(last) >= witnessEvery || head.Size-known.size >= witnessRecords
				if !due && !(known.err != nil && time.Since(last) >= min(witnessLook<<min(failed, 3), witnessEvery)) {
					continue
				}
				last = time.Now()
				w.ask(ctx, i)
				if failed++; w.of(i).err == nil {
					failed = 0
				}
				w.conclude(ctx)
			}
		})
	}
	wg.Wait()
}

func (w *witnesses) of(i int) witnessState {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state[i]
}

// differs is what a witness knows and this log does not continue.
type differs struct {
	who  string
	seen audit.Checkpoint
	have int64
}

func (d *differs) Error() string {
	if d.seen.Size > d.have {
		return fmt.Sprintf("the witness %s has signed a checkpoint of %d records of this log, which has %d", d.who, d.seen.Size, d.have)
	}
	return fmt.Sprintf("the witness %s has signed another log of %d records than this one was then", d.who, d.seen.Size)
}

// ask shows the head to one witness and notes what it said.
func (w *witnesses) ask(ctx context.Context, i int) {
	ctx, cancel := context.WithTimeout(ctx, witnessWithin)
	defer cancel()
	c := w.clients[i]
	size, at, err := w.show(ctx, c)
	w.mu.Lock()
	before := w.state[i].err
	if w.state[i].err = err; err == nil {
		w.state[i].size, w.state[i].at = size, at
	}
	w.mu.Unlock()
	switch {
	case err != nil && (before == nil || before.Error() != err.Error()) && ctx.Err() == nil:
		w.log.Warn("the witness does not sign", "witness", c.URL.Host, "error", err)
	case err == nil && before != nil:
		w.log.Info("the witness signs again", "witness", c.URL.Host, "size", size)
	}
}

// show asks for a cosignature of the present head.
func (w *witnesses) show(ctx context.Context, c *witness.Client) (int64, time.Time, error) {
	old, err := w.store.Cosigned(ctx, c.Witness.Name)
	if err != nil {
		return 0, time.Time{}, err
	}
	for range 4 { // another replica may be at the same
		var head store.Head
		var proof []tlog.Hash
		var cp audit.Checkpoint
		err := w.store.Hashes(ctx, func(h store.Head, r tlog.HashReader) (err error) {
			head = h
			if h.Checkpoint == nil {
				return nil
			}
			if cp, err = audit.OpenCheckpoint(h.Checkpoint, w.verifier); err != nil {
				return err
			}
			old = min(old, h.Size)
			proof, err = audit.ProveConsistency(old, h.Size, r)
			return err
		})
		if err != nil || head.Checkpoint == nil {
			return 0, time.Time{}, err
		}
		line, at, err := c.Add(ctx, old, proof, head.Checkpoint, cp)
		var other *witness.Conflict
		switch {
		case err == nil:
			return head.Size, at, w.store.SaveCosignature(ctx, head.Size, c.Witness.Name, line)
		case errors.As(err, &other) && other.Size < head.Size && other.Size != old:
			old = other.Size
			continue
		case errors.As(err, &other) && other.Size > head.Size:
			if again, herr := w.store.Head(ctx); herr == nil && again.Size >= other.Size {
				old = other.Size
				continue
			}
		case !errors.As(err, &other) && !errors.Is(err, witness.ErrFork):
			return 0, time.Time{}, err
		}
		return 0, time.Time{}, w.prove(ctx, c, head, err)
	}
	return 0, time.Time{}, access.Fail(access.Unavailable, "witness-contended", "the witness "+c.URL.Host+" is ahead each time").Try("it is tried again")
}

// prove finds out whether a witness that refuses is right: it must show a
// checkpoint that our own key has signed and that this log does not continue. The
// word of a witness alone stops nothing; a wicked one could else stop everything.
func (w *witnesses) prove(ctx context.Context, c *witness.Client, head store.Head, said error) error {
	seen, err := c.Newest(ctx, w.origin, w.verifier)
	if err != nil {
		return errors.Join(said, err)
	}
	if seen.Size <= head.Size {
		same := false
		err := w.store.Hashes(ctx, func(_ store.Head, r tlog.HashReader) error {
			tree, err := audit.LoadTree(seen.Size, r)
			same = err == nil && tree.Root() == seen.Root
			return err
		})
		if err != nil || same {
			return errors.Join(said, err) // it refuses what it should sign
		}
	}
	return &differs{c.URL.Host, seen, head.Size}
}

// conclude tells the broker what all witnesses together have said.
func (w *witnesses) conclude(ctx context.Context) {
	var worst *differs
	asked := len(w.clients) > 0
	w.mu.Lock()
	for _, s := range w.state {
		var d *differs
		switch {
		case errors.As(s.err, &d):
			if worst == nil || d.seen.Size > worst.seen.Size {
				worst = d
			}
		case s.err != nil || s.at.IsZero():
			asked = false
		}
	}
	w.mu.Unlock()
	var err error
	switch {
	case worst != nil:
		err = w.broker.Witnessed(ctx, worst.have, worst.seen.Size, worst.seen.Root.String(), worst.who, asked)
	case asked:
		err = w.broker.Witnessed(ctx, 0, 0, "", "", true)
	}
	if err != nil && ctx.Err() == nil {
		w.log.Warn("what the witnesses said was not recorded; tried again", "error", err)
	}
}

// witnessConfig is one witness in the configuration.
type witnessConfig struct {
	URL string `yaml:"url"`
	Key string `yaml:"key"`
}

type witnessSetting struct {
	url *url.URL
	key audit.Cosigner
}

func checkWitnesses(c config, s *settings) error {
	names := map[string]bool{}
	for _, w := range c.Witnesses {
		u, err := url.Parse(w.URL)
		switch {
		case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
			return refuse("bad-witness", "the address of a witness is not right", w.URL, "write https://witness1.example.org")
		case u.Scheme == "http" && !local(u.Hostname()):
			return refuse("open-witness-wire", "the witness is asked over plain HTTP", u.Host+": somebody on the way could answer in its place what it said long ago", "write https://"+u.Host)
		}
		key, err := audit.ParseCosigner(w.Key)
		if err != nil {
			return refuse("bad-witness", "the key of the witness "+u.Host+" cannot be read", "it is not name+hash+base64", "copy what stint-witness key prints")
		}
		if names[key.Name] {
			return refuse("bad-witness", "two witnesses have one name", key.Name, "name each witness once")
		}
		names[key.Name] = true
		s.witnesses = append(s.witnesses, witnessSetting{u, key})
	}
	return nil
}
