package words

import "strings"

// The pages of proposals.
const (
	Proposals            = "Proposals"
	ProposalsLede        = "Changes of Stint itself that take a second person."
	ProposalsWaiting     = "Waiting"
	ProposalsDone        = "Decided"
	ProposalsViews       = "Which proposals"
	ProposalsNone        = "No proposal waits."
	ProposalsNoneNext    = "A grave change of a policy, a role or a resource appears here, for another person to decide."
	ProposalsNoneDone    = "No proposal was decided yet."
	ProposalsMore        = "Older proposals"
	ProposalMine         = "yours to decide"
	ProposalBy           = "proposed by "
	ProposalWhy          = "Why it takes a second person"
	ProposalTitle        = "A proposal of "
	ProposalAnswer       = "Your decision"
	ProposalApprove      = "Approve and put it in force"
	ProposalDeny         = "Deny"
	ProposalWithdraw     = "Withdraw"
	ProposalNote         = "Note"
	ProposalNoteHint     = "Who proposed it reads it. To deny, one is needed."
	ProposalStale        = "The documents changed since this was proposed"
	ProposalStaleWhy     = "It can be applied no more. Whoever proposed it proposes it again, so that what is approved is what will be."
	ProposalOwn          = "You proposed this. Another person decides it."
	ProposalNotYours     = "This is for others to decide."
	ProposalDigest       = "Digest"
	ProposalExpires      = "Good until "
	ProposalDecided      = "decided by "
	ProposalSource       = "The source"
	ProposalSourceWhole  = "Lines that begin with + come, with - go."
	ProposalOther        = "This is not about documents: what it says above is all."
	ProposalCommand      = "As a command"
	ProposalOld          = "- "
	ProposalNew          = "+ "
	ProposalApplied      = "in force since"
	ProposalTooLong      = "The text is too long to be compared here. See it with stint proposal show."
	ProposalAnswerNeeded = "the form says neither yes nor no"
	ProposalReload       = "load the page again"
)

// ProposalSummary is what a proposal does: as a wish while it waits.
func ProposalSummary(s, state string) string {
	if state == "pending" {
		for _, act := range []string{"create", "update", "delete"} {
			if rest, ok := strings.CutPrefix(s, act+"d "); ok {
				s = act + " " + rest
			}
		}
	}
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// ProposalState is a state in a word or two.
func ProposalState(s string) string {
	switch s {
	case "pending":
		return "waiting"
	case "applied":
		return "in force"
	}
	return s
}
