package httpgate

import (
	"bytes"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

const (
	mostPage  = 1 << 20 // bytes of a login page
	mostToken = 4 << 10 // and of a value that is taken from it
)

// loginPage is what of a page the gateway looks at.
type loginPage struct {
	forms []loginForm
	code  bool // it asks for a code that is used once
}

// loginForm is one form of a page: its inputs by their names.
type loginForm struct{ inputs []input }

type input struct{ kind, name, value string }

// codes are names of fields in which applications ask for a second factor.
var codes = []string{"otp", "totp", "otp_code", "otpcode", "otp_token", "otp-code", "mfa", "mfa_code", "mfacode", "2fa", "twofactor", "two_factor_code", "verification_code", "one_time_code", "totp_code", "totpcode", "user[otp_attempt]"}

// readPage reads a page from its first byte to its last, without building a tree: what stands in
// comments, scripts and templates is no form, and nesting costs nothing.
func readPage(text []byte) (p loginPage) {
	z := html.NewTokenizer(bytes.NewReader(text))
	z.SetMaxBuf(mostPage)
	in, templates := -1, 0
	for {
		kind := z.Next()
		if kind == html.ErrorToken { // its end, or what cannot be read
			return p
		}
		if kind != html.StartTagToken && kind != html.SelfClosingTagToken && kind != html.EndTagToken {
			continue
		}
		name, more := z.TagName()
		switch tag := string(name); {
		case tag == "template" && kind == html.StartTagToken:
			templates++
		case tag == "template" && kind == html.EndTagToken:
			templates = max(templates-1, 0)
		case templates > 0:
		case tag == "form" && kind == html.EndTagToken:
			in = -1
		case tag == "form" && in < 0: // one within another is not there for browsers
			p.forms = append(p.forms, loginForm{})
			in = len(p.forms) - 1
		case tag == "input" && kind != html.EndTagToken:
			i, once := readInput(z, more)
			p.code = p.code || once
			if in >= 0 && i.name != "" {
				p.forms[in].inputs = append(p.forms[in].inputs, i)
			}
		}
	}
}

// readInput reads one, and whether it is for a code that is used once.
func readInput(z *html.Tokenizer, more bool) (i input, once bool) {
	seen := map[string]bool{}
	for more {
		var key, value []byte
		key, value, more = z.TagAttr()
		k, v := string(key), string(value)
		if seen[k] { // of two the first is meant
			continue
		}
		seen[k] = true
		switch k {
		case "type":
			i.kind = strings.ToLower(strings.TrimSpace(v))
		case "name":
			i.name = v
		case "value":
			i.value = v
		case "autocomplete":
			once = once || slices.Contains(strings.Fields(strings.ToLower(v)), "one-time-code")
		}
	}
	return i, once || i.kind != "hidden" && slices.Contains(codes, strings.ToLower(i.name))
}

// asks says whether the page has a form for a password in that field.
func (p loginPage) asks(field string) bool {
	return slices.ContainsFunc(p.forms, func(f loginForm) bool { return f.asks(field) })
}

func (f loginForm) asks(field string) bool {
	return slices.ContainsFunc(f.inputs, func(i input) bool { return i.kind == "password" && i.name == field })
}

// token is the value of the hidden field of that name, beside the field of the password; and
// why there is none. What could be meant in two ways is none.
func (p loginPage) token(name, password string) (value, why string) {
	found := 0
	for _, f := range p.forms {
		if !f.asks(password) {
			continue
		}
		for _, i := range f.inputs {
			if i.kind == "hidden" && i.name == name {
				value = i.value
				found++
			}
		}
	}
	switch {
	case !p.asks(password):
		return "", "its login page has no form with a field for the password that is called " + password
	case found == 0:
		return "", "the form of its login page has no hidden field that is called " + name
	case found > 1:
		return "", "its login page has the hidden field " + name + " more than once"
	case value == "" || len(value) > mostToken:
		return "", "the hidden field " + name + " of its login page is empty, or too long"
	}
	return value, ""
}
