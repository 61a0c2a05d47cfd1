package words

// Words of the page of who is signed in.
const (
	YouYouAre                       = "You are"
	YouGroups                       = "Groups"
	YouRights                       = "Rights"
	YouUntil                        = "Until"
	YouYouCameWithARecoveryCode     = "You came with a recovery code:"
	YouMakeAPasskey                 = "make a passkey"
	YouNow                          = "now."
	YouAskForAccessInATerminal      = "The same in a terminal:"
	YouThen                         = ", then"
	YouTellMeAllOfIt                = "Tell me all of it"
	YouTellMeOfTroubleOnly          = "Tell me of trouble only"
	YouGoToChatsThatYouLinked       = "go to chats that you linked"
	YouAllOfIt                      = "all of it"
	YouGoTo                         = "go to "
	YouAndToChatsThatYouLinked      = " and to chats that you linked"
	YouTroubleOnly                  = "trouble only"
	YouMessagesAboutWhatYouAskedFor = "Messages about what you asked for "
	YouYouHearOf                    = ". You hear of "
)
