package access

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Auth is how a person signed in: facts that policies can ask about. The zero
// value says nothing, and meets no requirement.
type Auth struct {
	// Provider is the integration that vouches for the person, "code" for an
	// enrolment code, "passkey" for a passkey of Stint's own, "recovery" for a recovery
	// code.
	Provider string
	// At is when the person proved who they are; zero where nobody says.
	At      time.Time
	Methods []string // "amr", RFC 8176; sorted
	Class   string   // "acr", OpenID Connect Core 1.0 section 2
	// MFA says that two different kinds of factor were proven.
	MFA bool
}

// The ways in which nobody else vouches for a person. No integration has the names.
const (
	ByCode     = "code"
	ByPasskey  = "passkey"
	ByRecovery = "recovery" // a recovery code: good for making a passkey, until that counts
)

// The kinds of authentication method of RFC 8176 section 2. What is in none of
// them, like "user" or "rba", is no factor.
var factors = map[string]string{
	"pwd": "knowledge", "pin": "knowledge", "kba": "knowledge",
	"hwk": "possession", "swk": "possession", "otp": "possession", "sms": "possession", "tel": "possession", "sc": "possession", "pop": "possession",
	"face": "inherence", "fpt": "inherence", "iris": "inherence", "retina": "inherence", "vbm": "inherence",
}

// TwoFactors reports whether authentication methods (RFC 8176) prove two kinds of
// factor: "mfa" says so by itself, else there must be two of different kinds. Two
// passwords are one.
func TwoFactors(methods []string) bool {
	if slices.Contains(methods, "mfa") {
		return true
	}
	first := ""
	for _, m := range methods {
		switch kind := factors[m]; {
		case kind == "" || kind == first:
		case first == "":
			first = kind
		default:
			return true
		}
	}
	return false
}

// LoginKind is what a login is used by. Stored: only append.
type LoginKind string

// The kinds of login.
const (
	DeviceLogin  LoginKind = "device"  // a client with keys of its own; every call carries a proof
	BrowserLogin LoginKind = "browser" // a cookie
	ServiceLogin LoginKind = "service" // a token on any device
)

// Is is the login's kind, also of one that was made before there were kinds.
func (l Login) Is() LoginKind {
	switch {
	case l.Kind != "":
		return l.Kind
	case l.Device == "":
		return ServiceLogin
	}
	return DeviceLogin
}

// Name names a login to its owner and in the log: 80 bits of its token's hash, from
// which nobody can go back to 256 random bits.
func (l Login) Name() string { return hex.EncodeToString(l.Token[:10]) }

// AttemptKind says what a sign-in that was begun waits for. Stored: only append.
type AttemptKind string

// The kinds of attempt.
const (
	AtProvider AttemptKind = "provider" // a browser is at an identity provider; the key is its state
	AtTerminal AttemptKind = "terminal" // a command line has a code to redeem, which is the key
	OnDevice   AttemptKind = "device"   // RFC 8628: a device polls with its code, a person confirms elsewhere
	InChat     AttemptKind = "chat"     // a chat's user has a code to be linked with, which is the key
	AtPasskey  AttemptKind = "passkey"  // a browser was given a nonce for a passkey to sign, which is the key
)

// AttemptFor is how long a sign-in may take; a code that was handed out has less.
const AttemptFor = 10 * time.Minute

// Attempt is a sign-in that was begun and is not finished. Any replica can finish
// it, once. Nothing in it is secret: what finishes it is kept as a hash.
type Attempt struct {
	Key       Digest // SHA-256 of the state or the code
	Kind      AttemptKind
	Alias     Digest // of the short code that a person types; zero where there is none
	CreatedAt time.Time
	ExpiresAt time.Time
	UsedAt    time.Time // zero until it was finished

	From   netip.Addr // where it was begun
	Client string     // what began it calls itself: for people's eyes, proof of nothing

	// At a provider.
	Provider string
	Browser  Digest // of the cookie of the browser that may come back
	Redirect string // the address it comes back to
	Next     string // the page it goes to then

	// In a chat: who was given the code, as the integration Provider knows them.
	Subject string

	// At a terminal and on a device: who may redeem it.
	Device    DeviceID
	Challenge Digest // S256 of RFC 7636; zero for a device's code, which its key alone protects

	// Once a person has answered.
	Refused   bool
	Principal PrincipalID // empty: not answered, or refused
	Auth      Auth        // theirs, handed on
	Until     time.Time   // the end of the login that confirmed it; the new one ends no later
	By        Digest      // that login

	// A device that polls too fast is told to slow down (RFC 8628 section 3.5).
	PolledAt time.Time
	Interval time.Duration
}

// MaxLabel bounds what a client may call itself, in bytes.
const MaxLabel = 120

// Label makes text that a stranger chose fit to be shown: one line of visible
// characters, cut to MaxLabel.
func Label(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	if len(s) > MaxLabel {
		s = s[:MaxLabel]
	}
	return strings.TrimSpace(s)
}
