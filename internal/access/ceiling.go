package access

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"stint/internal/moment"
)

// Ceiling is the most that a host does for whoever gives it orders, as a file on the
// host says. The host decides by it; elsewhere it is known so that nobody asks for what
// the host would refuse in the end.
type Ceiling struct {
	// Rules are looked through in order, and the first that an order fits into decides.
	// What fits into none is never done.
	Rules []CeilingRule `json:"rules"`
	// Why is what is wrong with the file, where something is: nothing new is made then.
	Why string `json:"why,omitempty"`
	// Untold is of one that is too long to be told: the host alone knows its rules.
	Untold bool `json:"untold,omitempty"`
}

// CeilingRule says what is done, and what has to be shown for it. An empty list holds
// whatever there is.
type CeilingRule struct {
	Mechanisms []Mechanism `json:"mechanisms"`
	// Accounts are those that an order may be about: that it opens, or makes a member of
	// a group, or whose sudo rule it is. One that is made for the order has no name yet.
	Accounts []string `json:"accounts,omitempty"`
	Rights   []string `json:"rights,omitempty"` // groups, or commands
	RunAs    []string `json:"run_as,omitempty"` // whom commands run as
	// Longest is how long after it was made something may be there.
	Longest time.Duration `json:"longest"`
	// Approvals is how many persons of the roster must have signed, none of whom asks.
	Approvals int   `json:"approvals"`
	Level     Level `json:"level"`
	// Fresh is how old a signature may be when it is first shown, or how long past the
	// start that was asked for.
	Fresh time.Duration `json:"fresh"`
}

// Ordered is what of an order a ceiling is about.
type Ordered struct {
	Mechanism Mechanism
	Account   string // empty where one is made
	Rights    []string
	Options   map[string]string
}

// usualRunAs is whom commands run as where a role says nothing.
const usualRunAs = "root"

// Rule is the one that decides about an order.
func (c Ceiling) Rule(o Ordered) (CeilingRule, bool) {
	for _, r := range c.Rules {
		if r.holds(o) {
			return r, true
		}
	}
	return CeilingRule{}, false
}

func (r CeilingRule) holds(o Ordered) bool {
	within := func(list []string, xs ...string) bool {
		return len(list) == 0 || !slices.ContainsFunc(xs, func(x string) bool { return !slices.Contains(list, x) })
	}
	switch {
	case !slices.Contains(r.Mechanisms, o.Mechanism):
		return false
	case o.Mechanism != Account && !within(r.Accounts, o.Account):
		return false
	case !within(r.Rights, o.Rights...):
		return false
	}
	return o.Mechanism != Elevate || within(r.RunAs, cmp.Or(o.Options["runAs"], usualRunAs))
}

// Demands says why a host would refuse what was asked of it, however it is approved by the
// decision: nil where it would not. Level and number of what passkeys sign are those that
// the decision asks for at least.
func (c Ceiling) Demands(host string, r Request, p Permissions, account string) error {
	if c.Why != "" {
		return Fail(Unavailable, "host-roster", "the host "+host+" makes nothing new").Because("its roster is not in order: " + c.Why).Try("mend it there: stint-agent roster check")
	}
	if c.Untold {
		return nil // the host says so itself
	}
	parts := []Ordered{{p.Mechanism, account, p.Rights, p.Options}}
	if p.Mechanism == Member { // each is an order of its own
		parts = nil
		for _, right := range p.Rights {
			parts = append(parts, Ordered{p.Mechanism, account, []string{right}, p.Options})
		}
	}
	for _, o := range parts {
		rule, ok := c.Rule(o)
		switch {
		case !ok:
			return Fail(Denied, "host-never", "the host "+host+" never does that").
				Because("no rule of its ceiling holds " + o.String()).Try("who administers the host can change that in its roster, and nobody else can")
		case r.Duration > rule.Longest:
			return Fail(Denied, "host-longest", "the host "+host+" does that for "+moment.Span(rule.Longest)+" at most").Try("ask for less")
		case rule.Approvals == 0:
			continue
		}
		if have := r.byPasskey(rule.Level); have < rule.Approvals {
			return Fail(Denied, "host-wants-passkeys", "the host "+host+" does that only for who shows "+rule.wants()).
				Because("policy asks for " + itoa(int64(have)) + " such, so that an approval would not do in the end").
				Try("have the policy ask for approvals of level passkey: stint policy explain shows which one decides. Those by stint approve count on resources of criticality critical; for others the roster's rule says level: passkey")
		}
	}
	return nil
}

// Text says what a ceiling holds, a rule in a line; "none" where there is no ceiling.
func (c *Ceiling) Text() string {
	switch {
	case c == nil:
		return "none"
	case c.Why != "":
		return "nothing new: " + c.Why
	case c.Untold:
		return "what the host alone knows: it is too long to be told"
	}
	var lines []string
	for _, r := range c.Rules {
		var ms []string
		for _, m := range r.Mechanisms {
			ms = append(ms, string(m))
		}
		s := strings.Join(ms, ", ")
		for _, l := range []struct {
			name string
			list []string
		}{{"accounts", r.Accounts}, {"rights", r.Rights}, {"as", r.RunAs}} {
			if len(l.list) > 0 {
				s += "; " + l.name + " " + strings.Join(l.list, ", ")
			}
		}
		s += "; at most " + moment.Span(r.Longest)
		if r.Approvals > 0 {
			s += "; " + r.wants() + ", no older than " + moment.Span(r.Fresh)
		} else {
			s += "; nothing has to be shown"
		}
		lines = append(lines, s)
	}
	return strings.Join(lines, "\n")
}

// String says it for people.
func (o Ordered) String() string {
	s := string(o.Mechanism)
	if o.Account != "" {
		s += " of " + o.Account
	}
	if len(o.Rights) > 0 {
		s += " with " + strings.Join(o.Rights, ", ")
	}
	if o.Mechanism == Elevate {
		s += " as " + cmp.Or(o.Options["runAs"], usualRunAs)
	}
	return s
}

func (r CeilingRule) wants() string {
	if r.Level >= LevelClient {
		return itoa(int64(r.Approvals)) + " approvals by passkey, asked for by stint approve"
	}
	return itoa(int64(r.Approvals)) + " approvals by passkey"
}

// byPasskey is how many persons must approve with a passkey of at least the level, for
// the decision to be a yes.
func (r Request) byPasskey(l Level) (n int) {
	if r.Decision.Effect != Approve {
		return 0
	}
	for _, q := range r.Decision.Approvals {
		if r.Wants(q) >= max(l, LevelPasskey) {
			n += q.Count
		}
	}
	return n
}
