package api

// File is one document file, by the name that messages call it.
type File struct {
	Name string `json:"name" minLength:"1" maxLength:"1024" example:"policy.yaml"`
	Text string `json:"text"`
}

// Apply sends documents. All are checked before anything changes; all apply,
// or none. Problems come back as an Error with each one's file and line.
type Apply struct {
	Files  []File `json:"files" minItems:"1" maxItems:"1000" nullable:"false"`
	DryRun bool   `json:"dry_run,omitempty" doc:"Check, say what would change, and change nothing"`
}

// Applied is what applying did, or would do.
type Applied struct {
	Version  int64     `json:"version" doc:"The version of the documents now"`
	DryRun   bool      `json:"dry_run,omitempty"`
	Changes  []Change  `json:"changes" nullable:"false"`
	Warnings []Problem `json:"warnings" nullable:"false" doc:"What is odd but not wrong"`

	Second   []Grave   `json:"second_person,omitempty" doc:"Changes that take a second person, where two are asked for"`
	Proposal *Proposal `json:"proposal,omitempty" doc:"Nothing was changed: it waits for a second person"`
	Alone    bool      `json:"alone,omitempty" doc:"One person made them alone, because nobody else has the right, or two are never asked for"`
}

// Change is what became of one document.
type Change struct {
	Kind   string `json:"kind" enum:"Resource,Role,Policy,Integration"`
	Name   string `json:"name"`
	Action string `json:"action" enum:"created,updated,unchanged,deleted"`
	Source string `json:"source,omitempty" doc:"File and line" example:"policy.yaml:31"`
}

// Deleted is what deleting a document did.
type Deleted struct {
	Version int64    `json:"version" doc:"The version of the documents now"`
	Change  Change   `json:"change"`
	Grants  []string `json:"grants" nullable:"false" doc:"The ids of the grants that are ending because of it"`

	Proposal *Proposal `json:"proposal,omitempty" doc:"Nothing was changed: it waits for a second person"`
}

// Resource is a resource, as lists and pages show it.
type Resource struct {
	Name        string            `json:"name" example:"orders-db"`
	Type        string            `json:"type" example:"postgres"`
	Labels      map[string]string `json:"labels"`
	Criticality string            `json:"criticality" enum:"low,medium,high,critical"`
	Owners      []string          `json:"owners" nullable:"false" example:"group:dba"`
	Location    string            `json:"location,omitempty"`
	Address     string            `json:"address" example:"db1:5432"`
	Credential  string            `json:"credential" doc:"The name of the connector's credential"`
	Connection  map[string]string `json:"connection" doc:"Its other settings"`
	Ceiling     Ceiling           `json:"ceiling"`
	Source      string            `json:"source" doc:"File and line it was applied from" example:"resources.yaml:1"`
	Live        int               `json:"live" doc:"How many live grants reach it"`
}

// Integration is something outside that Stint talks with, as lists and pages show it.
type Integration struct {
	Name        string            `json:"name" example:"corp-sso"`
	Description string            `json:"description"`
	Type        string            `json:"type" example:"oidc"`
	Address     string            `json:"address" example:"https://idp.example.com"`
	Credential  string            `json:"credential,omitempty" doc:"The name of the registered credential"`
	Options     map[string]string `json:"options" doc:"Its other settings"`
	Source      string            `json:"source" doc:"File and line it was applied from" example:"integrations.yaml:1"`

	Trouble      string `json:"trouble,omitempty" doc:"Why messages to it wait; empty when all is well"`
	TroubleSince Time   `json:"trouble_since,omitzero" format:"date-time"`
}

// ChatLink links the caller to a chat's user.
type ChatLink struct {
	Code Secret `json:"code" minLength:"1" maxLength:"200" doc:"The code that the chat shows"`
	Sure bool   `json:"sure,omitempty" doc:"Do it; without, only say whose code it is"`
}

// ChatLinked is whose code it is, and whether the caller is linked now.
type ChatLinked struct {
	Integration string `json:"integration" example:"ops-chat"`
	Subject     string `json:"subject" doc:"The chat's user, as the chat knows them" example:"T0123/U0456"`
	Shows       string `json:"shows" doc:"What the chat calls that user" example:"omar.h"`
	Principal   string `json:"principal" example:"user:omar"`
	Linked      bool   `json:"linked"`
}

// IntegrationTested says that a test message was taken.
type IntegrationTested struct {
	Name string `json:"name"`
}

// Ceiling is the most that any role may give on a resource.
type Ceiling struct {
	Mechanisms  []string            `json:"mechanisms,omitempty" example:"account,group"`
	Limits      map[string][]string `json:"limits,omitempty" doc:"By setting: the values allowed"`
	MaxDuration string              `json:"max_duration,omitempty" example:"8h"`
}

