package words

// The pages' titles, with the sentence below some of them.
const (
	TitleAccess      = "My access"
	LedeAccess       = "What you hold right now, when it ends, and what is on its way."
	TitleAsk         = "Request access"
	LedeAsk          = "What you could ask for. You see what would be decided before anything is sent."
	LedeAskFor       = "You see what would be decided before anything is sent."
	TitleApprovals   = "Approvals"
	LedeApprovals    = "What others ask of you, and what became of it."
	TitleYou         = "You are signed in"
	TitleSignIns     = "Where you are signed in"
	TitleSignIn      = "Sign in"
	TitleSigningIn   = "Signing in"
	TitleTerminal    = "Sign in the command line"
	TitleTerminalNo  = "The command line is not signed in"
	TitleTerminalYes = "The command line is signed in"
	TitleDevice      = "Sign in a device"
	TitleDeviceAsk   = "Is this your device?"
	TitleDeviceYes   = "The device is signed in"
	SaidDeviceYes    = "It goes on by itself within some seconds. You can close this page."
	TitleDeviceNo    = "The device was refused"
	SaidDeviceNo     = "It is not signed in, and the log says that you refused it."
	TitleEnrol       = "Begin with a code"
	TitlePasskeys    = "Your passkeys"
	TitleRecovery    = "Recovery codes"
	TitleCodes       = "Your recovery codes"
	TitleKit         = "Parts of the pages"
	LedeKit          = "Everything that the pages are made of, in both colours and every width."
	TitleTrouble     = "That did not work"
)

// The rail: its groups, its links, and what stands below a name.
const (
	RailAccess    = "My access"
	RailAsk       = "Request"
	RailApprovals = "Approvals"
	RailYours     = "You"
	RailYou       = "You"
	RailPasskeys  = "Passkeys"
	RailSignIns   = "Sign-ins"
	RailDevice    = "Sign in a device"
	RailGovern    = "Govern"

	RankRecovers = "came with a recovery code"
	RankAdmin    = "administrator"
	RankAuditor  = "auditor"
)

// TitleAskFor is the title of the form on which something is asked for.
func TitleAskFor(what string) string { return "Ask for " + what }

// TitleRequest is the title of a request.
func TitleRequest(who, role, resource string) string {
	return who + " asks for " + role + " on " + resource
}

// TitlePasskey is the title of a passkey.
func TitlePasskey(name, whose string) string { return "Passkey “" + name + "” of " + whose }
