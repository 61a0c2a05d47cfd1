package policy

import (
	"strings"
	"testing"

	"stint/internal/access"
)

const forges = `
kind: Integration
name: forge
type: workload
address: https://token.actions.githubusercontent.com
audiences: [https://stint.example]
---
kind: Integration
name: mesh
type: spiffe
address: https://spire.corp.example/bundle
trustDomain: corp.example
audiences: [stint]
---
kind: Integration
name: sso
type: oidc
address: https://idp.example
credential: sso
---
`

func TestWorkload(t *testing.T) {
	docs, err := Parse([]File{{"w.yaml", forges + `
kind: Workload
name: orders
description: the orders pipeline
service: ci
integration: forge
claims: {repository: corp/orders, environment: [production, staging], repository_id: 74}
like: {ref: ["refs/heads/*", "refs/tags/v*"]}
---
kind: Workload
name: host
service: service:batch
certificate: {uri: spiffe://corp.example/host, dns: host.corp.example}
`}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Compile(docs, schemas, 1)
	if err != nil {
		t.Fatal(err)
	}
	w, ok := s.Workload("orders")
	if !ok || len(s.Workloads()) != 2 || w.Service != "service:ci" || w.Integration != "forge" || len(w.Conditions) != 4 || w.Source == "" || w.Description == "" {
		t.Fatalf("got %+v", w)
	}
	x := access.Exchange{Integration: "forge", Claims: map[string]string{"repository": "corp/orders", "environment": "staging", "repository_id": "74", "ref": "refs/tags/v1"}}
	if !w.Fits(x) {
		t.Error("it does not fit")
	}
	for name, bend := range map[string]func(*access.Exchange){
		"another integration": func(x *access.Exchange) { x.Integration = "mesh" },
		"none":                func(x *access.Exchange) { x.Integration = "" },
		"a claim less":        func(x *access.Exchange) { x.Claims = map[string]string{"repository": "corp/orders"} },
		"no claims":           func(x *access.Exchange) { x.Claims = nil },
		"a certificate": func(x *access.Exchange) {
			*x = access.Exchange{URIs: []string{"spiffe://corp.example/host"}, Certificate: access.Digest{1}}
		},
	} {
		y := x
		if bend(&y); w.Fits(y) {
			t.Errorf("%s: it fits", name)
		}
	}
	host, _ := s.Workload("host")
	y := access.Exchange{URIs: []string{"spiffe://corp.example/host"}, DNS: []string{"host.corp.example"}, Certificate: access.Digest{1}}
	if !host.Fits(y) {
		t.Error("the certificate does not fit")
	}
	if y.Certificate = (access.Digest{}); host.Fits(y) {
		t.Error("names without a certificate fit")
	}
	if host.Fits(access.Exchange{Integration: "forge", Claims: map[string]string{"uri": "spiffe://corp.example/host"}, Certificate: access.Digest{1}}) {
		t.Error("an integration's word fits a certificate")
	}
	// An integration that one names is not deleted; the workload is.
	if _, err := Remove(s.Documents(), KindIntegration, "forge"); access.KindOf(err) != access.Conflict {
		t.Errorf("delete the integration: %v", err)
	}
	rest, err := Remove(s.Documents(), KindWorkload, "orders")
	if err != nil {
		t.Fatal(err)
	}
	without, err := Compile(rest, schemas, 2)
	if err != nil {
		t.Fatal(err)
	}
	// To say what a service is takes two persons; to take it away takes one.
	if g := SecondPerson(s, without, []Change{{Deleted, KindWorkload, "orders"}}); len(g) != 0 {
		t.Errorf("deleting is grave: %v", g)
	}
	if g := SecondPerson(without, s, []Change{{Created, KindWorkload, "orders"}}); len(g) != 1 {
		t.Errorf("creating is not grave: %v", g)
	}
	for who, p := range map[string]access.Principal{"an author": {ID: "user:a", Author: true}, "an owner": {ID: "user:mira", Groups: []access.Group{"dba"}}} {
		if err := s.MayWrite(p, Document{Kind: KindWorkload, Name: "orders"}); access.KindOf(err) != access.Denied {
			t.Errorf("%s: %v", who, err)
		}
	}
}

func TestWorkloadRefused(t *testing.T) {
	for name, x := range map[string]struct{ doc, says string }{
		"no condition":              {"service: ci\nintegration: forge\n", "no condition"},
		"empty claims":              {"service: ci\nintegration: forge\nclaims: {}\n", "no condition"},
		"an empty list":             {"service: ci\nintegration: forge\nclaims: {repository: []}\n", "is empty"},
		"an empty text":             {"service: ci\nintegration: forge\nclaims: {repository: ''}\n", "not the text of a claim"},
		"a claim without a value":   {"service: ci\nintegration: forge\nclaims: {repository: }\n", "no value"},
		"a star among texts":        {"service: ci\nintegration: forge\nclaims: {repository: corp/*}\n", "patterns stand under like"},
		"a pattern for all":         {"service: ci\nintegration: forge\nlike: {repository: '*'}\n", "no condition"},
		"a mere beginning":          {"service: ci\nintegration: forge\nlike: {sub: 'repo:corp/orders**'}\n", "only begin alike"},
		"everybody in the world":    {"service: ci\nintegration: forge\nclaims: {ref: refs/heads/main}\n", "everybody in the world"},
		"nobody vouches":            {"service: ci\n", "does not say who vouches"},
		"no service":                {"integration: forge\nclaims: {repository: a/b}\n", "has no service"},
		"a user":                    {"service: user:root\nintegration: forge\nclaims: {repository: a/b}\n", "not the name of a service"},
		"Stint itself":              {"service: stint\nintegration: forge\nclaims: {repository: a/b}\n", "not the name of a service"},
		"no such integration":       {"service: ci\nintegration: forg\nclaims: {repository: a/b}\n", "no integration"},
		"an integration for people": {"service: ci\nintegration: sso\nclaims: {sub: a}\n", "vouches for no workload"},
		"both":                      {"service: ci\nintegration: forge\nclaims: {repository: a/b}\ncertificate: {uri: spiffe://a/b}\n", "a certificate and for the word"},
		"an empty certificate":      {"service: ci\ncertificate: {}\n", "says no name"},
		"a certificate of a star":   {"service: ci\ncertificate: {dns: '*.corp.example'}\n", "not a host name"},
		"a URI that is none":        {"service: ci\ncertificate: {uri: batch}\n", "not a URI"},
		"no SPIFFE ID":              {"service: ci\nintegration: mesh\nclaims: {x: a}\n", "which SPIFFE ID"},
		"of another domain":         {"service: ci\nintegration: mesh\nclaims: {sub: spiffe://corp.example.evil/x}\n", "not of the trust domain"},
		"any of the domain":         {"service: ci\nintegration: mesh\nlike: {sub: 'spiffe://*/x'}\n", "not of the trust domain"},
		"an unknown field":          {"service: ci\nintegration: forge\nclaims: {repository: a/b}\nwhen: 'true'\n", "no field"},
	} {
		docs, err := Parse([]File{{"w.yaml", forges + "kind: Workload\nname: w\n" + x.doc}})
		if err == nil {
			_, err = Compile(docs, schemas, 1)
		}
		if access.KindOf(err) != access.Invalid || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Parse([]File{{"w.yaml", "kind: Integration\nname: x\ntype: workload\naddress: https://a\naudiences: []\n"}}); err == nil {
		docs, _ := Parse([]File{{"w.yaml", "kind: Integration\nname: x\ntype: workload\naddress: https://a\naudiences: []\n"}})
		if _, err := Compile(docs, schemas, 1); err == nil {
			t.Error("no audience is accepted")
		}
	}
}
