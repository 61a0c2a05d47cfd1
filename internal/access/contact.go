package access

import (
	"maps"
	"regexp"
)

// The attributes of a principal that say how messages reach it. They give no right.
const (
	// MailAttribute is a mail address that a provider has verified or an administrator
	// has set.
	MailAttribute = "mail"
	// MessagesAttribute is MessagesFew where somebody wants to hear of trouble only;
	// people set it for themselves.
	MessagesAttribute = "messages"
	MessagesFew       = "few"
)

var mailAddress = regexp.MustCompile(`^[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*$`)

// ValidMail reports whether a text is a mail address of the plain form that Stint sends
// to: no comments, no quotes, no spaces.
func ValidMail(s string) bool { return len(s) <= 254 && mailAddress.MatchString(s) }

// With is the principal with an attribute, or without it where the value is empty.
func (p Principal) With(attribute, value string) Principal {
	all := maps.Clone(p.Attributes)
	if all == nil {
		all = map[string]string{}
	}
	if all[attribute] = value; value == "" {
		delete(all, attribute)
	}
	if p.Attributes = all; len(all) == 0 {
		p.Attributes = nil
	}
	return p
}
