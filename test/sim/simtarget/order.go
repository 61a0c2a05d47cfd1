package simtarget

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

// The names of accounts are those of the connector for PostgreSQL: a prefix, the
// person for readers, and the tag, which alone identifies.
const (
	prefix  = "stint_"
	slugLen = 12
	tagLen  = 26 + 1 + 16 // ULID, "_", MAC
	maxName = 63
)

func accountName(p access.Person, tag access.Tag) string {
	slug := []byte(p)[:min(len(p), slugLen)]
	for i, c := range slug {
		if !lowerAlnum(c) {
			slug[i] = '_'
		}
	}
	return prefix + string(slug) + "_" + string(tag)
}

// accountTag reads the tag from the end of an account's name.
func accountTag(name string) (access.Tag, bool) {
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok || len(rest) < tagLen+1 || len(rest) > slugLen+1+tagLen || rest[len(rest)-tagLen-1] != '_' {
		return "", false
	}
	tag := access.Tag(rest[len(rest)-tagLen:])
	return tag, validTag(tag)
}

func validTag(t access.Tag) bool {
	if len(t) != tagLen || t[26] != '_' {
		return false
	}
	for i := range len(t) {
		if i != 26 && !lowerAlnum(t[i]) {
			return false
		}
	}
	return true
}

