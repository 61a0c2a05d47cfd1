package oidc_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stint/internal/access"
	"stint/internal/oidc"
)

func TestPerson(t *testing.T) {
	id := access.Identity{Provider: "corp", Subject: "s-1"}
	none := map[string]string{}
	for _, c := range []struct {
		name    string
		options map[string]string
		claims  string
		want    oidc.Person
	}{
		{"nothing", nil, `{}`, oidc.Person{Identity: id, Attributes: none, Auth: access.Auth{Provider: "corp"}}},
		{"name and groups", nil, `{"preferred_username":"mira","groups":["dba","platform","dba"]}`,
			oidc.Person{Identity: id, Name: "mira", Groups: []string{"dba", "platform"}, Attributes: none, Auth: access.Auth{Provider: "corp"}}},
		{"one group, as a text", nil, `{"groups":"dba"}`, oidc.Person{Identity: id, Groups: []string{"dba"}, Attributes: none, Auth: access.Auth{Provider: "corp"}}},
		{"names that are none here are left out, not made to fit", nil, `{"groups":["Domain Admins","DBA","dba*","dba"]}`,
			oidc.Person{Identity: id, Groups: []string{"dba"}, Skipped: 3, Attributes: none, Auth: access.Auth{Provider: "corp"}}},
		{"renamed", map[string]string{"groups": "Domain Admins=admins,cn=dba,ou=x=dba", "groupsPrefix": "corp-"}, `{"groups":["Domain Admins","dba"]}`,
			oidc.Person{Identity: id, Groups: []string{"admins", "corp-dba"}, Attributes: none, Auth: access.Auth{Provider: "corp"}}},
		{"a path", map[string]string{"groupsClaim": "realm.roles"}, `{"realm":{"roles":["dba"]},"groups":["all"]}`,
			oidc.Person{Identity: id, Groups: []string{"dba"}, Attributes: none, Auth: access.Auth{Provider: "corp"}}},
		{"a name with dots before a path", map[string]string{"groupsClaim": "a.b"}, `{"a.b":["dba"],"a":{"b":["all"]}}`,
			oidc.Person{Identity: id, Groups: []string{"dba"}, Attributes: none, Auth: access.Auth{Provider: "corp"}}},
		{"attributes", map[string]string{"attributes": "department=team,office=site,gone=gone"}, `{"department":"orders","office":7}`,
			oidc.Person{Identity: id, Attributes: map[string]string{"team": "orders", "site": "", "gone": ""}, Auth: access.Auth{Provider: "corp"}}},
		{"a mail address that is verified", map[string]string{"attributes": "email=mail"}, `{"email":"mira@example.com","email_verified":true}`,
			oidc.Person{Identity: id, Attributes: map[string]string{"mail": "mira@example.com"}, Auth: access.Auth{Provider: "corp"}}},
		{"one that nobody verified", map[string]string{"attributes": "email=mail"}, `{"email":"root@example.com","email_verified":false}`,
			oidc.Person{Identity: id, Attributes: map[string]string{"mail": ""}, Auth: access.Auth{Provider: "corp"}}},
		{"one of which nothing is said", map[string]string{"attributes": "email=mail"}, `{"email":"root@example.com","email_verified":"true"}`,
			oidc.Person{Identity: id, Attributes: map[string]string{"mail": ""}, Auth: access.Auth{Provider: "corp"}}},
		{"one with a header in it", map[string]string{"attributes": "email=mail"}, `{"email":"a@b.c\r\nBcc: x@y.z","email_verified":true}`,
			oidc.Person{Identity: id, Attributes: map[string]string{"mail": ""}, Auth: access.Auth{Provider: "corp"}}},
		{"how", nil, `{"amr":["pwd","otp","pwd"],"acr":"urn:x","auth_time":1700000000.5}`,
			oidc.Person{Identity: id, Attributes: none, Auth: access.Auth{Provider: "corp", Methods: []string{"otp", "pwd"}, Class: "urn:x", At: time.Unix(1700000000, 0).UTC(), MFA: true}}},
		{"one factor twice", nil, `{"amr":["pwd","pin","user"]}`,
			oidc.Person{Identity: id, Attributes: none, Auth: access.Auth{Provider: "corp", Methods: []string{"pin", "pwd", "user"}}}},
		{"a class that says so", map[string]string{"mfaClasses": "phr,phrh"}, `{"acr":"phr"}`,
			oidc.Person{Identity: id, Attributes: none, Auth: access.Auth{Provider: "corp", Class: "phr", MFA: true}}},
		{"a class that does not", map[string]string{"mfaClasses": "phr,phrh"}, `{"acr":"ph"}`,
			oidc.Person{Identity: id, Attributes: none, Auth: access.Auth{Provider: "corp", Class: "ph"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := oidc.ReadClaims(oidc.Read("corp", "https://idp.example", c.options), "s-1", []byte(c.claims))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(got, c.want); d != "" {
				t.Errorf("got (-), want (+):\n%s", d)
			}
		})
	}
}

// Every option of the schema is one that Read knows, and none is without a word.
func TestSchema(t *testing.T) {
	plain := oidc.Read("corp", "https://idp.example", nil)
	s := oidc.Schema()
	if s.Type != oidc.Type || !s.NeedsCredential {
		t.Errorf("got %+v", s)
	}
	for name, o := range s.Integration {
		if o.Doc == "" || strings.HasSuffix(o.Doc, ".") {
			t.Errorf("%s: doc %q", name, o.Doc)
		}
		value := map[string]string{"maxAge": "60", "create": "yes", "userInfo": "yes", "prompt": "login", "groups": "a=b", "attributes": "a=b"}[name]
		if value == "" {
			value = "x"
		}
		if cmp.Equal(oidc.Read("corp", "https://idp.example", map[string]string{name: value}), plain) {
			t.Errorf("the option %s changes nothing", name)
		}
	}
}
