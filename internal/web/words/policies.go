package words

import (
	"strconv"
	"time"
)

// The pages of policies.
const (
	Policies            = "Policies"
	PoliciesLede        = "Who may have what, when, and whom it takes. A policy that denies comes before all that allow."
	PoliciesNone        = "There is no policy yet, so nobody can ask for anything."
	PoliciesNoneNext    = "Begin with one of these, and change it:"
	PoliciesNoMatch     = "No policy matches."
	PoliciesNoMatchNext = "Search for a name, a group, a role or a resource."
	PoliciesSearch      = "Search policies"
	PoliciesFind        = "Find"
	PoliciesNew         = "New policy"
	PoliciesProposals   = "Proposals"
	PoliciesMore        = "More policies"
	PoliciesWritten     = "Written in "
	PoliciesEffectAllow = "allows"
	PoliciesEffectDeny  = "denies"
	PoliciesEffectGlass = "break-glass"
	PoliciesEffectWatch = "recordings"
	PoliciesAlso        = "And this"
	PolicyViews         = "Views of this policy"
	PolicyWords         = "Words"
	PolicyForm          = "Form"
	PolicySource        = "Source"
	PolicyTests         = "Tests"
	PolicyWho           = "Who can"
	PolicyTry           = "Try as"
	PolicyReaches       = "Reaches"
	PolicyReachesNone   = "It reaches no resource now."
	PolicyAuthor        = "Last written by "

	PolicyNotForm     = "The form does not show all of this policy"
	PolicyNotFormWhy  = "It says more than the form has fields for, so it is changed in its source. What the form lacks: "
	PolicyToSource    = "Edit the source"
	PolicyEditHint    = "Nothing changes before you have seen what would change. If this policy also stands in a repository, change it there, too: the next apply puts that text back."
	PolicyNoEdit      = "You may read this policy, and not change it."
	PolicyText        = "The policy"
	PolicyCheck       = "Check what changes"
	PolicyWritesThis  = "What the form writes"
	PolicyBad         = "The policy is not right yet. Nothing was changed."
	PolicyLine        = "line "
	PolicyElsewhere   = "in "
	PolicyConflict    = "Somebody changed this policy since you opened it"
	PolicyConflictWhy = "What you typed is still here. Below is what is in force now; take over what you need. To check yours against it, press the button again."
	PolicyInForce     = "In force now"
	PolicyMoved       = "The documents changed since you looked. This is what would change now."
	PolicyOtherText   = "The text is another than the one that was checked. This is what would change now."

	PolicyShape         = "What kind of rule"
	PolicyShapeAuto     = "At once, for a group"
	PolicyShapeApproval = "After somebody's yes"
	PolicyShapeOnCall   = "At once, for who is on call"
	PolicyShapeDenied   = "Never"
	PolicyShapeGlass    = "In an emergency"
	PolicyName          = "Name"
	PolicyNameHint      = "Small letters, digits, dots and dashes."
	PolicyDescription   = "What it is for"
	PolicySubjects      = "For whom"
	PolicySubjectsHint  = "Groups, separated by commas; or user:NAME, service:NAME, agent:NAME, * for everybody. Of on-call rules: schedules."
	PolicyRoles         = "Roles"
	PolicyRolesHint     = "Names, separated by commas; * for all."
	PolicyNames         = "Only these resources"
	PolicyNamesHint     = "Names, separated by commas. Empty: all that the roles cover."
	PolicyLabels        = "Only resources with these labels"
	PolicyLabelsHint    = "One a line: env=prod"
	PolicyApprovers     = "Who says yes"
	PolicyApproversHint = "Of rules that take a yes: owner, manager, or groups."
	PolicyCount         = "How many of them"
	PolicyReason        = "Reason, characters at least"
	PolicyMax           = "For at most"
	PolicyMaxHint       = "30m, 2h, 7d. Empty: as long as the role allows."
	PolicyMFA           = "Signed in with a second factor"
	PolicyYields        = "Give way to break-glass access"

	PolicyChanges       = "What would change"
	PolicyNothing       = "Nothing. It says the same as now."
	PolicySameDecisions = "The text changes, and nobody's way to a role."
	PolicyWhoChanges    = "Who gains and loses"
	PolicyNobody        = "Nobody gains or loses a way to a role."
	PolicyEnds          = "Live grants that would end"
	PolicyEndsNone      = "No live grant would end."
	PolicyReplay        = "The last 30 days, decided again"
	PolicyWarnings      = "Legal, and probably not meant"
	PolicySecond        = "This takes a second person"
	PolicyAlone         = "This is a grave change, and you make it alone: there is no second person yet. The log says so."
	PolicyAnyway        = "Go on although tests fail"
	PolicyPropose       = "Propose it to a second person"
	PolicyApply         = "Put it in force"
	PolicyBefore        = "before: "
	PolicyAfter         = "after: "
	PolicyNoWay         = "no way"
	PolicyFields        = "Fields that say something else"
	PolicyUnknownNote   = "Groups, managers and attributes are those of now; what was asked is as it was recorded."
	PolicyTestFailFirst = "Tests fail. Mend the policy or the tests, or say that you want to go on."
	PolicyMayNot        = "You may not make this change"

	PolicyTestsHint   = "Each test says who asks for what, and what is to be decided. They are run whenever a change to any policy is looked at. Files beside the policies in a repository are run by stint policy test."
	PolicyTestsText   = "The tests of this policy"
	PolicyTestsRun    = "Run"
	PolicyTestsSave   = "Save the tests"
	PolicyTestsNone   = "No test is kept with this policy."
	PolicyTestsResult = "Results"
	PolicyTestOK      = "holds"
	PolicyTestFails   = "fails"
	PolicyDecidedBy   = "decided by "

	PolicyWhoOf      = "Resource"
	PolicyWhoShow    = "Show"
	PolicyWhoCaption = "Who can have which role, and how"
	PolicyWhoSubject = "Who"
	PolicyWhoRole    = "Role"
	PolicyWhoHow     = "How"
	PolicyWhoBy      = "By"
	PolicyWhoNone    = "No policy speaks of this resource: nobody can ask for it."
	PolicyWhoLast    = "Conditions, tickets, reasons and second factors are not worked out here. A policy that denies comes before all others."
	PolicyWhoMore    = "More rows"
	PolicyCanNow     = "at once"
	PolicyCanNever   = "never"
	PolicyCanGlass   = "in an emergency"
	PolicyCanIf      = ", under conditions"

	PolicyTryWho     = "Person"
	PolicyTryWhoHint = "user:NAME, service:NAME or agent:NAME. Administrators ask about others."
	PolicyTryOnCall  = "As if on call in"
	PolicyTryNow     = "as they are now"
	PolicyTryWhat    = "Resource"
	PolicyTryAs      = "Role"
	PolicyTryFor     = "For"
	PolicyTryWhy     = "Reason"
	PolicyTryTicket  = "Ticket"
	PolicyTryGo      = "Try"
	PolicyTryHint    = "Nothing is asked for, and nobody is told."
	PolicyTryEach    = "What each policy made of it"
	PolicyTryAllow   = "Allowed at once"
	PolicyTryApprove = "Takes a yes"
	PolicyTryDeny    = "Denied"
	PolicyMatched    = "applies"
	PolicyNear       = "nearly"
	PolicyMissed     = "does not apply"

	PolicyStartOnCall     = "On-call may read prod"
	PolicyStartOnCallWhy  = "Whoever is on call gets a reading role on production at once, for an hour, with a reason."
	PolicyStartStaging    = "Staging is open"
	PolicyStartStagingWhy = "A team gets what it needs on staging at once, for a working day."
	PolicyStartWrite      = "Prod write needs one owner"
	PolicyStartWriteWhy   = "Writing on production takes a yes of one owner of the resource."
	PolicyStartUse        = "Begin with this"
	PolicyNewLede         = "Choose a shape or write the source. Nothing changes before you have seen what would change."
	PolicyFormIs          = "As a form"
	PolicySourceIs        = "As source"
	PolicyTooLong         = "the policy is longer than 256 KiB"
	PolicyTooLongNext     = "shorten it; a policy is a few lines"
	PolicyOtherName       = "this page changes the policy "
	PolicyOtherNameNext   = "keep its kind and name, and write one policy; make a new one for another name"
	PolicyFormRefused     = "the form says something twice or something unknown"
	PolicyFormRefusedNext = "load the page again"
	PolicyNoSuch          = "there is no such policy"
	PolicyNoSuchNext      = "choose one at /policies"
	PolicyExists          = "there is a policy of that name already"
	PolicyExistsNext      = "choose another name, or change that one"
)

