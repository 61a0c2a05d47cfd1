package httpgate

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"stint/internal/access"
	"stint/internal/gateway"
)

// Form is how an application takes a login by a form.
type Form struct {
	Path     string   // of the login page
	Post     string   // where the form is sent; "" is Path
	User     string   // the field of the name; "" is username
	Password string   // the field of the password; "" is password
	Token    string   // a hidden field of the page whose value is sent along; "" is none, and the page is not read
	Fields   []Field  // what else is sent
	Cookie   string   // that the application sets for who is logged in; "" is to lead away from the page
	Shown    []string // cookies that scripts of the application's pages read
	Logout   string   // a method and a path, or a path alone; "" is none
}

// Field is one field of a form.
type Field struct{ Name, Value string }

// formLogin is a login by a form. Nothing of it is changed once it is made.
type formLogin struct {
	Form
	page, post, out target // out is zero where nobody is logged out
	leave           string // its method
	user, password  string
}

// ByForm is a login that is sent as a form. It is not sent anywhere else than to the
// application at its two paths, whatever its pages say.
func ByForm(f Form, user, password string) (Login, error) {
	l := &formLogin{Form: f, user: user, password: password, leave: http.MethodGet}
	if l.Post == "" {
		l.Post = l.Path
	}
	if l.User == "" {
		l.User = "username"
	}
	if l.Password == "" {
		l.Password = "password"
	}
	bad := access.Fail(access.Invalid, "bad-login", "the login by form cannot be sent")
	if password == "" {
		return Login{}, bad.Because("there is no password")
	}
	seen := map[string]bool{}
	for _, n := range append([]string{l.User, l.Password, l.Token}, names(l.Fields)...) {
		if n != "" && seen[n] {
			return Login{}, bad.Because("two of its fields are called " + n)
		}
		seen[n] = true
	}
	if l.Cookie != "" && slices.Contains(l.Shown, l.Cookie) {
		return Login{}, bad.Because("the cookie of who is logged in would be shown to browsers")
	}
	var err error
	if l.page, err = ownTarget(l.Path); err != nil {
		return Login{}, bad.Because("the path of its page is none")
	}
	if l.post, err = ownTarget(l.Post); err != nil {
		return Login{}, bad.Because("the path that it is sent to is none")
	}
	if l.Logout != "" {
		path := l.Logout
		if m, p, is := strings.Cut(path, " "); is {
			l.leave, path = m, p
		}
		if l.out, err = ownTarget(path); err != nil || l.leave != http.MethodGet && l.leave != http.MethodPost {
			return Login{}, bad.Because("the path for logging out is none")
		}
	}
	return Login{form: l}, nil
}

func names(all []Field) (out []string) {
	for _, f := range all {
		out = append(out, f.Name)
	}
	return out
}

// ownTarget is a path of an application that has a name of its own.
func ownTarget(path string) (target, error) {
	t, err := readTarget(path)
	if err == nil && (t.path == "/" || t.path == "") {
		err = ambiguous("the front page is none for logging in and out")
	}
	return t, err
}

// guards are the rules that keep people from the login page: who logged in there would have
// the application answer as somebody else, and what the page shows is not for them.
func (l *formLogin) guards() []gateway.PathRule {
	return []gateway.PathRule{
		{Effect: gateway.Deny, Methods: []string{"*"}, Path: l.page.path},
		{Effect: gateway.Deny, Methods: []string{http.MethodPost}, Path: l.post.path},
	}
}

// leads says whether a path is that of the login page, as the most lenient application reads
// it.
func (l *formLogin) leads(path string) bool {
	fold := func(s string) string { return strings.TrimRight(strings.ToLower(s), "/. ") }
	return fold(path) == fold(l.page.path)
}

// values are what is sent. token is the value of the hidden field, where one is.
func (l *formLogin) values(token string) url.Values {
	v := url.Values{l.User: {l.user}, l.Password: {l.password}}
	if l.Token != "" {
		v.Set(l.Token, token)
	}
	for _, f := range l.Fields {
		v.Set(f.Name, f.Value)
	}
	if l.user == "" { // some applications have a password alone
		v.Del(l.User)
	}
	return v
}
