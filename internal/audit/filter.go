package audit

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"

	"stint/internal/access"
)

// Result is how the thing that a record tells of came out, for those who look for what
// went wrong. It is no part of the record: it follows from the type and the facts.
type Result string

// The results.
const (
	Refused Result = "denied"  // somebody or something was told no
	Trouble Result = "trouble" // something did not go as it should, and a person may have to look
	Fine    Result = "done"    // all else
)

// Results are all of them.
var Results = []Result{Refused, Trouble, Fine}

// Filter selects records by what they say. Zero fields do not select.
//
// A record has one encoding, so that what it says is found as bytes: a database can
// select without reading JSON. A quotation mark inside of a text is escaped, so what
// begins with one and a name is that field and no text that looks like it.
type Filter struct {
	Actor   access.PrincipalID // who did it
	Noun    string             // the first part of the type: "grant"
	Agent   string             // an agent's name: what it did, and what was done to it; "*" is any
	Address netip.Addr         // of who did it
	About   []string           // ids: what happened to one of these, or because of one
	Result  Result
	Text    string // stands somewhere in it, as it is written
}

// Clause is one condition: a record meets one of the cases, or, with Not, none.
type Clause struct {
	Not bool
	Any []Case
}

// Case is met by records that are of one of the types, if there are any here, and hold
// each of the texts.
type Case struct {
	Types []access.EventType
	Noun  string // the type begins with it and a dot; empty: any
	Holds [][]byte
}

// member is how `"name":"value"` stands in a record.
func member(name, value string) []byte { return appendText([]byte(`"`+name+`":`), value) }

// Clauses are the conditions, all of which a record has to meet.
func (f Filter) Clauses() (all []Clause) {
	holds := func(b []byte) { all = append(all, Clause{Any: []Case{{Holds: [][]byte{b}}}}) }
	if f.Actor != "" {
		holds(appendText([]byte(`"actor":{"principal":`), string(f.Actor)))
	}
	if f.Noun != "" {
		all = append(all, Clause{Any: []Case{{Noun: f.Noun}}})
	}
	switch f.Agent {
	case "":
	case "*":
		holds([]byte(`"principal":"agent:`))
	default:
		holds(member("principal", string(access.NewPrincipalID(access.Agent, f.Agent))))
	}
	if f.Address.IsValid() {
		holds(append(member("address", f.Address.String()), `},"facts":{`...))
	}
	if len(f.About) > 0 {
		var c Clause
		for _, id := range f.About {
			c.Any = append(c.Any, Case{Holds: [][]byte{append(member("entity", id), `,"version":`...)}})
			for _, fact := range []string{"request", "grant", "extends", "by_request", "entitlement", "proposal"} {
				c.Any = append(c.Any, Case{Holds: [][]byte{member(fact, id)}})
			}
		}
		all = append(all, c)
	}
	switch f.Result {
	case Refused:
		all = append(all, Clause{Any: refusals})
	case Trouble:
		all = append(all, Clause{Any: troubles})
	case Fine:
		all = append(all, Clause{Not: true, Any: slices.Concat(refusals, troubles)})
	}
	if f.Text != "" {
		quoted := appendText(nil, f.Text)
		holds(quoted[1 : len(quoted)-1])
	}
	return all
}

// Cuts reports whether it selects at all.
func (f Filter) Cuts() bool { return len(f.Clauses()) > 0 }

// refusals and troubles say which records are of these results. Their events are other
// packages'; a test holds that each is in the list of events.
var (
	refusals = []Case{
		{Types: []access.EventType{"request.denied", "proposal.denied", "login.refused", "exchange.replayed", "passkey.refused", "claim.refused"}},
		{Types: []access.EventType{access.RequestSubmitted}, Holds: [][]byte{[]byte(`"state":"denied"`)}},
	}
	troubles = []Case{
		{Types: []access.EventType{"request.expired", "removal.trouble", "foreign.found", "sweep.found", "sweep.stopped", "journal.trouble", "claim.contested", "log.gap", "quarantine.began", "clock.doubted",
			"directory.stale", "directory.held", "oncall.lost", "vault.drifted", "vault.unreadable", "vault.emptied", "gateway.rekeyed", "session.doubted", "review.overdue", "installation.restored"}},
		{Types: []access.EventType{access.GrantEnded}, Holds: [][]byte{[]byte(`"state":"failed"`)}},
		{Types: []access.EventType{"grant.residue"}, Holds: [][]byte{[]byte(`"residue":"found"`)}},
		{Types: []access.EventType{"resource.checked", "integration.tested"}, Holds: [][]byte{[]byte(`"ok":"no"`)}},
		{Types: []access.EventType{"review.closed"}, Holds: [][]byte{[]byte(`"finding":"unjustified"`)}},
	}
)

// ResultOf is the result of an encoded record of a type.
func ResultOf(of access.EventType, encoded []byte) Result {
	meets := func(c Case) bool { return c.meets(of, encoded) }
	switch {
	case slices.ContainsFunc(refusals, meets):
		return Refused
	case slices.ContainsFunc(troubles, meets):
		return Trouble
	}
	return Fine
}

// Match reports whether an encoded record of a type is selected: what a store that selects
// for itself must agree with.
func (f Filter) Match(of access.EventType, encoded []byte) bool {
	for _, c := range f.Clauses() {
		if slices.ContainsFunc(c.Any, func(x Case) bool { return x.meets(of, encoded) }) == c.Not {
			return false
		}
	}
	return true
}

func (c Case) meets(of access.EventType, encoded []byte) bool {
	if len(c.Types) > 0 && !slices.Contains(c.Types, of) || c.Noun != "" && !strings.HasPrefix(string(of), c.Noun+".") {
		return false
	}
	return !slices.ContainsFunc(c.Holds, func(b []byte) bool { return !bytes.Contains(encoded, b) })
}