// PolicyWay says whose way to what is another.
func PolicyWay(who []string, role, resource string) string {
	return PolicyNamesOf(who, 6) + ": " + role + " on " + resource
}

// PolicyNamesOf are so many names, the rest as a number.
func PolicyNamesOf(names []string, shown int) string {
	if len(names) <= shown {
		return And(each(names, Subject))
	}
	return And(append(each(names[:shown], Subject), Count(len(names)-shown, "other", "others")))
}

// PolicyReplayed says what a replay came to.
func PolicyReplayed(differ, asked int, partial bool) string {
	if asked == 0 {
		return "Nobody asked for anything in that time."
	}
	text := Count(differ, "request", "requests") + " of " + strconv.Itoa(asked) + " would have been decided differently."
	if differ == 0 {
		text = "Each of " + Count(asked, "request", "requests") + " would have been decided as now."
	}
	if partial {
		text += " There were more; the newest were taken."
	}
	return text
}

// PolicyLeftOut says what a replay did not look at.
func PolicyLeftOut(extensions, unknown int) string {
	if extensions+unknown == 0 {
		return ""
	}
	return "Left out: " + Count(extensions, "request", "requests") + " for more time, " + Count(unknown, "request", "requests") + " of principals that are gone."
}

// PolicyTested says how tests came out.
func PolicyTested(failed, all int) string {
	switch {
	case all == 0:
		return "No tests are kept with any policy."
	case failed == 0:
		return Count(all, "test holds", "tests hold") + "."
	}
	return strconv.Itoa(failed) + " of " + Count(all, "test", "tests") + " would fail."
}

