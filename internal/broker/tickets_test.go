package broker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/policy"
	"stint/internal/store"
	"stint/internal/ticket"
	"stint/internal/ticketwatch"
)

// tracker is a Jira with one project, as its documentation says that it answers.
type tracker struct {
	*httptest.Server
	mu     sync.Mutex
	issues map[string]*issue
	down   bool
	asked  int
}

type issue struct {
	open               bool
	text               string
	assignee, reporter string
	editors            []string
	closings           int
}

func newTracker(t *testing.T) *tracker {
	k := &tracker{issues: map[string]*issue{}}
	k.Server = httptest.NewServer(http.HandlerFunc(k.answer))
	t.Cleanup(k.Close)
	return k
}

func (k *tracker) answer(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked++
	key := strings.TrimPrefix(r.URL.Path, "/rest/api/3/issue/")
	i, there := k.issues[key]
	if user, pass, _ := r.BasicAuth(); user != "stint@example.com" || pass != "token" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	switch {
	case key == "OPS-666": // moved to where nobody follows
		http.Redirect(w, r, "/elsewhere", http.StatusMovedPermanently)
		return
	case k.down:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case !there:
		w.WriteHeader(http.StatusNotFound)
		return
	}
	who := func(id string) any {
		if id == "" {
			return nil
		}
		return map[string]any{"accountId": id}
	}
	category := "done"
	if i.open {
		category = "indeterminate"
	}
	histories := []any{}
	for _, e := range i.editors {
		histories = append([]any{map[string]any{"author": who(e), "items": []any{map[string]any{"field": "description", "to": "x"}}}}, histories...)
	}
	for range i.closings {
		histories = append(histories, map[string]any{"author": who("id-noor"), "items": []any{map[string]any{"field": "resolution", "to": "1"}}})
	}
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	_ = json.NewEncoder(w).Encode(map[string]any{"key": key, "fields": map[string]any{"summary": i.text, "description": nil, "labels": []string{}, "components": []any{},
		"status": map[string]any{"statusCategory": map[string]any{"key": category}}, "assignee": who(i.assignee), "reporter": who(i.reporter), "creator": who(i.reporter)},
		"changelog": map[string]any{"total": len(histories), "histories": histories}})
}

func (k *tracker) set(key string, i issue) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.issues[key] = &i
}

func (k *tracker) change(key string, edit func(*issue)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	edit(k.issues[key])
}

func (k *tracker) off(down bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.down = down
}

// reads are tickets read by the package that does so in stintd.
type reads struct{ http *http.Client }

func (r reads) Look(ctx context.Context, in policy.Integration, l broker.Login, id string) (access.Ticket, error) {
	return ticket.Look(ctx, r.http, ticket.Site{Name: in.Name, Type: in.Type, Address: in.Address, Options: in.Options, Username: l.Username, Secret: l.Secret}, id)
}

// newTicketed is an installation with a tracker that knows gus, mira and noor.
func newTicketed(t *testing.T, more string) (*installation, *tracker) {
	t.Helper()
	in, err := prepare(t, t.TempDir())
	must(t, err)
	must(t, in.store.Close())
	k := newTracker(t)
	in.t, in.tickets = t, reads{k.Client()}
	in.start()
	must(t, in.SetCredential(t.Context(), in.as("root"), access.Credential{Name: "corp-jira", Type: "jira", Address: k.URL, Username: "stint@example.com"}, access.NewSecret([]byte("token"))))
	for _, name := range []string{"gus", "mira", "noor", "omar"} {
		in.change(func(p *access.Principal) {
			p.Identities = append(p.Identities, access.Identity{Provider: "corp-jira", Subject: "id-" + name})
		}, name)
	}
	in.apply("kind: Integration\nname: corp-jira\ntype: jira\naddress: " + k.URL + "\ncredential: corp-jira\nprojects: [OPS]\n---\n" + more)
	return in, k
}

// byTicket lets guests in by a ticket that others wrote.
const byTicket = `kind: Policy
name: by-ticket
subjects: [group:guests]
roles: [reader]
when: ticket.reporter != principal.person && ticket.editedBy != principal.person
require:
  ticket: {from: corp-jira, assigned: requester, names: resource, endOnClose: true}
  maxDuration: 1h
`

func good() issue {
	return issue{open: true, text: "look at db, please", assignee: "id-gus", reporter: "id-noor", editors: []string{"id-mira"}}
}

func withTicket(d time.Duration, id string) broker.Ask {
	a := ask("reader", d)
	a.Ticket = id
	return a
}

