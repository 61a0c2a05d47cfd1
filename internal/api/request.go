package api

// Ask is what a principal asks for. It becomes a Request.
type Ask struct {
	Resource string `json:"resource" doc:"The resource" minLength:"1" maxLength:"63" example:"orders-db"`
	Role     string `json:"role" doc:"The role on it" minLength:"1" maxLength:"63" example:"reader"`
	Duration string `json:"duration" doc:"For how long" minLength:"1" maxLength:"32" example:"1h30m"`
	Reason   string `json:"reason" doc:"Why; approvers and the audit log see it" maxLength:"1000" example:"check order 4711 for the customer"`
	Ticket   string `json:"ticket,omitempty" doc:"The ticket behind it" maxLength:"128" example:"INC-2041"`
	Task     string `json:"task,omitempty" doc:"Agents: what they work on; no grant outlives it" maxLength:"100" example:"OPS-12"`
	Start    string `json:"start,omitempty" doc:"When it begins, RFC 3339; at once if absent" maxLength:"40" example:"2026-03-01T17:30:00Z"`
	DryRun   bool   `json:"dry_run,omitempty" doc:"Answer with the decision and change nothing"`
	// SealKey lets a service, whose devices are not enrolled, name the key its
	// credential is sealed to. The proof covers the body, and so this key.
	SealKey []byte `json:"seal_key,omitempty" doc:"Services: the device's X25519 public key, to seal the credential to" maxLength:"44"`
}

// RequestState is where a request stands.
type RequestState string

// The states of a request.
const (
	RequestPending   RequestState = "pending"
	RequestApproved  RequestState = "approved"
	RequestDenied    RequestState = "denied"
	RequestCancelled RequestState = "cancelled"
	RequestExpired   RequestState = "expired"
)

// GrantState is where a grant stands.
type GrantState string

// The states of a grant.
const (
	GrantScheduled    GrantState = "scheduled"
	GrantProvisioning GrantState = "provisioning"
	GrantActive       GrantState = "active"
	GrantEnding       GrantState = "ending"
	GrantEnded        GrantState = "ended"
	GrantFailed       GrantState = "failed"
)

// EndReason is why a grant ended.
type EndReason string

// The reasons of an end.
const (
	EndExpired  EndReason = "expired"
	EndReturned EndReason = "returned"
	EndRevoked  EndReason = "revoked"
	EndPolicy   EndReason = "policy"
	EndFailed   EndReason = "failed"
)

// Outcome is a decision in one word.
type Outcome string

// The outcomes of a decision.
const (
	OutcomeDeny    Outcome = "deny"
	OutcomeAllow   Outcome = "allow"
	OutcomeApprove Outcome = "approve" // allowed once persons have approved
)

