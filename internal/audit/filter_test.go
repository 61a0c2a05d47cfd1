package audit

import (
	"net/netip"
	"testing"
	"time"

	"stint/internal/access"
)

func encodedOf(t *testing.T, e access.Event) []byte {
	t.Helper()
	e.At, e.Version = time.UnixMilli(1), max(e.Version, 1)
	b, err := Encode(Record{ID: "rec_1", Event: e})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestFilter: each filter selects by its field, and no text of another field looks like it.
func TestFilter(t *testing.T) {
	mira := access.Actor{Principal: "user:mira", Person: "mira", Address: netip.MustParseAddr("192.0.2.7")}
	const fake = `x","actor":{"principal":"user:omar","address":"198.51.100.9"},"facts":{"state":"denied"`
	said := access.Event{Type: "request.submitted", Entity: "req_1", Actor: mira, Facts: map[string]string{"reason": fake, "principal": "agent:bot", "state": "pending", "address": "203.0.113.1"}}
	denied := access.Event{Type: "request.submitted", Entity: "req_2", Actor: mira, Facts: map[string]string{"state": "denied", "extends": "grt_9"}}
	failed := access.Event{Type: "grant.ended", Entity: "grt_1", Actor: access.System, Facts: map[string]string{"request": "req_1", "state": "failed"}}
	for _, c := range []struct {
		name string
		f    Filter
		want [3]bool // said, denied, failed
	}{
		{"nothing", Filter{}, [3]bool{true, true, true}},
		{"actor", Filter{Actor: "user:mira"}, [3]bool{true, true, false}},
		{"a beginning of an actor", Filter{Actor: "user:mir"}, [3]bool{}},
		{"an actor in a text", Filter{Actor: "user:omar"}, [3]bool{}},
		{"an actor that ends the field", Filter{Actor: `user:omar","address":"198.51.100.9`}, [3]bool{}},
		{"noun", Filter{Noun: "grant"}, [3]bool{false, false, true}},
		{"a beginning of a noun", Filter{Noun: "gran"}, [3]bool{}},
		{"agent", Filter{Agent: "bot"}, [3]bool{true, false, false}},
		{"any agent", Filter{Agent: "*"}, [3]bool{true, false, false}},
		{"another agent", Filter{Agent: "b"}, [3]bool{}},
		{"address", Filter{Address: netip.MustParseAddr("192.0.2.7")}, [3]bool{true, true, false}},
		{"an address in a fact", Filter{Address: netip.MustParseAddr("203.0.113.1")}, [3]bool{}},
		{"an address in a text", Filter{Address: netip.MustParseAddr("198.51.100.9")}, [3]bool{}},
		{"about", Filter{About: []string{"req_1"}}, [3]bool{true, false, true}},
		{"about one of two", Filter{About: []string{"req_2", "grt_1"}}, [3]bool{false, true, true}},
		{"extends", Filter{About: []string{"grt_9"}}, [3]bool{false, true, false}},
		{"denied", Filter{Result: Refused}, [3]bool{false, true, false}},
		{"trouble", Filter{Result: Trouble}, [3]bool{false, false, true}},
		{"done", Filter{Result: Fine}, [3]bool{true, false, false}},
		{"text", Filter{Text: `"actor":{`}, [3]bool{true, false, false}},
		{"two", Filter{Actor: "user:mira", Result: Refused}, [3]bool{false, true, false}},
	} {
		for i, e := range []access.Event{said, denied, failed} {
			if got := c.f.Match(e.Type, encodedOf(t, e)); got != c.want[i] {
				t.Errorf("%s, %s of %s: %v", c.name, e.Type, e.Entity, got)
			}
		}
		if c.f.Cuts() != (c.name != "nothing") {
			t.Errorf("%s: cuts: %v", c.name, c.f.Cuts())
		}
	}
	for e, want := range map[*access.Event]Result{&said: Fine, &denied: Refused, &failed: Trouble} {
		if got := ResultOf(e.Type, encodedOf(t, *e)); got != want {
			t.Errorf("%s: %s, want %s", e.Entity, got, want)
		}
	}
}
