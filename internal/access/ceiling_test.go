package access

import (
	"strings"
	"testing"
	"time"
)

// TestCeilingDemands says early what a host would refuse in the end.
func TestCeilingDemands(t *testing.T) {
	c := Ceiling{Rules: []CeilingRule{
		{Mechanisms: []Mechanism{Elevate}, RunAs: []string{"postgres"}, Longest: time.Hour},
		{Mechanisms: []Mechanism{Member}, Rights: []string{"dba"}, Longest: time.Hour},
		{Mechanisms: []Mechanism{Elevate, Member}, Accounts: []string{"deploy"}, Longest: 2 * time.Hour, Approvals: 2, Level: LevelClient, Fresh: time.Hour},
	}}
	ask := func(criticality Criticality, d time.Duration, levels ...Level) Request {
		r := Request{Duration: d, Targets: []Target{{Criticality: criticality}}, Decision: Decision{Effect: Allow}}
		for _, l := range levels {
			r.Decision.Effect = Approve
			r.Decision.Approvals = append(r.Decision.Approvals, Requirement{Count: 1, Level: l})
		}
		return r
	}
	root := Permissions{Mechanism: Elevate, Rights: []string{"/bin/true"}}
	for name, x := range map[string]struct {
		c       Ceiling
		r       Request
		p       Permissions
		account string
		want    string
	}{
		"as postgres":                     {c, ask(Low, time.Hour), Permissions{Mechanism: Elevate, Options: map[string]string{"runAs": "postgres"}}, "x", ""},
		"as root, allowed":                {c, ask(Critical, time.Hour), root, "deploy", "host-wants-passkeys"},
		"as root, by console":             {c, ask(Critical, time.Hour, LevelConsole, LevelConsole), root, "deploy", "host-wants-passkeys"},
		"as root, one passkey":            {c, ask(Critical, time.Hour, LevelPasskey, LevelConsole), root, "deploy", "host-wants-passkeys"},
		"as root, two by pages":           {c, ask(High, time.Hour, LevelPasskey, LevelPasskey), root, "deploy", "host-wants-passkeys"},
		"as root, two":                    {c, ask(Critical, time.Hour, LevelPasskey, LevelPasskey), root, "deploy", ""},
		"as root, of another account":     {c, ask(Critical, time.Hour, LevelPasskey, LevelPasskey), root, "other", "host-never"},
		"too long":                        {c, ask(Critical, 3*time.Hour, LevelPasskey, LevelPasskey), root, "deploy", "host-longest"},
		"a group that is free":            {c, ask(Low, time.Hour), Permissions{Mechanism: Member, Rights: []string{"dba"}}, "x", ""},
		"with one that is not":            {c, ask(Low, time.Hour), Permissions{Mechanism: Member, Rights: []string{"dba", "sudo"}}, "deploy", "host-wants-passkeys"},
		"what no rule holds":              {c, ask(Low, time.Hour), Permissions{Mechanism: Token}, "deploy", "host-never"},
		"a roster that is not in order":   {Ceiling{Why: "it is gone"}, ask(Low, time.Hour), root, "deploy", "host-roster"},
		"one that nobody was told":        {Ceiling{Untold: true}, ask(Low, time.Hour), root, "deploy", ""},
		"a ceiling without a single rule": {Ceiling{}, ask(Low, time.Hour), root, "deploy", "host-never"},
	} {
		err := x.c.Demands("web1:22", x.r, x.p, x.account)
		got := ""
		if e, ok := err.(*Error); ok {
			got = e.Code
		}
		if got != x.want {
			t.Errorf("%s: %v, want %q", name, err, x.want)
		}
	}
	if s := c.Text(); !strings.Contains(s, "2 approvals by passkey, asked for by stint approve") || !strings.Contains(s, "as postgres") || len(strings.Split(s, "\n")) != 3 {
		t.Error(s)
	}
	if s := (&Ceiling{Untold: true}).Text(); !strings.Contains(s, "too long to be told") {
		t.Error(s)
	}
	if (*Ceiling)(nil).Text() != "none" {
		t.Error("no ceiling")
	}
}
