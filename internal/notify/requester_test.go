package notify

import (
	"context"
	netmail "net/mail"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"stint/internal/access"
)

// register says where people are reached.
type register struct {
	mu    sync.Mutex
	at    map[access.PrincipalID]string
	quiet map[access.PrincipalID]bool
}

func (r *register) Reach(_ context.Context, _, _ string, p access.PrincipalID) (string, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at[p], r.quiet[p], nil
}

// granted makes the grant of a request active, and logs it.
func (h *house) granted(id access.RequestID) *access.Grant {
	h.t.Helper()
	h.change(id, access.RequestApproved, approved)
	h.mu.Lock()
	r := h.requests[id]
	g := grantOf(r)
	g.ActiveAt = time.Now()
	g.ExpiresAt = g.ActiveAt.Add(g.Duration)
	h.grants[id] = g
	h.mu.Unlock()
	h.tell(access.GrantActive, g)
	return g
}

func (h *house) tell(t access.EventType, g *access.Grant) {
	h.t.Helper()
	h.log(access.Event{Type: t, Entity: string(g.ID), Facts: map[string]string{"request": string(g.Request), "resource": "orders-db"}})
}

func (h *house) ended(id access.RequestID, why access.EndReason) {
	h.t.Helper()
	h.mu.Lock()
	g := over(h.grants[id])
	g.EndReason = why
	h.grants[id] = g
	h.mu.Unlock()
	h.tell(access.GrantEnded, g)
}

// mailsTo are the first words of the bodies of what an address got, in turn.
func (p *postOffice) mailsTo(t *testing.T, address string) (titles []string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, text := range p.mails {
		m, err := netmail.ReadMessage(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if m.Header.Get("To") == address {
			title, _, _ := strings.Cut(partsOf(t, m)[0], ":")
			titles = append(titles, title)
		}
	}
	return titles
}

// TestRequesterMail: whoever asked gets a mail when it is ready, before it ends, and when
// it ended; nothing of what they did themselves; and those who decide get theirs as before.
func TestRequesterMail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, p := newHouse(t), newPostOffice(t)
		s, _ := h.mailTo(p, "smtp://mail.example")
		h.integrations[0].Options[ofRequesters] = "yes"
		people := &register{at: map[access.PrincipalID]string{"user:mira": "mira@example.com", "user:tess": "tess@example.com"}, quiet: map[access.PrincipalID]bool{"user:tess": true}}
		s.Requesters = people
		h.log(access.Event{Type: "documents.applied", Entity: "documents"})
		stop := start(s)
		defer stop()
		pass(2 * time.Second)
		// A whole life.
		first := h.ask(1)
		pass(5 * time.Second)
		if got := p.mailsTo(t, "mira@example.com"); len(got) != 0 {
			t.Errorf("of what she did herself: %q", got)
		}
		h.granted(first)
		pass(5 * time.Second)
		if got := p.mailsTo(t, "mira@example.com"); len(got) != 1 || !strings.HasPrefix(got[0], "Ready until") {
			t.Fatalf("ready: %q", got)
		}
		pass(30*time.Minute - soon(h.grants[first]) - 30*time.Second)
		if got := p.mailsTo(t, "mira@example.com"); len(got) != 1 {
			t.Errorf("before its time: %q", got)
		}
		pass(time.Minute)
		if got := p.mailsTo(t, "mira@example.com"); len(got) != 2 || !strings.HasPrefix(got[1], "Ends ") {
			t.Fatalf("about to end: %q", got)
		}
		h.ended(first, access.ByTime)
		pass(5 * time.Second)
		if got := p.mailsTo(t, "mira@example.com"); len(got) != 3 || !strings.HasPrefix(got[2], "Ended") {
			t.Fatalf("ended: %q", got)
		}
		// Denied; withdrawn; given back early, which also leaves nothing to say of its end.
		h.change(h.ask(2), access.RequestDenied, denied)
		h.change(h.ask(3), access.RequestCancelled, func(r *access.Request) { r.State = access.RequestWithdrawn })
		early := h.ask(4)
		h.granted(early)
		pass(5 * time.Second)
		h.ended(early, access.ByHolder)
		pass(time.Hour)
		if got := p.mailsTo(t, "mira@example.com"); len(got) != 5 || !strings.HasPrefix(got[3], "Denied") && !strings.HasPrefix(got[4], "Denied") {
			t.Errorf("then: %q", got)
		}
		// Who wants trouble only hears of trouble only; of whom nobody knows an address, nothing.
		tess := func(r *access.Request) { r.Principal, r.Person = "user:tess", "tess" }
		h.change(h.ask(5, tess), access.RequestDenied, denied)
		taken := h.ask(6, tess)
		h.granted(taken)
		pass(5 * time.Second)
		h.ended(taken, access.ByPerson)
		h.change(h.ask(7, func(r *access.Request) { r.Principal, r.Person = "user:gus", "gus" }), access.RequestDenied, denied)
		pass(time.Hour)
		if got := p.mailsTo(t, "tess@example.com"); len(got) != 1 || !strings.HasPrefix(got[0], "Ended") {
			t.Errorf("trouble only: %q", got)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		ids := map[string]bool{}
		for _, text := range p.mails {
			m, err := netmail.ReadMessage(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			if id := m.Header.Get("Message-ID"); ids[id] {
				t.Errorf("two mails are %s", id)
			} else {
				ids[id] = true
			}
			if to := m.Header.Get("To"); to == "mira@example.com" && strings.Contains(text, "Approve?") {
				t.Error("who asked is asked to approve")
			}
		}
	})
}

