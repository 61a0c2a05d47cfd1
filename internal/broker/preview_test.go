package broker_test

import (
	"fmt"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/approvers"
	"stint/internal/broker"
)

// A preview names the people who would be asked, without who asks, and says how long
// they usually take once they have answered often enough.
func TestPreviewNames(t *testing.T) {
	in := newInstallation(t)
	in.apply(guests("{approvals: [{from: [group:dba]}, {from: ['*'], stage: 2}]}"))
	names := func(x broker.Preview) string {
		var out []access.PrincipalID
		for _, p := range x.Asked[0].People {
			out = append(out, p.ID)
		}
		return fmt.Sprint(out)
	}
	preview := func() broker.Preview {
		t.Helper()
		x, err := in.Preview(t.Context(), in.as("gus"), ask("reader", time.Minute), "")
		must(t, err)
		if len(x.Asked) != 2 || len(x.Asked[1].People) != 0 {
			t.Fatalf("asked: %+v", x.Asked)
		}
		return x
	}
	in.change(func(p *access.Principal) { p.Disabled = true }, "olga")
	if x := preview(); names(x) != "[user:omar]" || x.Asked[0].Usual != (approvers.Usual{}) {
		t.Errorf("named %s, usual %+v", names(x), x.Asked[0].Usual)
	}
	in.change(func(p *access.Principal) { p.Disabled = false }, "olga")
	if x := preview(); names(x) != "[user:olga user:omar]" {
		t.Errorf("named %s", names(x))
	}

	in.stop() // a process that worked nothing out yet
	in.start()
	for range approvers.FewAnswers {
		v, err := in.Submit(t.Context(), in.as("gus"), ask("reader", time.Minute))
		must(t, err)
		_, err = in.Vote(t.Context(), in.as("omar"), string(v.Request.ID), access.Vote{Note: "not today"})
		must(t, err)
	}
	x := preview()
	if u := x.Asked[0].Usual; u.Answers != approvers.FewAnswers || u.Median < 0 || u.Median > time.Minute || u.Unanswered != 0 {
		t.Errorf("usual %+v", u)
	}
	if u := x.Asked[1].Usual; u != (approvers.Usual{}) {
		t.Errorf("the second stage was never asked, and usual is %+v", u)
	}
}
