package words

// Words of the page on which one asks.
const (
	AskFindAResource              = "Find a resource"
	AskADatabaseATeamARole        = "A database, a team, a role"
	AskFind                       = "Find"
	AskOpenToYou                  = "Open to you"
	AskNothingIsOpenToYouYet      = "Nothing is open to you yet."
	AskNoPolicyNamesYouOrA        = "No policy names you, or a group of yours, for any resource. An administrator or the owner of what you need can change that."
	AskNothingThatIsOpenToYou     = "Nothing that is open to you matches."
	AskShowAll                    = "Show all"
	AskThereIsOrAskTheOwner       = "there is, or ask the owner of what you need."
	AskChoose                     = "Choose "
	AskChoose2                    = "Choose"
	AskMoreMatchTypeMoreOfThe     = "more match. Type more of the name."
	AskBundles                    = "Bundles"
	AskWhatYouAskFor              = "What you ask for"
	AskChange                     = "Change"
	AskFor                        = "For"
	AskOrAnotherTime              = "Or another time"
	Ask45m1h30m2d                 = "45m, 1h30m, 2d"
	AskWhy                        = "Why"
	AskWhatAreYouAboutToDo        = "What are you about to do?"
	AskApproversAndTheAuditLogSee = "Approvers and the audit log see it."
	AskTicket                     = "Ticket"
	AskINC2041                    = "INC-2041"
	AskWhenItBeginsAndWhereIt     = "When it begins, and where it is used"
	AskBeginsInUTCAtOnceIf        = "Begins, in UTC; at once if empty"
	AskUsedOn                     = "Used on"
	AskAccessIsSealedToThisDevice = "Access is sealed to this device. Those are listed on which you are signed in."
	AskAs                         = "As"
	AskOrAnotherRole              = "Or another role"
	AskOn                         = "on"
	AskUsuallyAnsweredIn          = "Usually answered in"
	AskThisWouldBeAllowed         = "This would be allowed:"
	AskFor2                       = " for "
	AskInAnEmergencyYouCanBreak   = "In an emergency you can break the glass. It is loud, and reviewed by another person:"
	AskPreview                    = "Preview"
	AskAsACommand                 = "As a command"
	AskTheStartIsNotATime         = "the start is not a time"
	AskWriteItLike20260301        = "write it like 2026-03-01 17:30, in UTC"
	AskYouGetThisAtOnce           = "You get this at once"
	AskOnePersonHasToApprove      = "One person has to approve"
	AskPeopleHaveToApprove        = " people have to approve"
	AskSomebodyHasToApprove       = "Somebody has to approve"
	AskThisIsNotOpenToYou         = "This is not open to you"
	AskSayALittleMore             = "Say a little more"
	AskThisCannotBeAskedForAs     = "This cannot be asked for as it stands"
	AskGetAccessNow               = "Get access now"
	AskAskForApproval             = "Ask for approval"
	AskSendIt                     = "Send it"
	AskOr                         = " or "
	AskAnyOneOf                   = "any one of "
	AskOf                         = " of "
	AskAnd                        = " and "
	AskMore                       = " more"
)

// Words of asking until a time of day, and whom a no points to.
const (
	AskUntilWord = "until"
	AskUntilHint = "45m, 2d, or until 18:00 by your clock (by UTC where no script runs)."
	AskOwnersCan = "Who owns it can change that: "
)

// Words of what somebody keeps.
const (
	AskKept     = "Favourites"
	AskStarIt   = "Keep it as a favourite"
	AskUnstarIt = "A favourite. Forget it"
)

// AskStar keeps a role as a favourite.
func AskStar(role string) string { return "Keep " + role + " as a favourite" }

// AskUnstar forgets the favourite that a role is kept as.
func AskUnstar(role, name string) string { return "Forget " + role + ", kept as " + name }

// AskKeptAs is what a favourite is about.
func AskKeptAs(role, resource, span string) string { return role + " on " + resource + ", " + span }
