package views

import (
	"testing"
	"time"
)

func TestKnown(t *testing.T) {
	hour := time.Hour
	for _, c := range []struct {
		what string
		k    Known
		line int
		want string
	}{
		{"nothing before", Known{Asked: hour}, 0, "first time"},
		{"as before", Known{Times: 3, Near: 1, Longest: hour, Asked: hour}, 0, "usual"},
		{"longer", Known{Times: 3, Near: 3, Longest: hour, Asked: 2 * hour}, 0, "longer"},
		{"at night", Known{Times: 3, Longest: hour, Asked: hour}, 0, "odd hour"},
		{"too little to call an hour odd", Known{Times: 2, Longest: hour, Asked: hour}, 0, "usual"},
		{"no schedule", Known{}, 1, "unknown"},
		{"off call", Known{Schedules: true}, 1, "off call"},
		{"on call", Known{Schedules: true, OnCall: []string{"payments"}}, 1, "on call"},
		{"no ticket", Known{}, 2, "none"},
		{"a ticket", Known{Ticket: "INC-1"}, 2, "named"},
		{"production", Known{Env: "prod", Grade: "low"}, 3, "sensitive"},
		{"critical elsewhere", Known{Env: "stage", Grade: "critical"}, 3, "sensitive"},
		{"critical", Known{Grade: "critical"}, 3, "sensitive"},
		{"low", Known{Grade: "low"}, 3, "low"},
		{"nothing said", Known{}, 3, "normal"},
		{"nothing records yet", Known{}, 4, "not recorded"},
	} {
		fs := c.k.facts()
		if len(fs) != 5 || fs[c.line].Verdict != c.want {
			t.Errorf("%s: %+v, want %q", c.what, fs, c.want)
		}
	}
}

func TestShorterThan(t *testing.T) {
	for in, want := range map[string]string{"30m": "15m", "1h": "30m", "45m": "15m", "8h": "4h", "10m": "5m", "9m": "", "": "", "x": ""} {
		if got := shorterThan(in); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

func TestUntilHour(t *testing.T) {
	now := time.Date(2026, 3, 1, 16, 30, 20, 0, time.UTC)
	for _, c := range []struct {
		text string
		zone int
		want string
	}{
		{"until 18:00", 0, "1h29m"}, {"Until 18:00", 60, "29m"}, {"until 16:00", 0, "23h29m"}, {"until 18:00", -120, "3h29m"},
		{"45m", 0, "45m"}, {"until noon", 0, "until noon"}, {"until 25:00", 0, "until 25:00"}, {"until 18:00", 100000, "until 18:00"}, {"", 0, ""},
	} {
		if got := UntilHour(c.text, c.zone, now); got != c.want {
			t.Errorf("%q at %d: %q, want %q", c.text, c.zone, got, c.want)
		}
	}
}
