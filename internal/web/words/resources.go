package words

import "strconv"

// Words of the pages of resources.
const (
	ResourcesTitle     = "Resources"
	ResourcesLede      = "What Stint gives access to, whether it can, and who has privileged access there without it."
	ResourcesFind      = "Find a resource"
	ResourcesFindHint  = "Name, label, owner or type"
	ResourcesFindIt    = "Find"
	ResourcesAll       = "All"
	ResourcesFailing   = "Check failed"
	ResourcesUnchecked = "Never checked"
	ResourcesStanding  = "With standing privileges"
	ResourcesViews     = "Which resources"
	ResourcesAdd       = "Add a resource"
	ResourcesNone      = "There is no resource yet"
	ResourcesNoneNext  = "Add your first: it takes about two minutes, and a live check tells whether it works."
	ResourcesNoneYours = "You own none. Administrators see all."
	ResourcesNoMatch   = "No resource matches"
	ResourcesShowAll   = "Show all"
	ResourcesNext      = "Next page"
	ResourcesFirst     = "First page"

	ResourceConnection   = "How it is reached"
	ResourceAddress      = "Address"
	ResourceCredential   = "Credential"
	ResourceType         = "Type"
	ResourceOwners       = "Owners"
	ResourceNoOwner      = "nobody"
	ResourceCriticality  = "Criticality"
	ResourceLabels       = "Labels"
	ResourceNoLabels     = "none"
	ResourceDescription  = "Description"
	ResourceHealth       = "Health"
	ResourceNeverChecked = "Never checked"
	ResourceNeverHint    = "A check takes a canary account through its whole life on the target, and removes it. Run it before the first grant."
	ResourceCheckNow     = "Check now"
	ResourceCheckOK      = "The check passed"
	ResourceCheckFailed  = "The check failed"
	ResourceEverything   = "All that was looked at"
	ResourceFix          = "What mends it:"
	ResourceOK           = "ok"
	ResourceFailed       = "failed"
	ResourceReach        = "Roles and policies that reach it"
	ResourceReachTable   = "Who may ask for what there"
	ResourceNoReach      = "No policy lets anybody ask for it"
	ResourceNoReachNext  = "Write a policy, or make somebody eligible who has standing privilege there."
	ResourceColSubject   = "Who"
	ResourceColRole      = "Role"
	ResourceColPolicy    = "Policy"
	ResourceColEffect    = "Decision"
	ResourceColLongest   = "At most"
	ResourceHolders      = "Who holds it now"
	ResourceNoHolders    = "Nobody holds it through Stint right now."
	ResourceHeldUntil    = "until "
	ResourceEdit         = "Edit"
	ResourceEditHint     = "This changes the resource's document, as stint apply does. What takes two persons becomes a proposal."
	ResourceOwnersHint   = "Users and groups, with commas between: user:omar, group:dba"
	ResourceLabelsHint   = "name=value, with commas between: env=prod, team=orders"
	ResourceSave         = "Save"
	ResourceNotBlock     = "this document cannot be edited here"
	ResourceNotBlockWhy  = "its fields are not lines of their own"
	ResourceNotBlockNext = "edit the file, and apply it: stint apply -f FILE"
	ResourceProposed     = "This waits for a second person"
	ResourceGone         = "there is no document of this resource"
	ResourceGoneNext     = "load the page again; stint get resources lists what there is"

	EffectAllow   = "at once"
	EffectApprove = "with approval"
	EffectDeny    = "refused"
	EffectGlass   = "break-glass only"
)