// Role is a role, as lists and pages show it.
type Role struct {
	Name        string            `json:"name" example:"reader"`
	Description string            `json:"description"`
	Resources   Selector          `json:"resources"`
	Mechanism   string            `json:"mechanism" enum:"account,group,enable,token,elevate,checkout"`
	Rights      []string          `json:"rights" nullable:"false" example:"orders_read"`
	Options     map[string]string `json:"options"`
	Exclusive   bool              `json:"exclusive" doc:"One person at a time"`
	Excludes    []string          `json:"excludes,omitempty" doc:"Roles that nobody has together with it" example:"payments-approve"`
	MaxDuration string            `json:"max_duration" example:"4h"`
	Source      string            `json:"source" example:"roles.yaml:1"`
}

// Selector names the resources a role is for.
type Selector struct {
	Names  []string          `json:"names,omitempty"`
	Type   string            `json:"type,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
}

// Policy is a policy, as lists and pages show it.
type Policy struct {
	Name     string   `json:"name" example:"orders-read"`
	Effect   string   `json:"effect" enum:"allow,deny,breakGlass,watch"`
	Subjects []string `json:"subjects" nullable:"false" example:"group:platform"`
	Roles    []string `json:"roles" nullable:"false" example:"reader"`
	Zone     string   `json:"zone" doc:"The time zone of its conditions" example:"Europe/Berlin"`
	When     string   `json:"when" doc:"Its condition, CEL"`
	Require  Require  `json:"require"`
	Source   string   `json:"source" example:"policy.yaml:31"`
}

// Schedule is who is on call, as lists and pages show it.
type Schedule struct {
	Name        string   `json:"name" example:"payments"`
	Description string   `json:"description"`
	Zone        string   `json:"zone" doc:"The time zone of its times" example:"Europe/Berlin"`
	OnCall      []string `json:"on_call" nullable:"false" doc:"Who is on call now" example:"user:ada"`
	Integration string   `json:"integration,omitempty" doc:"What keeps it, where the document does not" example:"corp-pagerduty"`
	Calendar    string   `json:"calendar,omitempty" doc:"What it is called there" example:"PI7DH85"`
	Trouble     string   `json:"trouble,omitempty" doc:"Why it is not known who is on call; nobody counts as such then"`
	Source      string   `json:"source" example:"schedules.yaml:1"`
}

// Extensions is what a policy says of more time on a live grant.
type Extensions struct {
	Max       int         `json:"max" doc:"How many a grant may have"`
	By        string      `json:"by,omitempty" doc:"The longest each" example:"1h"`
	Approvals *[]Approval `json:"approvals,omitempty" doc:"Instead of those of the policy"`
}

// Require is what an allowing policy asks for.
type Require struct {
	ReasonMinLength int        `json:"reason_min_length,omitempty"`
	TicketPattern   string     `json:"ticket_pattern,omitempty"`
	Approvals       []Approval `json:"approvals,omitempty"`
	MaxDuration     string     `json:"max_duration,omitempty"`
	MFA             bool       `json:"mfa,omitempty"`
	Recording       bool       `json:"recording,omitempty" doc:"The session must be recorded: the role sends it through a gateway"`
	AnswerWithin    string     `json:"answer_within,omitempty" doc:"How long a request waits for its approvals" example:"4h"`
	RemindAfter     string     `json:"remind_after,omitempty" doc:"How often those who are asked are reminded" example:"30m"`
	MaxLive         int        `json:"max_live,omitempty" doc:"How many live grants of its roles a person can have at a time"`
	MaxPending      int        `json:"max_pending,omitempty" doc:"How many undecided requests for its roles"`
	MaxAhead        string     `json:"max_ahead,omitempty" doc:"How far off a start may be" example:"14d"`

	TicketFrom       string `json:"ticket_from,omitempty" doc:"The integration in which the ticket is looked up" example:"corp-jira"`
	TicketState      string `json:"ticket_state,omitempty" enum:"open,any" doc:"Which state it has to be in"`
	TicketAssigned   bool   `json:"ticket_assigned,omitempty" doc:"It is assigned to who asks"`
	TicketNames      bool   `json:"ticket_names,omitempty" doc:"It names the resource"`
	TicketEnds       bool   `json:"ticket_ends,omitempty" doc:"The grant ends when any of that does not hold any more"`
	TicketUnknownFor string `json:"ticket_unknown_for,omitempty" doc:"How long the ticket of a live grant may be unreadable" example:"4h"`

	Extensions *Extensions `json:"extensions,omitempty" doc:"What it says of more time on a live grant; absent: as for the first"`
}

// User is a principal, as lists and pages show it.
type User struct {
	ID       string   `json:"id" example:"user:mira"`
	Name     string   `json:"name" example:"mira"`
	Kind     string   `json:"kind" enum:"user,service,agent,vendor"`
	Person   string   `json:"person" doc:"The human behind it" example:"mira"`
	Groups   []string `json:"groups" nullable:"false"`
	Manager  string   `json:"manager,omitempty"`
	Admin    bool     `json:"admin"`
	Auditor  bool     `json:"auditor"`
	Author   bool     `json:"policy_author"`
	Disabled bool     `json:"disabled"`

	Sponsor     string `json:"sponsor,omitempty" doc:"Of a vendor: the user who answers for them" example:"omar"`
	Company     string `json:"company,omitempty" doc:"Of a vendor: whose they are" example:"Acme Ltd"`
	Responsible string `json:"responsible,omitempty" doc:"Of an agent: its human" example:"ana"`

	DisabledBy string              `json:"disabled_by,omitempty" doc:"The provider that disabled it; absent for an administrator" example:"corp-scim"`
	Lock       *Lock               `json:"lock,omitempty" doc:"While it is locked out"`
	Identities []Identity          `json:"identities,omitempty" nullable:"false" doc:"Who it is elsewhere"`
	Provided   map[string][]string `json:"provided,omitempty" doc:"Of its groups, those that providers gave"`

	Proposal *Proposal `json:"proposal,omitempty" doc:"Of a change: the rights that wait for a second person"`

	Until     Time `json:"until" nullable:"true" format:"date-time" doc:"When it ends by itself"`
	CreatedAt Time `json:"created_at" format:"date-time"`
	Live      int  `json:"live" doc:"How many grants it holds now"`
}

// Identity is who a user is elsewhere: with a provider, the subject that never
// changes there.
type Identity struct {
	Provider string `json:"provider" minLength:"1" maxLength:"63" doc:"An integration" example:"corp-sso"`
	Subject  string `json:"subject" minLength:"1" maxLength:"255" doc:"Exactly as the provider writes it: OpenID Connect's sub, SCIM's externalId, a directory's entryUUID" example:"00u1a2b3c4d5"`
}

// ExplainAsk asks what would be decided. Administrators may ask for others.
type ExplainAsk struct {
	Principal string `json:"principal,omitempty" maxLength:"80" doc:"For whom; oneself if absent" example:"user:mira"`
	Ask       Ask    `json:"ask"`
}

// Explanation is a decision with every rule that had a say, and the nearest
// that did not.
type Explanation struct {
	Decision    Decision   `json:"decision"`
	Documents   int64      `json:"documents" doc:"The version of the documents that decided"`
	MaxDuration string     `json:"max_duration,omitempty" doc:"The longest that would be allowed"`
	Policies    []RuleSaid `json:"policies" nullable:"false" doc:"What each policy that concerns the role said"`
	Nearest     string     `json:"nearest,omitempty" doc:"The nearest request that would be allowed"`
	Offers      []Offer    `json:"offers,omitempty" doc:"The same, to ask with: all else as it was"`
}

// Offer is what would be allowed instead of what was asked.
type Offer struct {
	Role     string `json:"role" example:"reader"`
	Duration string `json:"duration" example:"2h"`
}

// RuleSaid is what one policy said about a request.
type RuleSaid struct {
	Policy  string `json:"policy" example:"orders-read"`
	Source  string `json:"source" example:"policy.yaml:31"`
	Effect  string `json:"effect" enum:"allow,deny,breakGlass,watch"`
	Matched bool   `json:"matched"`
	Text    string `json:"text" doc:"Why, or why not"`
}

// CanRow is one policy about who may ask for a role on a resource, or may not.
type CanRow struct {
	Principal string     `json:"principal" example:"user:mira"`
	Resource  string     `json:"resource" example:"orders-db"`
	Role      string     `json:"role" example:"reader"`
	Outcome   Outcome    `json:"outcome" enum:"allow,approve,deny"`
	Policy    string     `json:"policy" example:"orders-read"`
	Source    string     `json:"source" example:"policy.yaml:31"`
	Approvals []Approval `json:"approvals" nullable:"false"`
	Condition string     `json:"condition,omitempty" doc:"What must hold at the time, CEL"`

	BreakGlass bool `json:"break_glass,omitempty" doc:"In an emergency alone, with stint break-glass"`
}

// HasRow says that somebody has access to a resource now, by a grant. What is
// standing on the target and none of ours is in SweepReport.
type HasRow struct {
	Principal string     `json:"principal" example:"user:mira"`
	Resource  string     `json:"resource" example:"orders-db"`
	Role      string     `json:"role" example:"reader"`
	Account   string     `json:"account" doc:"The standing account that the grant acts on; empty where one is made for it"`
	Rights    []string   `json:"rights" nullable:"false"`
	Request   string     `json:"request,omitempty"`
	Grant     string     `json:"grant,omitempty"`
	State     GrantState `json:"state,omitempty" enum:"scheduled,provisioning,active,ending"`
	ExpiresAt Time       `json:"expires_at" nullable:"true" format:"date-time"`
}