// PolicyOutcome is a decision in a word.
func PolicyOutcome(effect string) string {
	switch effect {
	case "allow":
		return "allowed"
	case "approve":
		return "takes a yes"
	}
	return "denied"
}

// PolicyMoreReach says how many resources more there are.
func PolicyMoreReach(n int) string { return "and " + Count(n, "more", "more") }

// PolicyTotal counts policies.
func PolicyTotal(n int) string { return Count(n, "policy", "policies") }

// PolicyCanAfter says whose yes it takes.
func PolicyCanAfter(asked []RuleApproval) string { return "after " + approvals(asked) }

// PolicyCanFor says for how long.
func PolicyCanFor(d time.Duration) string { return ", up to " + Span(d) }

// PolicyTestExample is how a test looks.
const PolicyTestExample = "tests:\n- name: guests wait for a yes\n  principal: {name: gus, groups: [guests]}\n  resource: orders-db\n  role: reader\n  for: 1h\n  why: count the orders\n  expect: approve"

// PolicyAsked is who asked for what.
func PolicyAsked(who, role, resource string) string {
	return Subject(who) + ", " + role + " on " + resource
}

// Words of deleting a policy.
const (
	PolicyDeleteIs        = "Delete this policy…"
	PolicyDeleteLook      = "See what deleting it changes"
	PolicyDeleteWhat      = "You see first who would lose or gain what, and which live grants would end. Tests that are kept with it do not count: they go with it."
	PolicyDeleteNoTests   = "No tests are kept with the other policies."
	PolicyDeleteMoved     = "Look at what deleting it as it stands now changes."
	PolicyDelete          = "Delete it"
	PolicyProposeDeletion = "Propose its deletion to a second person"
	PolicyKeepIt          = "Keep it"
)

// PolicyDeleteAsk asks whether one is meant to go.
func PolicyDeleteAsk(name string) string { return "Delete " + name + "?" }
