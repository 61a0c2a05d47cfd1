package views

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"stint/internal/api"
	"stint/internal/web/ui"
	"stint/internal/web/words"
)

// Resources is a page of the list of resources.
type Resources struct {
	Query, View, Next string
	After             string // empty on the first page
	All, Matching     int
	Items             []ResourceRow
	Adds              bool // the visitor can add one
	ByView            map[string]int
	Proposed          string // the proposal that adding one became
}

// The views of the list.
const (
	AllResources = ""
	Failing      = "failing"
	Unchecked    = "unchecked"
	WithStanding = "standing"
)

// ResourceRow is one in the list.
type ResourceRow struct {
	Name, Type, Env, Grade, Address string
	Owners                          []string
	Labels                          []string
	Live, Standing                  int
	Probe                           Probe
}

// Probe is when it was checked last, and what that said.
type Probe struct {
	At    time.Time // zero: never
	By    string
	OK    bool
	Said  string
	Steps []api.CheckStep
}

func (p Probe) tone() ui.Tone {
	switch {
	case p.At.IsZero():
		return ui.Plain
	case p.OK:
		return ui.Good
	}
	return ui.Bad
}

func (p Probe) word() string {
	switch {
	case p.At.IsZero():
		return words.ResourceNeverChecked
	case p.OK:
		return words.ResourceOK
	}
	return words.ResourceFailed
}

func resourceLink(name string) string { return "/resources/" + url.PathEscape(name) }

// link is the address of the list with another view or page.
func (r Resources) link(view, after string) string {
	q := url.Values{}
	for k, v := range map[string]string{"q": r.Query, "view": view, "after": after} {
		if v != "" {
			q.Set(k, v)
		}
	}
	return (&url.URL{Path: "/resources", RawQuery: q.Encode()}).String()
}

func (r Resources) tabs() (out []ui.Tab) {
	for _, t := range []struct{ view, label string }{{AllResources, words.ResourcesAll}, {Failing, words.ResourcesFailing}, {Unchecked, words.ResourcesUnchecked}, {WithStanding, words.ResourcesStanding}} {
		out = append(out, ui.Tab{Href: r.link(t.view, ""), Label: t.label, Current: r.View == t.view, Count: r.ByView[t.view]})
	}
	return out
}

func (r ResourceRow) sub() string {
	parts := []string{typeName(r.Type), r.Address}
	if len(r.Owners) > 0 {
		parts = append(parts, words.ResourceOwnedBy(strings.Join(plainSubjects(r.Owners), ", ")))
	}
	return strings.Join(append(parts, r.Labels...), " · ")
}

// Resource is one resource with all that is known of it.
type Resource struct {
	ResourceRow
	Description, Credential string
	Options                 [][2]string
	Agent                   *HostAgent // nil: it is reached without one
	Checks, Edits           bool       // the visitor may have it checked; may edit it
	Reach                   []Reach
	Holders                 []Holder
	Survey                  Survey
	Found                   []Stand
	More                    bool // standing privileges than are shown
	Problem                 *api.Error
	Edit                    ResourceEdit
	Proposed                string // the proposal that an act of theirs became
}

// HostAgent is the agent on a resource's host.
type HostAgent struct {
	State string // of api.Host, or silent
	Seen  time.Time
	Keys  []string // fingerprints of what the host shows to clients
	// Enrol are the commands that give the host an agent, where the visitor may: the first
	// for an administrator, the others on the host.
	Enrol []string
}

func (a HostAgent) state() string {
	said := map[string]string{"none": words.AgentNone, "waiting": words.AgentWaiting, "enrolled": words.AgentEnrolled, "revoked": words.AgentRevoked, "silent": words.AgentSilent}[a.State]
	if said == "" {
		return a.State
	}
	return said
}

// EnrolCommands are those by which a host gets its agent.
func EnrolCommands(resource, server string) []string {
	return append([]string{words.AgentEnrol + resource}, words.AgentCommands(server)...)
}

// Reach is a policy that speaks of a resource.
type Reach struct{ Subject, Role, Policy, Effect, Longest string }

func (r Resource) reach() (rows [][]string) {
	for _, x := range r.Reach {
		rows = append(rows, []string{words.Subject(x.Subject), x.Role, x.Effect, spoken(x.Longest), x.Policy})
	}
	return rows
}

// Holder is who has access now.
type Holder struct {
	ID, Who, Role string
	Until         time.Time
}

// Survey is when a target was asked last who has privileged access.
type Survey struct {
	Can, Tried      bool
	At              time.Time
	Edges, Accounts int
	Said            string
}

// Stand is one standing privilege.
type Stand struct {
	Resource, Account, Privilege, Undo, Note string
	Since                                    time.Time
}

func (s Stand) link() string {
	return resourceLink(s.Resource) + "/eligible?" + url.Values{"account": {s.Account}, "privilege": {s.Privilege}}.Encode()
}

// ResourceEdit is what can be edited of a resource here.
type ResourceEdit struct{ Owners, Criticality, Labels string }

// StandingList is a page of standing privileges of all resources.
type StandingList struct {
	Items    []Stand
	Next     string
	Edges    int
	Accounts int
	Failed   []string // resources that could not be asked
}

// Eligible is how to turn a standing privilege into one that is asked for.
type Eligible struct {
	Stand
	Text            string // of the documents
	Nobody, NewRole bool
	NeverLent       bool
	Problem         *api.Error
}

// Wizard is the form on which a resource is added.
type Wizard struct {
	Types   []string
	Chosen  string
	Agent   bool // an agent on the host acts there: Stint signs in nowhere
	Options []WizardOption
	New     NewResource
	Report  *api.CheckReport
	Problem *api.Error
}

// WizardOption is an option that the connector's schema has.
type WizardOption struct {
	Name, Doc, Default string
	Values             []string
	Required, Long     bool
}

func (o WizardOption) hint() string {
	out := o.Doc
	if o.Required {
		out += " (" + words.WizardRequired + ")"
	} else if o.Default != "" {
		out += " (" + words.WizardDefault + ": " + o.Default + ")"
	}
	return out
}

// NewResource is what the form says, without the password.
type NewResource struct {
	Type, Name, Address, Username, Credential string
	Options                                   map[string]string
	Owners, Criticality, Labels               string
	Role, Groups, Longest, Who                string
	Approve                                   bool
}

// Criticalities in rising order.
var Criticalities = []string{"low", "medium", "high", "critical"}

func gradeOptions(chosen string) (out []ui.Option) {
	for _, c := range Criticalities {
		out = append(out, ui.Option{Value: c, Label: c, Chosen: c == chosen})
	}
	return out
}

// Start is the checklist of a new installation.
type Start struct {
	Lines []StartLine
	Away  bool // the list was put away
}

// StartLine is one of it, as it is now.
type StartLine struct {
	Key, Title, Note, Said, Href, Label, Command string
	Done, Unknown                                bool
}

func (s Start) done() (n int) {
	for _, l := range s.Lines {
		if l.Done {
			n++
		}
	}
	return n
}

func lineNumber(i int) string { return strconv.Itoa(i + 1) }