// Request is what was asked, what was decided, and the grant that results.
// A dry run has no id.
type Request struct {
	ID        string       `json:"id" doc:"Empty for a dry run" example:"req_01J8ZQ5T3M8W6Y2X4V9N7K1B5C"`
	State     RequestState `json:"state" enum:"pending,approved,denied,cancelled,expired"`
	Principal string       `json:"principal" doc:"Who asks" example:"user:mira"`
	Resource  string       `json:"resource" example:"orders-db"`
	Role      string       `json:"role" example:"reader"`
	Duration  string       `json:"duration" doc:"As asked" example:"20s"`
	Granted   string       `json:"granted_duration" doc:"As approved, never longer; empty until then" example:"15s"`
	Reason    string       `json:"reason"`
	Ticket    string       `json:"ticket"`
	Digest    string       `json:"digest" doc:"Covers exactly what was asked; an approval binds to it" example:"sha256:9f86d081…"`
	Decision  Decision     `json:"decision"`
	Grant     *Grant       `json:"grant,omitempty" doc:"Absent until there is one; of an extension, the grant it extends"`

	Person    string `json:"person" doc:"The human behind the principal" example:"mira"`
	Start     Time   `json:"start" nullable:"true" format:"date-time" doc:"When it begins; null for at once"`
	CreatedAt Time   `json:"created_at" nullable:"true" format:"date-time" doc:"Null for a dry run"`
	DecidedAt Time   `json:"decided_at" nullable:"true" format:"date-time"`
	ExpiresAt Time   `json:"expires_at" nullable:"true" format:"date-time" doc:"When the request lapses if nobody decides"`
	Votes     []Vote `json:"votes" nullable:"false" doc:"Every vote so far"`
	Extends   string `json:"extends,omitempty" doc:"The grant that this request would extend" example:"grt_01J8ZQ5T3M8W6Y2X4V9N7K1B5C"`
	Task      string `json:"task,omitempty" doc:"Of an agent: what it works on" example:"OPS-12"`
	Bundle    string `json:"bundle,omitempty" doc:"The digest of all that was asked for together with it; it is part of what the digest covers" example:"sha256:2c26b46b…"`
	Emergency string `json:"emergency,omitempty" enum:"break-glass,drill" doc:"It is break-glass access, or a drill of it"`
	// BreakGlass is where every no leads, for those whom it is open to.
	BreakGlass string `json:"break_glass,omitempty" doc:"Of a refusal: the role that the caller could break glass for on the resource" example:"owner"`
	DryRun     bool   `json:"dry_run,omitempty" doc:"Nothing was changed"`
	Ask        string `json:"ask,omitempty" doc:"Where one request is read: all that the digest covers, as canonical JSON, so that a client works the digest out itself"`

	Remarks []Remark `json:"remarks,omitempty" doc:"Questions of those who are asked, and the answers; no part of what is approved"`
}

// Remark is a question about a request, or an answer.
type Remark struct {
	Principal string `json:"principal" example:"user:noor"`
	Person    string `json:"person" example:"noor"`
	Answer    bool   `json:"answer,omitempty" doc:"By who asks for access; else a question"`
	Text      string `json:"text" example:"which customer is it about?"`
	At        Time   `json:"at" format:"date-time"`
}

// RemarkAsk is a question or an answer, as it is sent.
type RemarkAsk struct {
	Text string `json:"text" minLength:"1" maxLength:"2000" example:"which customer is it about?"`
}

// Residue says whether an access left something behind.
type Residue string

// The answers.
const (
	ResiduePending    Residue = "pending"
	ResidueNone       Residue = "none"
	ResidueFound      Residue = "found"
	ResidueUnknowable Residue = "unknowable"
)

// Trace is one thing on a target that a grant can have left behind.
type Trace struct {
	Kind     string `json:"kind" example:"function"`
	Database string `json:"database,omitempty" doc:"Absent for what a target's databases have in common" example:"orders"`
	What     string `json:"what" example:"security definer function shop.door() of orders_owner"`
	By       string `json:"by,omitempty" doc:"The role that it was made as" example:"orders_owner"`
	Undo     string `json:"undo,omitempty" doc:"The statement that undoes it, for a person to judge and run" example:"DROP ROUTINE shop.door()"`
}

// Decision is policy's answer to a request.
type Decision struct {
	Outcome   Outcome    `json:"outcome" enum:"deny,allow,approve"`
	Reasons   []Reason   `json:"reasons" nullable:"false"`
	Approvals []Approval `json:"approvals" nullable:"false" doc:"Whose approval is asked for"`
}

// Reason is one sentence of a decision, with the rule it comes from.
type Reason struct {
	Policy string `json:"policy" doc:"Empty where no policy matched" example:"orders-read"`
	Source string `json:"source" doc:"File and line" example:"policy.yaml:31"`
	Text   string `json:"text" example:"platform may read orders for up to 2h"`
}

