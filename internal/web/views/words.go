package views

import (
	"slices"
	"strings"
	"time"

	"stint/internal/api"
	"stint/internal/moment"
	"stint/internal/web/ui"
	"stint/internal/web/words"
)

// stamp is a time for scripts.
func stamp(t api.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// spoken is a duration as people say it: "30 min", "2 h". What is not one stays.
func spoken(text string) string {
	d, err := api.ParseDuration(text)
	if err != nil || d%time.Minute != 0 && d > 90*time.Second || d%time.Hour != 0 && d > 90*time.Minute {
		return text
	}
	if d >= time.Hour && d < 48*time.Hour && d%time.Hour == 0 {
		return itoa(int(d/time.Hour)) + words.TermH
	}
	return moment.Rough(d)
}

func typeName(kind string) string { return words.TypeName(kind) }

func typeIcon(kind string) string {
	if kind == "postgres" {
		return "database"
	}
	return "server"
}

// Icon is the picture of its target.
func (h Held) Icon() string { return typeIcon(h.Type) }

// toneOf warns where a mistake costs most.
func toneOf(env, grade string) ui.Tone {
	switch {
	case strings.HasPrefix(strings.ToLower(env), "prod"), env == "" && (grade == "critical" || grade == "high"):
		return ui.Bad
	case env != "", grade == "low":
		return ui.Good
	}
	return ui.Plain
}

func rolesText(rs []RoleChoice) string {
	var names []string
	for _, r := range rs {
		names = append(names, r.Name)
	}
	return strings.Join(names, ", ")
}

// roleNote says what a role is, and what it takes at least.
func roleNote(r RoleChoice) string {
	takes := words.TermMayBeAtOnce
	if r.Votes == 1 {
		takes = words.TermOnePersonApproves
	} else if r.Votes > 1 {
		takes = itoa(r.Votes) + words.TermPeopleApprove
	}
	return strings.Join(slices.DeleteFunc([]string{r.Description, takes, words.TermUpTo + spoken(api.FormatDuration(r.Longest))}, func(s string) bool { return s == "" }), " · ")
}

func kitText(k NamedBundle) string {
	var parts []string
	for _, p := range k.Parts {
		parts = append(parts, p.Role+words.TermOn+p.Resource)
	}
	text := strings.Join(parts, ", ")
	if k.Description != "" {
		text = k.Description + ": " + text
	}
	return text
}

func deviceText(d Place) string {
	name := d.Client
	if name == "" {
		name = words.TermADevice
	}
	return name + ", " + d.Mark + words.TermSince + d.Since.UTC().Format("2 Jan")
}

func presetOptions(p Ask) []ui.Option {
	var out []ui.Option
	for _, d := range p.Presets {
		out = append(out, ui.Option{Value: d, Label: spoken(d), Chosen: d == p.Wish.For})
	}
	return out
}

// otherTime is a duration that was typed and is none of the presets.
func otherTime(p Ask) string {
	if slices.Contains(p.Presets, p.Wish.For) {
		return ""
	}
	return p.Wish.For
}

// listed reports whether the role that is wished for is one of those to choose from.
func listed(p Ask) bool {
	return slices.ContainsFunc(p.Chosen.Roles, func(r RoleChoice) bool { return r.Name == p.Wish.Role })
}

// sendable reports whether sending it makes sense. The button stays all the same: what is
// shown may be older than what is typed.
func sendable(p Ask) bool { return p.Outlook.Verdict == AtOnce || p.Outlook.Verdict == Asks }

func outlookTone(p Ask) string {
	switch p.Outlook.Verdict {
	case AtOnce:
		return "good"
	case Asks:
		return "warn"
	case Closed:
		return "bad"
	}
	return "plain"
}

func partVerdict(r api.Request) string {
	switch r.Decision.Outcome {
	case api.OutcomeAllow:
		return words.TermAtOnce
	case api.OutcomeApprove:
		return words.TermAfterApproval
	}
	return "no"
}
