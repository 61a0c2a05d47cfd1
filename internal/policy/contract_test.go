package policy

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stint/internal/access"
)

// TestContract runs the documents that the product promises to understand, with
// and without connectors' schemas.
func TestContract(t *testing.T) {
	docs, err := Parse([]File{readFile(t, "contract.yaml")})
	if err != nil {
		t.Fatal(err)
	}
	offline, err := Compile(docs, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Compile(docs, schemas, 1)
	if err != nil {
		t.Fatal(err)
	}
	sunday := noon.Add(24 * time.Hour)
	for _, tt := range []struct {
		name string
		edit func(*Ask)
		now  time.Time
		want string
	}{
		{"an hour", func(*Ask) {}, noon, "approve orders-read\n" +
			"  lets user:mira have reader on orders-db for up to 2h, after 1 approval from group:dba (orders-read, contract.yaml:33)\n"},
		{"Sunday", func(*Ask) {}, sunday, "deny freeze\n" +
			"  denies when now.weekday == \"Sunday\" && resource.labels.env == \"prod\" (freeze, contract.yaml:51)\n"},
		{"no ticket", func(a *Ask) { a.Ticket = "" }, noon, "deny orders-read\n" +
			"  the ticket must match ^INC-[0-9]+$; name it with --ticket (orders-read, contract.yaml:41)\n"},
		{"too long", func(a *Ask) { a.Duration = 90 * time.Minute }, noon, "deny \n" +
			"  no policy lets user:mira have reader on orders-db\n" +
			"  its condition does not hold: request.duration <= duration(\"1h\") && source.ip.inCIDR(\"127.0.0.0/8\") (orders-read, contract.yaml:38)\n"},
	} {
		a := ask()
		tt.edit(&a)
		for _, set := range []*Set{s, offline} {
			if diff := cmp.Diff(said(set.Decide(a, AtRequest, tt.now)), tt.want); diff != "" {
				t.Errorf("%s, got -, want +:\n%s", tt.name, diff)
			}
		}
	}
	a := ask()
	a.Role = "orders-owner"
	r, err := s.Resolve(a)
	want := access.Permissions{Mechanism: access.Member, Rights: []string{"orders_owner"},
		Options: map[string]string{"scramIterations": "4096", "sessions": "end"}}
	if diff := cmp.Diff(r.Permissions, want); diff != "" || err != nil || r.Target.Account != "mira" {
		t.Errorf("got account %q, %v, and -, want +:\n%s", r.Target.Account, err, diff)
	}
}
