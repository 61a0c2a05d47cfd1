package words

import "strconv"

// Words of the list of what waits for a decision.
const (
	InboxApprovals                  = "Approvals"
	InboxForMe                      = "For me"
	InboxDone                       = "Done"
	InboxYourOwn                    = "Your own"
	InboxYouHaveDecidedNothingYet   = "You have decided nothing yet."
	InboxWhatYouApproveOrDenyIs     = "What you approve or deny is listed here."
	InboxYouHaveAskedForNothing     = "You have asked for nothing."
	InboxAskForAccess               = "Ask for access"
	InboxWhenYouNeedIt              = "when you need it."
	InboxNothingWaitsForYou         = "Nothing waits for you."
	InboxWhatYouAreAskedToDecide    = "What you are asked to decide appears here by itself."
	InboxOn                         = "on"
	InboxAsksFor                    = "asks for"
	InboxFor                        = " for "
	InboxAnswerBy                   = "Answer by "
	InboxAsked                      = " · asked "
	InboxDecideOn                   = "Decide on "
	InboxOn2                        = " on "
	InboxDecide                     = "Decide"
	InboxForYou                     = " for you"
	InboxRequests                   = "Requests"
	InboxBegins                     = "begins "
	InboxMoreTimeOnWhatTheyHold     = "more time on what they hold"
	InboxPartOfABundle              = "part of a bundle"
	InboxByPasskey                  = "by passkey"
	InboxAQuestionWaitsForItsAnswer = "a question waits for its answer"
	InboxWaitsForADecision          = "waits for a decision"
	InboxDenied                     = "denied"
	InboxWithdrawn                  = "withdrawn"
	InboxNotAnsweredInTime          = "not answered in time"
	InboxApprovedForMoreTime        = "approved, for more time"
	InboxApprovedBeingSetUp         = "approved, being set up"
	InboxApprovedNotBegunYet        = "approved, not begun yet"
	InboxActiveUntil                = "active until "
	InboxEnding                     = "ending"
	InboxNotSetUp                   = "not set up"
	InboxEnded                      = "ended"
	InboxPages                      = "More requests"
	InboxFirst                      = "From the beginning"
	InboxNext                       = "Next ones"
	InboxNoneSoFar                  = "None of the oldest thousand that are pending waits for you."
	InboxNoPage                     = "that is no page of this list"
	InboxNoPageNext                 = "begin with the first: /requests"
)

// InboxAtLeast says the same where not all that wait were counted.
func InboxAtLeast(shown, counted int) string {
	return strconv.Itoa(shown) + " of at least " + strconv.Itoa(counted)
}

// InboxShown says how many of all that wait stand on the page.
func InboxShown(shown, all int) string { return strconv.Itoa(shown) + " of " + strconv.Itoa(all) }