// TestRequesterMailHourDown: an hour without the server loses no end, and repeats nothing.
func TestRequesterMailHourDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, p := newHouse(t), newPostOffice(t)
		s, _ := h.mailTo(p, "smtp://mail.example")
		h.integrations[0].Options[ofRequesters] = "yes"
		s.Requesters = &register{at: map[access.PrincipalID]string{"user:mira": "mira@example.com"}}
		h.log(access.Event{Type: "documents.applied", Entity: "documents"})
		stop := start(s)
		pass(2 * time.Second)
		p.mu.Lock()
		p.down = true
		p.mu.Unlock()
		id := h.ask(1)
		pass(time.Minute)
		h.granted(id)
		pass(31 * time.Minute)
		h.ended(id, access.ByTime)
		pass(30 * time.Minute)
		stop()
		stop = start(s) // and a restart on top
		pass(time.Minute)
		p.mu.Lock()
		p.down = false
		p.mu.Unlock()
		pass(2 * mostWait)
		stop()
		if got := p.mailsTo(t, "mira@example.com"); len(got) != 1 || !strings.HasPrefix(got[0], "Ended") {
			t.Errorf("after the hour: %q", got)
		}
	})
}

// TestRequesterSlack: whoever linked themselves has one direct message for a request,
// edited in place, without buttons that decide.
func TestRequesterSlack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, w, srv := newHouse(t), newWire(), newSlackServer(t)
		h.slackTo(w, srv)
		h.integrations[0].Options[ofRequesters] = "yes"
		s := h.service(w, "a")
		s.Requesters = &register{at: map[access.PrincipalID]string{"user:mira": "U0MIRA"}}
		h.log(access.Event{Type: "documents.applied", Entity: "documents"})
		stop := start(s)
		pass(2 * time.Second)
		id := h.ask(1)
		pass(2 * time.Second)
		h.granted(id)
		pass(2 * time.Second)
		h.ended(id, access.ByPerson)
		pass(time.Hour)
		stop()
		var own []slackPost
		for _, ts := range srv.order {
			if m := srv.messages[ts]; m.Channel == "D0MIRA" || m.Channel == "U0MIRA" {
				own = append(own, m)
			}
		}
		if len(own) != 1 || len(srv.problems) > 0 {
			t.Fatalf("%d direct messages, %v", len(own), srv.problems)
		}
		contains(t, own[0].Text, "Ended: your reader on orders-db")
		for _, b := range own[0].Blocks {
			if b["block_id"] == "decide" && strings.Contains(strings.ToLower(own[0].Text), "approve") {
				t.Error("who asked can decide")
			}
		}
		if srv.posts != 2 {
			t.Errorf("%d posts, want the channel's and hers", srv.posts)
		}
	})
}
