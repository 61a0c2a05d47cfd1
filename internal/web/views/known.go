package views

import (
	"strings"
	"time"

	"stint/internal/api"
	"stint/internal/web/ui"
	"stint/internal/web/words"
)

// Known is what is known of a request, for who decides on it.
type Known struct {
	Times, Near    int // that the same was granted in 90 days, and of these about this hour
	Longest, Asked time.Duration
	At             time.Time
	Schedules      bool     // there is a schedule at all
	OnCall         []string // schedules by which who asks is on call now
	Ticket         string
	Env, Grade     string
	Rights         int
}

// enoughTimes is how often something was granted before its hour is called unusual.
const enoughTimes = 3

// facts are five lines, each with a word on it. A word is what the product can tell, and
// no advice.
func (k Known) facts() []ui.Fact {
	return []ui.Fact{k.usual(), k.duty(), k.ticket(), k.reach(), {Icon: "terminal", Text: words.DecideNotRecorded, Verdict: words.VerdictNotRecorded}}
}

func (k Known) usual() ui.Fact {
	f := ui.Fact{Icon: "clock", Verdict: words.VerdictUsual, Tone: ui.Good}
	if k.Times == 0 {
		f.Text, f.Verdict, f.Tone = words.DecideNeverBefore, words.VerdictFirst, ui.Warn
		return f
	}
	f.Text = words.DecideHad(k.Times, spoken(api.FormatDuration(k.Longest)))
	switch {
	case k.Asked > k.Longest:
		f.Verdict, f.Tone = words.VerdictLonger, ui.Warn
	case k.Times >= enoughTimes && k.Near == 0:
		f.Text += words.DecideOddHour(k.At.UTC().Format("15:04 UTC"))
		f.Verdict, f.Tone = words.VerdictHour, ui.Warn
	}
	return f
}

func (k Known) duty() ui.Fact {
	f := ui.Fact{Icon: "users", Text: words.DecideNoSchedule, Verdict: words.VerdictUnknown}
	if len(k.OnCall) > 0 {
		f.Text, f.Verdict, f.Tone = words.DecideOnCall+strings.Join(k.OnCall, ", "), words.VerdictOnCall, ui.Good
	} else if k.Schedules {
		f.Text, f.Verdict = words.DecideOffCall, words.VerdictOffCall
	}
	return f
}

func (k Known) ticket() ui.Fact {
	if k.Ticket == "" {
		return ui.Fact{Icon: "file-text", Text: words.DecideNoTicket, Verdict: words.VerdictNone}
	}
	return ui.Fact{Icon: "file-text", Text: words.DecideTicket + k.Ticket, Verdict: words.VerdictNamed, Tone: ui.Accent}
}

func (k Known) reach() ui.Fact {
	f := ui.Fact{Icon: "database", Text: words.DecideReach(k.Env, k.Grade, k.Rights), Verdict: words.VerdictNormal}
	switch toneOf(k.Env, k.Grade) {
	case ui.Bad:
		f.Verdict, f.Tone = words.VerdictSensitive, ui.Warn
	case ui.Good:
		if k.Grade == "high" || k.Grade == "critical" {
			f.Verdict, f.Tone = words.VerdictSensitive, ui.Warn
		} else if k.Grade == "low" {
			f.Verdict, f.Tone = words.VerdictLow, ui.Good
		}
	}
	return f
}

// shorterThan is what is offered besides the whole time: the longest usual time that is at
// most half of it. Empty where there is none.
func shorterThan(text string) string {
	d, err := api.ParseDuration(text)
	if err != nil {
		return ""
	}
	out := ""
	for _, p := range []time.Duration{5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 24 * time.Hour} {
		if p <= d/2 {
			out = api.FormatDuration(p)
		}
	}
	return out
}

// prepares reports whether a choice is the one that the reader came with.
func (m Request) prepares(choice string) bool { return m.Do == choice }
