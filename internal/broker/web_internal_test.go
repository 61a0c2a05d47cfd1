package broker

import (
	"encoding/json"
	"testing"

	"stint/internal/access"
)

// TestWebForm: what a connection says of a login by form is what its gateway is told, to the letter; the words are
// those that gateways read (TestByForm of stint-gateway).
func TestWebForm(t *testing.T) {
	for name, c := range map[string]struct {
		options map[string]string
		want    string
	}{
		"nothing":       {nil, "null"},
		"another login": {map[string]string{"login": "basic", "loginPath": "/login", "logout": "/out"}, "null"},
		"another case":  {map[string]string{"login": "Form", "loginPath": "/login"}, "null"},
		"a path alone":  {map[string]string{"login": "form", "loginPath": "/login"}, `{"path":"/login"}`},
		"no path":       {map[string]string{"login": "form"}, `{"path":""}`},
		"all of it": {map[string]string{"login": "form", "loginPath": "/login", "loginPost": "/session", "loginUserField": "user[login]", "loginPasswordField": "user[password]", "loginToken": "authenticity_token",
			"loginFields": "realm=local,user[remember]=,next=a=b", "loginCookie": "sid", "browserCookies": "csrf,XSRF-TOKEN", "logout": "POST /logout", "loginHeader": "X-Key", "tls": "off"},
			`{"path":"/login","post":"/session","user":"user[login]","password":"user[password]","token":"authenticity_token","fields":["realm=local","user[remember]=","next=a=b"],"cookie":"sid","shown":["csrf","XSRF-TOKEN"],"logout":"POST /logout"}`},
		"empty ones of a list": {map[string]string{"login": "form", "loginPath": "/login", "loginFields": "a=1,,b"}, `{"path":"/login","fields":["a=1","","b"]}`}, // which the gateway refuses
		"what could be more":   {map[string]string{"login": "form", "loginPath": "/a\r\nHost: x", "logout": `"},"secret":"x`}, `{"path":"/a\r\nHost: x","logout":"\"},\"secret\":\"x"}`},
	} {
		got, err := json.Marshal(webForm(access.Connection{Type: webType, Options: c.options}))
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s, not %s (%v)", name, got, c.want, err)
		}
	}
}
