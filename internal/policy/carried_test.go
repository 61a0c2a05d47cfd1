package policy

import (
	"strings"
	"testing"

	"stint/internal/access"
)

// carriedSchemas are of a type on which nothing is made.
var carriedSchemas = map[string]access.Schema{"http": {Type: "http", Mechanisms: []access.Mechanism{access.Token}, NoCredential: true, Carried: true,
	Connection: map[string]access.Option{"tls": {Values: []string{"verify", "off"}, Default: "verify"}, "login": {Values: []string{"none", "basic", "bearer", "header", "certificate", "form"}}, "loginHeader": {Needs: "login=header"}, "loginPath": {Needs: "login=form"}, "loginToken": {Needs: "login=form"},
		"loginFields": {Needs: "login=form", Many: true}, "loginCookie": {Needs: "login=form"}, "browserCookies": {Needs: "login=form", Many: true}},
	Role: map[string]access.Option{"through": {Values: []string{"gateway"}, Default: "gateway"}, "allow": {Many: true, Required: true}}}}

func withPorts() map[string]access.Schema { // one that gateways do not log in to
	all := map[string]access.Schema{"tcp": {Type: "tcp", Mechanisms: []access.Mechanism{access.Token}, NoCredential: true, Carried: true, Role: map[string]access.Option{"through": {Values: []string{"gateway"}, Default: "gateway"}}}}
	for name, s := range carriedSchemas {
		all[name] = s
	}
	return all
}

// TestCarried: what belongs together in documents about sessions through gateways is asked for
// by its line, with what to do; roles name no account, and are recorded without saying so.
func TestCarried(t *testing.T) {
	resource := func(name, connection string) string {
		return "kind: Resource\nname: " + name + "\ntype: http\nconnection: {" + connection + "}\n"
	}
	const role = "kind: Role\nname: r\nresources: {type: http}\nmechanism: token\nmaxDuration: 1h\n"
	for text, says := range map[string]string{
		resource("wiki", `address: "wiki:443"`):                                                                                               "",
		resource("wiki", `address: "wiki:443", credential: c, login: basic`):                                                                  "",
		resource("wiki", `address: "127.0.0.1:80", tls: "off"`):                                                                               "",
		resource("wiki", `address: "[::1]:80", tls: "off", credential: c, login: bearer`):                                                     "",
		resource("wiki", `address: "wiki:443", credential: c, login: header, loginHeader: X-Key`):                                             "",
		resource("wiki", `address: "wiki:443", credential: c`):                                                                                "not how gateways log in",
		resource("wiki", `address: "wiki:443", credential: c, login: none`):                                                                   "not how gateways log in",
		resource("wiki", `address: "wiki:443", login: basic`):                                                                                 "not with which credential",
		resource("wiki", `address: "wiki:443", credential: c, login: header`):                                                                 "which header",
		resource("wiki", `address: "wiki:443", credential: c, login: form, loginPath: /login`):                                                "",
		resource("wiki", `address: "wiki:443", credential: c, login: form`):                                                                   "where the login page is",
		resource("wiki", `address: "wiki:443", login: form, loginPath: /login`):                                                               "not with which credential",
		resource("wiki", `address: "wiki:443", credential: c, login: basic, loginPath: /login`):                                               "says nothing without login: form",
		resource("wiki", `address: "wiki:443", credential: c, login: form, loginPath: /login, loginCookie: sid, browserCookies: [csrf, sid]`): "who has it has the login",
		resource("wiki", `address: "wiki:443", credential: c, login: form, loginPath: /login, loginToken: password`):                          "named by loginPasswordField and by loginToken",
		resource("wiki", `address: "wiki:443", credential: c, login: form, loginPath: /login, loginFields: [username=mira]`):                  "named by loginUserField and by loginFields",
		resource("wiki", `address: "wiki:80", tls: "off"`):                                                                                    "loopback",
		resource("wiki", `address: "localhost:80", tls: "off"`):                                                                               "loopback",
		resource("wiki", `address: "127.0.0.1:80", tls: "off", credential: c, login: certificate`):                                            "without TLS",
		resource("a.wiki", `address: "wiki:443"`):                                                                                             "host's name",
		"kind: Resource\nname: q\ntype: tcp\nconnection: {address: \"q:1\"}\n":                                                                "",
		"kind: Resource\nname: q\ntype: tcp\nconnection: {address: \"q:1\", credential: c}\n":                                                 "has no credential",
		role + "http: {allow: [x]}\n":                                                                                                         "",
		role + "http: {allow: [x], account: bot}\n":                                                                                           "nothing is made on",
		role + "http: {}\n": "no allow",
		role:                "no allow",
		strings.Replace(role, "token", "account", 1) + "http: {allow: [x], memberOf: [g]}\n": "not available yet",
	} {
		docs, err := Parse([]File{{"a.yaml", text}})
		if err != nil {
			t.Errorf("%s: read without types: %v", text, err)
			continue
		}
		set, err := Compile(docs, withPorts(), 1)
		switch {
		case says == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case says != "" && (err == nil || !strings.Contains(err.Error(), says)):
			t.Errorf("%s: it is said: %v", text, err)
		case err == nil:
			for _, r := range set.roles {
				if !r.recorded() {
					t.Errorf("%s: nobody knows that it is recorded", text)
				}
			}
		}
	}
}
