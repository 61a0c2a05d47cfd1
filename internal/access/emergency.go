package access

import (
	"slices"
	"time"

	"stint/internal/moment"
)

// Emergency says that a request is for break-glass access: at once, by a policy that
// is for nothing else, loud, and reviewed by another person afterwards. Stored: only
// append.
type Emergency string

// The kinds of emergency.
const (
	NoEmergency Emergency = ""
	BreakGlass  Emergency = "break-glass"
	Drill       Emergency = "drill" // the same in everything, to see that it works
)

// MaxEmergency is the longest that break-glass access lasts, whatever a document says.
// It is not extended and not scheduled ahead.
const MaxEmergency = time.Hour

// Is reports whether it is an emergency at all, drills included.
func (e Emergency) Is() bool { return e != NoEmergency }

// BreakGlassOpened is the alarm of break-glass access: whoever pages people reads it in
// the log. The entity is the review that opens with it.
const BreakGlassOpened EventType = "breakglass.opened"

// MayBreakGlass reports why the principal is not one who can ever break glass, or nil.
// Only people of the house do: nobody can be asked afterwards what a program was
// thinking, and whoever is here for a time has a sponsor to call.
func (p Principal) MayBreakGlass() error {
	switch {
	case p.ID.Kind() != User:
		return Fail(Denied, "not-a-person", "only people break glass").Because(string(p.ID) + " is not a user").
			Try("the person who answers for it, " + string(p.Person) + ", can ask for break-glass access")
	case p.Sponsor != "" || !p.Until.IsZero():
		return Fail(Denied, "ends-by-itself", "only people of the house break glass").
			Because(string(p.ID) + " is here until " + moment.At(p.Until)).Try("ask the person who answers for you")
	}
	return nil
}

// checkEmergency refuses an emergency that is more than one may be. A request that is
// none passes.
func checkEmergency(r Request) error {
	if r.Emergency.Is() && r.Bundle != (Digest{}) {
		return Fail(Internal, "bundled-emergency", "break-glass access is asked for alone")
	}
	if !r.Emergency.Is() {
		return nil
	}
	bad := func(code, what string) *Error { return Fail(Invalid, code, what) }
	switch {
	case !slices.Contains([]Emergency{BreakGlass, Drill}, r.Emergency):
		return Fail(Internal, "bad-emergency", "the request is a "+string(r.Emergency))
	case r.Principal.Kind() != User:
		return Fail(Denied, "not-a-person", "only people break glass").Because(string(r.Principal) + " is not a user")
	case r.Extends != "":
		return errNotRenewable
	case !r.Start.IsZero():
		return bad("break-glass-ahead", "break-glass access begins at once").Because("a start was given").
			Try("ask for ordinary access with stint request --at")
	case len(r.Targets) != 1:
		return bad("bad-targets", "break-glass access is to one resource")
	case r.Duration > MaxEmergency:
		return bad("break-glass-too-long", "break-glass access lasts "+moment.Span(MaxEmergency)+" at most").Because(moment.Span(r.Duration) + " was asked")
	case r.Ticket != "":
		return bad("break-glass-ticket", "break-glass access takes no ticket").Because("it must not depend on another system").Try("name it in the reason")
	}
	return nil
}

var errNotRenewable = Fail(Denied, "not-renewable", "break-glass access is not extended").Because("it lasts " + moment.Span(MaxEmergency) + " at most").
	Try("ask for ordinary access now with stint request; if the emergency goes on, break glass again, which pages people again and is reviewed by itself")

// fits reports whether the decision is about what the request is: what a break-glass
// policy lets through is break-glass access, and nothing else is.
func (d Decision) fits(e Emergency) bool {
	return d.Emergency == e.Is() && !(d.Emergency && d.Effect == Approve)
}

// Renewable reports why the grant is none that can be extended, or nil.
func (g Grant) Renewable() error {
	if g.Emergency.Is() {
		return errNotRenewable
	}
	return nil
}
