package host

import (
	"slices"
	"strconv"
	"strings"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/connector/linux"
	"stint/internal/crypt"
)

// subject is an order, understood.
type subject struct {
	order connector.Order
	opt   linux.Options
	// login is the account; empty for what a sweep found without one, which is then
	// looked for in every account.
	login  string
	uid    int // of the account that was there when this was asked for; -1 while not known
	before before
	// secret and next are what the order says of the passwords of a vaulted account.
	secret, next crypt.Verifier
	err          error // why nothing can be done for it
}

func newSubject(o connector.Order) *subject {
	s := &subject{order: o, login: o.Account, uid: -1}
	s.err = s.read()
	return s
}

func (s *subject) read() error {
	o := s.order
	if !linux.ValidTag(o.Tag) {
		return access.Fail(access.Invalid, "bad-tag", "the order's tag does not have the form of a tag")
	}
	if !slices.Contains(linux.Capabilities().Mechanisms, o.Mechanism) {
		return access.Fail(access.Invalid, "bad-mechanism", "a Linux host does not serve the mechanism "+string(o.Mechanism))
	}
	var err error
	if s.before, err = readBefore(o.Before); err != nil {
		return err
	}
	if s.opt, err = linux.ParseOptions(o.Options); err != nil {
		return err
	}
	if s.secret, err = parseVerifier(o.Secret); err != nil {
		return err
	}
	if s.next, err = parseVerifier(o.Next); err != nil {
		return err
	}
	if o.Mechanism == access.Account && s.login == "" {
		s.login = linux.AccountName(o.Person, o.Tag)
	}
	if o.Mechanism == access.Account && !strings.HasSuffix(s.login, "-"+macOf(o.Tag)) {
		return access.Fail(access.Invalid, "bad-account", "the account's name does not carry the order's tag")
	}
	if s.login != "" {
		if err := checkName("account", s.login); err != nil {
			return err
		}
	}
	if o.Creation != "" {
		n, err := strconv.ParseUint(o.Creation, 10, 31)
		if err != nil || strconv.FormatUint(n, 10) != o.Creation {
			return access.Fail(access.Invalid, "bad-creation", "the order's creation identity is not a uid")
		}
		s.uid = int(n)
	}
	if s.uid < 0 {
		s.uid = s.before.UID
	}
	return s.readRights()
}

func (s *subject) readRights() error {
	switch m := s.order.Mechanism; m {
	case access.Token, access.Enable, access.Checkout:
		if len(s.order.Rights) > 0 {
			return access.Fail(access.Invalid, "bad-right", "a session has no groups of its own: it has those of the account")
		}
	case access.Elevate:
		for _, r := range s.order.Rights {
			if !linux.ValidCommand(r) {
				return access.Fail(access.Invalid, "bad-command", strconv.Quote(short(r))+" cannot be a command").Because(linux.CommandForm)
			}
		}
	default:
		for _, r := range s.order.Rights {
			if err := checkGroup(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkName refuses names that would have to be quoted in the files they go into.
func checkName(what, name string) error {
	if linux.ValidName(name) {
		return nil
	}
	return access.Fail(access.Invalid, "bad-name", strconv.Quote(short(name))+" cannot be the name of an "+what).
		Because("names have 1 to 32 letters, digits, and the marks _ - . after the first")
}

func short(s string) string { return s[:min(len(s), 64)] }
