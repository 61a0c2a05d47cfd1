package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"stint/internal/access"
	"stint/internal/audit"
)

// house is a log, a memory and a world in memory, for tests under fake time.
type house struct {
	t  *testing.T
	mu sync.Mutex

	records []Record
	more    chan struct{}
	nextID  int

	requests map[access.RequestID]access.Request
	grants   map[access.RequestID]*access.Grant
	about    map[access.ResourceName]About

	integrations []Integration
	logins       map[string]Login

	channels map[string]*chanRow
	sends    int // of messages noted
}

type chanRow struct {
	seq   int64
	owner string
	until time.Time
	state []byte
	rows  map[string]*msgRow
}

type msgRow struct {
	Pending
	due time.Time
}

func newHouse(t *testing.T) *house {
	return &house{t: t, more: make(chan struct{}), requests: map[access.RequestID]access.Request{}, grants: map[access.RequestID]*access.Grant{},
		about: map[access.ResourceName]About{}, logins: map[string]Login{}, channels: map[string]*chanRow{}}
}

func (h *house) Records(_ context.Context, after int64, limit int) ([]Record, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	from := min(int(after+1), len(h.records))
	return slices.Clone(h.records[from:min(from+limit, len(h.records))]), nil
}

func (h *house) Wait(ctx context.Context, after int64) error {
	for {
		h.mu.Lock()
		have, more := int64(len(h.records)) > after+1, h.more
		h.mu.Unlock()
		if have {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-more:
		}
	}
}

// log appends a record of an event.
func (h *house) log(e access.Event) int64 {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.nextID++
	if e.At.IsZero() {
		e.At = time.Now()
	}
	if e.Version == 0 {
		e.Version = 1
	}
	if e.Actor.Principal == "" {
		e.Actor = access.System
	}
	b, err := audit.Encode(audit.Record{ID: fmt.Sprintf("rec_%026d", h.nextID), Event: e})
	if err != nil {
		h.t.Fatal(err)
	}
	seq := int64(len(h.records))
	h.records = append(h.records, Record{seq, b})
	close(h.more)
	h.more = make(chan struct{})
	return seq
}

func (h *house) Request(_ context.Context, id access.RequestID) (access.Request, *access.Grant, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.requests[id]
	if !ok {
		return r, nil, access.Fail(access.NotFound, "no-such-request", "there is none")
	}
	if g := h.grants[id]; g != nil {
		c := *g
		return r, &c, nil
	}
	return r, nil, nil
}

func (h *house) Resource(_ context.Context, name access.ResourceName) (About, bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a, ok := h.about[name]
	return a, ok, nil
}

func (h *house) Integrations(context.Context) ([]Integration, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.integrations), nil
}

func (h *house) Since(context.Context) (int64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return int64(len(h.records)) - 1, nil
}

func (h *house) Login(_ context.Context, _, credential string) (Login, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l, ok := h.logins[credential]
	if !ok {
		return l, access.Fail(access.NotFound, "no-credential", "no credential "+credential+" is registered")
	}
	return l, nil
}

func (h *house) Begin(_ context.Context, channel string, seq int64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.channels[channel] == nil {
		h.channels[channel] = &chanRow{seq: seq, rows: map[string]*msgRow{}}
	}
	return nil
}

var errNotOurs = access.Fail(access.Conflict, "not-our-turn", "another has the turn")

func (h *house) Turn(_ context.Context, channel, owner string, lasts time.Duration) (int64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.channels[channel]
	if c == nil {
		return 0, access.Fail(access.NotFound, "no-such-channel", "there is none")
	}
	if c.owner != owner && time.Now().Before(c.until) {
		return c.seq, errNotOurs
	}
	c.owner, c.until = owner, time.Now().Add(lasts)
	return c.seq, nil
}

func (h *house) mine(channel, owner string) (*chanRow, error) {
	c := h.channels[channel]
	if c.owner != owner || !time.Now().Before(c.until) {
		return nil, errNotOurs
	}
	return c, nil
}

func (h *house) Read(_ context.Context, channel, owner string, seq int64, concerns []Concern, state []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, err := h.mine(channel, owner)
	if err != nil {
		return err
	}
	c.seq, c.state = seq, state
	for _, x := range concerns {
		row := c.rows[x.Subject]
		if row == nil {
			if x.Known {
				continue
			}
			row = &msgRow{Pending: Pending{Subject: x.Subject, Want: -1, Have: -1}}
			c.rows[x.Subject] = row
		}
		if row.Want < x.Seq {
			if row.Want == row.Have {
				row.due = time.Now()
			}
			row.Want = x.Seq
		}
	}
	return nil
}

func (h *house) Due(_ context.Context, channel string, limit int) ([]Pending, time.Duration, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var due []Pending
	next := time.Duration(-1)
	for _, s := range slices.Sorted(maps.Keys(h.channels[channel].rows)) {
		row := h.channels[channel].rows[s]
		if row.Want == row.Have {
			continue
		}
		if d := time.Until(row.due); d > 0 {
			if next < 0 || d < next {
				next = d
			}
		} else if len(due) < limit {
			due = append(due, row.Pending)
		}
	}
	if len(due) > 0 {
		next = -1
	}
	return due, next, nil
}

func (h *house) Sent(_ context.Context, channel, owner string, p Pending, again time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, err := h.mine(channel, owner)
	if err != nil {
		return err
	}
	row := c.rows[p.Subject]
	row.Have, row.State, row.due = p.Have, p.State, time.Now().Add(again)
	h.sends++
	return nil
}

