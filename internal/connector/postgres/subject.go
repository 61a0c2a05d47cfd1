package postgres

import (
	"encoding/json"
	"slices"
	"strconv"

	"stint/internal/access"
	"stint/internal/connector"
)

// subject is an order, understood: which role it is about and how to know it.
type subject struct {
	order    connector.Order
	opt      options
	name     string // the account's name
	creation uint32 // the oid of the role that was made or is acted on; 0 while not known
	mark     string // the mark's name; empty for an account, which is its own mark, and for a sweep
	before   before
	err      error            // why nothing can be done for it
	result   connector.Result // of the step that runs
}

// before is the state that an order changed, as Observe recorded it. It is
// stored: fields are only added.
type before struct {
	OID uint32 `json:"oid,omitempty"`
	// Existing are the groups the account was in through others (group).
	Existing []string `json:"existing,omitempty"`
	// How the account was before it was enabled.
	ValidUntil      string    `json:"valid_until,omitempty"` // empty: no end
	ConnectionLimit int       `json:"connection_limit,omitempty"`
	Settings        []setting `json:"settings,omitempty"`
}

// setting is a configuration value that sessions of a role start with.
type setting struct {
	Database string `json:"database,omitempty"` // empty: in every database
	Name     string `json:"name"`
	Value    string `json:"value"`
}

func newSubjects(t connector.Target, os []connector.Order) []*subject {
	ss := make([]*subject, len(os))
	all := make([]subject, len(os))
	for i, o := range os {
		all[i] = *newSubject(t, o)
		ss[i] = &all[i]
	}
	return ss
}

func newSubject(t connector.Target, o connector.Order) *subject {
	s := &subject{order: o}
	s.err = s.read(t)
	return s
}

func (s *subject) read(t connector.Target) error {
	o := s.order
	// A membership that our login granted and that no mark explains can be taken
	// away, for the sweep.
	unmarked := o.Mechanism == access.Member && o.Tag == ""
	if !validTag(o.Tag) && !unmarked {
		return access.Fail(access.Invalid, "bad-tag", "the order's tag does not have the form of a tag")
	}
	var err error
	if s.opt, err = parseOptions(o.Options); err != nil {
		return err
	}
	if o.Creation != "" {
		n, err := strconv.ParseUint(o.Creation, 10, 32)
		if err != nil || n == 0 {
			return access.Fail(access.Invalid, "bad-creation", "the order's creation identity is not an oid")
		}
		s.creation = uint32(n)
	}
	if o.Before != "" {
		if err := json.Unmarshal([]byte(o.Before), &s.before); err != nil {
			return access.Fail(access.Invalid, "bad-before", "the state before the order cannot be read").Wrap(err)
		}
	}
	switch o.Mechanism {
	case access.Account:
		s.name = accountName(o.Person, o.Tag)
		if o.Account != "" {
			s.name = o.Account
		}
		if tag, ok := accountTag(s.name); !ok || tag != o.Tag {
			return access.Fail(access.Invalid, "bad-account", "the account's name does not carry the order's tag")
		}
	case access.Member, access.Enable, access.Checkout:
		s.name = o.Account
		if !unmarked {
			s.mark = markName(o.Mechanism, o.Tag)
		}
		if err := checkName("standing account", s.name); err != nil {
			return err
		}
		if s.creation == 0 {
			s.creation = s.before.OID
		}
		if reserved(s.name) || s.name == t.Username {
			return access.Fail(access.Denied, "protected-account", s.name+" belongs to Stint itself and is never lent")
		}
	default:
		return access.Fail(access.Invalid, "bad-mechanism", "a PostgreSQL target does not serve the mechanism "+string(o.Mechanism))
	}
	return s.readRights(t)
}

func (s *subject) readRights(t connector.Target) error {
	for _, r := range s.order.Rights {
		if err := checkName("group", r); err != nil {
			return err
		}
		// The connector's login can make roles; who is a member of it can too.
		if r == t.Username || reserved(r) {
			return access.Fail(access.Denied, "protected-role", r+" belongs to Stint itself and is never lent")
		}
		if r == s.name {
			return access.Fail(access.Invalid, "bad-right", r+" cannot be a member of itself")
		}
	}
	if s.order.Mechanism == access.Member && len(s.order.Rights) == 0 {
		return access.Fail(access.Invalid, "no-rights", "there is no group to join")
	}
	return nil
}

// existed reports whether the account was in the group before us.
func (s *subject) existed(right string) bool { return slices.Contains(s.before.Existing, right) }

// lends reports whether there is any group that the account is in because of us.
func (s *subject) lends() bool {
	return slices.ContainsFunc(s.order.Rights, func(r string) bool { return !s.existed(r) })
}
