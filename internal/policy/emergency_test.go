package policy

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stint/internal/access"
)

const glass = `{effect: breakGlass, subjects: [group:platform], roles: [owner, any]}`

// TestBreakGlass holds who may break glass, and what stands in the way.
func TestBreakGlass(t *testing.T) {
	for _, tt := range []struct {
		name     string
		policies string
		ask      func(*Ask)
		phase    Phase
		want     string
	}{
		{name: "nobody by default", policies: rule("p", `{subjects: ["*"], roles: ["*"]}`), want: "deny | no policy lets user:mira break glass for owner on orders-db"},
		{name: "whom a policy names", policies: rule("g", glass), want: "allow g | lets user:mira break glass for owner on orders-db for up to 1h"},
		{name: "and nobody else", policies: rule("g", glass), ask: func(a *Ask) { a.Principal.Groups = nil }, want: "deny | no policy lets user:mira break glass"},
		{name: "not without an emergency", policies: rule("g", glass), ask: func(a *Ask) { a.Emergency = false }, want: "deny | no policy lets user:mira have owner"},
		{name: "administrators are no exception", ask: func(a *Ask) { a.Principal.Admin = true }, want: "deny | no policy lets"},
		{name: "a service", policies: rule("g", `{effect: breakGlass, subjects: ["*"], roles: ["*"]}`),
			ask: func(a *Ask) { a.Principal.ID, a.Role = "service:ci", "any" }, want: "deny | only people break glass: service:ci is not a user; the person who answers for it, mira"},
		{name: "an agent", policies: rule("g", `{effect: breakGlass, subjects: ["*"], roles: ["*"]}`),
			ask: func(a *Ask) { a.Principal.ID, a.Role = "agent:fixer", "any" }, want: "deny | only people break glass"},
		{name: "a vendor", policies: rule("g", `{effect: breakGlass, subjects: ["*"], roles: ["*"]}`),
			ask: func(a *Ask) { a.Principal.Until = noon.Add(24 * time.Hour) }, want: "deny | only people of the house break glass"},
		{name: "an hour is the most, whatever the role has", policies: rule("g", glass),
			ask: func(a *Ask) { a.Role, a.Duration = "any", 61*time.Minute }, want: "deny | 1h1m is over the 1h that break-glass access lasts at most"},
		{name: "the policy's own cap", policies: rule("g", `{effect: breakGlass, subjects: ["*"], roles: [owner], require: {maxDuration: 20m}}`),
			want: "deny g | 1h is over the maxDuration of 20m"},
		{name: "a reason that is long enough", policies: rule("g", `{effect: breakGlass, subjects: ["*"], roles: [owner], require: {reason: {minLength: 40}}}`),
			want: "deny g | the reason must have at least 40 characters"},
		{name: "deny overrides", policies: rule("g", glass) + rule("no", `{effect: deny, subjects: ["*"], roles: ["*"]}`), want: "deny no | denies"},
		{name: "unless it yields", policies: rule("g", glass) + rule("no", `{effect: deny, unless: breakGlass, subjects: ["*"], roles: ["*"]}`), want: "allow g"},
		{name: "to an emergency alone", policies: rule("p", `{subjects: ["*"], roles: ["*"]}`) + rule("no", `{effect: deny, unless: breakGlass, subjects: ["*"], roles: ["*"]}`),
			ask: func(a *Ask) { a.Emergency = false }, want: "deny no | denies"},
		{name: "a deny that cannot be evaluated denies", policies: rule("g", glass) + rule("no", `{effect: deny, subjects: ["*"], roles: ["*"], when: resource.labels.tier == "1"}`), want: "deny no"},
		{name: "one of two that does not yield", policies: rule("g", glass) + rule("a", `{effect: deny, unless: breakGlass, subjects: ["*"], roles: ["*"]}`) +
			rule("b", `{effect: deny, subjects: ["*"], roles: ["*"]}`), want: "deny b"},
		{name: "alive", policies: rule("g", glass), phase: Alive, want: "allow g | still lets"},
		{name: "alive, and the policy is gone", policies: rule("p", `{subjects: ["*"], roles: ["*"]}`), phase: Alive, want: "deny | no policy lets"},
		{name: "the ceiling holds", policies: rule("g", `{effect: breakGlass, subjects: ["*"], roles: ["*"]}`) +
			"kind: Role\nname: r2\nresources: {names: [orders-db]}\nmechanism: account\npostgres: {memberOf: [superpowers]}\nmaxDuration: 1h\n",
			ask: func(a *Ask) { a.Role = "r2" }, want: "deny | the ceiling of orders-db does not allow memberOf superpowers"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := ask()
			a.Emergency, a.Role, a.Ticket = true, "owner", ""
			if tt.ask != nil {
				tt.ask(&a)
			}
			d := compile(t, shop+tt.policies).Decide(a, tt.phase, noon)
			got := said(d)
			parts := strings.Split(tt.want, " | ")
			if !strings.HasPrefix(got, parts[0]) {
				t.Errorf("got %s\nwant %s", got, parts[0])
			}
			for _, p := range parts[1:] {
				if !strings.Contains(got, p) {
					t.Errorf("got %s\nwhich does not say %q", got, p)
				}
			}
			if d.Effect == access.Allow && (d.Emergency != a.Emergency || tt.phase != Alive && a.Emergency && d.MaxDuration > access.MaxEmergency) {
				t.Errorf("emergency %v for up to %s", d.Emergency, d.MaxDuration)
			}
		})
	}
}

