package scim

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// bjensen is the user of RFC 7643 section 8.2, in part.
var bjensen = Resource{Kind: User, ID: "bjensen", Version: 3, Attributes: Object{
	"userName": "bjensen@example.com", "externalId": "Ext-1", "name": Object{"familyName": "Jensen", "givenName": "Barbara"}, "active": true, "title": "Tour Guide",
	"emails": []any{
		Object{"value": "bjensen@example.com", "type": "work", "primary": true},
		Object{"value": "babs@jensen.org", "type": "home"},
	},
	enterpriseURN: Object{"employeeNumber": "701984", "department": "Tour Operations", "manager": Object{"value": "boss"}},
}}

func TestFilterMatches(t *testing.T) {
	o := bjensen.full("https://s")
	for filter, want := range map[string]bool{
		// RFC 7644 section 3.4.2.2, as written there, for this user.
		`userName eq "bjensen@example.com"`:                          true,
		`name.familyName co "O'Malley"`:                              false,
		`userName sw "J"`:                                            false,
		`urn:ietf:params:scim:schemas:core:2.0:User:userName sw "B"`: true,
		`title pr`: true,
		`meta.lastModified gt "2011-05-13T04:42:34Z"`:                                               false,
		`meta.lastModified ge "0001-01-01T00:00:00Z"`:                                               true,
		`title pr and userType eq "Employee"`:                                                       false,
		`title pr or userType eq "Intern"`:                                                          true,
		`schemas eq "` + enterpriseURN + `"`:                                                        true,
		`userType eq "Employee" and (emails co "example.com" or emails.value co "example.org")`:     false,
		`userType ne "Employee" and not (emails co "example.net" or emails.value co "example.org")`: true,
		`emails[type eq "work" and value co "@example.com"]`:                                        true,
		`emails[type eq "home" and value co "@example.com"]`:                                        false,
		`emails[type eq "work"].value eq "BJENSEN@example.com"`:                                     true,
		`emails[not (type eq "work")].value ew ".org"`:                                              true,

		`USERNAME EQ "BJensen@Example.com"`:         true,
		`externalId eq "ext-1"`:                     false, // caseExact
		`id eq "BJENSEN"`:                           false, // caseExact
		`active eq true`:                            true,
		`active eq "True"`:                          true,
		`active ne true`:                            false,
		`nickName eq null`:                          true,
		`title ne null`:                             true,
		`emails.type eq "home"`:                     true,
		`emails.type ne "home"`:                     false, // of none of its values
		`emails.primary eq true`:                    true,
		`userName gt "a" and userName lt "c"`:       true,
		`userName ge "c"`:                           false,
		enterpriseURN + `:department co "tour"`:     true,
		enterpriseURN + `:employeeNumber eq 701984`: true,
		enterpriseURN + `:manager.value eq "boss"`:  true,
		enterpriseURN + `:manager.value eq "boss2"`: false,
		enterpriseURN + ` pr`:                       true,
		`title pr and not (active eq false) or nickName pr and nickName pr`: true,
		`nickName pr and title pr or title pr`:                              true,
		`nickName pr and (title pr or title pr)`:                            false,
		"title\tpr":                                                         true,
		`name[familyName eq "x"] pr`:                                        false, // refused below
	} {
		e, err := parseFilter(attributesOf[User], filter)
		if strings.HasPrefix(filter, "name[") {
			if err == nil {
				t.Errorf("%s is read", filter)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", filter, err)
			continue
		}
		if got := e.matches(o); got != want {
			t.Errorf("%s: %v, want %v", filter, got, want)
		}
	}
}

func TestFilterRefuses(t *testing.T) {
	for _, filter := range []string{
		``, ` `, `userName`, `userName eq`, `userName eq "x`, `userName eq x`, `userName is "x"`, `userName eq "x" and`, `and userName pr`, `(userName pr`, `userName pr)`,
		`not userName pr`, `none pr`, `name.none pr`, `emails.none pr`, `emails[none pr]`, `emails[type eq "x"`, `emails[]`, `userName[type eq "x"]`, `name co "x"`,
		`active gt true`, `active eq "perhaps"`, `active eq 1`, `userName co null`, `meta.created gt "yesterday"`, `userName eq {"a": 1}`, `userName eq ["a"]`,
		`urn:none:userName eq "x"`, enterpriseURN + `:none pr`, enterpriseURN + `:manager.none pr`, userURN + ` pr`, `userName eq "a" "b"`, `userName eq 1-2`, `userNameeq "x"`,
		`password eq "x" or none pr`, strings.Repeat("(", 40) + "title pr" + strings.Repeat(")", 40), strings.Repeat("title pr and ", 100) + "title pr",
		strings.Repeat(" ", maxFilter) + "title pr", "userName eq \"\x00",
	} {
		_, err := parseFilter(attributesOf[User], filter)
		var e *Error
		if !errors.As(err, &e) || e.Type != invalidFilter || e.Status != 400 {
			t.Errorf("%.80q: %v", filter, err)
		}
	}
}

// FuzzFilter: whatever is read means the same when it is written and read again, and
// no filter does more than answer.
func FuzzFilter(f *testing.F) {
	for _, s := range []string{
		`userName eq "x"`, `not (title pr) and emails[type eq "work" and not (primary eq true)].value co "\u00fc\"" or active eq false`,
		enterpriseURN + `:manager.value ne null`, `a and (b or c)`, `meta.created gt "2020-01-01T00:00:00Z"`, `title eq 1e9`, `((title pr))`,
	} {
		f.Add(s)
	}
	o := bjensen.full("https://s")
	f.Fuzz(func(t *testing.T, s string) {
		e, err := parseFilter(attributesOf[User], s)
		if err != nil {
			return
		}
		text := e.String()
		if len(text) > maxFilter {
			return
		}
		again, err := parseFilter(attributesOf[User], text)
		if err != nil {
			t.Fatalf("%q is written as %q, which is not read: %v", s, text, err)
		}
		if again.String() != text || again.matches(o) != e.matches(o) {
			t.Fatalf("%q is written as %q and then %q", s, text, again)
		}
	})
}

// FuzzPatch: a PATCH gives attributes that the schema allows, or an error, and leaves
// what it was given as it was.
func FuzzPatch(f *testing.F) {
	for _, s := range []string{
		`[{"op":"add","path":"emails[type eq \"other\"].value","value":"x@y"},{"op":"Remove","path":"title"}]`,
		`[{"op":"replace","value":{"name.givenName":"x","active":"False","` + enterpriseURN + `":{"manager":null}}}]`,
		`[{"op":"remove","path":"emails","value":[{"value":"babs@jensen.org"}]},{"op":"add","path":"emails","value":{"value":"a","primary":true}}]`,
		`[{"op":"replace","path":"emails","value":[]},{"op":"replace","path":"` + enterpriseURN + `:manager.value","value":"x"}]`,
		`[{"op":"add","path":"addresses","value":[{"region":"x"},{"region":"x"}]},{"op":"remove","path":"emails[primary eq true].primary"}]`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, ops string) {
		var list any
		if json.Unmarshal([]byte(ops), &list) != nil {
			return
		}
		before, _ := Encode(bjensen.Attributes)
		out, err := patch(User, "bjensen", bjensen.Attributes, map[string]any{"Operations": list})
		if after, _ := Encode(bjensen.Attributes); after != before {
			t.Fatalf("%s changed what it was given to\n%s", ops, after)
		}
		if err != nil {
			return
		}
		text, err := Encode(out)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Decode(User, text)
		if err != nil {
			t.Fatalf("%s gives what is not in the schema: %v\n%s", ops, err, text)
		}
		if back, _ := Encode(again); back != text {
			t.Fatalf("%s gives\n%s\nwhich is read as\n%s", ops, text, back)
		}
		if out.Text("userName") == "" {
			t.Fatalf("%s took the userName away", ops)
		}
	})
}