func (h *house) States(context.Context) (map[string][]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := map[string][]byte{}
	for n, c := range h.channels {
		all[n] = c.state
	}
	return all, nil
}

// wire carries calls to handlers in this process, without a network, so that fake
// time can pass. What is nobody's, and what is down, does not answer.
type wire struct {
	mu    sync.Mutex
	hosts map[string]http.Handler
	down  map[string]bool
	calls map[string]int // attempts, down or not
}

func newWire() *wire {
	return &wire{hosts: map[string]http.Handler{}, down: map[string]bool{}, calls: map[string]int{}}
}

func (w *wire) set(host string, down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down[host] = down
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	passes.Load()
	w.mu.Lock()
	w.calls[r.URL.Host]++
	h, down := w.hosts[r.URL.Host], w.down[r.URL.Host]
	w.mu.Unlock()
	if h == nil || down {
		return nil, errors.New("connection refused")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec.Result(), nil
}

// serve runs a service on the house until the test ends.
func (h *house) service(w *wire, owner string) *Service {
	return New(Config{Source: h, Memory: h, World: h, Outside: h, Owner: owner, Site: Site{URL: "https://stint.example.com", Requests: "https://stint.example.com/requests/", Installation: "test"},
		HTTP: &http.Client{Transport: w, Timeout: 15 * time.Second}, Log: slog.New(slog.DiscardHandler)})
}

// start runs it; the returned function stops it and waits.
func start(s *Service) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	return func() { cancel(); <-done }
}

var began = time.Date(2026, 11, 22, 14, 0, 0, 0, time.UTC)

// ask makes a pending request, as the broker would, and logs it.
func (h *house) ask(n int, bend ...func(*access.Request)) access.RequestID {
	h.t.Helper()
	r := sample(n)
	for _, b := range bend {
		b(&r)
	}
	h.mu.Lock()
	h.requests[r.ID] = r
	h.mu.Unlock()
	h.log(access.Event{Type: access.RequestSubmitted, Entity: string(r.ID), Facts: map[string]string{"state": string(r.State), "resource": string(r.Targets[0].Resource), "principal": string(r.Principal)}})
	return r.ID
}

// change changes a request and logs an event of it.
func (h *house) change(id access.RequestID, t access.EventType, bend func(*access.Request)) {
	h.t.Helper()
	h.mu.Lock()
	r := h.requests[id]
	r.Version++
	bend(&r)
	h.requests[id] = r
	h.mu.Unlock()
	h.log(access.Event{Type: t, Entity: string(id), Version: r.Version})
}

// sample is a request that waits for one approval.
func sample(n int) access.Request {
	return access.Request{ID: access.RequestID(fmt.Sprintf("req_%026d", n)), Version: 1, State: access.RequestPending, Principal: "user:mira", Person: "mira",
		Targets:     []access.Target{{Resource: "orders-db", Criticality: access.Medium, Account: "mira"}},
		Role:        "reader",
		Permissions: access.Permissions{Mechanism: access.Account, Rights: []string{"orders_read"}}, Duration: 30 * time.Minute,
		Reason: "Checkout errors since 13:50. Need to look at stuck rows in settlement_queue", Ticket: "INC-2207", Digest: access.Digest{1, 2, 3},
		Decision:  access.Decision{Effect: access.Approve, Policy: "orders-with-approval", Approvals: []access.Requirement{{From: []access.Subject{"group:dba"}, Count: 1}}, MaxDuration: time.Hour},
		CreatedAt: began, ExpiresAt: began.Add(24 * time.Hour)}
}

// approved is what becomes of it.
func approved(r *access.Request) {
	r.State, r.DecidedAt = access.RequestIsGranted, began.Add(3*time.Minute)
	r.Approvals = []access.Approval{{By: "user:omar", Person: "omar", Approve: true, Duration: r.Duration, Rights: r.Permissions.Rights, Note: "go ahead", At: r.DecidedAt, Meets: []int{0}}}
}

func denied(r *access.Request) {
	r.State, r.DecidedAt = access.RequestIsDenied, began.Add(2*time.Minute)
	r.Approvals = []access.Approval{{By: "user:omar", Person: "omar", Note: "use the replica", At: r.DecidedAt, Meets: []int{0}}}
}

// grantOf is an active grant of a request.
func grantOf(r access.Request) *access.Grant {
	return &access.Grant{ID: "grt_00000000000000000000000001", Request: r.ID, State: access.Active, Duration: r.Duration, Permissions: r.Permissions, Targets: r.Targets,
		CreatedAt: r.DecidedAt, ActiveAt: r.DecidedAt.Add(time.Second), ExpiresAt: r.DecidedAt.Add(time.Second + r.Duration)}
}

func over(g *access.Grant) *access.Grant {
	c := *g
	c.State, c.EndReason, c.EndingAt, c.EndedAt, c.VerifiedGoneAt = access.Ended, access.ByTime, g.ExpiresAt, g.ExpiresAt.Add(time.Second), g.ExpiresAt.Add(time.Second)
	return &c
}

func contains(t *testing.T, text string, all ...string) {
	t.Helper()
	for _, s := range all {
		if !strings.Contains(text, s) {
			t.Errorf("%q is not in %s", s, text)
		}
	}
}

// passes counts what pass does. The fakes read it before they write: what a test has read
// of them until then is thereby before it, which a timer's waking alone does not say.
var passes atomic.Int64

// pass lets time pass, and what it brings be done; in a synctest bubble.
func pass(d time.Duration) {
	passes.Add(1)
	time.Sleep(d)
	synctest.Wait()
}
