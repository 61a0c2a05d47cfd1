package words

// The pages of break-glass access, and of its reviews.
const (
	GlassTitle     = "Break glass"
	GlassLede      = "For when waiting for a yes costs more than a look afterwards."
	GlassNav       = "Break glass"
	GlassNoneHead  = "Nothing is open to you in an emergency."
	GlassNone      = "Nobody has break-glass access unless a policy with effect: breakGlass names them. An administrator can apply one before it is needed."
	GlassNoMatch   = "Nothing that you can break the glass for matches."
	GlassShowAll   = "Show all"
	GlassOpen      = "You can break the glass for"
	GlassFind      = "Find a resource"
	GlassFindHint  = "The name of what is down"
	GlassFindDo    = "Find"
	GlassMore      = "more match. Type more of the name."
	GlassChoose    = "Choose"
	GlassChange    = "Change"
	GlassFormHead  = "What you take"
	GlassAs        = "As"
	GlassFor       = "For"
	GlassOther     = "Or another time"
	GlassOtherEx   = "20m"
	GlassWhy       = "Why"
	GlassWhyEx     = "Checkout is down, stuck locks"
	GlassWhyHint   = "The alarm, the review and the audit log carry this sentence."
	GlassDrill     = "This is a drill"
	GlassDrillHint = "It goes the whole way on the real target, is called a drill everywhere, and is reviewed as one."
	GlassDevice    = "Used on"
	GlassDevHint   = "Access is sealed to this device. Those are listed on which you are signed in."
	GlassNoDevice  = "You are signed in on no device that could use it."
	GlassNoDevNext = "Access is sealed to a device, and a browser has no key for that. Sign in there first:"
	GlassTypedHint = "So that nobody does this by a slip."
	GlassDo        = "Break the glass"
	GlassWillHead  = "What will happen"
	GlassAtOnce    = "You get it at once. Nobody is asked."
	GlassNow       = "now"
	GlassToldNone  = "The resource has no owner that anybody could tell. The log has the alarm."
	GlassAdmins    = "The administrators are told too:"
	GlassRecorded  = "No session is recorded yet. The log keeps what Stint does, and when."
	GlassLogOnly   = "log only"
	GlassReview    = "Another person reviews it: an owner, an auditor or an administrator"
	GlassBack      = "Give it back as soon as it is done, from My access."
	GlassStops     = "A stop of all grants, and doubt about clock, data or log, refuse it all the same."
	GlassCLI       = "As a command"
	GlassLoud      = "loud"
	GlassReviewed  = "reviewed"

	ReviewsTitle     = "Reviews"
	ReviewsLede      = "Break-glass access, and what another person found of it."
	ReviewsOpen      = "Open"
	ReviewsClosed    = "Closed"
	ReviewsNoneHead  = "No review is open."
	ReviewsNone      = "Nobody broke the glass without another person having looked at it since."
	ReviewsNoneDone  = "No review is closed yet."
	ReviewsDoneHint  = "What was found is listed here."
	ReviewsOlder     = "Older"
	ReviewsNewest    = "The newest"
	ReviewsDo        = "Review"
	ReviewsOverdue   = "overdue"
	ReviewsDrill     = "drill"
	ReviewsYours     = "yours to close"
	ReviewsOpened    = "opened"
	ReviewsDue       = "review by"
	ReviewWho        = "Who"
	ReviewWhat       = "What"
	ReviewCodes      = "Opened with codes"
	ReviewRequest    = "Request"
	ReviewSee        = "See the request"
	ReviewDueAt      = "Review by"
	ReviewAbout      = "What it is about"
	ReviewState      = "Review"
	ReviewDone       = "What was done"
	ReviewSessions   = "Sessions"
	ReviewNoSessions = "Stint records no sessions yet. What was typed is in the target's own log; when access was there is above."
	ReviewResidue    = "Left behind"
	ReviewResNone    = "The target was looked at after the end: nothing that this access can have made is there."
	ReviewResPending = "The target has not been looked at since the end."
	ReviewResUnknown = "It cannot be told what was left behind."
	ReviewResNotYet  = "The target is looked at when the access has ended."
	ReviewResNo      = "What is left behind is not looked at on this kind of target."
	ReviewUndo       = "Undone by"
	ReviewClose      = "Your finding"
	ReviewFinding    = "It was"
	ReviewJustified  = "Justified"
	ReviewUnjust     = "Not justified"
	ReviewWasDrill   = "A drill"
	ReviewNote       = "What you found"
	ReviewNoteHint   = "The person who broke the glass and the log see it."
	ReviewCloseDo    = "Close the review"
	ReviewStillLive  = "The access has not ended. You can close the review all the same, or wait for its end."
	ReviewNotYours   = "Another person closes it: an owner of the resource, an auditor or an administrator. Never who broke the glass, nor one whose code was used."
	ReviewFound      = "found it"
	ReviewEvOpened   = "The glass was broken, and the alarm was in the log"
	ReviewEvReady    = "Access was there"
	ReviewEvPending  = "Being set up"
	ReviewEvFailed   = "Could not be set up"
	ReviewEvEnding   = "Ended; the target has not confirmed it yet"
	ReviewEvGone     = "Read back as gone from the target"
	ReviewEvUntil    = "Still there; ends"
	ReviewEvReminded = "Overdue since"
	ReviewNoAccess   = "The request itself is not yours to see."

	RequestGlass     = "In an emergency you can break the glass. It is loud, and reviewed by another person."
	RequestGlassHead = "It cannot wait?"
)

// GlassRoleOn is a role on a resource.
func GlassRoleOn(role, resource string) string { return role + " on " + resource }

// GlassTyped asks for the resource's name.
func GlassTyped(resource string) string { return "Type " + resource + " to confirm" }

// GlassWrongName says that another name was typed.
func GlassWrongName(resource string) string { return "this is not " + resource }

// GlassOn is the title of the form.
func GlassOn(resource string) string { return "Break the glass on " + resource }

// GlassTold says who is told.
func GlassTold(names string, more int) string {
	if more > 0 {
		names += " and " + Count(more, "other", "others")
	}
	return "Told, where messages are set up: " + names
}

// GlassOverdue says why administrators are told too.
func GlassOverdue(n int) string {
	return GlassAdmins + " " + Count(n, "review of yours is", "reviews of yours are") + " overdue."
}

// GlassLasts says how long it lasts.
func GlassLasts(longest string) string {
	return "It lasts " + longest + " at most from when it is ready, and is never extended"
}

// GlassUpTo is the longest time of a role.
func GlassUpTo(longest string) string { return "up to " + longest }

// GlassChooseOf names a button.
func GlassChooseOf(resource string) string { return "Choose " + resource }

// ReviewBy is a heading: who broke which glass.
func ReviewBy(who, role, resource string, drill bool) string {
	if drill {
		return who + " drilled break-glass: " + role + " on " + resource
	}
	return who + " broke the glass: " + role + " on " + resource
}

// ReviewFoundBy says what was found, and by whom.
func ReviewFoundBy(who, finding string) string { return who + " " + ReviewFound + " " + finding }

// ReviewEvEnded says how access ended.
func ReviewEvEnded(how string) string { return "The access ended: " + how }

// ReviewLag says how long the removal took.
func ReviewLag(lag string) string { return lag + " after the end" }

// ReviewResFound counts what was left.
func ReviewResFound(n int) string {
	return Count(n, "thing that carries power was found", "things that carry power were found") + ". Nothing of it is removed by itself."
}

// ReviewsWaiting says how many are yours.
func ReviewsWaiting(n int) string { return Count(n, "review waits for you", "reviews wait for you") }
