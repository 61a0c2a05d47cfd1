package words

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Insights: what three months add up to.
const (
	Insights       = "Insights"
	InsightsLede   = "Is standing privilege going down, and does the pause cost people little?"
	InsightsRange  = "How many days"
	InsightsTiles  = "In numbers"
	InsightsTable  = "As a table"
	InsightsUp     = "The list behind this number"
	InsightsDay    = "Day (UTC)"
	InsightsNobody = "nobody"

	InsightsStanding      = "Standing privileges"
	InsightsNotSurveyed   = "not surveyed"
	InsightsNotSurveyedBy = "no target was asked yet who has access without Stint"
	InsightsActive        = "Active now"
	InsightsMedian        = "Median wait for a person"
	InsightsSlowest       = "Slowest removal, 95 %"
	InsightsNone          = "none"
	InsightsNoneYet       = "nobody had to wait for a person"
	InsightsNoRemoval     = "nothing was taken away"

	InsightsHours       = "Standing and just-in-time privilege"
	InsightsHoursUnit   = "hours a day"
	InsightsSeriesStand = "Standing"
	InsightsSeriesJIT   = "Just in time"
	InsightsUnknown     = "not known"

	InsightsOutcomes = "Requests by outcome"
	InsightsWaits    = "How long people wait for an approver"
	InsightsWaitBin  = "Waited"
	InsightsRequests = "Requests"
	InsightsLags     = "How long removal takes"
	InsightsWithin   = "Within the target"
	InsightsOver     = "Over the target"
	InsightsGrowing  = "Not confirmed, still growing"
	InsightsNothing  = "Nothing to draw in these days."

	InsightsWhat      = "What"
	InsightsWho       = "Who"
	InsightsWhen      = "When"
	InsightsEnded     = "Should have been gone"
	InsightsLag       = "Took"
	InsightsOutcome   = "Outcome"
	InsightsConfirmed = "Confirmed"
	InsightsYes       = "yes"
	InsightsNotYet    = "not yet"
	InsightsRequest   = "Request"
	InsightsShow      = "Show"

	InsightsLook      = "Worth a look"
	InsightsLookNone  = "Nothing stands out"
	InsightsLookEmpty = "No break-glass access waits for its review, no resource has a single approver, and nobody approves faster than they can read."
	InsightsReviews   = "Reviews"
	InsightsOpenOne   = "Open"

	InsightsListRequests = "Requests behind the number"
	InsightsListRemovals = "Removals behind the number"
	InsightsListNone     = "None"
	InsightsListEmpty    = "There is nothing in these days that fits."
	InsightsOlder        = "Older"
	InsightsBadList      = "there is no such list"
	InsightsBadListNext  = "go back to /insights and follow a number there"
)

// InsightsInLog leads to the records.
const InsightsInLog = "The records of these days in the log, by when they were written"

// InsightsOutcomeNames are what became of requests, by key.
var InsightsOutcomeNames = map[string]string{"automatic": "At once", "approved": "Approved", "denied": "Denied", "expired": "Nobody answered",
	"withdrawn": "Withdrawn", "failed": "Failed to set up", "break-glass": "Break glass", "waiting": "Waiting"}

// InsightsBins are the parts of the histogram of waits.
var InsightsBins = []string{"<1 min", "1–2", "2–5", "5–10", "10–20", "20–60", "1–4 h", ">4 h"}