// Approval asks for votes: Count distinct persons from any of From.
type Approval struct {
	From  []string `json:"from" nullable:"false" example:"group:dba"`
	Count int      `json:"count" doc:"How many persons are needed" example:"1"`
	Have  int      `json:"have" doc:"How many have approved" example:"0"`
	Level string   `json:"level,omitempty" enum:"chat,console,passkey,client" doc:"What kind of vote it takes at least"`
	Stage int      `json:"stage,omitempty" doc:"When it is asked for: once all of the stages before it have approved; absent where there is but one" example:"2"`
	Later bool     `json:"later,omitempty" doc:"A stage before it is open, so nobody is asked for this yet"`

	EscalateAfter string   `json:"escalate_after,omitempty" doc:"How long its stage is open before others are asked besides" example:"30m"`
	EscalateTo    []string `json:"escalate_to,omitempty" doc:"Who they are" example:"group:dba-leads"`
	Escalated     bool     `json:"escalated,omitempty" doc:"They are asked"`

	Asks *Asks `json:"asks,omitempty" doc:"Of what nobody has asked for yet: who would be asked"`
}

// Asks is whom an approval would ask, and how long they usually take. Answers to those
// who were asked for as many in the last 30 days count.
type Asks struct {
	People     []string `json:"people" nullable:"false" doc:"Of each person one login, at most 20; none where anybody may" example:"user:omar"`
	More       int      `json:"more,omitempty" doc:"How many there are besides, counted up to 1000"`
	Delegates  []string `json:"delegates,omitempty" doc:"Who may answer in the place of one of them now" example:"user:olga for user:omar"`
	Usual      string   `json:"usual,omitempty" doc:"The median of what the answers took; absent where there were fewer than 5" example:"12m"`
	Answers    int      `json:"answers" doc:"How many requests they answered" example:"9"`
	Unanswered int      `json:"unanswered,omitempty" doc:"How many ran out without their answer"`
}

// Grant is the right that results from an approved request.
type Grant struct {
	ID             string     `json:"id" example:"grt_01J8ZQ5T3M8W6Y2X4V9N7K1B5C"`
	State          GrantState `json:"state" enum:"scheduled,provisioning,active,ending,ended,failed"`
	ActiveAt       Time       `json:"active_at" nullable:"true" format:"date-time" doc:"Since when access was verified to work"`
	ExpiresAt      Time       `json:"expires_at" nullable:"true" format:"date-time" doc:"The fixed end; provisional until active"`
	EndedAt        Time       `json:"ended_at" nullable:"true" format:"date-time" doc:"When the right ended"`
	VerifiedGoneAt Time       `json:"verified_gone_at" nullable:"true" format:"date-time" doc:"When its absence was read back from the target"`
	EndReason      EndReason  `json:"end_reason" doc:"expired, returned, revoked, policy or failed; empty before the end"`
	Overdue        bool       `json:"overdue" doc:"Not verified gone one second after the end"`

	EndedBy string `json:"ended_by,omitempty" doc:"Who revoked it, where one request is read and the log says it" example:"user:noor"`

	Detail string `json:"detail,omitempty" doc:"More than the state says: what stands in the way, or why it ended" example:"the target does not answer"`
	// Residue is absent before the end, and where the kind of target is not looked at.
	Residue     Residue `json:"residue,omitempty" enum:"pending,none,found,unknowable" doc:"Whether something that carries power was left behind; pending until the target was looked at after the end"`
	ResidueNote string  `json:"residue_note,omitempty" doc:"Why that cannot be known" example:"the account could act as a superuser, who can change everything unseen"`
	Traces      []Trace `json:"traces,omitempty" doc:"What is there that the grant can have made; nothing of it is removed by itself"`
	Account     string  `json:"account,omitempty" doc:"The standing account that the grant acts on; absent where one is made for it" example:"mira"`
}

// VoteAsk is what an approver sends to approve or deny.
type VoteAsk struct {
	// Digest is of the request as the approver read it. The server refuses a
	// vote on anything else.
	Digest string   `json:"digest,omitempty" doc:"The digest of what was read; refused if the request has another" maxLength:"71"`
	For    string   `json:"for,omitempty" doc:"Approve for shorter than asked" maxLength:"32" example:"15s"`
	Note   string   `json:"note,omitempty" doc:"A word to the requester; needed to deny" maxLength:"1000"`
	Rights []string `json:"rights,omitempty" doc:"Approve only these of the role's rights" maxItems:"64"`

	Assertion *Assertion `json:"assertion,omitempty" doc:"What a passkey of the voter signed, over exactly this vote; where policy asks for it"`
	Signed    *Time      `json:"signed,omitempty" format:"date-time" doc:"When the passkey was asked for that, by the clock of the voter's machine: the vote says so"`
}

