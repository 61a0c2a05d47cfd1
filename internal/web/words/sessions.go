package words

import "strings"

// The pages of open sessions.
const (
	SessionsTitle         = "Sessions"
	SessionsLede          = "What is open on the targets right now, under grants that you may see."
	SessionsLive          = "Live"
	SessionsNone          = "Nothing is active."
	SessionsNoneNext      = "When somebody holds access, it is listed here with what is open under it."
	SessionsRecordings    = "Through gateways"
	SessionsNoRecordings  = "No recordings yet."
	SessionsRecordingNote = "The first one appears when somebody connects through a gateway. Who connects straight to a target is not recorded."
	SessionsIdle          = "none open"
	SessionsUnknown       = "not known"
	SessionsEnding        = "ending"
	SessionEndingNote     = "It was ended. It stays here until the target has said that nothing of it is left."
	SessionsUnknownNote   = "The target did not say. What ends the grant ends them all the same."
	SessionLast           = "Last active"
	SessionRead           = "Asked"
	SessionSince          = "Since"
	SessionUntil          = "Until"
	SessionEnds           = "What ends it"
	SessionAs             = "as"
	SessionAccount        = "Account there"
	SessionGrant          = "Its request"
	SessionReason         = "Reason"
	SessionEnd            = "End the grant"
	SessionEndNote        = "That closes what is open, removes the access, and reads back that it is gone."
	SessionTake           = "Take it away: see its request"
	SessionLog            = "In the log"
	SessionState          = "Open"
	SessionsPages         = "More active grants"
	SessionsNewest        = "Newest"
	SessionsOlder         = "Older"
	SessionsCut           = "You own more than 100 resources, and this page looks at 100 of them. Administrators and auditors see all."
)

// SessionOf is the heading of one.
func SessionOf(who, resource string) string {
	return strings.TrimPrefix(who, "user:") + " on " + resource
}

// SessionsOpen is how many there are.
func SessionsOpen(n int) string { return Count(n, "open", "open") }

// SessionsHere says that what is open was counted of these alone.
func SessionsHere(n int) string {
	return "Of " + Count(n, "active grant", "active grants") + " on this page"
}

// SessionEndings says what ends a grant, besides its end.
func SessionEndings(onLogout bool, idle string) string {
	text := "its end, whoever holds it, an owner or an administrator"
	if onLogout {
		text += "; the last session that closes"
	}
	if idle != "" {
		text += "; " + idle + " without use"
	}
	return text
}