// Words of standing privileges.
const (
	StandingTitle     = "Standing privileges"
	StandingLede      = "Privileged access that accounts have on targets all the time, without Stint. Stint asks once a day, counts it, and takes none of it away."
	StandingFound     = "Standing privileges found"
	StandingNone      = "None found"
	StandingNoneHint  = "Nobody but Stint has privileged access there, as far as its login can see."
	StandingNever     = "Not asked yet"
	StandingNeverHint = "It is asked once a day. You can ask now."
	StandingCannot    = "Targets of this type cannot be asked for standing privileges."
	StandingSurvey    = "Ask the target now"
	StandingSince     = "seen since "
	StandingUndo      = "To take it away, an administrator of the target runs:"
	StandingMake      = "Make eligible"
	StandingAll       = "All resources"
	StandingCut       = "There are more than are shown here."
	StandingFailed    = "The last try failed"
	StandingStill     = "What is shown is from the last one that succeeded."
	StandingNothing   = "No standing privileges are known"
	StandingNothingH  = "Resources are asked within a minute after they were added, and once a day."
	StandingNotYours  = "Stint never removes what it did not make."

	EligibleTitle    = "Make eligible"
	EligibleLede     = "First let the person ask for it. Then take the standing privilege away."
	EligibleFirst    = "1. Let them ask"
	EligibleSecond   = "2. Take it away"
	EligibleSecondH  = "Run this on the target once the first step is in force and was tried. Stint does not run it."
	EligibleDocument = "Policy"
	EligibleHint     = "Look at it, change what does not fit, and apply. What takes two persons becomes a proposal."
	EligibleApply    = "Apply"
	EligibleNobody   = "No user of Stint has the name of this account. Write who is to ask in place of user:NAME."
	EligibleNoRole   = "No role gives this group or anything less on the resource. The document below makes one, for an account that lives as long as the grant."
	EligibleNoLeast  = "What this account has is never lent. The policy lets the person ask for the least role there is."
	EligibleGone     = "it is not there any more"
	EligibleGoneWhy  = "the last survey did not find it"
	EligibleGoneNext = "see what stands on the resource now"
	EligibleReason   = "Why"
)

// Words of the wizard.
const (
	ResourceChecked   = "checked "
	ResourceCheckedBy = "by "
	WizardTitle       = "Add a resource"
	WizardLede        = "Nothing is kept until the live check has passed."
	WizardChoose      = "What is it?"
	WizardChooseHint  = "These are the kinds that this server has a connector for."
	WizardWhere       = "1. Where it is"
	WizardName        = "Name"
	WizardNameHint    = "What people ask for: orders-db"
	WizardAddress     = "Address"
	WizardAddressHint = "host:port"
	WizardLogin       = "2. How Stint signs in"
	WizardLoginHint   = "The password is sealed, bound to this type and address, and never shown again. To prepare the login, see the manual: Connect PostgreSQL, step 1."
	WizardUser        = "User name"
	WizardPassword    = "Password"
	WizardPassAgain   = "It is not kept between tries: type it again."
	WizardCredential  = "Register it as"
	WizardCredHint    = "Empty: NAME-connector. With the name of a credential that is registered for this address, leave the password empty."
	WizardAgent       = "2. How it gets there"
	WizardAgentHint   = "Stint signs in nowhere: an agent on the host asks for orders. Once the resource is added, its page has the two commands that enrol it, and then it can be checked."
	WizardAddHost     = "Add"
	WizardCheckLater  = "a host is checked once its agent is enrolled"
	WizardLaterNext   = "add it, enrol its agent by the commands on its page, then check it there"
	AgentTitle        = "Agent"
	AgentState        = "State"
	AgentSeen         = "Asked last "
	AgentKey          = "Host key"
	AgentNone         = "none is enrolled: nothing can be lent here"
	AgentWaiting      = "a code was made, and waits for the host"
	AgentEnrolled     = "enrolled, and asks for orders"
	AgentSilent       = "enrolled, and silent: nothing can be lent, and nothing ended before its time"
	AgentRevoked      = "revoked: nothing can be lent here"
	AgentEnrolHint    = "A code for the host, good for 15 minutes:"
	AgentEnrol        = "stint admin host enroll "
	AgentOnHost       = "On the host, as root, with the code on standard input:"
	WizardAbout       = "3. What it is"
	WizardRole        = "4. The first role, the least"
	WizardRoleHint    = "Begin with the least that is of use. More roles come later."
	WizardRoleName    = "Role"
	WizardGroups      = "Groups that it gives"
	WizardGroupsHint  = "Groups on the target, with commas between. They must be there, and Stint's login must be able to lend them."
	WizardLongest     = "At most for"
	WizardWho         = "Who may ask"
	WizardWhoHint     = "Users and groups, with commas between. Empty: nobody yet."
	WizardApprove     = "Somebody has to approve"
	WizardApproveHint = "Asks the owners of the resource"
	WizardProbe       = "Check only"
	WizardAdd         = "Check and add"
	WizardPassed      = "The check passed"
	WizardPassedHint  = "Stint can make access there and take it away. Nothing was kept: type the password again and add it."
	WizardFailed      = "The check failed. Nothing was kept"
	WizardStepFailed  = "Failed: "
	WizardMend        = "This mends it:"
	WizardDefault     = "default"
	WizardRequired    = "needed"
	WizardNoRole      = "a role needs at least one group"
	WizardNoRoleNext  = "name a group on the target, or leave the role's name empty to add none yet"
	WizardNoPassword  = "a user name and a password are needed"
	WizardNoPassNext  = "type the password again: it is never kept in the form"
	WizardTaken       = "there is a resource of this name already"
	WizardTakenNext   = "choose another name, or open the one there is"
	WizardTestFirst   = "the check failed"
	WizardChange      = "Change"
)