// Lasted is a duration as people say it, with no more than they need.
func Lasted(d time.Duration) string {
	switch d = max(0, d); {
	case d < 100*time.Millisecond:
		return fmt.Sprintf("%d ms", d/time.Millisecond)
	case d < 10*time.Second:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", d.Seconds()), ".0") + " s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < 10*time.Minute && d%time.Minute >= time.Second:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour && d%time.Hour >= time.Minute:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return Count(int(d/(24*time.Hour)), "day", "days")
}

// InsightsTick is a duration beside an axis.
func InsightsTick(d time.Duration) string {
	if d >= 24*time.Hour {
		return strconv.Itoa(int(d/(24*time.Hour))) + " d"
	}
	return Lasted(d)
}

// Hours are hours with as much precision as they have.
func Hours(h float64) string {
	switch {
	case h == 0:
		return "0"
	case h < 10:
		return strconv.FormatFloat(math.Max(0.01, math.Round(h*100)/100), 'f', -1, 64)
	}
	return strconv.FormatFloat(math.Round(h), 'f', -1, 64)
}

// percent is a share of a whole, rounded down: never 100 % of what is not all.
func percent(n, of int) string {
	if of == 0 {
		return "0 %"
	}
	return strconv.Itoa(100*n/of) + " %"
}

// InsightsRangeLabel names a range.
func InsightsRangeLabel(days int) string { return strconv.Itoa(days) + " d" }

// InsightsYoung says that there is not much to add up yet.
func InsightsYoung(days int) string {
	if days == 0 {
		return "These numbers need a week. The first request was made today."
	}
	return "These numbers need a week. There is data of " + Count(days, "day", "days") + " so far."
}

// InsightsNoData says that there is none.
const InsightsNoData = "These numbers need a week. Nobody has asked for anything yet."

// InsightsCut says that not everything was read.
const InsightsCut = "There is more than can be added up at once: the oldest days are not whole."

// InsightsHolders says by how many the active grants are held.
func InsightsHolders(people int) string {
	if people == 0 {
		return "nobody holds privileges right now"
	}
	return "held by " + Count(people, "one", "people")
}

// InsightsChange compares a median with that of the days before.
func InsightsChange(now, before time.Duration, days int) string {
	switch d := now - before; {
	case before == 0:
		return ""
	case d > -time.Second && d < time.Second:
		return "as in the " + strconv.Itoa(days) + " days before"
	case d < 0:
		return Lasted(-d) + " less than in the " + strconv.Itoa(days) + " days before"
	default:
		return Lasted(d) + " more than in the " + strconv.Itoa(days) + " days before"
	}
}

// InsightsTarget is the line that removals should stay below.
func InsightsTarget(d time.Duration) string { return "target " + Lasted(d) }

// InsightsStandingNote says of how many resources the number is, and of when.
func InsightsStandingNote(surveyed, of int) string {
	if surveyed == of {
		return "on " + Count(of, "resource", "resources")
	}
	return "on " + strconv.Itoa(surveyed) + " of " + Count(of, "resource", "resources") + "; the others were not surveyed"
}

// InsightsHoursCaption says what the first chart shows.
func InsightsHoursCaption(total float64, days int, standing float64, known bool, now, then int, since string) string {
	text := Hours(total) + " hours of just-in-time access in " + Count(days, "day", "days") + "."
	switch {
	case !known:
		return text + " No target was surveyed for standing privileges in these days, so none are drawn."
	case since != "" && now < then:
		return text + " Standing privileges fell from " + strconv.Itoa(then) + " to " + strconv.Itoa(now) + " since " + since + "."
	case since != "" && now > then:
		return text + " Standing privileges rose from " + strconv.Itoa(then) + " to " + strconv.Itoa(now) + " since " + since + "."
	}
	return text + " " + Count(now, "standing privilege is", "standing privileges are") + " there all the time: " + Hours(standing) + " hours."
}

// InsightsOutcomesCaption says what became of the requests.
func InsightsOutcomesCaption(all, access, expired, glass, drills int) string {
	if all == 0 {
		return "Nobody asked for anything in these days."
	}
	text := percent(access, all) + " of " + Count(all, "request", "requests") + " got access."
	if expired > 0 {
		text += " " + Count(expired, "request", "requests") + " nobody answered."
	}
	switch {
	case glass == 1 && drills == 1:
		text += " One broke glass, as a drill."
	case drills > 0:
		text += " " + strconv.Itoa(glass) + " broke glass, " + strconv.Itoa(drills) + " of them to try it out."
	case glass > 0:
		text += " " + strconv.Itoa(glass) + " broke glass."
	default:
		text += " Nobody broke glass."
	}
	return text
}

// InsightsWaitsCaption says how long people waited.
func InsightsWaitsCaption(n, within5 int, p50, p90 time.Duration, slowest string, slowestP50 time.Duration, alone bool) string {
	if n == 0 {
		return "No request that a person approved in these days."
	}
	text := percent(within5, n) + " of " + Count(n, "request", "requests") + " that a person approved waited less than 5 minutes; half at most " + Lasted(p50) + ", nine of ten at most " + Lasted(p90) + "."
	if slowest != "" {
		text += " The longest median is that of " + slowest + ": " + Lasted(slowestP50)
		if alone {
			text += ", and there is one approver"
		}
		text += "."
	}
	return text
}

// InsightsLagsCaption says how long removals took.
func InsightsLagsCaption(n, over, going int, target time.Duration, types []string) string {
	if n == 0 {
		return "Nothing had to be taken away in these days."
	}
	text := "From when access should have been gone until the target confirmed that it is. "
	switch over {
	case 0:
		text += "None of " + strconv.Itoa(n) + " took longer than " + Lasted(target) + "."
	default:
		text += strconv.Itoa(over) + " of " + strconv.Itoa(n) + " took longer than " + Lasted(target)
		if len(types) > 0 {
			text += ", on " + strings.Join(types, " and ")
		}
		text += "."
	}
	if going > 0 {
		text += " " + Count(going, "removal is", "removals are") + " not confirmed."
	}
	return text
}

// InsightsDrawn says that a picture or table has not all.
func InsightsDrawn(n, of int) string {
	return "The newest " + strconv.Itoa(n) + " of " + strconv.Itoa(of) + "."
}

// InsightsBar is a day's outcomes in words.
func InsightsBar(day string, parts []string) string {
	if len(parts) == 0 {
		return day + ": nothing"
	}
	return day + ": " + strings.Join(parts, ", ")
}

// InsightsPart is one part of a bar.
func InsightsPart(n int, name string) string { return strconv.Itoa(n) + " " + strings.ToLower(name) }

// InsightsWaitTitle is a part of the histogram in words.
func InsightsWaitTitle(bin string, n int) string {
	return bin + ": " + Count(n, "request", "requests")
}

// InsightsHoursTitle is a day of the first chart in words.
func InsightsHoursTitle(day string, jit, standing float64, known bool) string {
	text := day + ": " + Hours(jit) + " h just in time"
	if known {
		text += ", " + Hours(standing) + " h standing"
	}
	return text
}

// InsightsDot is a removal in words.
func InsightsDot(who, role, resource string, lag time.Duration, confirmed bool) string {
	text := who + ", " + role + " on " + resource + ": "
	if !confirmed {
		return text + "not confirmed for " + Lasted(lag)
	}
	return text + Lasted(lag)
}

// InsightsGlass says that break-glass access waits for a review.
func InsightsGlass(who, resource string) string {
	return who + " broke the glass of " + resource + ", and nobody reviewed it yet"
}

// InsightsTight says that one person alone can approve.
func InsightsTight(resource, role, who string) string {
	if who == "" {
		return "Nobody can approve " + role + " on " + resource
	}
	return who + " alone can approve " + role + " on " + resource
}

// InsightsQuick says that somebody approves faster than they can read.
func InsightsQuick(who string, quick, yes int) string {
	return who + " gave " + strconv.Itoa(quick) + " of " + strconv.Itoa(yes) + " approvals within 5 seconds of the request"
}

// InsightsMore says that there are more of a kind.
func InsightsMore(n int) string { return "And " + strconv.Itoa(n) + " more" }

// The verdicts of what is worth a look.
const (
	InsightsOverdue     = "overdue"
	InsightsOpen        = "open"
	InsightsOneApprover = "one approver"
	InsightsNoApprover  = "no approver"
	InsightsRubber      = "too quick"
)

// InsightsAsOf says of when the numbers are; the time stands behind.
const (
	InsightsAsOf = "As of "
	InsightsKept = ", kept for a minute. Days are those of UTC."
)

// InsightsPage says which part of a list is shown.
func InsightsPage(from, n, of int) string {
	return strconv.Itoa(from+1) + "–" + strconv.Itoa(from+n) + " of " + strconv.Itoa(of)
}

// InsightsListLede says what is listed.
func InsightsListLede(days int, day, outcome, bin string, over, open bool) string {
	var parts []string
	if outcome != "" {
		parts = append(parts, strings.ToLower(outcome))
	}
	if bin != "" {
		parts = append(parts, "waited "+bin)
	}
	if over {
		parts = append(parts, "over the target")
	}
	if open {
		parts = append(parts, "not confirmed")
	}
	if day != "" {
		parts = append(parts, "on "+day+" (UTC)")
	} else {
		parts = append(parts, "in the last "+Count(days, "day", "days"))
	}
	text := strings.Join(parts, ", ")
	return strings.ToUpper(text[:1]) + text[1:] + "."
}