// FuzzBody: no body does more than answer, and what is read is in the schema.
func FuzzBody(f *testing.F) {
	f.Add(`{"userName":"x","emails":["a@b",{"value":"c","primary":"True"}],"active":null,"name":{}}`)
	f.Add(`{"USERNAME":["x"],"urn:ietf:params:scim:schemas:extension:enterprise:2.0:user":{"manager":"b"}}`)
	f.Fuzz(func(t *testing.T, body string) {
		in, err := parseJSON([]byte(body))
		if err != nil {
			return
		}
		_ = leaves("PATCH", in)
		_ = leaves("PUT", in)
		_, _, _ = bulkOf(in)
		o, err := read(User, in)
		if err != nil {
			return
		}
		text, err := Encode(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(User, text); err != nil {
			t.Fatalf("%s is read as %s: %v", body, text, err)
		}
	})
}

func TestPatch(t *testing.T) {
	const work = `emails[type eq \"work\"]`
	for _, c := range []struct{ name, ops, want string }{
		{"add merges a complex value", `{"op":"add","path":"name","value":{"middleName":"J"}}`, `"name":{"familyName":"Jensen","givenName":"Barbara","middleName":"J"}`},
		{"replace merges one too", `{"op":"replace","path":"name","value":{"givenName":"Babs"}}`, `"name":{"familyName":"Jensen","givenName":"Babs"}`},
		{"add a value", `{"op":"add","path":"emails","value":{"value":"n@e","type":"other"}}`, `{"type":"other","value":"n@e"}]`},
		{"add a new primary one", `{"op":"add","path":"emails","value":[{"value":"n@e","primary":true}]}`, `"emails":[{"type":"work","value":"bjensen@example.com"},{"type":"home","value":"babs@jensen.org"},{"primary":true,"value":"n@e"}]`},
		{"add what is there", `{"op":"add","path":"emails","value":[{"value":"babs@jensen.org","type":"home","display":"Babs"}]}`, `{"display":"Babs","type":"home","value":"babs@jensen.org"}]`},
		{"replace all values", `{"op":"replace","path":"emails","value":[{"value":"n@e"}]}`, `"emails":[{"value":"n@e"}]`},
		{"replace a chosen one", `{"op":"replace","path":"` + work + `","value":{"value":"n@e"}}`, `"emails":[{"value":"n@e"},{"type":"home"`},
		{"a part of a chosen one", `{"op":"replace","path":"` + work + `.value","value":"n@e"}`, `{"primary":true,"type":"work","value":"n@e"}`},
		{"another primary one", `{"op":"add","path":"emails[type eq \"home\"].primary","value":true}`, `"emails":[{"type":"work","value":"bjensen@example.com"},{"primary":true,"type":"home"`},
		{"a part of all", `{"op":"replace","path":"emails.type","value":"x"}`, `"type":"x","value":"bjensen@example.com"},{"type":"x"`},
		{"make what is chosen", `{"op":"add","path":"phoneNumbers[type eq \"mobile\" and primary eq true].value","value":"1"}`, `"phoneNumbers":[{"primary":true,"type":"mobile","value":"1"}]`},
		{"remove a chosen one", `{"op":"remove","path":"` + work + `"}`, `"emails":[{"type":"home"`},
		{"remove a part", `{"op":"remove","path":"` + work + `.primary"}`, `"emails":[{"type":"work","value"`},
		{"remove what is not there", `{"op":"remove","path":"emails[type eq \"none\"]"}`, `"emails":[{"primary":true`},
		{"remove the last", `{"op":"remove","path":"emails[value pr]"}`, `"name"`},
		{"null is no value", `{"op":"replace","path":"title","value":null}`, `"userName"`},
		{"no text is no value", `{"op":"replace","path":"title","value":""}`, `"userName"`},
		{"the extension", `{"op":"add","value":{"` + enterpriseURN + `":{"costCenter":"4"}}}`, `"costCenter":"4","department":"Tour Operations"`},
		{"a part of it", `{"op":"replace","path":"` + enterpriseURN + `:manager.value","value":"x"}`, `"manager":{"value":"x"}`},
		{"it with no schema in front", `{"op":"replace","path":"` + userURN + `:title","value":"x"}`, `"title":"x"`},
		{"the password is thrown away", `{"op":"replace","path":"password","value":"t1meMa$heen"}`, `"title"`},
		{"one after the other", `{"op":"remove","path":"title"},{"op":"add","path":"title","value":"x"}`, `"title":"x"`},
	} {
		in, err := parseJSON([]byte(`{"Operations":[` + c.ops + `]}`))
		if err != nil {
			t.Fatal(err)
		}
		out, err := patch(User, "bjensen", bjensen.Attributes, in)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if text, _ := Encode(out); !strings.Contains(text, c.want) {
			t.Errorf("%s: got\n%s\nwant in it\n%s", c.name, text, c.want)
		}
	}
	in, _ := parseJSON([]byte(`{"Operations":[{"op":"remove","path":"title"},{"op":"remove","path":"emails"},{"op":"replace","path":"password","value":"secret"}]}`))
	out, err := patch(User, "bjensen", bjensen.Attributes, in)
	if text, _ := Encode(out); err != nil || strings.Contains(text, "title") || strings.Contains(text, "emails") || strings.Contains(text, "secret") {
		t.Errorf("removed, and there is %s, %v", text, err)
	}
}

func BenchmarkFilter(b *testing.B) {
	const filter = `userType ne "Employee" and not (emails co "example.net" or emails[type eq "home"].value ew ".com") and ` + enterpriseURN + `:department sw "tour"`
	o := bjensen.full("https://s")
	b.Run("parse", func(b *testing.B) {
		for b.Loop() {
			if _, err := parseFilter(attributesOf[User], filter); err != nil {
				b.Fatal(err)
			}
		}
	})
	e, err := parseFilter(attributesOf[User], filter)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("match", func(b *testing.B) {
		for b.Loop() {
			if !e.matches(o) {
				b.Fatal("no match")
			}
		}
	})
}

func BenchmarkPatch(b *testing.B) {
	in, err := parseJSON([]byte(`{"Operations":[{"op":"Replace","path":"emails[type eq \"work\"].value","value":"n@e"},{"op":"Replace","value":{"active":"False","name.givenName":"x"}}]}`))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := patch(User, "bjensen", bjensen.Attributes, in); err != nil {
			b.Fatal(err)
		}
	}
}
