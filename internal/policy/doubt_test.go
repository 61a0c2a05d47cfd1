package policy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/oncall"
)

// TestConditionsInDoubt: where it is not known whether somebody is on call, a condition
// about that denies if it would in any case and allows only if it would in every case;
// where the shift makes no difference, all is as ever. What lives goes by what is known.
func TestConditionsInDoubt(t *testing.T) {
	other := strings.NewReplacer("name: payments", "name: web", "PI7DH85", "PWEB", "kind: Integration\nname: pager", "kind: Integration\nname: pager2").Replace(elsewhere)
	documents := func(effect, when string) string {
		text := shop + elsewhere + other
		if effect == "deny" {
			text += rule("all", "{subjects: ['*'], roles: [reader]}") + "---\n"
		}
		return text + fmt.Sprintf("kind: Policy\nname: p\neffect: %s\nsubjects: ['*']\nroles: [reader]\n%s\n", effect, when)
	}
	down := Duty{Trouble: "who is on call was last found out 2h ago"}
	nobody := Duty{Shifts: []oncall.Shift{{Member: "PAM4FGS", From: noon.Add(-time.Hour), Until: noon.Add(time.Hour)}}}
	mira := Duty{Shifts: []oncall.Shift{{Member: "PXPGF42", From: noon.Add(-time.Hour), Until: noon.Add(time.Hour)}}}
	stranger := ask()
	stranger.Principal.ID, stranger.Principal.Person = "user:omar", "omar"
	for name, c := range map[string]struct {
		effect, when  string
		payments, web Duty
		a             Ask
		p             Phase
		allow         bool
		doubt         bool // and that is said
	}{
		"denies who is on call, who is not":       {"deny", "when: '\"payments\" in principal.onCall'", nobody, nobody, ask(), AtRequest, true, false},
		"denies who is on call, who is":           {"deny", "when: '\"payments\" in principal.onCall'", mira, nobody, ask(), AtRequest, false, false},
		"denies who is on call, not known":        {"deny", "when: '\"payments\" in principal.onCall'", down, nobody, ask(), AtRequest, false, true},
		"denies, at the start":                    {"deny", "when: '\"payments\" in principal.onCall'", down, nobody, ask(), AtActivation, false, true},
		"denies, by a while":                      {"deny", "while: '\"payments\" in principal.onCall'", down, nobody, ask(), AtRequest, false, true},
		"denies, while it lives":                  {"deny", "while: '\"payments\" in principal.onCall'", down, nobody, ask(), Alive, true, false},
		"denies unless on call, not known":        {"deny", "when: '!(\"payments\" in principal.onCall)'", down, nobody, ask(), AtRequest, false, true},
		"denies unless on call, who is":           {"deny", "when: '!(\"payments\" in principal.onCall)'", mira, down, ask(), AtRequest, true, false},
		"denies, and the other is not known":      {"deny", "when: '\"payments\" in principal.onCall'", nobody, down, ask(), AtRequest, true, false},
		"denies whoever is on call anywhere":      {"deny", "when: 'principal.onCall.size() > 0'", nobody, down, ask(), AtRequest, false, true},
		"denies, both not known":                  {"deny", "when: '\"payments\" in principal.onCall && \"web\" in principal.onCall'", down, down, ask(), AtRequest, false, true},
		"denies, which makes no difference":       {"deny", "when: '\"payments\" in principal.onCall && request.reason == \"\"'", down, nobody, ask(), AtRequest, true, false},
		"denies who takes no shifts":              {"deny", "when: '\"payments\" in principal.onCall'", down, down, stranger, AtRequest, true, false},
		"allows who is on call, not known":        {"allow", "when: '\"payments\" in principal.onCall'", down, nobody, ask(), AtRequest, false, true},
		"allows who is on call in the other":      {"allow", "when: '\"web\" in principal.onCall'", down, mira, ask(), AtRequest, true, false},
		"allows who is not on call, not known":    {"allow", "when: '!(\"payments\" in principal.onCall)'", down, nobody, ask(), AtRequest, false, true},
		"allows who takes no shifts":              {"allow", "when: '!(\"payments\" in principal.onCall)'", down, down, stranger, AtRequest, true, false},
		"allows, which makes no difference":       {"allow", "when: '\"payments\" in principal.onCall || request.reason != \"\"'", down, nobody, ask(), AtRequest, true, false},
		"allows who is not on call, and it lives": {"allow", "while: '!(\"payments\" in principal.onCall)'", down, nobody, ask(), Alive, true, false},
	} {
		s := compile(t, documents(c.effect, c.when)).With(map[string]Duty{"payments": c.payments, "web": c.web})
		d := s.Decide(c.a, c.p, noon)
		if (d.Effect == access.Allow) != c.allow {
			t.Errorf("%s: %s", name, said(d))
		}
		if !c.doubt {
			continue
		}
		const why = "it is not known whether user:mira is on call: who is on call was last found out 2h ago"
		if !strings.Contains(said(d), why) {
			t.Errorf("%s: it does not say why: %s", name, said(d))
		}
		if x := s.Explain(c.a, noon); c.effect == "allow" && !strings.Contains(fmt.Sprint(x.Trials), why) {
			t.Errorf("%s: the explanation does not say why: %v", name, x.Trials)
		} else if x.Decision.Effect != access.Deny {
			t.Errorf("%s: it is explained as %s", name, x.Decision.Effect)
		}
	}
}

// TestManyDoubts: in how many schedules so ever nobody knows, a condition is not asked more
// often than is bearable, and denies.
func TestManyDoubts(t *testing.T) {
	text := shop + elsewhere + rule("all", "{subjects: ['*'], roles: [reader]}") +
		"---\nkind: Policy\nname: p\neffect: deny\nsubjects: ['*']\nroles: [reader]\nwhen: '\"s5\" in principal.onCall'\n"
	for n := range manyDoubts + 1 {
		text += fmt.Sprintf("---\nkind: Schedule\nname: s%d\nintegration: pager\ncalendar: P%d\npeople: {PX: user:mira}\nmaxAge: 30m\n", n, n)
	}
	if d := compile(t, text).Decide(ask(), AtRequest, noon); d.Effect != access.Deny || !strings.Contains(said(d), "nobody has asked pager yet") {
		t.Error(said(d))
	}
}
