package words

// Words of deciding on a request: what is known of it, and a word on each.
const (
	DecideFacts       = "What is known"
	DecideWhy         = "Why am I asked?"
	DecideAll         = "All of the request"
	DecideNeverBefore = "Had nothing like it here in 90 days"
	DecideOnCall      = "On call for "
	DecideOffCall     = "On call for nothing right now"
	DecideNoSchedule  = "No schedule says who is on call"
	DecideTicket      = "Names the ticket "
	DecideNoTicket    = "Names no ticket"
	DecideNotRecorded = "The log keeps who, what and when; what is typed there is not recorded"
	DecidePasskey     = "You confirm with your passkey."
	DecideNote        = "Add a note (needed to deny)"
	DecideAsked       = "asked "

	VerdictUsual       = "usual"
	VerdictFirst       = "first time"
	VerdictLonger      = "longer"
	VerdictHour        = "odd hour"
	VerdictOnCall      = "on call"
	VerdictOffCall     = "off call"
	VerdictUnknown     = "unknown"
	VerdictNamed       = "named"
	VerdictNone        = "none"
	VerdictSensitive   = "sensitive"
	VerdictNormal      = "normal"
	VerdictLow         = "low"
	VerdictNotRecorded = "not recorded"
)

// DecideHad is how often somebody had the same, and for how long at most.
func DecideHad(times int, longest string) string {
	return "Had this " + Count(times, "time", "times") + " in 90 days, never beyond " + longest
}

// DecideOddHour is said of a time at which they never asked before.
func DecideOddHour(at string) string { return "; never asked at about " + at }

// DecideReach is what a request reaches.
func DecideReach(env, grade string, rights int) string {
	s := "Criticality " + grade
	if grade == "" {
		s = "No criticality is set"
	}
	if env != "" {
		s += ", in " + env
	}
	if rights > 0 {
		s += ", " + Count(rights, "right", "rights")
	}
	return s
}

// DecideFor is how long, below the heading.
func DecideFor(d string) string { return "for " + d }