// An emergency waits for nobody and for no other system; the documents are refused
// that would have it.
func TestBreakGlassPoliciesThatCannotBe(t *testing.T) {
	for says, text := range map[string]string{
		"waits for no approval":                                   `{effect: breakGlass, subjects: ["*"], roles: [owner], require: {approvals: [{from: [group:dba]}]}}`,
		"must not depend on a ticket":                             `{effect: breakGlass, subjects: ["*"], roles: [owner], require: {ticket: {pattern: ".+"}}}`,
		"works when sign-in does not":                             `{effect: breakGlass, subjects: ["*"], roles: [owner], require: {mfa: true}}`,
		"lasts 1h at most":                                        `{effect: breakGlass, subjects: ["*"], roles: [owner], require: {maxDuration: 61m}}`,
		"does not deny, so there is nothing to yield":             `{unless: breakGlass, subjects: ["*"], roles: [owner]}`,
		"Policy g does not deny, so there is nothing":             `{effect: breakGlass, unless: breakGlass, subjects: ["*"], roles: [owner]}`,
		`unknown unless "weekend"`:                                `{effect: deny, unless: weekend, subjects: ["*"], roles: [owner]}`,
		`unknown effect "breakglass"; did you mean "breakGlass"?`: `{effect: breakglass, subjects: ["*"], roles: [owner]}`,
	} {
		docs, err := Parse([]File{{Name: "policy.yaml", Text: shop + rule("g", text)}})
		if err == nil {
			_, err = Compile(docs, schemas, 1)
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v, want %q", text, err, says)
		}
	}
}

func TestEmergencies(t *testing.T) {
	s := compile(t, shop+rule("g", glass)+rule("short", `{effect: breakGlass, subjects: ["*"], roles: [any], require: {maxDuration: 10m, reason: {minLength: 900}}}`))
	a := Ask{Principal: mira(), Resource: "orders-db", Source: ask().Source}
	got := s.Emergencies(a, noon)
	want := []Offer{{"owner", time.Hour}, {"any", time.Hour}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %v, want %v", got, want)
	}
	a.Principal.Groups = nil
	if got := s.Emergencies(a, noon); len(got) != 1 || got[0] != (Offer{"any", 10 * time.Minute}) {
		t.Errorf("everybody: got %v", got)
	}
	a.Role = "owner"
	if got := s.Emergencies(a, noon); len(got) != 0 {
		t.Errorf("another's role: got %v", got)
	}
	for _, bend := range []func(*Ask){
		func(a *Ask) { a.Resource = "nowhere" },
		func(a *Ask) { a.Principal.ID = "service:ci" },
		func(a *Ask) { a.Principal.Disabled = true },
	} {
		b := a
		b.Role = ""
		bend(&b)
		if got := s.Emergencies(b, noon); len(got) != 0 {
			t.Errorf("%+v: got %v", b, got)
		}
	}
	for _, e := range s.WhoCan("orders-db", "owner") {
		if e.BreakGlass != (e.Policy == "g") {
			t.Errorf("who-can says break-glass %v of %s", e.BreakGlass, e.Policy)
		}
	}
}

// However policies are mixed, an emergency is allowed by a break-glass policy and nothing
// else, never longer than an hour, and never where one denies that does not yield.
func TestBreakGlassIsAWorldOfItsOwn(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var b strings.Builder
		b.WriteString(shop)
		denies, glassy := false, false
		for i := range rapid.IntRange(0, 6).Draw(rt, "policies") {
			name := "p" + string(rune('a'+i))
			mine := rapid.Bool().Draw(rt, "mine")
			who := map[bool]string{true: "group:platform", false: "group:other"}[mine]
			switch rapid.SampledFrom([]string{"allow", "deny", "yield", "glass"}).Draw(rt, "kind") {
			case "allow":
				b.WriteString(rule(name, `{subjects: [`+who+`], roles: ["*"]}`))
			case "deny":
				b.WriteString(rule(name, `{effect: deny, subjects: [`+who+`], roles: ["*"]}`))
				denies = denies || mine
			case "yield":
				b.WriteString(rule(name, `{effect: deny, unless: breakGlass, subjects: [`+who+`], roles: ["*"]}`))
			case "glass":
				b.WriteString(rule(name, `{effect: breakGlass, subjects: [`+who+`], roles: ["*"]}`))
				glassy = glassy || mine
			}
		}
		docs, err := Parse([]File{{Name: "policy.yaml", Text: b.String()}})
		if err != nil {
			rt.Fatal(err)
		}
		s, err := Compile(docs, schemas, 1)
		if err != nil {
			rt.Fatal(err)
		}
		a := ask()
		a.Emergency, a.Role = true, "any"
		a.Duration = time.Duration(rapid.IntRange(1, 180).Draw(rt, "minutes")) * time.Minute
		d := s.Decide(a, AtRequest, noon)
		want := glassy && !denies && a.Duration <= time.Hour
		if (d.Effect == access.Allow) != want || d.Effect == access.Approve {
			rt.Fatalf("got %s, want allowed %v", said(d), want)
		}
		a.Emergency = false
		if d := s.Decide(a, AtRequest, noon); d.Emergency {
			rt.Fatalf("a request that is no emergency: %s", said(d))
		}
	})
}
