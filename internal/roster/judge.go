package roster

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/moment"
	"stint/internal/passkey"
)

// MaxSkew is how far apart the clocks of an approver, of the control plane and of the
// host may be.
const MaxSkew = time.Minute

// Use is that a request was shown, once, for one privilege.
type Use struct {
	Request access.Digest  `json:"request"`
	Key     string         `json:"key,omitempty"` // what of the request: one of several groups
	Tag     access.Tag     `json:"tag"`
	Grant   access.GrantID `json:"grant"`
	Until   time.Time      `json:"until"` // the latest end that it makes
	// Keep is until when it has to be remembered: a signature is too old by then.
	Keep time.Time `json:"keep"`
}

// Known is what the host has under the tag of an order; the zero Known is nothing.
type Known struct {
	Order access.Ordered
	Begun time.Time // when it was made first
	// Until is the latest end that was shown for it; zero where nothing was.
	Until time.Time
}

// Case is one order to make something, with all that decides about it.
type Case struct {
	Host       string
	Type       string            // of resources that stand for hosts
	Connection map[string]string // options
	Order      connector.Order
	Known      Known
	Now        time.Time // by whichever clock of the host is further on
	// Shown are the uses of a request so far, and those of a tag.
	Shown func(access.Digest) []Use
	Under func(access.Tag) []Use
}

// Judge says whether an order may be carried out. uses are what it was shown to be, to be
// kept before anything is made.
func (r Roster) Judge(c Case) (uses []Use, err error) {
	o := c.Order
	what := access.Ordered{Mechanism: o.Mechanism, Account: o.Account, Rights: o.Rights, Options: o.Options}
	rule, ok := r.Ceiling.Rule(what)
	if !ok {
		return nil, refuse("host-never", "this host never does that", "no rule of its ceiling holds "+what.String(),
			"who administers the host can change that in its roster, and nobody else can")
	}
	begun := c.Known.Begun
	if begun.IsZero() {
		begun = c.Now
	}
	if latest := begun.Add(rule.Longest + access.SetupWithin + MaxSkew); o.ExpiresAt.After(latest) {
		return nil, refuse("host-longest", "this host does that for "+moment.Span(rule.Longest)+" at most", "the order ends at "+stamp(o.ExpiresAt), "ask for less")
	}
	if rule.Approvals == 0 {
		return nil, nil
	}
	if o.Mechanism == access.Member && len(o.Rights) != 1 {
		// One request can lend several groups, each by an order of its own and once.
		return nil, refuse("more-than-approved", "the order asks for more than was approved, or for something else", "an order for a membership names one group", "")
	}
	if !c.Known.Until.IsZero() && same(c.Known.Order, what) && !o.ExpiresAt.After(c.Known.Until) {
		return nil, nil // what was shown before, once more
	}
	if len(o.Proofs) == 0 {
		return nil, refuse("no-proof", fmt.Sprintf("this host does that only for who shows %d approvals by passkey", rule.Approvals),
			"the order shows none", "have the policy ask for approvals of level passkey; the host's log names the order")
	}
	if len(o.Proofs) > access.MaxProofs {
		return nil, refuse("bad-proof", "what was shown is not in the form of a proof", "it is more than is looked at", "")
	}
	until := c.Known.Until
	if !same(c.Known.Order, what) {
		until = time.Time{}
	}
	// What is extended comes before what extends it.
	for _, extension := range []bool{false, true} {
		for _, p := range o.Proofs {
			u, is, e := r.weigh(c, rule, p, extension, uses)
			switch {
			case is != extension:
				continue
			case e != nil:
				err = e
				continue
			}
			uses = append(uses, u)
			if u.Until.After(until) {
				until = u.Until
			}
		}
	}
	if o.ExpiresAt.After(until) {
		if err == nil {
			err = refuse("too-long", "the order asks for longer than was approved", "it ends at "+stamp(o.ExpiresAt)+", and what was approved at "+stamp(until), "")
		}
		return nil, err
	}
	return uses, nil
}

