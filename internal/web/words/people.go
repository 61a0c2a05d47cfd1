package words

import "strconv"

// The pages of people, services and agents.
const (
	PeopleTitle    = "People, services and agents"
	PeopleNav      = "People & agents"
	PeopleLede     = "Who there is, what they hold, and who answers for them."
	PeopleLedeFew  = "Vendors and agents that you answer for."
	PeopleUsers    = "People"
	PeopleVendors  = "Vendors"
	PeopleServices = "Services"
	PeopleAgents   = "Agents"
	PeopleFind     = "Find by name, group or company"
	PeopleFindDo   = "Find"
	PeopleNone     = "There is nobody here."
	PeopleNoneHint = "Nobody of this kind was made yet."
	PeopleNoMatch  = "Nobody matches."
	PeopleShowAll  = "Show all"
	PeopleNext     = "Next"
	PeoplePrev     = "Previous"
	PeopleAdmin    = "administrator"
	PeopleAuditor  = "auditor"
	PeopleAuthor   = "policy author"
	PeopleDisabled = "disabled"
	PeopleLocked   = "locked"
	PeopleEnded    = "time is up"
	PeopleNoGroups = "in no group"

	PersonState      = "Who this is"
	PersonKind       = "In policies"
	PersonGroups     = "Groups"
	PersonByAdmins   = "given by administrators"
	PersonManager    = "Manager"
	PersonMail       = "Mail"
	PersonOffices    = "Offices"
	PersonNoOffice   = "none"
	PersonIdentities = "Signs in as"
	PersonSponsor    = "Sponsor"
	PersonCompany    = "Company"
	PersonContract   = "Contract ends"
	PersonEnds       = "Ends"
	PersonHuman      = "Acts for"
	PersonOwner      = "Answered for by"
	PersonSince      = "Since"
	PersonHolds      = "Holds now"
	PersonHoldsNone  = "Holds nothing right now."
	PersonWindow     = "More of what they hold"
	PersonGone       = "Ended in the last hour"
	PersonLagText    = "read back as gone"
	PersonNothing    = "nothing had been set up"
	PersonRemoving   = "Removing…"
	PersonOverdue    = "overdue"
	PersonSetup      = "being set up"
	PersonBehind     = "Answers for"
	PersonOpen       = "May ask for"
	PersonOpenNone   = "Nothing. No policy names them, or a group of theirs."
	PersonOpenAgent  = "As an agent. Its human must be able to have the same, and the stricter answer counts."
	PersonOpenOff    = "This is what policy would give. While disabled, nothing can be asked for."
	PersonOpenNote   = "What policy names them for. Each request is decided anew, with its conditions."
	PersonApproves   = "May approve"
	PersonApprovesNo = "No policy asks them, and they own no resource."
	PersonOwns       = "Owns"
	PersonPolicies   = "Asked by the policies"
	PersonByManager  = "Policies that ask a manager are not listed: whose manager somebody is stands in no document."
	PersonLogins     = "Sign-ins and tokens"
	PersonLoginsNone = "Signed in nowhere."
	PersonToken      = "static token"
	PersonKeys       = "Passkeys"
	PersonKeysNone   = "No passkey."
	PersonKeyClient  = "for stint approve"
	PersonTasks      = "Tasks"
	PersonTasksNone  = "No task is open."
	PersonTaskEnds   = "ends at the latest"
	PersonAsked      = "Requests of the last 90 days"
	PersonAskedNone  = "Asked for nothing in the last 90 days."
	PersonAskedMost  = "The newest are listed, and only these are counted."
	PersonActs       = "What you can do"
	PersonEndAll     = "End everything they hold"
	PersonEndAllHint = "Each live grant, also of services and agents they answer for. They stay signed in and may ask again."
	PersonEndWhy     = "Why; they and the log see it"
	PersonEndDo      = "End all of it"
	PersonLock       = "Lock"
	PersonLockHint   = "At once, and until somebody unlocks them: sign-ins end, what waits is refused, every live grant is taken away, also of services and agents they answer for. Nothing else is lost: groups, passkeys and tokens stay."
	PersonLockDo     = "Lock now"
	PersonLocked     = "Locked"
	PersonUnlock     = "Unlock"
	PersonUnlockHint = "They may sign in and ask again, with services and agents that were locked with them. What ended stays ended. Who holds an office is unlocked by two administrators, where there are two."
	PersonUnlockDo   = "Unlock"
	PersonAllLocked  = "Locked. Nothing is held, and nothing is left to remove."
	PersonOff        = "Offboard"
	PersonOffHint    = "For good, for somebody who leaves: the account is disabled, sign-ins, codes and tokens end, what waits is refused, every live grant is taken away, also of services and agents they answer for, which do not come back. For a doubt, lock."
	PersonOffDo      = "Offboard now"
	PersonOn         = "Enable again"
	PersonOnHint     = "They may sign in again, with a fresh code. Nothing that ended comes back, nor do services and agents. Who holds an office is enabled by two administrators, where there are two."
	PersonOnDo       = "Enable"
	PersonOnBy       = "Only who disabled them enables them again:"
	PersonOnRenew    = "A service or an agent that was disabled does not come back. Make another one at the command line:"
	PersonOnContract = "The contract is over. Extend it at the command line:"
	PersonSelf       = "Nobody ends or disables themselves here. Ask another administrator."
	PersonReadOnly   = "Acts are for administrators."
	PersonNotThis    = "Nothing was done."
	PersonWaits      = "Another administrator has to agree"
	PersonWaitsDo    = "They decide on"
	PersonCLI        = "As a command"
	PersonTypedHint  = "So that nobody is offboarded by a slip."
	PersonGoing      = "being removed"
	PersonAllGone    = "Disabled. Nothing is held, and nothing is left to remove."
	PersonDisabledBy = "disabled by"
	PersonSinceAt    = "since "
	PersonUntilAt    = ", until "
	PersonUsedAt     = ", last used "
)

