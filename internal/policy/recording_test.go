package policy

import (
	"strings"
	"testing"

	"stint/internal/access"
)

// TestRecording: what asks for a recording is met by what goes through a gateway, which
// records always, and by nothing else, for people, for agents and where glass is broken.
func TestRecording(t *testing.T) {
	const rest = `---
kind: Resource
name: web1
type: linux
criticality: low
connection: {address: "web1:22", credential: c}
ceiling: {mechanisms: [token, account, enable, group, elevate]}
---
kind: Policy
name: recorded
subjects: [group:platform, group:agents]
roles: [r]
require: {recording: true}
---
kind: Policy
name: emergencies
effect: breakGlass
subjects: [group:platform]
roles: [r]
require: {recording: true}
`
	decide := func(role string, bend func(*Ask)) access.Decision {
		t.Helper()
		docs, err := Parse([]File{{"policy.yaml", role + rest}})
		if err != nil {
			t.Fatal(err)
		}
		s, err := Compile(docs, hostSchemas, 1)
		if err != nil {
			t.Fatal(err)
		}
		a := ask()
		a.Resource, a.Role = "web1", "r"
		bend(&a)
		return s.Decide(a, AtRequest, noon)
	}
	callers := map[string]func(*Ask){
		"a person": func(*Ask) {},
		"an agent": func(a *Ask) {
			agent := agentAsk(a.Duration)
			a.Principal, a.Answers, a.Task = agent.Principal, agent.Answers, agent.Task
		},
		"broken glass": func(a *Ask) { a.Emergency = true },
	}
	for _, x := range []struct {
		mechanism, section string
		recorded           bool
	}{
		{"token", `account: deploy, through: gateway`, true},
		{"token", `account: deploy, through: gateway, record: strict`, true},
		{"account", `memberOf: [adm], through: gateway`, true},
		{"enable\nexclusive: true", `account: oracle, through: gateway`, true},
		{"token", `account: deploy`, false},
		{"token", `account: deploy, through: direct`, false},
		{"group", `account: deploy, memberOf: [adm]`, false},
		{"elevate", `account: deploy, commands: [/usr/bin/id]`, false},
	} {
		for who, bend := range callers {
			d := decide(hostRole(x.mechanism, x.section), bend)
			missed := strings.Contains(said(d), "it asks for the session to be recorded, which a gateway does, and sessions of role r on linux do not go through one")
			if got := d.Effect != access.Deny; got != x.recorded || missed == x.recorded {
				t.Errorf("%s, %s {%s}: %s", who, x.mechanism, x.section, said(d))
			}
		}
	}
}
