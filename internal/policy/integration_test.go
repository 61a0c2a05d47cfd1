package policy

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stint/internal/access"
)

func TestIntegration(t *testing.T) {
	s := compile(t, shop+`
kind: Integration
name: corp-sso
description: the company's
type: oidc
address: https://idp.example.com/realms/shop
credential: sso
groupsClaim: groups
---
kind: Integration
name: hook
type: webhook
address: http://127.0.0.1:8080
credential: first
secondKey: second
events: [requests, grants]
path: /hooks
`)
	hook, ok := s.Integration("hook")
	if !ok || len(s.Integrations()) != 2 || s.Integrations()[0].Name != "corp-sso" {
		t.Fatalf("got %v", s.Integrations())
	}
	if diff := cmp.Diff(hook.Options, map[string]string{"secondKey": "second", "events": "requests,grants", "path": "/hooks"}); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(hook.Logins(), []string{"first", "second"}); diff != "" {
		t.Error(diff)
	}
	sso, _ := s.Integration("corp-sso")
	if sso.Address != "https://idp.example.com/realms/shop" || sso.Credential != "sso" || sso.Options["create"] != "no" || sso.Description != "the company's" || sso.Source != "policy.yaml:42" {
		t.Errorf("got %+v", sso)
	}
	if _, ok := s.Integration("nobody"); ok {
		t.Error("found one that is not there")
	}
	rest, err := Remove(s.Documents(), KindIntegration, "hook")
	if err != nil || len(rest) != len(s.Documents())-1 {
		t.Errorf("remove: %d documents, %v", len(rest), err)
	}
}

// TestIntegrationOffline: without schemas options are read and not checked, as
// `stint policy check` does, and addresses are checked all the same.
func TestIntegrationOffline(t *testing.T) {
	docs := parse(t, "kind: Integration\nname: x\ntype: anything\naddress: ldaps://dc1.example.com\nwhatever: 1\nlisted: [a, b]\n")
	s, err := Compile(docs, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	x, _ := s.Integration("x")
	if diff := cmp.Diff(x.Options, map[string]string{"whatever": "1", "listed": "a,b"}); diff != "" {
		t.Error(diff)
	}
	if _, err := Parse([]File{{"f", "kind: Integration\nname: x\ntype: anything\naddress: http://example.com\n"}}); err == nil || !strings.Contains(err.Error(), "plain http") {
		t.Errorf("plain http: %v", err)
	}
}

// TestIntegrationAddress: one way to write an address, and none that a resolver, a
// proxy or a library could read as another host.
func TestIntegrationAddress(t *testing.T) {
	oidc, mail := schemas["oidc"], schemas["mail"]
	for _, good := range []string{"https://idp.example.com", "https://idp.example.com/", "https://idp.example.com:8443/realms/a-b_c.d~e", "http://127.0.0.1:5556/dex",
		"http://localhost", "http://[::1]:80", "https://10.0.0.7", "https://[2001:db8::1]:443", "https://idp"} {
		if err := CheckAddress(oidc, good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "idp.example.com", "idp:443", "//idp.example.com", "https:idp.example.com", "https://", "https:///path", "ftp://idp.example.com", "file:///etc/passwd",
		"http://idp.example.com", "http://localhost.example.com", "http://169.254.169.254", "http://127.0.0.1.example.com",
		"https://user@idp.example.com", "https://user:pw@idp.example.com", "https://idp.example.com@evil.example", "https://@evil.example",
		"https://idp.example.com?x=1", "https://idp.example.com?", "https://idp.example.com#a", "https://idp.example.com#", "https://idp.example.com/#@evil.example",
		"https://idp.example.com/a/../b", "https://idp.example.com/%2e%2e/b", "https://idp.example.com/a%00", "https://idp.example.com\\@evil.example", "https://idp.example.com/a b",
		"https://2130706433", "https://0x7f000001", "https://0x7f.0.0.1", "https://0177.0.0.1", "https://127.1", "https://1", "https://127.0.0.01", "https://[::ffff:127.0.0.1]", "https://[::1%25lo]", "https://[0:0:0:0:0:0:0:1]",
		"https://IDP.example.com", "https://ıdp.example.com", "https://idp.example.com:", "https://idp.example.com:0", "https://idp.example.com:99999", "https://idp.example.com:0443",
		"https://idp.example.com\r\nX: y", "https://idp.example.com/\r\nX: y", "https://.example.com", "https://example.com./", "https://a..b:1:2", "smtp://mail.example.com", "https://" + strings.Repeat("a", 254)} {
		if err := CheckAddress(oidc, bad); access.KindOf(err) != access.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for address, good := range map[string]bool{"smtp://mail.example.com:587": true, "smtps://mail.example.com": true, "https://mail.example.com": false, "http://127.0.0.1": false} {
		if err := CheckAddress(mail, address); (err == nil) != good {
			t.Errorf("mail at %s: %v", address, err)
		}
	}
	for address, good := range map[string]bool{"db1:5432": true, "https://db1:5432": false} {
		if err := CheckAddress(schemas["postgres"], address); (err == nil) != good {
			t.Errorf("postgres at %s: %v", address, err)
		}
	}
}

// TestTypesDoNotMix: a type of integration is none of resource, and the other way round.
func TestTypesDoNotMix(t *testing.T) {
	for name, doc := range map[string]string{
		"an integration of a resource's type": "kind: Integration\nname: x\ntype: postgres\naddress: https://a\n",
		"a resource of an integration's type": "kind: Resource\nname: x\ntype: oidc\nconnection: {address: 'a:1', credential: c}\n",
		"a role for an integration's type":    "kind: Role\nname: x\nresources: {type: oidc}\nmechanism: account\nmaxDuration: 1h\noidc: {memberOf: [a]}\n",
		"a selector of an integration's type": "kind: Policy\nname: x\nsubjects: ['*']\nroles: ['*']\nresources: {type: webhook}\nrequire: {maxDuration: 1h}\n",
	} {
		_, err := Compile(parse(t, doc), schemas, 1)
		var problems Problems
		if !errors.As(err, &problems) || !strings.Contains(err.Error(), "unknown type") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
