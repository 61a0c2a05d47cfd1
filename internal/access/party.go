package access

import (
	"strings"
	"time"

	"stint/internal/moment"
)

// Some principals are here because somebody of the house answers for them: a vendor,
// who is a user of another company with a contract that ends, and an agent, a program
// that acts for one human. Neither holds an office nor decides about anybody's access,
// and what they may have ends with whoever answers for them. RFD 25.

// Vendor is what policy calls a user with a sponsor. No id is of this kind: a vendor
// signs in, and is named, like any user.
const Vendor PrincipalKind = "vendor"

// DisabledByContract stands in DisabledBy for a vendor whose contract ended. It is no
// name that a provider can have.
const DisabledByContract = "the end of the contract"

// EndsBeforeStart is why a scheduled grant ends whose holder's contract ends before it begins.
const EndsBeforeStart = "the contract ends before it begins"

// Bounds of contracts and agents.
const (
	// MaxContract is how far ahead an administrator lets a contract end, and
	// MaxSponsorExtends how far ahead its sponsor does.
	MaxContract       = 366 * 24 * time.Hour
	MaxSponsorExtends = 90 * 24 * time.Hour
	// InvitationFor is how long an invitation is good for, if the contract lasts that long.
	InvitationFor = 72 * time.Hour
	// MaxAgentLife is how long an agent's token is good for at most.
	MaxAgentLife = 90 * 24 * time.Hour
	// MaxCompany bounds the name of a company, in bytes.
	MaxCompany = 100
)

// Kind is the kind of principal as policy sees it.
func (p Principal) Kind() PrincipalKind {
	if p.Sponsor != "" {
		return Vendor
	}
	return p.ID.Kind()
}

// AnsweredBy is who of the house answers for a vendor or an agent; empty for others.
func (p Principal) AnsweredBy() PrincipalID {
	if p.Sponsor != "" {
		return p.Sponsor
	}
	return p.Responsible
}

// Outside reports whether the principal is here for somebody else: it holds no office,
// owns nothing and decides nothing.
func (p Principal) Outside() bool { return p.Sponsor != "" || p.ID.Kind() == Agent }

// MayApprove reports why the principal is not one whose word about another's access
// ever counts, or nil.
func (p Principal) MayApprove() error {
	switch {
	case p.ID.Kind() != User:
		return Fail(Denied, "not-a-person", "only people approve").Because(string(p.ID) + " is not a user")
	case p.Outside():
		return Fail(Denied, "not-of-the-house", "only people of the house approve").Because(string(p.ID) + " is a vendor").
			Try("ask their sponsor, " + string(p.Sponsor))
	}
	return nil
}

// MayAnswer reports why the principal cannot answer for a vendor or an agent at now, or
// nil: only people of the house can, who can sign in themselves.
func (p Principal) MayAnswer(now time.Time) error {
	no := Fail(Conflict, "cannot-answer", string(p.ID)+" cannot answer for another").Try("name an employee who can sign in")
	switch {
	case p.ID.Kind() != User:
		return no.Because("it is not a user")
	case p.Sponsor != "" || !p.Until.IsZero():
		return no.Because("they are here for a time themselves")
	}
	if err := p.Usable(now); err != nil {
		return no.Because("they cannot sign in").Wrap(err)
	}
	return nil
}

// Answered reports why nobody answers for the principal at now, or nil. by is who is
// asked to, as they are now; nil where there is nobody.
func (p Principal) Answered(by *Principal, now time.Time) error {
	if p.AnsweredBy() == "" && p.ID.Kind() != Agent {
		return nil
	}
	no := Fail(Denied, "nobody-answers", "nobody answers for "+string(p.ID))
	switch {
	case p.AnsweredBy() == "":
		return no.Because("no human is responsible for it").Try("an administrator makes it anew: stint admin agent add")
	case by == nil || by.ID != p.AnsweredBy():
		return no.Because(string(p.AnsweredBy()) + " is not there").Try(p.nextAnswer())
	case p.ID.Kind() == Agent && by.Person != p.Person:
		return no.Because(string(by.ID) + " is another person than " + string(p.Person)).Try(p.nextAnswer())
	}
	if err := by.MayAnswer(now); err != nil {
		why := string(by.ID) + " does so and cannot any more"
		switch {
		case by.Disabled:
			why = string(by.ID) + " is disabled"
		case by.Lock.Is():
			why = string(by.ID) + " is locked"
		}
		return no.Because(why).Try(p.nextAnswer()).Wrap(err)
	}
	return nil
}

func (p Principal) nextAnswer() string {
	if p.Sponsor != "" {
		return "an administrator names another sponsor: stint admin vendor set " + p.ID.Name() + " --sponsor NAME"
	}
	return "an administrator makes an agent for another human: stint admin agent add"
}

// CheckCompany refuses what is not the name of a company.
func CheckCompany(name string) error {
	if strings.TrimSpace(name) != name || strings.ContainsAny(name, "\r\n\t\x00") {
		return Fail(Invalid, "bad-company", "the company's name is not valid").Because("it begins or ends with a blank, or has a line break in it")
	}
	return checkText("company", name, MaxCompany, false)
}

// CheckContract refuses an end of a contract that is not ahead, or further than most.
func CheckContract(until, now time.Time, most time.Duration) error {
	switch {
	case !until.After(now):
		return Fail(Invalid, "bad-contract-end", "the contract's end is not ahead").Because(moment.At(until) + " has passed").Try("to end a contract now: stint admin vendor end NAME")
	case until.After(now.Add(most)):
		return Fail(Invalid, "contract-too-long", "the contract would end too late").
			Because("at most " + moment.At(now.Add(most)) + ", that is " + itoa(int64(most/(24*time.Hour))) + " days from now").
			Try("name an earlier end, and extend it when the time comes")
	}
	return nil
}

// Within lowers the end of a live grant to end, where that is earlier and not zero: to
// the end of a contract, or of a task. It reports whether it did. Who calls it ends the
// grant where end is not ahead.
func (g Grant) Within(end time.Time, why string, actor Actor, now time.Time) (Grant, Event, bool) {
	if end.IsZero() || !g.ExpiresAt.After(end) || !g.Live() {
		return g, Event{}, false
	}
	g.ExpiresAt = end
	g.Version++
	return g, g.event(GrantShortened, actor, now, "expires_at", stamp(g.ExpiresAt), "why", why), true
}

// Ahead lets a fresh pending request end at end, where that is earlier than it would.
func (r Request) Ahead(end time.Time) Request {
	if r.State == RequestPending && end.After(r.CreatedAt) && end.Before(r.ExpiresAt) {
		r.ExpiresAt = end
	}
	return r
}
