package oidc

import (
	"strconv"
	"strings"
	"time"

	"stint/internal/access"
)

// Type is the type of the integration.
const Type = "oidc"

// Provider is an identity provider, as its integration says. It is known by Name;
// what its credential holds is ClientID and a secret that is given when it is used.
type Provider struct {
	Name     string
	Title    string // for the button
	Issuer   string
	ClientID string
	Scopes   []string

	NameClaim    string
	GroupsClaim  string
	GroupsMap    map[string]string // theirs to ours
	GroupsPrefix string            // before each group that is not mapped
	Allowed      []string          // of their groups; who is in none does not get in; empty: everybody
	Attributes   map[string]string // claim to attribute

	UserInfo   bool // ask the UserInfo endpoint for claims that the ID token lacks
	Create     bool // make a user of who is not known
	Classes    string
	MFAClasses []string
	MaxAge     time.Duration // 0: whenever they signed in there
	Prompt     string
}

// Schema is what an integration of this type may say.
func Schema() access.Schema {
	return access.Schema{Type: Type, NeedsCredential: true, Integration: map[string]access.Option{
		"title":         {Doc: "what the button says; default: the name"},
		"scopes":        {Doc: "scopes to ask for besides openid", Default: "profile,email", Many: true, Pattern: `[!#-\[\]-~]+`, Form: "a scope is one word"},
		"nameClaim":     {Doc: "the claim that names a user who is made at the first sign-in", Default: "preferred_username"},
		"groupsClaim":   {Doc: "the claim that lists groups; a path with dots reaches into objects", Default: "groups"},
		"groups":        {Doc: "other names for groups: theirs=ours", Many: true, Pattern: pair, Form: "write theirs=ours; ours is a name"},
		"groupsPrefix":  {Doc: "what is put before the name of each group that groups does not rename", Pattern: `[a-z0-9][a-z0-9._-]*`, Form: "it begins as a name does"},
		"allowedGroups": {Doc: "of their groups, one of which somebody must be in to sign in", Many: true},
		"attributes":    {Doc: "claims that become attributes of the user: claim=attribute", Many: true, Pattern: pair, Form: "write claim=attribute; the attribute is a name"},
		"userInfo":      {Doc: "ask the provider's UserInfo endpoint for what the ID token does not say", Values: []string{"yes", "no"}, Default: "no"},
		"create":        {Doc: "make a user of who signs in and is not linked to one", Values: []string{"yes", "no"}, Default: "no"},
		"acrValues":     {Doc: "authentication classes to ask the provider for, the best first"},
		"mfaClasses":    {Doc: "values of acr by which this provider says that a second factor was used", Many: true},
		"maxAge":        {Doc: "seconds after which a sign-in at the provider is too old", Min: 1, Max: 86400},
		"prompt":        {Doc: "what the provider asks each time", Values: []string{"login", "select_account", "consent"}},
	}}
}

const pair = `[^=]+=[a-z0-9][a-z0-9._-]{0,62}`

// Read makes a provider of an integration that was checked against Schema.
func Read(name, address string, options map[string]string) Provider {
	o := func(name string) string {
		if v := options[name]; v != "" {
			return v
		}
		return Schema().Integration[name].Default
	}
	p := Provider{Name: name, Title: o("title"), Issuer: address, NameClaim: o("nameClaim"), GroupsClaim: o("groupsClaim"),
		GroupsMap: pairs(o("groups")), GroupsPrefix: o("groupsPrefix"), Allowed: list(o("allowedGroups")), Attributes: pairs(o("attributes")),
		Create: o("create") == "yes", UserInfo: o("userInfo") == "yes", Classes: o("acrValues"), MFAClasses: list(o("mfaClasses")), Prompt: o("prompt")}
	if p.Title == "" {
		p.Title = name
	}
	p.Scopes = []string{"openid"}
	for _, s := range list(o("scopes")) {
		if s != "openid" {
			p.Scopes = append(p.Scopes, s)
		}
	}
	if n, err := strconv.Atoi(o("maxAge")); err == nil {
		p.MaxAge = time.Duration(n) * time.Second
	}
	return p
}

// list splits the text of an option with many values.
func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

func pairs(s string) map[string]string {
	m := map[string]string{}
	for _, kv := range list(s) {
		i := strings.LastIndexByte(kv, '=') // what is theirs may hold one
		if i > 0 {
			m[kv[:i]] = kv[i+1:]
		}
	}
	return m
}
