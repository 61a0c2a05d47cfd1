package oidc

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
)

// Person is who a provider says somebody is.
type Person struct {
	Identity access.Identity
	Name     string // of a user to make, by the configured claim; may be no good name
	Groups   []string
	Skipped  int // groups whose names are none here
	// Attributes are all that are configured; empty for a claim that is not there.
	Attributes map[string]string
	Auth       access.Auth
}

// claims are those that we know by themselves.
type claims struct {
	Party     string   `json:"azp"`
	NotBefore when     `json:"nbf"`
	AuthTime  when     `json:"auth_time"`
	Class     string   `json:"acr"`
	Methods   words    `json:"amr"`
	Elsewhere anyNames `json:"_claim_names"`
}

// when is a NumericDate, RFC 7519 section 2; some providers write one with a point.
type when int64

func (w *when) UnmarshalJSON(b []byte) error {
	var f float64
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	if f < 0 || f > 1<<40 || math.IsNaN(f) {
		return errors.New("a time is out of all bounds")
	}
	*w = when(f)
	return nil
}

func (w when) time() time.Time {
	if w == 0 {
		return time.Time{}
	}
	return time.Unix(int64(w), 0).UTC()
}

// words is a list of texts; a text alone is a list of one.
type words []string

func (w *words) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*w = words{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(w))
}

// anyNames are the names of claims that stand elsewhere.
type anyNames map[string]json.RawMessage

const (
	maxGroups    = 1000 // of one token
	maxAttribute = 256
	maxMethods   = 32
)

// person maps verified claims as the provider's options say.
func person(at Provider, subject string, c claims, all map[string]any) (Person, error) {
	p := Person{Identity: access.Identity{Provider: at.Name, Subject: subject}, Attributes: map[string]string{}}
	if err := p.Identity.Check(); err != nil {
		return Person{}, refuse("bad-subject", "what "+at.Name+" calls you cannot be kept", "its subject is empty, too long or not visible text").Wrap(err)
	}
	if _, there := c.Elsewhere[at.GroupsClaim]; there {
		return Person{}, refuse("groups-elsewhere", at.Name+" did not say which groups you are in", "you are in more than fit, so it names a place to ask instead").
			Try("have the provider send only the groups that Stint needs")
	}
	theirs, err := texts(claim(all, at.GroupsClaim))
	if err != nil || len(theirs) > maxGroups {
		return Person{}, refuse("bad-groups", "what "+at.Name+" says of your groups cannot be read", fmt.Sprintf("%s is not a list of at most %d texts", at.GroupsClaim, maxGroups))
	}
	if len(at.Allowed) > 0 && !slices.ContainsFunc(theirs, func(g string) bool { return slices.Contains(at.Allowed, g) }) {
		return Person{}, access.Fail(access.Denied, "not-in-group", "you may not sign in here").
			Because("only members of some groups of " + at.Name + " may").Try("ask an administrator")
	}
	p.groups(at, theirs)
	p.Name, _ = claim(all, at.NameClaim).(string)
	for _, from := range slices.Sorted(maps.Keys(at.Attributes)) {
		v, _ := claim(all, from).(string)
		if len(v) > maxAttribute {
			v = ""
		}
		// An address that nobody has verified is whatever its owner typed, and may be
		// another's.
		if at.Attributes[from] == access.MailAttribute && (all["email_verified"] != true || !access.ValidMail(v)) {
			v = ""
		}
		p.Attributes[at.Attributes[from]] = v
	}
	if len(c.Methods) > maxMethods {
		c.Methods = c.Methods[:maxMethods]
	}
	p.Auth = access.Auth{Provider: at.Name, At: c.AuthTime.time(), Class: access.Label(c.Class)}
	for _, m := range c.Methods {
		p.Auth.Methods = append(p.Auth.Methods, access.Label(m))
	}
	slices.Sort(p.Auth.Methods)
	p.Auth.Methods = slices.Compact(p.Auth.Methods)
	p.Auth.MFA = access.TwoFactors(c.Methods) || c.Class != "" && slices.Contains(at.MFAClasses, c.Class)
	return p, nil
}

// groups translates theirs into ours. A name is taken as it is or not at all: made
// to fit, two of their groups could become one of ours.
func (p *Person) groups(at Provider, theirs []string) {
	for _, g := range theirs {
		ours, mapped := at.GroupsMap[g]
		if !mapped {
			ours = at.GroupsPrefix + g
		}
		if !access.ValidName(ours) {
			p.Skipped++
			continue
		}
		p.Groups = append(p.Groups, ours)
	}
	slices.Sort(p.Groups)
	p.Groups = slices.Compact(p.Groups)
}

// claim finds a claim by its name, or by a path with dots.
func claim(all map[string]any, name string) any {
	if v, ok := all[name]; ok {
		return v
	}
	first, rest, ok := strings.Cut(name, ".")
	inner, is := all[first].(map[string]any)
	if !ok || !is {
		return nil
	}
	return claim(inner, rest)
}

// texts is a list of texts, or a text alone; nothing is an empty list.
func texts(v any) ([]string, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return []string{v}, nil
	case []any:
		var out []string
		for _, x := range v {
			s, ok := x.(string)
			if !ok {
				return nil, errors.New("not a text")
			}
			out = append(out, s)
		}
		return out, nil
	}
	return nil, errors.New("not a list")
}
