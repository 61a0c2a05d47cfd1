package web

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"

	"stint/internal/api"
)

// Doors is what the pages need of the control plane. Errors are for Refusal.
type Doors interface {
	// Visit says from where a call came, and to which address.
	Visit(r *http.Request) (base *url.URL, from netip.Addr)
	// Admit counts a call, and says when there are too many from there. Those that
	// try codes and passwords, so to say, are counted apart.
	Admit(from netip.Addr, tries bool) error
	// Refusal makes of an error what may be shown, and logs what must be logged.
	Refusal(ctx context.Context, err error) *api.Error

	// Person is whose session the visitor has; api.Unauthenticated if nobody's.
	Person(ctx context.Context, v Visitor) (Person, error)
	// Ways are the providers by which one can sign in, and whether passkeys are another way.
	Ways(ctx context.Context) (ways []Way, passkeys bool, err error)
	// Depart begins a sign-in at a provider. to is where the browser goes; trip is
	// what it must bring back.
	Depart(ctx context.Context, v Visitor, provider, next string) (to string, trip api.Secret, err error)
	// Arrive finishes it with what the provider sent the browser back with.
	Arrive(ctx context.Context, v Visitor, provider string, answer url.Values) (Arrival, error)
	// SignOut ends the visitor's session.
	SignOut(ctx context.Context, v Visitor) error

	// SignIns are the sessions that the visitor signed in to; EndSignIn ends one.
	SignIns(ctx context.Context, v Visitor) ([]api.Login, error)
	EndSignIn(ctx context.Context, v Visitor, id string) error

	// AllowTerminal makes the code by which a command line signs in as the visitor.
	AllowTerminal(ctx context.Context, v Visitor, t Terminal) (code api.Secret, err error)
	// Asking is the device that waits under a code.
	Asking(ctx context.Context, v Visitor, code string) (Asking, error)
	AnswerDevice(ctx context.Context, v Visitor, code string, allow bool) error

	// Mark is how far things have come, for Follow.
	Mark(ctx context.Context) (int64, error)
	// Follow returns the mark of the newest change once there is one after mark, and mark
	// itself when ctx is done before. It fails when the visitor's session has ended, and
	// when the server stops.
	Follow(ctx context.Context, v Visitor, mark int64) (int64, error)

	// SetMessages says whether the visitor wants to hear of trouble only.
	SetMessages(ctx context.Context, v Visitor, few bool) error

	// EnterWeb makes the address by which a browser goes back to the gateway that sent it here,
	// with a ticket for one session with a web application.
	EnterWeb(ctx context.Context, v Visitor, resource string, w Entrance) (to string, err error)

	Adder
	Steward
	Keys
	Desk
	Holder
	Asker
	Finder
	Policymaker
	Seconder
	Recorder
	Glass
	Personnel
	Counter
	Estate
	Projector
}

// Visitor is what a browser's call brings.
type Visitor struct {
	Base    *url.URL // scheme and host as the browser sees them
	From    netip.Addr
	Agent   string     // what the browser calls itself
	Session api.Secret // of the cookie; empty without
	Trip    api.Secret // of the cookie of a sign-in that is under way
	// Watches says that an open page asks by itself. Nobody may be in front of it, so it is
	// no use of the session.
	Watches bool
}

// Person is who is signed in.
type Person struct {
	Principal string
	Groups    []string
	Admin     bool
	Auditor   bool
	Author    bool // writes policies
	// Proposals is how many changes wait for the word of somebody like them.
	Proposals int
	Until     api.Time
	// Fresh says that the session may make other logins without signing in again.
	Fresh bool
	// Few says that they want to hear of trouble only, and Mail where messages go.
	Few  bool
	Mail string
	// Oversees says that there are resources which they own, administer, audit or write
	// policies for, and Starts that the list for new installations was not put away.
	Oversees, Starts bool
	// Enrols says that the session is by a recovery code, for making a passkey alone.
	Enrols bool
	// Glass says that something is open to them in an emergency, and Reviews how many
	// reviews of break-glass access wait for them.
	Glass   bool
	Reviews int
}

// Way is a provider by which one can sign in.
type Way struct{ Name, Title string }

// Arrival is a session that was opened.
type Arrival struct {
	Session api.Secret
	Until   api.Time
	Next    string
}

// Terminal is a command line that wants to sign in.
type Terminal struct {
	Device    string // thumbprint of its key
	Challenge string // S256, base64url
	Client    string
}

// Asking is a device that wants to sign in.
type Asking struct {
	Device string
	Client string
	From   netip.Addr
	At     api.Time
}