// weigh looks at one proof. is says whether it is of an extension; where that is not what
// was asked for it is looked at no further.
func (r Roster) weigh(c Case, rule access.CeilingRule, p access.Proof, extension bool, now []Use) (u Use, is bool, err error) {
	malformed := func(why string) (Use, bool, error) {
		return Use{}, extension, refuse("bad-proof", "what was shown is not in the form of a proof", why, "")
	}
	if len(p.Ask) > access.MaxAskText || len(p.Votes) > access.MaxVotes {
		return malformed("it is longer than is looked at")
	}
	ask, err := access.DecodeAsk(p.Ask)
	if err != nil {
		return malformed("the request in it cannot be read")
	}
	if is = ask.Extends != ""; is != extension {
		return Use{}, is, nil
	}
	if err := covers(ask, c); err != nil {
		return Use{}, is, err
	}
	u = Use{Request: ask.Digest, Tag: c.Order.Tag, Grant: p.Grant}
	if c.Order.Mechanism == access.Member {
		u.Key = c.Order.Rights[0] // Judge has made sure that it is the only one
	}
	for _, was := range c.Shown(ask.Digest) {
		if was.Key != u.Key {
			continue
		}
		if was.Tag != u.Tag || was.Grant != u.Grant {
			return Use{}, is, refuse("used-before", "what was approved was shown to this host before, for another access", "one approval makes one access", "ask for access anew")
		}
		return was, is, nil // by the same order, when it was fresh
	}
	d, at, err := r.signed(ask, rule, p.Votes, c)
	if err != nil {
		return Use{}, is, err
	}
	u.Until = c.Now.Add(d + access.SetupWithin + MaxSkew)
	if extension {
		base := time.Time{}
		for _, was := range slices.Concat(c.Under(u.Tag), now) {
			if was.Grant == ask.Extends && was.Until.After(base) {
				base = was.Until
			}
		}
		if base.IsZero() || p.Grant != ask.Extends {
			return Use{}, is, refuse("other-grant", "what was approved extends another access than this one", "it is about "+string(ask.Extends), "")
		}
		u.Until = base.Add(d)
	}
	u.Keep = at.Add(MaxFresh + 24*time.Hour)
	if u.Until.After(u.Keep) {
		u.Keep = u.Until.Add(24 * time.Hour)
	}
	return u, is, nil
}

// covers checks that an order asks for no more than a request does.
func covers(ask access.Request, c Case) error {
	o := c.Order
	more := func(why string) error {
		return refuse("more-than-approved", "the order asks for more than was approved, or for something else", why, "")
	}
	there := slices.IndexFunc(ask.Targets, func(t access.Target) bool {
		return t.Connection.Type == c.Type && t.Connection.Address == c.Host && (o.Mechanism == access.Account || t.Account == o.Account)
	})
	switch {
	case there < 0 && !slices.ContainsFunc(ask.Targets, func(t access.Target) bool { return t.Connection.Address == c.Host }):
		return refuse("other-host", "what was approved is for another host", "this one is "+c.Host, "")
	case there < 0:
		return more("the account is not the one that was approved")
	case !alike(ask.Targets[there].Connection.Options, c.Connection):
		return more("the settings of the host are not those that were approved")
	case ask.Permissions.Mechanism != o.Mechanism:
		return more("it is by " + string(o.Mechanism) + ", and approved was " + string(ask.Permissions.Mechanism))
	case !among(o.Rights, ask.Permissions.Rights):
		return more("its rights are more than those that were approved")
	case o.Mechanism == access.Member:
		// It is shared by all who are lent it, each by a request of their own; where roles
		// differ, the setting is left out.
		for k, v := range o.Options {
			if ask.Permissions.Options[k] != v {
				return more("its settings are not those that were approved")
			}
		}
		return nil
	case !alike(o.Options, ask.Permissions.Options):
		return more("its settings are not those that were approved")
	case o.Person != ask.Person:
		return more("it is for " + string(o.Person) + ", and " + string(ask.Person) + " asked")
	case o.Mechanism == access.Account && o.Account != "" && o.Account != c.Known.Order.Account:
		return more("it names the account that is to be made")
	}
	return nil
}

