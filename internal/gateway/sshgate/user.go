package sshgate

import (
	"regexp"
	"strings"
	"unicode"

	"stint/internal/access"
)

var (
	loginForm    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?$`)
	resourceForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
)

// wanted is what a user name asks for.
type wanted struct {
	Login    string // "" where the role names the account
	Resource access.ResourceName
}

func (w wanted) String() string {
	if w.Login == "" {
		return string(w.Resource)
	}
	return w.Login + "@" + string(w.Resource)
}

// parseUser reads RESOURCE or LOGIN@RESOURCE.
func parseUser(user string) (wanted, error) {
	const next = "connect as RESOURCE@gateway or LOGIN@RESOURCE@gateway; stint get resources lists what there is"
	login, resource, both := strings.Cut(user, "@")
	if !both {
		login, resource = "", user
	}
	switch {
	case !resourceForm.MatchString(resource):
		return wanted{}, access.Fail(access.Invalid, "bad-user", "the user name does not name a resource").
			Because("a resource's name is of letters, digits, dots, dashes and underscores").Try(next)
	case both && !loginForm.MatchString(login):
		return wanted{}, access.Fail(access.Invalid, "bad-user", "the user name does not name an account").
			Because("an account's name begins with a letter and is of letters, digits, dots, dashes and underscores").Try(next)
	}
	return wanted{Login: login, Resource: access.ResourceName(resource)}, nil
}

// plain is text that no terminal takes for more than text.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