// A ticket that others wrote, that is open, theirs and names the resource lets somebody
// in at once. Nothing else does.
func TestByTicket(t *testing.T) {
	in, k := newTicketed(t, byTicket)
	k.set("OPS-1", good())
	v, err := in.Submit(t.Context(), in.as("gus"), withTicket(time.Minute, "OPS-1"))
	must(t, err)
	if v.Request.Decision.Policy != "by-ticket" || v.Request.State != access.RequestIsGranted {
		t.Fatalf("%s by %s: %v", v.Request.State, v.Request.Decision.Policy, v.Request.Decision.Reasons)
	}
	in.until("gus", string(v.Request.ID), access.Active)

	n := 1
	for what, edit := range map[string]func(*issue){
		"closed":               func(i *issue) { i.open = false },
		"another's":            func(i *issue) { i.assignee = "id-mira" },
		"nobody's":             func(i *issue) { i.assignee = "" },
		"reported by them":     func(i *issue) { i.reporter = "id-gus" },
		"edited by them":       func(i *issue) { i.editors = []string{"id-mira", "id-gus"} },
		"edited by them once":  func(i *issue) { i.editors = []string{"id-gus", "id-mira"} },
		"edited by a stranger": func(i *issue) { i.editors = []string{"id-mira", "id-of-a-bot"} },
		"of another resource":  func(i *issue) { i.text = "look at db2" },
	} {
		n++
		id := fmt.Sprintf("OPS-%d", n)
		i := good()
		edit(&i)
		k.set(id, i)
		v, err := in.Submit(t.Context(), in.as("gus"), withTicket(time.Minute, id))
		must(t, err)
		if v.Request.State != access.RequestPending { // with-approval is open to all guests
			t.Errorf("%s: %s by %s", what, v.Request.State, v.Request.Decision.Policy)
		}
		_, err = in.Cancel(t.Context(), in.as("gus"), string(v.Request.ID))
		must(t, err)
	}
	x, err := in.Preview(t.Context(), in.as("gus"), withTicket(time.Minute, "OPS-99"), "")
	must(t, err)
	said := fmt.Sprint(x.Trials)
	if !strings.Contains(said, "corp-jira knows no such ticket, or does not show it to Stint") {
		t.Errorf("the explanation does not say why: %s", said)
	}
}

// Whose tickets are told apart by an attribute, vendors have tickets too.
func TestTicketOfAVendor(t *testing.T) {
	in, k := newTicketed(t, byTicket)
	for _, name := range []string{"gus", "mira", "noor"} {
		in.change(func(p *access.Principal) {
			p.Identities, p.Attributes = nil, map[string]string{"tracker": "id-" + name}
		}, name)
	}
	in.change(func(p *access.Principal) {
		p.Sponsor, p.Company, p.Until = "user:olga", "Acme", time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	}, "gus")
	in.apply("kind: Integration\nname: corp-jira\ntype: jira\naddress: " + k.URL + "\ncredential: corp-jira\nprojects: [OPS]\nattribute: tracker\n")
	k.set("OPS-1", good())
	v, err := in.Submit(t.Context(), in.as("gus"), withTicket(time.Minute, "OPS-1"))
	must(t, err)
	if v.Request.State != access.RequestIsGranted {
		t.Errorf("%s by %s: %v", v.Request.State, v.Request.Decision.Policy, v.Request.Decision.Reasons)
	}
}

// While the system is down nothing is granted on a ticket, and it is said what to do.
// An approver's yes is not used up.
func TestTicketSystemDown(t *testing.T) {
	in, k := newTicketed(t, guests("{ticket: {from: corp-jira}, approvals: [{from: [group:dba]}]}"))
	k.set("OPS-1", good())
	v, err := in.Submit(t.Context(), in.as("gus"), withTicket(time.Minute, "OPS-1"))
	must(t, err)
	k.off(true)
	no, err := in.Submit(t.Context(), in.as("gus"), withTicket(time.Minute, "OPS-2"))
	must(t, err)
	if r := no.Request; r.State != access.RequestIsDenied || !strings.Contains(r.Decision.Reasons[0].Text, "could not be read from corp-jira") ||
		!strings.Contains(r.Decision.Reasons[0].Text, "try again when corp-jira answers") {
		t.Errorf("%s: %v", r.State, r.Decision.Reasons)
	}
	// What was read a moment ago still counts; nothing is known once that is old.
	in.forgetTickets()
	_, err = in.yes("omar", v)
	wantCode(t, err, "no-ticket-system")
	k.off(false)
	for until := time.Now().Add(20 * time.Second); ; { // a system that did not answer is left alone for a moment
		if v2, err := in.yes("omar", v); err == nil {
			v = v2
			break
		} else if time.Now().After(until) {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	in.until("gus", string(v.Request.ID), access.Active)

	// Ending asks nobody.
	k.off(true)
	_, err = in.End(t.Context(), in.as("gus"), string(v.Request.ID), "")
	must(t, err)
	in.until("gus", string(v.Request.ID), access.Ended)
}

// forgetTickets starts the broker again, which remembers no ticket then.
func (in *installation) forgetTickets() { in.stop(); in.start() }

// vigil watches the tickets of an installation as stintd does, faster.
func (in *installation) vigil(every time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		ticketwatch.Watch{Desk: in.Broker, Every: every, Look: every / 2, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}.Run(ctx)
	})
	return sync.OnceFunc(func() { cancel(); wg.Wait() })
}