// Vote is one person's vote on a request.
type Vote struct {
	Principal string   `json:"principal" example:"user:noor"`
	Person    string   `json:"person" example:"noor"`
	Approve   bool     `json:"approve"`
	For       string   `json:"for,omitempty" doc:"Where it was approved for shorter" example:"15s"`
	Rights    []string `json:"rights,omitempty" doc:"Where it was approved for less"`
	Note      string   `json:"note,omitempty"`
	At        Time     `json:"at" format:"date-time"`

	OnBehalfOf string `json:"on_behalf_of,omitempty" doc:"Whose approval it is, where they had delegated it; one vote of the two" example:"user:omar"`

	Level   string `json:"level" enum:"chat,console,passkey,client" doc:"How the vote was given; client: with a passkey that the voter's own stint asked"`
	Passkey string `json:"passkey,omitempty" doc:"Which passkey signed it"`
}

// ExtendAsk asks for more time on an active grant; it becomes a Request.
type ExtendAsk struct {
	For    string `json:"for" doc:"How much longer" minLength:"1" maxLength:"32" example:"30m"`
	Why    string `json:"why" doc:"The reason" maxLength:"1000"`
	Ticket string `json:"ticket,omitempty" maxLength:"128"`
	DryRun bool   `json:"dry_run,omitempty" doc:"Answer with the decision and change nothing"`
}

// RevokeAsk ends the grants that match every member given; All matches all.
type RevokeAsk struct {
	Grant    string `json:"grant,omitempty" maxLength:"64" doc:"One grant, by its id or its request's"`
	User     string `json:"user,omitempty" maxLength:"80" doc:"Everything this principal holds" example:"user:mira"`
	Role     string `json:"role,omitempty" maxLength:"63"`
	Resource string `json:"resource,omitempty" maxLength:"63"`
	All      bool   `json:"all,omitempty" doc:"Everything; with no other member"`
	Why      string `json:"why" minLength:"1" maxLength:"1000" doc:"The reason, for the holders and the audit log"`
}

// Revoked says which grants are now ending.
type Revoked struct {
	Grants []string `json:"grants" nullable:"false" doc:"The ids of the grants that are ending"`
}

// SealedCredential is the credential of an active grant, for one device only.
type SealedCredential struct {
	Request   string `json:"request" example:"req_01J8ZQ5T3M8W6Y2X4V9N7K1B5C"`
	Grant     string `json:"grant" example:"grt_01J8ZQ5T3M8W6Y2X4V9N7K1B5C"`
	Sealed    []byte `json:"sealed" doc:"HPKE (RFC 9180) of a Credential as JSON: encapsulated key, then ciphertext; empty when unchanged"`
	ExpiresAt Time   `json:"expires_at" format:"date-time"`
	Unchanged bool   `json:"unchanged,omitempty" doc:"The newest is the one that the caller has, and nothing was shown"`
}

// Credential is what a person or a program connects with. It never travels
// but inside a SealedCredential.
type Credential struct {
	Type      string `json:"type" example:"postgres"`
	URI       Secret `json:"uri" doc:"Everything in one line, the password too"`
	Username  string `json:"username"`
	Password  Secret `json:"password"`
	Host      string `json:"host"`
	Port      int    `json:"port" example:"5432"`
	Database  string `json:"database"`
	ExpiresAt Time   `json:"expires_at" format:"date-time"`

	SSLMode string `json:"sslmode,omitempty" doc:"How to check the server, as libpq names it" example:"verify-full"`
	CA      string `json:"ca,omitempty" doc:"The certificate authority to check the server against"`

	Token       Secret `json:"token,omitempty" doc:"In the place of a password, of accounts that have tokens"`
	PrivateKey  Secret `json:"private_key,omitempty" doc:"In the place of a password, of accounts that have keys or certificates; PEM"`
	Certificate string `json:"certificate,omitempty" doc:"Of accounts that have certificates; PEM. Its key is private_key"`
}
