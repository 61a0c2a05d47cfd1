package ticketdesk

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/policy"
)

// house knows some users; it has no tickets.
type house struct {
	Systems
	users  []access.Principal
	linked map[access.Identity]access.Person
	asked  int
}

func (h *house) Users(context.Context) ([]access.Principal, error) { return h.users, nil }

func (h *house) Persons(_ context.Context, ids []access.Identity) (map[access.Identity]access.Person, error) {
	h.asked += len(ids)
	return h.linked, nil
}

func desk(h *house) *Desk { return New(h, slog.New(slog.DiscardHandler)) }

// A system that does not answer is left alone for a moment; one ticket that cannot be
// read is no word about the others; and what was read before stays good.
func TestSilence(t *testing.T) {
	t0 := time.Now()
	d := desk(&house{})
	a, b := ticketKey{1, "jira", "OPS-1"}, ticketKey{1, "jira", "OPS-2"}
	d.keep(a, Reading{at: t0, Is: policy.Ticket{Open: true}})
	d.keep(b, Reading{at: t0, Err: access.Fail(access.Unavailable, access.TicketUnreadable, "no text")})
	if r, ok := d.known(ticketKey{1, "jira", "OPS-3"}, Good, t0); ok {
		t.Errorf("one that cannot be read keeps another from being read: %+v", r)
	}
	d.keep(b, Reading{at: t0, Err: Silent("jira", "it is down")})
	if r, ok := d.known(ticketKey{1, "jira", "OPS-3"}, Good, t0.Add(rest)); !ok || !errors.Is(r.Err, access.Unavailable) {
		t.Errorf("it is asked again at once: %+v", r)
	}
	if _, ok := d.known(ticketKey{1, "jira", "OPS-3"}, Good, t0.Add(rest+1)); ok {
		t.Error("it is never asked again")
	}
	if r, ok := d.known(a, Good, t0.Add(Good)); !ok || !r.Is.Open {
		t.Errorf("what was read is forgotten: %+v", r)
	}
	if _, ok := d.known(a, Good, t0.Add(Good+1)); ok {
		t.Error("what was read is good for ever")
	}
	if _, ok := d.known(ticketKey{2, "jira", "OPS-1"}, Good, t0.Add(rest+1)); ok {
		t.Error("it counts under other documents, which may name another system")
	}
}

// An attribute that two persons have names nobody, and two logins of one person name them.
func TestPersonsByAttribute(t *testing.T) {
	user := func(person access.Person, id string) access.Principal {
		return access.Principal{Person: person, Attributes: map[string]string{"jira": id}}
	}
	h := &house{users: []access.Principal{user("mira", "m"), user("mira", "m"), user("noor", "x"), user("omar", "x"), user("noor", "x")}}
	in := policy.Integration{Name: "jira", Options: map[string]string{"attribute": "jira"}}
	got, err := desk(h).personify(t.Context(), in, access.Ticket{Assignee: "m", Reporter: "x", Editors: []string{"m", "gone"}, EditorsKnown: true})
	if err != nil || got.Assignee != "mira" || got.Reporter != "" || len(got.Editors) != 2 || got.Editors[0] != "mira" || got.Editors[1] != "" {
		t.Errorf("%+v, %v", got, err)
	}
}

// Identities are looked up once each, a bounded number of them.
func TestPersonsByIdentity(t *testing.T) {
	h := &house{linked: map[access.Identity]access.Person{{Provider: "jira", Subject: "m"}: "mira"}}
	tk := access.Ticket{Assignee: "m", Reporter: "m", EditorsKnown: true, Editors: make([]string, 0, 1000)}
	for i := range 1000 {
		tk.Editors = append(tk.Editors, string(rune('一'+i)))
	}
	got, err := desk(h).personify(t.Context(), policy.Integration{Name: "jira"}, tk)
	if err != nil || got.Assignee != "mira" || got.Reporter != "mira" || h.asked != mostPeople {
		t.Errorf("%s, %s, %d asked, %v", got.Assignee, got.Reporter, h.asked, err)
	}
}