// watched has somebody hold a grant on a ticket.
func (in *installation) watched(k *tracker, id string) broker.View {
	in.t.Helper()
	k.set(id, good())
	v, err := in.Submit(in.t.Context(), in.as("gus"), withTicket(30*time.Minute, id))
	must(in.t, err)
	v = in.until("gus", string(v.Request.ID), access.Active)
	if _, err := in.storedWatch(v.Grant.ID); err != nil {
		in.t.Fatalf("the grant is not watched: %v", err)
	}
	return v
}

// Whatever makes a ticket another one ends the grants that rest on it, soon.
func TestWatchedTicketEnds(t *testing.T) {
	in, k := newTicketed(t, byTicket)
	const every = 200 * time.Millisecond
	cases := []struct {
		what, note string
		edit       func(*issue)
	}{
		{"closed", "was closed", func(i *issue) { i.open = false }},
		{"reassigned", "is not assigned to gus any more", func(i *issue) { i.assignee = "id-mira" }},
		{"to nobody", "is not assigned to gus any more", func(i *issue) { i.assignee = "" }},
		{"renamed", "does not name db any more", func(i *issue) { i.text = "something else" }},
		{"closed and opened again", "was closed, and opened again", func(i *issue) { i.closings++ }},
	}
	stop := in.vigil(every)
	t.Cleanup(func() { stop() })
	var lags []time.Duration
	for round := range 4 {
		var vs []broker.View
		for n := range cases {
			vs = append(vs, in.watched(k, fmt.Sprintf("OPS-%d", 1+round*len(cases)+n)))
		}
		in.readOnce(vs)
		began := time.Now()
		for n, c := range cases {
			k.change(fmt.Sprintf("OPS-%d", 1+round*len(cases)+n), c.edit)
		}
		for n, c := range cases {
			v := in.until("gus", string(vs[n].Request.ID), access.Ending, access.Ended)
			lags = append(lags, time.Since(began))
			if v.Grant.EndReason != access.ByPolicy || !strings.Contains(v.Grant.EndNote, c.note) {
				t.Errorf("%s: %s, %q", c.what, v.Grant.EndReason, v.Grant.EndNote)
			}
		}
	}
	slices.Sort(lags)
	p99 := lags[len(lags)*99/100]
	t.Logf("from the change to the end of %d grants, read every %s: p50 %s, p99 %s", len(lags), every, lags[len(lags)/2], p99)
	if p99 > 10*time.Second {
		t.Errorf("p99 is %s", p99)
	}
}

// One grant that cannot be dealt with keeps no other one that rests on the same ticket.
func TestOneWatchKeepsNoOther(t *testing.T) {
	in, k := newTicketed(t, byTicket)
	v := in.watched(k, "OPS-1")
	w, err := in.storedWatch(v.Grant.ID)
	must(t, err)
	k.change("OPS-1", func(i *issue) { i.open = false })
	in.forgetTickets()
	nobodys := w
	nobodys.Grant = "grt_0000000000000000000000NONE"
	if err := in.CheckTicket(t.Context(), []access.TicketWatch{nobodys, w}); err == nil {
		t.Error("a grant that is not there is dealt with")
	}
	in.until("gus", string(v.Request.ID), access.Ending, access.Ended)
}