// PeopleCount says which of how many are shown.
func PeopleCount(from, to, all int) string {
	if all == 0 {
		return ""
	}
	return strconv.Itoa(from) + "–" + strconv.Itoa(to) + " of " + strconv.Itoa(all)
}

// PeopleHolds says how much somebody holds.
func PeopleHolds(n int) string { return "holds " + Count(n, "grant", "grants") }

// PeopleAtLeast says that there may be more.
func PeopleAtLeast(n int) string { return "holds at least " + Count(n, "grant", "grants") }

// PersonType asks for a name.
func PersonType(name string) string { return "Type " + name + " to confirm" }

// PersonWrongName says that another name was typed.
func PersonWrongName(name string) string { return "this is not " + name }

// PersonOffTitle names the act.
func PersonOffTitle(name string) string { return PersonOff + " " + name }

// PersonGiven says who gave groups.
func PersonGiven(source string) string {
	if source == "" {
		return PersonByAdmins
	}
	return "given by " + source
}

// PersonLockedBy says who locked somebody, and why.
func PersonLockedBy(by, why string) string { return "by " + by + ": " + why }

// PersonLockedWith says with whom somebody is locked.
func PersonLockedWith(whom, by, why string) string {
	return "with " + whom + ", who answers for it; by " + by + ": " + why
}

// PersonBy says who vouched for a sign-in.
func PersonBy(provider string) string { return "by " + provider + ", " }

// PersonFrom says where it was made.
func PersonFrom(address string) string {
	if address == "" {
		return ""
	}
	return " from " + address
}

// PersonWaitingFor says whose word is missing.
func PersonWaitingFor(target string) string { return "waiting for " + target + " to confirm" }

// PersonLag says how long a removal took.
func PersonLag(lag string) string { return PersonLagText + " " + lag + " later" }

// PersonProgress says how far the end of everything has come.
func PersonProgress(live, going, gone int) string {
	return Count(live, "grant is live", "grants are live") + ", " + Count(going, "is being removed", "are being removed") + ", " + Count(gone, "ended in the last hour", "ended in the last hour") + "."
}

// PersonOpenMore leads to the rest.
func PersonOpenMore(n int) string { return Count(n, "more resource", "more resources") }

// PersonOutcomes counts what became of requests.
func PersonOutcomes(atOnce, approved, denied, other, pending int) string {
	s := ""
	for _, x := range []struct {
		n    int
		word string
	}{{atOnce, "at once"}, {approved, "approved by people"}, {denied, "denied"}, {other, "withdrawn or not answered"}, {pending, "waiting"}} {
		if x.n > 0 {
			if s != "" {
				s += ", "
			}
			s += Count(x.n, x.word, x.word)
		}
	}
	return s
}