// signed counts who has signed the request, lately and with a passkey of the roster. It
// returns for how long all of them let it be, and from when on their word is old.
func (r Roster) signed(ask access.Request, rule access.CeilingRule, votes []access.SignedVote, c Case) (d time.Duration, at time.Time, err error) {
	var who []access.Person
	var not []string
	d = ask.Duration
	keys := passkey.NewRoster(r.Passkeys...)
	for _, v := range votes {
		s, from, err := read(keys, ask, rule, v, c)
		if err == nil && slices.Contains(who, s.Person) {
			err = fmt.Errorf("%s signed twice", s.Person)
		}
		if err != nil {
			not = append(not, err.Error())
			continue
		}
		who, d = append(who, s.Person), min(d, s.Duration)
		if from.After(at) {
			at = from
		}
	}
	if len(who) < rule.Approvals {
		why := fmt.Sprintf("%d of %d count", len(who), rule.Approvals)
		if len(not) > 0 {
			why += ": " + strings.Join(not, "; ")
		}
		return 0, at, refuse("proof-too-weak", "what was shown is not enough for this host", why, "see its roster there: stint-agent roster show")
	}
	if d <= 0 {
		return 0, at, refuse("bad-proof", "what was shown is not in the form of a proof", "it is for no time at all", "")
	}
	return d, at, nil
}

// read checks one vote.
func read(keys *passkey.Roster, ask access.Request, rule access.CeilingRule, v access.SignedVote, c Case) (s access.Statement, from time.Time, err error) {
	if len(v.Vote) > access.MaxVoteText || len(v.Assertion) > access.MaxProofText {
		return s, from, fmt.Errorf("one is longer than is looked at")
	}
	if s, err = access.DecodeStatement(v.Vote); err != nil {
		return s, from, fmt.Errorf("one cannot be read")
	}
	a, err := access.DecodeAssertion(v.Assertion)
	if err != nil {
		return s, from, fmt.Errorf("what %s signed cannot be read", s.Person)
	}
	from = s.At
	if ask.Start.After(from) {
		from = ask.Start
	}
	switch {
	case s.Request != ask.Digest:
		return s, from, fmt.Errorf("what %s signed is another request", s.Person)
	case !s.Approve:
		return s, from, fmt.Errorf("%s said no", s.Person)
	case s.Person == "" || s.Person == ask.Person:
		return s, from, fmt.Errorf("%s asks, and nobody approves for themselves", s.Person)
	case s.At.IsZero():
		return s, from, fmt.Errorf("what %s signed does not say when; approve it with a stint that is not older", s.Person)
	case s.At.After(c.Now.Add(MaxSkew)):
		return s, from, fmt.Errorf("%s signed it in the future of this host's clock", s.Person)
	case ask.Start.After(c.Now.Add(MaxSkew)):
		return s, from, fmt.Errorf("it is for later, from %s", stamp(ask.Start))
	case c.Now.Sub(from) > rule.Fresh+MaxSkew:
		return s, from, fmt.Errorf("what %s signed is too old, of %s", s.Person, stamp(s.At))
	case s.Duration <= 0 || s.Duration > ask.Duration || !among(c.Order.Rights, s.Rights):
		return s, from, fmt.Errorf("%s approved of less", s.Person)
	}
	level, err := keys.Prove(s.Person, s.Digest(), a, true)
	if err != nil {
		return s, from, fmt.Errorf("%s: %w", s.Person, err)
	}
	if level < rule.Level {
		return s, from, fmt.Errorf("%s signed on a page of the server, and that is not enough here", s.Person)
	}
	return s, from, nil
}

// same reports whether two orders are about the same, whenever they end.
func same(a, b access.Ordered) bool {
	return a.Mechanism == b.Mechanism && a.Account == b.Account && slices.Equal(a.Rights, b.Rights) && alike(a.Options, b.Options)
}

func alike(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			return false
		}
	}
	return true
}

func among(xs, all []string) bool {
	return !slices.ContainsFunc(xs, func(x string) bool { return !slices.Contains(all, x) })
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func refuse(code, message, why, next string) error {
	e := access.Fail(access.Denied, code, message).Because(why)
	if next != "" {
		e = e.Try(next)
	}
	return e
}
