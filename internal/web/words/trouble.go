package words

// Words of what went wrong.
const (
	TroubleTrace                  = " · trace "
	TroubleToTheBeginning         = "To My access"
	TroubleSignIn                 = "Sign in"
	TroubleWhatYouCanDo           = "What you can do: "
	TroubleYouAreTakenOnIfNothing = "You are taken on. If nothing happens:"
	TroubleContinue               = "continue"
)
