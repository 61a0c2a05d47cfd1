package httpgate

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
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
	no := func(why, next string) (Login, error) {
		return Login{}, access.Fail(access.Invalid, "bad-login", "the login by form cannot be sent").Because(why).Try("an administrator " + next)
	}
	if password == "" {
		return no("there is no password", "registers the credential anew, with one")
	}
	seen := map[string]bool{}
	for _, f := range append([]Field{{Name: l.User}, {Name: l.Password}}, l.others()...) {
		switch {
		case !fieldName.MatchString(f.Name):
			return no(fmt.Sprintf("%.80q is no name of a field", f.Name), "mends loginUserField, loginPasswordField, loginToken or loginFields of the resource's connection")
		case seen[f.Name]:
			return no("two of its fields are called "+f.Name, "gives loginUserField, loginPasswordField, loginToken and loginFields of the resource's connection a field each")
		}
		seen[f.Name] = true
	}
	for _, n := range append([]string{cmp.Or(l.Cookie, "none")}, l.Shown...) {
		if !cookieForm.MatchString(n) {
			return no(fmt.Sprintf("%.80q is no name of a cookie", n), "mends loginCookie or browserCookies of the resource's connection")
		}
	}
	if l.Cookie != "" && slices.Contains(l.Shown, l.Cookie) {
		return no("the cookie of who is logged in would be shown to browsers", "takes "+l.Cookie+" out of browserCookies of the resource's connection")
	}
	var err error
	if l.page, err = ownTarget(l.Path); err != nil {
		return no("the path of its page is none", "says loginPath in the resource's connection: a path like /login, which is not the front page")
	}
	if l.post, err = ownTarget(l.Post); err != nil {
		return no("the path that it is sent to is none", "says loginPost in the resource's connection: a path like /login, which is not the front page")
	}
	if l.Logout != "" {
		path := l.Logout
		if m, p, is := strings.Cut(path, " "); is {
			l.leave, path = m, p
		}
		if l.out, err = ownTarget(path); err != nil || l.leave != http.MethodGet && l.leave != http.MethodPost {
			return no("the path for logging out is none", "says logout in the resource's connection: a path, or POST and a path, which is not the front page")
		}
	}
	return Login{form: l}, nil
}

// What names are made of, as documents may say them.
var (
	fieldName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.:\[\]-]{0,63}$`)
	cookieForm = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)
)

// others are the fields beside the name and the password.
func (l *formLogin) others() []Field {
	if l.Token == "" {
		return l.Fields
	}
	return append([]Field{{Name: l.Token}}, l.Fields...)
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