// Words of the checklist for a new installation.
const (
	StartTitle    = "Getting started"
	StartRail     = "Getting started"
	StartLede     = "Each line is looked at now, on the real thing. Nothing here is ticked by hand."
	StartDone     = "done"
	StartToDo     = "to do"
	StartUnknown  = "cannot be told"
	StartAllDone  = "Everything is in place"
	StartPutAway  = "Put this list away"
	StartBack     = "The list stays at /start."
	StartHow      = "How"
	StartSignIn   = "People can sign in"
	StartSignInN  = "Register a passkey for yourself, or connect your identity provider."
	StartFirst    = "A first resource, and its check passed"
	StartFirstN   = "Add one. The wizard checks it live."
	StartApprove  = "Two people can approve"
	StartApproveN = "A policy with approvals has to name two people who can sign in."
	StartMessage  = "A message reached a channel"
	StartMessageN = "Connect a chat or mail, and send a test message."
	StartRequest  = "You asked, and another person approved"
	StartRequestN = "Ask for something that somebody has to approve."
	StartRestore  = "A backup was restored once"
	StartRestoreN = "Try it on another machine, before you need it."
)

// ResourcesCount says how many of how many are shown.
func ResourcesCount(shown, all int) string {
	if shown == all {
		return Count(all, "resource", "resources")
	}
	return strconv.Itoa(shown) + " of " + Count(all, "resource", "resources")
}

// ResourceLive says how many grants are live.
func ResourceLive(n int) string { return Count(n, "live grant", "live grants") }

// StandingCount says how many standing privileges were found.
func StandingCount(n int) string { return Count(n, "standing privilege", "standing privileges") }

// StandingOf says how many and of how many accounts.
func StandingOf(edges, accounts int) string {
	return StandingCount(edges) + " of " + Count(accounts, "account", "accounts")
}

// StandingOn says on which resource.
func StandingOn(account, privilege string) string { return account + ", " + privilege }

// ResourceLong stands for a text that is too long to be read at once.
func ResourceLong(n int) string { return "Show the text, " + strconv.Itoa(n) + " characters" }

// StartOf says how far it is.
func StartOf(done, all int) string { return strconv.Itoa(done) + " of " + strconv.Itoa(all) + " done" }

// StartPeople says who could approve.
func StartPeople(names string) string { return "Could approve: " + names }

// ResourceOwnedBy names the owners.
func ResourceOwnedBy(names string) string { return "owned by " + names }

// ResourceHeld says what somebody holds.
func ResourceHeld(who, role string) string { return who + " as " + role }

// AgentCommands are those that enrol the agent of a host, on the host.
func AgentCommands(server string) []string {
	return []string{"stint-agent enroll --server " + server + " --code-file -", "stint-agent unit > /etc/systemd/system/stint-agent.service", "systemctl enable --now stint-agent"}
}
