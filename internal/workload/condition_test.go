package workload

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func claims(t testing.TB, text string) Claims {
	t.Helper()
	o, err := Object([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return Flat(o)
}

func is(claim string, texts ...string) Condition { return Condition{Claim: claim, Is: texts} }

func like(claim string, patterns ...string) Condition {
	return Condition{Claim: claim, Like: patterns}
}

// pipeline is what a token of GitHub Actions says, cut short.
const pipeline = `{"sub": "repo:corp/orders:ref:refs/heads/main", "repository": "corp/orders", "repository_id": "74", "repository_owner": "corp",
	"ref": "refs/heads/main", "ref_protected": "true", "environment": "production", "run_attempt": 2, "exact": 12345678901234567890, "half": 1.5, "big": 1e3,
	"aud": ["a", "b"], "groups": ["dba"], "yes": true, "none": null, "empty": "",
	"kubernetes.io": {"namespace": "web", "serviceaccount": {"name": "batch", "uid": "u1"}}, "deep": {"a": {"b": "c"}},
	"deep/a": "x", "https://corp.example/team": "orders"}`

func TestConditions(t *testing.T) {
	c := claims(t, pipeline)
	for name, x := range map[string]struct {
		cs   Conditions
		want bool
	}{
		"none at all":                      {nil, false},
		"an empty list of them":            {Conditions{}, false},
		"a condition that asks nothing":    {Conditions{{Claim: "sub"}}, false},
		"one that holds":                   {Conditions{is("repository", "corp/orders")}, true},
		"one of several texts":             {Conditions{is("repository", "corp/shop", "corp/orders")}, true},
		"all of several":                   {Conditions{is("repository", "corp/orders"), is("environment", "production"), like("ref", "refs/heads/*")}, true},
		"all but one":                      {Conditions{is("repository", "corp/orders"), is("environment", "staging")}, false},
		"another case":                     {Conditions{is("repository", "Corp/Orders")}, false},
		"a space more":                     {Conditions{is("repository", "corp/orders ")}, false},
		"a beginning":                      {Conditions{is("repository", "corp")}, false},
		"a claim that is not there":        {Conditions{is("actor", "mira")}, false},
		"what is nothing":                  {Conditions{is("none", "")}, false},
		"what is empty":                    {Conditions{is("empty", "")}, false},
		"null as text":                     {Conditions{is("none", "null")}, false},
		"true":                             {Conditions{is("yes", "true")}, true},
		"a whole number":                   {Conditions{is("run_attempt", "2")}, true},
		"a number beyond floats":           {Conditions{is("exact", "12345678901234567890")}, true},
		"its neighbour":                    {Conditions{is("exact", "12345678901234567891")}, false},
		"a number with a point":            {Conditions{is("half", "1.5")}, false},
		"a number with an exponent":        {Conditions{is("big", "1000")}, false},
		"a list that has the text":         {Conditions{is("groups", "dba")}, false},
		"a list as JSON":                   {Conditions{is("groups", `["dba"]`)}, false},
		"an object as text":                {Conditions{is("deep", "map[a:map[b:c]]")}, false},
		"within an object":                 {Conditions{is("kubernetes.io/namespace", "web"), is("kubernetes.io/serviceaccount/name", "batch")}, true},
		"a name with a slash":              {Conditions{is("https://corp.example/team", "orders")}, true},
		"a name with a dot is not a path":  {Conditions{is("deep.a.b", "c")}, false},
		"what could be read as two things": {Conditions{is("deep/a", "x")}, false},
		"below what could be two things":   {Conditions{is("deep/a/b", "c")}, true},
	} {
		if got := x.cs.Hold(c); got != x.want {
			t.Errorf("%s: %v", name, got)
		}
		if (x.cs.Failing(c) == "") != x.want && len(x.cs) > 0 {
			t.Errorf("%s: failing says %q", name, x.cs.Failing(c))
		}
	}
}

// TestTricks: no claim that is not the one that was meant meets its condition.
func TestTricks(t *testing.T) {
	for name, payload := range map[string]string{
		"a longer name":        `{"repository": "corp/orders-evil"}`,
		"a name before":        `{"repository": "evil/corp/orders"}`,
		"a star":               `{"repository": "*"}`,
		"a list":               `{"repository": ["corp/orders"]}`,
		"an object":            `{"repository": {"": "corp/orders"}}`,
		"another case":         `{"Repository": "corp/orders", "REPOSITORY": "corp/orders"}`,
		"a zero at the end":    `{"repository": "corp/orders\u0000"}`,
		"a soft hyphen":        `{"repository": "corp/or\u00adders"}`,
		"a Cyrillic o":         `{"repository": "c\u043erp/orders"}`,
		"a fullwidth slash":    `{"repository": "corp\uff0forders"}`,
		"right to left":        `{"repository": "\u202ecorp/orders"}`,
		"a line more":          `{"repository": "corp/orders\n"}`,
		"percent":              `{"repository": "corp%2forders"}`,
		"a number":             `{"repository": 0}`,
		"an empty name around": `{"": {"repository": "corp/orders"}}`,
	} {
		if (Conditions{is("repository", "corp/orders")}).Hold(claims(t, payload)) || (Conditions{like("repository", "corp/o*s")}).Hold(claims(t, payload)) {
			t.Errorf("%s: it holds", name)
		}
	}
	for name, payload := range map[string]string{
		"twice": `{"sub": "a", "sub": "b"}`, "twice within": `{"x": {"sub": "a", "sub": "a"}}`, "twice, escaped": `{"sub": "a", "s\u0075b": "b"}`,
		"more behind": `{"sub": "a"} {}`, "a list": `[]`, "a text": `"sub"`, "nothing": ``, "cut short": `{"sub": "a"`, "bytes that are no text": "{\"sub\": \"\xff\"}",
		"too deep": strings.Repeat(`{"a":`, 20) + `1` + strings.Repeat(`}`, 20), "too many": `{"a": [` + strings.Repeat("1,", 5000) + `1]}`,
	} {
		if _, err := Object([]byte(payload)); err == nil {
			t.Errorf("%s: it is read", name)
		}
	}
}

func TestPatterns(t *testing.T) {
	for _, x := range []struct {
		pattern, text string
		want          bool
	}{
		{"refs/heads/*", "refs/heads/main", true},
		{"refs/heads/*", "refs/heads/feature/x", false},
		{"refs/heads/**", "refs/heads/feature/x", true},
		{"refs/heads/**", "refs/heads/", false},
		{"refs/tags/v*", "refs/tags/v1.2", true},
		{"refs/tags/v*", "refs/tags/v", true},
		{"refs/tags/v*", "refs/tags/w1", false},
		{"repo:corp/*:ref:refs/heads/main", "repo:corp/orders:ref:refs/heads/main", true},
		{"repo:corp/*:ref:refs/heads/main", "repo:corp/orders:pull_request:ref:refs/heads/main", false},
		{"repo:corp/orders:**", "repo:corp/orders:environment:production", true},
		{"repo:corp/orders:**", "repo:corp/orders-evil:environment:production", false},
		{"repo:corp/orders:*", "repo:corp/orders:ref:refs/heads/main", false},
		{"repo:corp/orders*", "repo:corp/orders-evil:ref:refs/heads/main", false},
		{"repo:corp*/orders:**", "repo:corp-evil/orders:x", true}, // what it says; Open refuses it at GitHub
		{"system:serviceaccount:*:batch", "system:serviceaccount:web:batch", true},
		{"system:serviceaccount:*:batch", "system:serviceaccount:web:x:batch", false},
		{"a*b*c", "aXbYc", true},
		{"a*b*c", "abbc", true},
		{"a*b*c", "acb", false},
		{"*a", "ba", true},
		{"*/a*:b", "x/ay:b", true},
		{"*/a*:b", "x/a/y:b", false},
	} {
		if err := CheckPattern(x.pattern); err != nil {
			t.Errorf("%s: %v", x.pattern, err)
		}
		if got := match(x.pattern, x.text); got != x.want {
			t.Errorf("%s on %s: %v", x.pattern, x.text, got)
		}
	}
	for _, bad := range []string{"", "*", "**", "*:*", "/**", ":**", "repo:**/x", "repo:corp**", "corp/orders**", "a***", "a/***", "a/**b", "**a", "plain", "ä*", "a*\n", strings.Repeat("a", 2000) + "*"} {
		if CheckPattern(bad) == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// TestMatchIsTheExpression compares with another way to say the same.
func TestMatchIsTheExpression(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.StringMatching(`[ab/:*]{1,9}`).Draw(t, "pattern")
		if CheckPattern(p) != nil {
			return
		}
		e := regexp.QuoteMeta(p)
		e = strings.ReplaceAll(e, `\*\*`, `.+`)
		e = strings.ReplaceAll(e, `\*`, `[^/:]*`)
		text := rapid.StringMatching(`[ab/:]{0,9}`).Draw(t, "text")
		if got, want := match(p, text), regexp.MustCompile(`^`+e+`$`).MatchString(text); got != want {
			t.Fatalf("%s on %s: %v, the expression says %v", p, text, got, want)
		}
	})
}

func TestCertificate(t *testing.T) {
	uri, other := "spiffe://corp.example/batch", "spiffe://corp.example/web"
	for name, x := range map[string]struct {
		want Certificate
		have Names
		ok   bool
	}{
		"its URI":             {Certificate{URI: uri}, Names{URIs: []string{uri}}, true},
		"another URI":         {Certificate{URI: uri}, Names{URIs: []string{other}}, false},
		"two URIs":            {Certificate{URI: uri}, Names{URIs: []string{uri, other}}, false},
		"a longer URI":        {Certificate{URI: uri}, Names{URIs: []string{uri + "-evil"}}, false},
		"another domain":      {Certificate{URI: uri}, Names{URIs: []string{"spiffe://corp.example.evil/batch"}}, false},
		"its name":            {Certificate{DNS: "batch.corp.example"}, Names{DNS: []string{"x.example", "batch.corp.example"}}, true},
		"a star is no name":   {Certificate{DNS: "batch.corp.example"}, Names{DNS: []string{"*.corp.example"}}, false},
		"one of both":         {Certificate{URI: uri, DNS: "batch.corp.example"}, Names{URIs: []string{uri}}, false},
		"both":                {Certificate{URI: uri, DNS: "batch.corp.example"}, Names{URIs: []string{uri}, DNS: []string{"batch.corp.example"}}, true},
		"no names":            {Certificate{URI: uri}, Names{}, false},
		"nothing is asked":    {Certificate{}, Names{URIs: []string{uri}, DNS: []string{"a"}}, false},
		"nothing, of nothing": {Certificate{}, Names{}, false},
		"an empty name":       {Certificate{}, Names{DNS: []string{""}}, false},
	} {
		if got := x.want.Holds(x.have); got != x.ok {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestOpen(t *testing.T) {
	const github = "https://token.actions.githubusercontent.com"
	for name, x := range map[string]struct {
		issuer string
		cs     Conditions
		open   bool
	}{
		"somebody's repository":           {github, Conditions{is("repository", "corp/orders")}, false},
		"all of an owner's":               {github, Conditions{like("repository", "corp/*")}, false},
		"everybody's orders":              {github, Conditions{like("repository", "*/orders")}, true},
		"who begins alike":                {github, Conditions{like("repository", "corp*/orders")}, true},
		"a workflow that others may call": {github, Conditions{is("job_workflow_ref", "corp/shared/.github/workflows/deploy.yml@refs/heads/main")}, true},
		"a branch":                        {github, Conditions{is("ref", "refs/heads/main")}, true},
		"a whole sub":                     {github, Conditions{is("sub", "repo:corp/orders:environment:production")}, false},
		"a sub that names no repository":  {github, Conditions{is("sub", "environment:production")}, true},
		"a sub of an owner":               {github, Conditions{like("sub", "repo:corp/**")}, false},
		"one of two is everybody's":       {github, Conditions{like("repository", "corp/*", "*/orders")}, true},
		"a branch of somebody's":          {github, Conditions{is("ref", "refs/heads/main"), is("repository_owner_id", "9")}, false},
		"nothing":                         {github, nil, true},
		"a forge of our own":              {"https://gitlab.corp.example", Conditions{is("ref", "main")}, false},
		"gitlab.com":                      {"https://gitlab.com", Conditions{is("ref", "main"), is("ref_protected", "true")}, true},
	} {
		if got := Open(x.issuer, x.cs) != nil; got != x.open {
			t.Errorf("%s: open %v", name, got)
		}
	}
}

// FuzzObject: whatever is read means the same to the standard library's reader, and no
// condition holds that the text does not say.
func FuzzObject(f *testing.F) {
	f.Add([]byte(pipeline))
	f.Add([]byte(`{"sub":"a","sub":"b"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		o, err := Object(payload)
		if err != nil {
			return
		}
		if !json.Valid(payload) {
			t.Fatal("what is no JSON was read")
		}
		c := Flat(o)
		for name, text := range c {
			if text == "" || CheckName(name) == nil && !(Conditions{is(name, text)}).Hold(c) {
				t.Fatalf("%q is %q", name, text)
			}
			if whole, ok := o[name].(string); ok && whole != text {
				t.Fatalf("%q is %q and says %q", name, whole, text)
			}
		}
		if kept := c.Kept(); len(kept) > len(c) {
			t.Fatal("more is kept than there was")
		}
	})
}
