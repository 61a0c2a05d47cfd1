package ticket

import "testing"

// Who names a ticket that is not there is told what one looks like, and where they are.
// It is the same for each reason, so that it tells nothing of what there is.
func TestUnknownSaysTheForm(t *testing.T) {
	for _, x := range []struct {
		site Site
		want string
	}{
		{Site{Name: "corp-jira", Type: Jira, Options: map[string]string{"projects": "OPS,SHOP"}}, "check the ticket: a key like OPS-12, of project OPS, SHOP"},
		{Site{Name: "now", Type: ServiceNow}, "check the ticket: a number like INC0012345, in the table incident"},
		{Site{Name: "hub", Type: GitHub, Options: map[string]string{"repository": "shop/orders"}}, "check the ticket: the number of an issue, like 12 or #12, in shop/orders"},
		{Site{Name: "desk", Type: HTTP}, "check the ticket: letters, digits, - and _, in desk"},
	} {
		if got := x.site.unknown().Next; got != x.want {
			t.Errorf("%s: %q, want %q", x.site.Type, got, x.want)
		}
	}
	for _, s := range Schemas() {
		if s.TicketForm == "" {
			t.Errorf("%s says nothing of its tickets", s.Type)
		}
	}
}
