package broker_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stint/internal/access"
	"stint/internal/broker"
)

// Whoever answers for somebody sees them; administrators and auditors see all; everybody
// else sees nobody.
func TestPartyLists(t *testing.T) {
	h := newHouse(t, time.Hour)
	ctx := t.Context()
	h.held(fixer, task("OPS-1", time.Hour))
	h.held(helper, task("OPS-2", time.Hour))
	_, _, err := h.EndTask(ctx, h.by(fixer), "", "OPS-1", "done")
	must(t, err)
	h.held(fixer, task("OPS-3", time.Hour))
	type lists struct{ Vendors, Agents, Open, All []string }
	both := []string{"agent:fixer", "agent:helper"}
	every := []string{"agent:fixer/OPS-1", "agent:fixer/OPS-3", "agent:helper/OPS-2"}
	for who, want := range map[access.PrincipalID]lists{
		"user:root": {[]string{"user:bo"}, both, every[1:], every},
		"user:olga": {Vendors: []string{"user:bo"}},
		"user:mira": {nil, both, every[1:], every},
		fixer:       {nil, both[:1], every[1:2], every[:2]},
		bo:          {},
		"user:noor": {},
	} {
		var got lists
		c := h.by(who)
		c.Principal.Admin = who == "user:root"
		vs, err := h.Vendors(ctx, c, "")
		must(t, err)
		as, err := h.Agents(ctx, c, "")
		must(t, err)
		got.Vendors, got.Agents = names(vs), names(as)
		for open, to := range map[bool]*[]string{true: &got.Open, false: &got.All} {
			q := access.TaskQuery{Open: open, Limit: 1}
			for { // one a page, so that pages cross from one agent to the next
				ts, _, err := h.Tasks(ctx, c, q)
				must(t, err)
				if len(ts) == 0 {
					break
				}
				*to = append(*to, ts[0].Key())
				q.After = ts[0].Key()
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s:\n%s", who, d)
		}
	}
	for sponsor, want := range map[access.PrincipalID]int{"user:olga": 1, "user:omar": 0} {
		c := h.by("user:noor")
		c.Principal.Auditor = true
		if vs, err := h.Vendors(ctx, c, sponsor); err != nil || len(vs) != want {
			t.Errorf("of %s: %v %v", sponsor, vs, err)
		}
	}
	glass := h.by("user:mira")
	glass.Glass = &access.Glass{}
	_, err = h.Agents(ctx, glass, "")
	wantCode(t, err, "break-glass-only")
}

func names(ps []access.Principal) (out []string) {
	for _, p := range ps {
		out = append(out, string(p.ID))
	}
	return out
}

// A preview names who may answer in somebody's place, but not where a passkey is asked for,
// and not who asks.
func TestPreviewNamesDelegates(t *testing.T) {
	in := newInstallation(t)
	in.apply(guests("{approvals: [{from: [user:omar]}]}"))
	for _, to := range []string{"noor", "gus"} {
		_, err := in.Delegate(t.Context(), in.as("omar"), broker.Delegation{To: access.NewPrincipalID(access.User, to), For: time.Hour, Why: "on leave"})
		if err != nil && access.KindOf(err) != access.Conflict {
			t.Fatal(err)
		}
	}
	who := func() (out []string) {
		x, err := in.Preview(t.Context(), in.as("gus"), ask("reader", time.Minute), "")
		must(t, err)
		for _, d := range x.Asked[0].Delegates {
			out = append(out, string(d.To.ID+" for "+d.For.ID))
		}
		return out
	}
	if d := cmp.Diff([]string{"user:noor for user:omar"}, who()); d != "" {
		t.Error(d)
	}
	in.change(func(p *access.Principal) { p.Disabled = true }, "noor")
	if got := who(); got != nil {
		t.Errorf("who is disabled is named: %v", got)
	}
}