// readOnce waits until the ticket of each grant was read.
func (in *installation) readOnce(vs []broker.View) {
	in.t.Helper()
	until := time.Now().Add(20 * time.Second)
	for _, v := range vs {
		for {
			if w, err := in.storedWatch(v.Grant.ID); err == nil && w.Read {
				break
			}
			if time.Now().After(until) {
				in.t.Fatal("the ticket was never read")
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// storedWatch looks at a row and leaves it as it is.
func (in *installation) storedWatch(id access.GrantID) (w access.TicketWatch, err error) {
	err = in.store.View(in.t.Context(), func(tx *store.Tx) (err error) { w, err = tx.TicketWatch(id); return err })
	return w, err
}

// A system that is down for long ends nothing before its time, and nothing that happened
// meanwhile is missed.
func TestTicketOutage(t *testing.T) {
	in, k := newTicketed(t, byTicket)
	kept, closed := in.watched(k, "OPS-1"), in.watched(k, "OPS-2")
	again := in.watched(k, "OPS-3")
	stop := in.vigil(100 * time.Millisecond)
	in.readOnce([]broker.View{kept, closed, again})
	stop()

	k.off(true)
	in.age(50*time.Minute, kept, closed, again) // as if nothing could be read for so long
	for range 3 {
		in.checkAll(kept, closed, again)
	}
	for _, v := range []broker.View{kept, closed, again} {
		if now, err := in.View(t.Context(), in.as("gus"), string(v.Request.ID)); err != nil || now.Grant.State != access.Active {
			t.Errorf("it is %s, %v", now.Grant.State, err)
		}
	}
	k.change("OPS-2", func(i *issue) { i.open = false })
	k.change("OPS-3", func(i *issue) { i.closings++ })
	in.stop() // nor does a restart lose any of it
	in.start()
	k.off(false)
	defer in.vigil(100 * time.Millisecond)()
	in.until("gus", string(closed.Request.ID), access.Ended)
	v := in.until("gus", string(again.Request.ID), access.Ended)
	if !strings.Contains(v.Grant.EndNote, "opened again") {
		t.Errorf("it ended because %q", v.Grant.EndNote)
	}
	if now, err := in.View(t.Context(), in.as("gus"), string(kept.Request.ID)); err != nil || now.Grant.State != access.Active {
		t.Errorf("the one whose ticket is as it was is %s, %v", now.Grant.State, err)
	}
}

// After the time that the policy gives, what nobody can read ends the grant: deleted,
// hidden and down look alike.
func TestTicketUnknownTooLong(t *testing.T) {
	in, k := newTicketed(t, strings.Replace(byTicket, "endOnClose: true", "endOnClose: true, unknownFor: 1h", 1))
	v := in.watched(k, "OPS-1")
	k.mu.Lock()
	delete(k.issues, "OPS-1")
	k.mu.Unlock()
	in.age(59*time.Minute, v)
	in.checkAll(v)
	if now, err := in.View(t.Context(), in.as("gus"), string(v.Request.ID)); err != nil || now.Grant.State != access.Active {
		t.Fatalf("it is %s before its time, %v", now.Grant.State, err)
	}
	in.age(61*time.Minute, v)
	in.checkAll(v)
	now := in.until("gus", string(v.Request.ID), access.Ended)
	if !strings.Contains(now.Grant.EndNote, "could not be read for 1h") {
		t.Errorf("it ended because %q", now.Grant.EndNote)
	}
}

// TestExtensionByTicket: for more time the ticket is read again, and what it says then counts.
func TestExtensionByTicket(t *testing.T) {
	in, k := newTicketed(t, byTicket)
	k.set("OPS-1", good())
	v, err := in.Submit(t.Context(), in.as("gus"), withTicket(10*time.Minute, "OPS-1"))
	must(t, err)
	id := string(v.Request.ID)
	in.until("gus", id, access.Active)
	more := broker.Ask{Duration: time.Minute, Reason: "not done yet"}
	in.forgetTickets()
	longer, err := in.Extend(t.Context(), in.as("gus"), id, more)
	if must(t, err); longer.Request.State != access.RequestIsGranted {
		t.Errorf("while the ticket is open it is %s: %v", longer.Request.State, longer.Request.Decision.Reasons)
	}
	k.change("OPS-1", func(i *issue) { i.open = false })
	in.forgetTickets()
	if longer, err = in.Extend(t.Context(), in.as("gus"), id, more); err == nil && longer.Request.State == access.RequestIsGranted {
		t.Errorf("when it is closed it is %s", longer.Request.State)
	}
}

// TestStartWithoutItsTicket: a start whose ticket cannot be read waits for it, and not for
// longer than set-up may take.
func TestStartWithoutItsTicket(t *testing.T) {
	in, k := newTicketed(t, byTicket)
	k.set("OPS-1", good())
	a := withTicket(10*time.Minute, "OPS-1")
	a.Start = time.Now().Add(time.Hour)
	v, err := in.Submit(t.Context(), in.as("gus"), a)
	must(t, err)
	if v.Grant == nil || v.Grant.State != access.Scheduled {
		t.Fatalf("it is %s: %v", v.Request.State, v.Request.Decision.Reasons)
	}
	k.off(true)
	in.forgetTickets()
	must(t, in.store.Update(t.Context(), func(tx *store.Tx) error { // as if that hour were over
		g, err := tx.Grant(v.Grant.ID)
		if err != nil {
			return err
		}
		const ago = time.Hour + 2*time.Minute
		g.StartsAt, g.SetupBy, g.ExpiresAt = g.StartsAt.Add(-ago), g.SetupBy.Add(-ago), g.ExpiresAt.Add(-ago)
		g.Version++
		return tx.SaveGrants(g)
	}))
	in.stop() // which knew another start
	in.start()
	now := in.until("gus", string(v.Request.ID), access.Failed, access.Ended)
	if !strings.Contains(now.Grant.EndNote, "ticket could not be read") {
		t.Errorf("%s: %q", now.Grant.State, now.Grant.EndNote)
	}
}

// A policy that no longer watches, and a grant that is over, leave no row behind.
func TestWatchIsForgotten(t *testing.T) {
	in, k := newTicketed(t, byTicket)
	a, b := in.watched(k, "OPS-1"), in.watched(k, "OPS-2")
	_, err := in.End(t.Context(), in.as("gus"), string(a.Request.ID), "")
	must(t, err)
	in.until("gus", string(a.Request.ID), access.Ended)
	in.apply(strings.Replace(byTicket, ", endOnClose: true", "", 1))
	stop := in.vigil(50 * time.Millisecond)
	defer stop()
	until := time.Now().Add(20 * time.Second)
	for _, v := range []broker.View{a, b} {
		for {
			if _, err := in.storedWatch(v.Grant.ID); access.KindOf(err) == access.NotFound {
				break
			}
			if time.Now().After(until) {
				t.Fatal("it is still watched")
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	if now, err := in.View(t.Context(), in.as("gus"), string(b.Request.ID)); err != nil || now.Grant.State != access.Active {
		t.Errorf("it is %s, %v", now.Grant.State, err)
	}
}

// age makes the last reading of the tickets of grants older.
func (in *installation) age(by time.Duration, vs ...broker.View) {
	in.t.Helper()
	must(in.t, in.store.Update(in.t.Context(), func(tx *store.Tx) error {
		for _, v := range vs {
			w, err := tx.TicketWatch(v.Grant.ID)
			if err != nil {
				return err
			}
			w.ReadAt, w.NextAt = tx.Now().Add(-by), tx.Now()
			if err := tx.SaveTicketWatches(w); err != nil {
				return err
			}
		}
		return nil
	}))
}

// checkAll checks the tickets of grants once.
func (in *installation) checkAll(vs ...broker.View) {
	in.t.Helper()
	for _, v := range vs {
		w, err := in.storedWatch(v.Grant.ID)
		must(in.t, err)
		_ = in.CheckTicket(in.t.Context(), []access.TicketWatch{w}) // an outage is an error, and what the test is about
	}
}

// Nobody who is not concerned has Stint ask the system anything, nor with an id that is
// none, nor more often than it is worth.
func TestTicketsAreNotAskedForNothing(t *testing.T) {
	in, k := newTicketed(t, byTicket)
	k.set("OPS-1", good())
	for _, x := range []struct{ who, id string }{{"mira", "OPS-1"}, {"gus", ""}, {"gus", "../../admin"}, {"gus", "SEC-1"}, {"gus", "OPS-1?x"}} {
		if _, err := in.Preview(t.Context(), in.as(x.who), withTicket(time.Minute, x.id), ""); err != nil {
			t.Error(err)
		}
	}
	if k.asked != 0 {
		t.Errorf("it was asked %d times", k.asked)
	}
	for range 20 {
		_, err := in.Preview(t.Context(), in.as("gus"), withTicket(time.Minute, "OPS-1"), "")
		must(t, err)
	}
	if k.asked != 1 {
		t.Errorf("for twenty questions at once it was asked %d times", k.asked)
	}
}

// One ticket that cannot be read, which anybody can bring about, keeps nobody's from being
// read.
func TestOneTicketUnreadable(t *testing.T) {
	in, k := newTicketed(t, byTicket)
	k.set("OPS-1", good())
	x, err := in.Preview(t.Context(), in.as("gus"), withTicket(time.Minute, "OPS-666"), "")
	must(t, err)
	if said := fmt.Sprint(x.Trials); !strings.Contains(said, "redirect") {
		t.Fatalf("it is read: %s", said)
	}
	v, err := in.Submit(t.Context(), in.as("gus"), withTicket(time.Minute, "OPS-1"))
	must(t, err)
	if v.Request.State != access.RequestIsGranted {
		t.Errorf("%s: %v", v.Request.State, v.Request.Decision.Reasons)
	}
}
