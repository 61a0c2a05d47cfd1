package access

import (
	"slices"
	"strconv"
)

// Level says how a vote was given, and so how sure it is that it is the approver's
// own. A requirement asks for a level, and votes of a lower one do not fill it.
type Level int

// The levels, in rising order. The zero value is what a policy asks for that says
// nothing about it.
const (
	LevelChat    Level = iota - 1 // in a chat, whose account may be in other hands
	LevelConsole                  // by a signed-in device or browser
	LevelPasskey                  // signed by a passkey of the approver, for this vote alone
	LevelClient                   // the same, and the approver's own client asked for the signature
)

var levelNames = [...]string{"chat", "console", "passkey", "client"}

// PolicyLevels are those that a policy can ask for. Client is what passkey becomes
// where a resource is critical.
var PolicyLevels = []string{"chat", "console", "passkey"}

func (l Level) String() string {
	if l < LevelChat || l > LevelClient {
		return "level " + strconv.Itoa(int(l))
	}
	return levelNames[l-LevelChat]
}

// MarshalText writes the name.
func (l Level) MarshalText() ([]byte, error) {
	if l < LevelChat || l > LevelClient {
		return nil, Fail(Internal, "bad-level", "there is no "+l.String())
	}
	return []byte(l.String()), nil
}

// UnmarshalText reads the name.
func (l *Level) UnmarshalText(text []byte) (err error) {
	*l, err = ParseLevel(string(text))
	return err
}

// ParseLevel reads the name of a level.
func ParseLevel(s string) (Level, error) {
	i := slices.Index(levelNames[:], s)
	if i < 0 {
		return LevelConsole, Fail(Invalid, "bad-level", "there is no level "+strconv.QuoteToASCII(s)+" of an approval")
	}
	return LevelChat + Level(i), nil
}

// At is the level that counts for a resource of the criticality. From high up a chat
// never counts. On critical resources a passkey counts only if the approver's own
// client asked for the signature: a page that comes from the server could show one
// request and have another one signed.
func (l Level) At(c Criticality) Level {
	switch {
	case l == LevelChat && (c == High || c == Critical):
		return LevelConsole
	case l == LevelPasskey && c == Critical:
		return LevelClient
	}
	return l
}

// floor is the level below which no vote on the request counts, whatever its
// decision says: for a chat that is console from high up.
func (r Request) floor() Level {
	return r.Wants(Requirement{Level: LevelChat})
}

// VotesByChat reports whether a vote that is given in a chat counts at all, be it a no.
func (r Request) VotesByChat() bool { return r.floor() <= LevelChat }

// Wants is the level that a requirement asks for on the request's targets.
func (r Request) Wants(q Requirement) Level {
	l := q.Level
	for _, t := range r.Targets {
		l = max(l, q.Level.At(t.Criticality))
	}
	return l
}

// leastByPasskey is how many persons must at least approve with a passkey.
func (r Request) leastByPasskey() (n int) {
	for _, q := range r.Decision.Approvals {
		if r.Wants(q) >= LevelPasskey {
			n += q.Count
		}
	}
	return n
}