func lowerAlnum(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

func validName(s string) bool {
	return s != "" && len(s) <= maxName && !strings.ContainsRune(s, 0) && s != "public" && s != "none"
}

// subject is an order, understood.
type subject struct {
	connector.Order
	name     string
	creation int64 // 0 while not known
	before   before
	login    string // ours
	claim    connector.Claim
	marked   bool // the order leaves a mark
}

// before is the state that an order changed.
type before struct {
	ID       int64     `json:"id,omitempty"`
	Existing []string  `json:"existing,omitempty"`
	Until    time.Time `json:"until,omitzero"`
	Limit    int       `json:"limit,omitempty"`
}

func read(t connector.Target, o connector.Order) (*subject, error) {
	s := &subject{Order: o, name: o.Account, login: t.Username, claim: t.Claim}
	unmarked := o.Mechanism == access.Member && o.Tag == "" // found by a sweep, and known by its grantor
	if !validTag(o.Tag) && !unmarked {
		return nil, access.Fail(access.Invalid, "bad-tag", "the order's tag does not have the form of a tag")
	}
	if o.Creation != "" {
		id, err := strconv.ParseInt(o.Creation, 10, 64)
		if err != nil || id <= 0 {
			return nil, access.Fail(access.Invalid, "bad-creation", "the order's creation identity is not a number")
		}
		s.creation = id
	}
	if o.Before != "" {
		if err := json.Unmarshal([]byte(o.Before), &s.before); err != nil {
			return nil, access.Fail(access.Invalid, "bad-before", "the state before the order cannot be read").Wrap(err)
		}
	}
	switch o.Mechanism {
	case access.Account:
		if s.name == "" {
			s.name = accountName(o.Person, o.Tag)
		}
		if tag, ok := accountTag(s.name); !ok || tag != o.Tag {
			return nil, access.Fail(access.Invalid, "bad-account", "the account's name does not carry the order's tag")
		}
	case access.Member, access.Enable:
		s.marked = !unmarked
		if s.creation == 0 {
			s.creation = s.before.ID
		}
		if !validName(s.name) {
			return nil, access.Fail(access.Invalid, "bad-account", "that is not the name of an account")
		}
		if _, ours := accountTag(s.name); ours || s.name == t.Username {
			return nil, access.Fail(access.Denied, "protected-account", s.name+" belongs to Stint itself and is never lent")
		}
	default:
		return nil, access.Fail(access.Invalid, "bad-mechanism", "this target does not serve the mechanism "+string(o.Mechanism))
	}
	for _, r := range o.Rights {
		if !validName(r) || r == s.name || r == t.Username {
			return nil, access.Fail(access.Invalid, "bad-right", "that is not a group to lend")
		}
	}
	if o.Mechanism == access.Member && len(o.Rights) == 0 {
		return nil, access.Fail(access.Invalid, "no-rights", "there is no group to join")
	}
	return s, nil
}

func (s *subject) existed(right string) bool { return slices.Contains(s.before.Existing, right) }

// lends reports whether there is any group that the account is in because of us.
func (s *subject) lends() bool {
	return slices.ContainsFunc(s.Rights, func(r string) bool { return !s.existed(r) })
}

func (s *subject) keepsSessions() bool { return s.Options["sessions"] == "keep" }

// account is the role of a subject. Where its identity is known, that decides,
// whatever the role is called by now; impostor has the name and is another.
func (p *place) account(s *subject) (r, impostor *role) {
	named := p.byName[s.name]
	if s.creation == 0 {
		return named, nil
	}
	if named != nil && named.id != s.creation {
		impostor = named
	}
	return p.byID[s.creation], impostor
}

// markOf is the subject's mark on its account.
func (s *subject) markOf(r *role) *mark {
	if r == nil || !s.marked {
		return nil
	}
	return r.mark(s.Tag)
}

// lentByOther reports whether another order's mark names the group.
func (s *subject) lentByOther(r *role, right string) bool {
	return slices.ContainsFunc(r.marks, func(m *mark) bool {
		return m.mechanism == access.Member && m.tag != s.Tag && slices.Contains(m.rights, right)
	})
}

// otherEnabled reports whether another order has enabled the account.
func (s *subject) otherEnabled(r *role) bool {
	return slices.ContainsFunc(r.marks, func(m *mark) bool { return m.mechanism == access.Enable && m.tag != s.Tag })
}

// enabledByUs reports whether an account that can log in can do so because of
// the order.
func (s *subject) enabledByUs(r *role) bool {
	return s.markOf(r) != nil || s.Creation != "" && !s.otherEnabled(r)
}

// checkClaim compares what the target says with what we rely on. A claim of this
// installation without a proof is of a version that wrote none, unless it says to
// be later than we are.
func checkClaim(held connector.Claim, t connector.Target) error {
	if held.Installation == "" || t.Claim.Installation == "" {
		return nil
	}
	switch later := held.Epoch > t.Claim.Epoch; {
	case held.Installation != t.Claim.Installation, later && genuine(held, t):
		return conflict(held)
	case !later && (held.Proof == "" || genuine(held, t)):
		return nil
	}
	return access.Fail(access.Conflict, "claim-forged", "the claim on this target names this Stint, and this Stint did not write it")
}

// stopped refuses the end of an enabled account that has no mark any more, where a later
// life of this very installation holds the target and proves it. Nothing else is stopped.
func (p *place) stopped(t connector.Target, s *subject) error {
	held := p.claim
	if held.Installation != t.Claim.Installation || held.Epoch <= t.Claim.Epoch || !genuine(held, t) || s.Mechanism != access.Enable {
		return nil
	}
	if r, _ := p.account(s); r != nil && s.markOf(r) != nil {
		return nil
	}
	return conflict(held)
}

func genuine(c connector.Claim, t connector.Target) bool {
	return c.Proof != "" && t.Genuine != nil && t.Genuine(c)
}

func conflict(held connector.Claim) error {
	return access.Fail(access.Conflict, "target-claimed", "this target belongs to another Stint or to a later life of this one").
		Because("it is held by " + held.Installation + "/" + strconv.FormatInt(held.Epoch, 10)).
		Try("stop the other one")
}

func refuse(message, next string) *connector.Error {
	return &connector.Error{Outcome: connector.NotDone, Permanent: true, Message: message, Next: next}
}

func notDone(message string) *connector.Error {
	return &connector.Error{Outcome: connector.NotDone, Message: message}
}

// failure says what an error means for the call that met it.
func failure(err error) *connector.Error {
	switch e := err.(type) {
	case *connector.Error:
		return e
	case *access.Error:
		return &connector.Error{Outcome: connector.NotDone, Permanent: true, Message: e.Error(), Next: e.Next, Cause: e.Kind}
	}
	return &connector.Error{Outcome: connector.Unknown, Message: "the target did not answer in time", Cause: err}
}

func result(err error) connector.Result {
	if err == nil {
		return connector.Result{Outcome: connector.Done}
	}
	e := failure(err)
	return connector.Result{Outcome: e.Outcome, Err: e}
}
