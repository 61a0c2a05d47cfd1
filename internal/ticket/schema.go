package ticket

import (
	"regexp"
	"strings"

	"stint/internal/access"
)

// The types of integration.
const (
	Jira       = "jira"
	ServiceNow = "servicenow"
	GitHub     = "github"
	GitLab     = "gitlab"
	HTTP       = "http-ticket"
)

// Schemas are what integrations of these types may say.
func Schemas() []access.Schema {
	types := []access.Schema{
		{Type: Jira, NeedsCredential: true, Integration: map[string]access.Option{
			"projects": {Doc: "keys of the projects whose tickets count", Required: true, Many: true, Pattern: `[A-Z][A-Z0-9_]{1,49}`, Form: "the key of a project, like OPS"},
		}},
		{Type: ServiceNow, NeedsCredential: true, Integration: map[string]access.Option{
			"table":        {Doc: "the table that the tickets are in", Default: "incident", Pattern: `[a-z][a-z0-9_]{0,79}`, Form: "the name of a table, like incident"},
			"closedStates": {Doc: "values of state that count as closed", Default: "6,7,8", Many: true, Pattern: `-?[0-9]{1,9}`, Form: "the number of a state"},
		}},
		{Type: GitHub, NeedsCredential: true, Integration: map[string]access.Option{
			"repository": {Doc: "the repository whose issues count, as owner/name", Required: true, Pattern: `[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}`, Form: "write it as owner/name"},
		}},
		{Type: GitLab, NeedsCredential: true, Integration: map[string]access.Option{
			"project": {Doc: "the number of the project whose issues count; a path can come to be another project's", Required: true, Min: 1, Max: 1 << 53},
		}},
		{Type: HTTP, Integration: map[string]access.Option{}},
	}
	for i := range types {
		types[i].Tickets, types[i].TicketForm = true, forms[types[i].Type]
		o := types[i].Integration
		o["identity"] = access.Option{Doc: "the integration whose linked identities are its users' ids; default: this one", Pattern: `[a-z0-9][a-z0-9._-]{0,62}`, Form: "the name of an integration"}
		o["attribute"] = access.Option{Doc: "the attribute of a user that holds their id in it, instead of linked identities", Pattern: `[a-z0-9][a-z0-9._-]{0,62}`, Form: "the name of an attribute"}
	}
	return types
}

// IsType reports whether the type is one of tickets.
func IsType(typ string) bool {
	for _, s := range Schemas() {
		if s.Type == typ {
			return true
		}
	}
	return false
}

// ids are the whole grammar of ids, by type. None holds what means anything in a path
// or a query.
var ids = map[string]*regexp.Regexp{
	Jira:       regexp.MustCompile(`^([A-Z][A-Z0-9_]{1,49})-[1-9][0-9]{0,9}$`),
	ServiceNow: regexp.MustCompile(`^[A-Z]{2,10}[0-9]{4,12}$`),
	GitHub:     regexp.MustCompile(`^#?([1-9][0-9]{0,9})$`),
	GitLab:     regexp.MustCompile(`^#?([1-9][0-9]{0,9})$`),
	HTTP:       regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`),
}

// forms are what such ids look like, for people.
var forms = map[string]string{
	Jira: "a key like OPS-12", ServiceNow: "a number like INC0012345", GitHub: "the number of an issue, like 12 or #12",
	GitLab: "the number of an issue, like 12 or #12", HTTP: "letters, digits, - and _",
}

// checkID takes an id apart, or refuses it: as not found, for what cannot be there is
// not there. key is the group of the grammar, or the id.
func (s Site) checkID(id string) (key string, err error) {
	re, ok := ids[s.Type]
	if !ok {
		return "", access.Fail(access.Internal, "no-such-type", "there are no tickets of type "+s.Type)
	}
	m := re.FindStringSubmatch(id)
	if m == nil {
		return "", s.unknown()
	}
	key = m[len(m)-1]
	if s.Type == Jira {
		for p := range strings.SplitSeq(s.Options["projects"], ",") {
			if p == key {
				return id, nil
			}
		}
		return "", s.unknown()
	}
	return key, nil
}

// unknown is the one answer for what is not there, what may not be seen, and what is
// not to be asked for here. What it says beside the name is the same for all of them.
func (s Site) unknown() *access.Error {
	return access.Fail(access.NotFound, "no-such-ticket", s.Name+" knows no such ticket, or does not show it to Stint").
		Try("check the ticket: " + forms[s.Type] + ", " + s.of())
}

// of is where its tickets are, in the words of its options.
func (s Site) of() string {
	switch s.Type {
	case Jira:
		return "of project " + strings.ReplaceAll(s.Options["projects"], ",", ", ")
	case ServiceNow:
		if t := s.Options["table"]; t != "" {
			return "in the table " + t
		}
		return "in the table incident"
	case GitHub:
		return "in " + s.Options["repository"]
	case GitLab:
		return "in project " + s.Options["project"]
	}
	return "in " + s.Name
}
