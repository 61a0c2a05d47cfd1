package store

import (
	"net/netip"
	"time"

	"stint/internal/access"
)

// The parts that bodies share. Durations are nanoseconds. A field may be added,
// never renamed or given another meaning.

type targetBody struct {
	Resource    string            `json:"resource"`
	Criticality string            `json:"criticality,omitempty"`
	Type        string            `json:"type,omitempty"`
	Address     string            `json:"address,omitempty"`
	Credential  string            `json:"credential,omitempty"`
	Options     map[string]string `json:"options,omitempty"`
	Account     string            `json:"account,omitempty"`
}

func targetOf(t access.Target) targetBody {
	return targetBody{string(t.Resource), string(t.Criticality), t.Connection.Type, t.Connection.Address,
		t.Connection.Credential, t.Connection.Options, t.Account}
}

func (b targetBody) target() access.Target {
	return access.Target{Resource: access.ResourceName(b.Resource), Criticality: access.Criticality(b.Criticality),
		Connection: access.Connection{Type: b.Type, Address: b.Address, Credential: b.Credential, Options: b.Options}, Account: b.Account}
}

type permissionsBody struct {
	Mechanism string            `json:"mechanism"`
	Rights    []string          `json:"rights,omitempty"`
	Options   map[string]string `json:"options,omitempty"`
	Exclusive bool              `json:"exclusive,omitempty"`
}

func permissionsOf(p access.Permissions) permissionsBody {
	return permissionsBody{string(p.Mechanism), p.Rights, p.Options, p.Exclusive}
}

func (b permissionsBody) permissions() access.Permissions {
	return access.Permissions{Mechanism: access.Mechanism(b.Mechanism), Rights: b.Rights, Options: b.Options, Exclusive: b.Exclusive}
}

type endingsBody struct {
	OnLogout bool          `json:"on_logout,omitempty"`
	OnIdle   time.Duration `json:"on_idle,omitempty"`
}

type sourceBody struct {
	IP     netip.Addr `json:"ip,omitzero"`
	Device string     `json:"device,omitempty"`
}

func sourceOf(s access.Source) sourceBody { return sourceBody{s.IP, string(s.Device)} }

func (b sourceBody) source() access.Source {
	return access.Source{IP: b.IP, Device: access.DeviceID(b.Device)}
}

type reasonBody struct {
	Policy string `json:"policy,omitempty"`
	Source string `json:"source,omitempty"`
	Text   string `json:"text"`
}

type requirementBody struct {
	From          []access.Subject `json:"from"`
	Count         int              `json:"count"`
	Level         access.Level     `json:"level,omitempty"` // absent: console
	Stage         int              `json:"stage,omitempty"`
	EscalateAfter time.Duration    `json:"escalate_after,omitempty"`
	EscalateTo    []access.Subject `json:"escalate_to,omitempty"`
}

type decisionBody struct {
	Effect      string            `json:"effect"`
	Policy      string            `json:"policy,omitempty"`
	Behalf      string            `json:"behalf,omitempty"`
	Documents   int64             `json:"documents,omitempty"`
	Reasons     []reasonBody      `json:"reasons,omitempty"`
	Approvals   []requirementBody `json:"approvals,omitempty"`
	MaxDuration time.Duration     `json:"max_duration,omitempty"`
	Conditional bool              `json:"conditional,omitempty"`
	Emergency   bool              `json:"emergency,omitempty"`

	AnswerWithin time.Duration `json:"answer_within,omitempty"`
	RemindAfter  time.Duration `json:"remind_after,omitempty"`
}

func decisionOf(d access.Decision) decisionBody {
	b := decisionBody{Effect: d.Effect.String(), Policy: string(d.Policy), Behalf: string(d.Behalf), Documents: d.Documents, MaxDuration: d.MaxDuration, Conditional: d.Conditional,
		Emergency: d.Emergency, AnswerWithin: d.AnswerWithin, RemindAfter: d.RemindAfter}
	for _, r := range d.Reasons {
		b.Reasons = append(b.Reasons, reasonBody{string(r.Policy), r.Source, r.Text})
	}
	for _, a := range d.Approvals {
		b.Approvals = append(b.Approvals, requirementBody(a))
	}
	return b
}

func (b decisionBody) decision() access.Decision {
	d := access.Decision{Policy: access.PolicyName(b.Policy), Behalf: access.PolicyName(b.Behalf), Documents: b.Documents, MaxDuration: b.MaxDuration, Conditional: b.Conditional,
		Emergency: b.Emergency, AnswerWithin: b.AnswerWithin, RemindAfter: b.RemindAfter}
	switch b.Effect { // anything else denies
	case access.Allow.String():
		d.Effect = access.Allow
	case access.Approve.String():
		d.Effect = access.Approve
	}
	for _, r := range b.Reasons {
		d.Reasons = append(d.Reasons, access.Reason{Policy: access.PolicyName(r.Policy), Source: r.Source, Text: r.Text})
	}
	for _, a := range b.Approvals {
		d.Approvals = append(d.Approvals, access.Requirement(a))
	}
	return d
}

func targetsOf(ts []access.Target) []targetBody {
	all := make([]targetBody, len(ts))
	for i, t := range ts {
		all[i] = targetOf(t)
	}
	return all
}

func targets(bs []targetBody) []access.Target {
	all := make([]access.Target, len(bs))
	for i, b := range bs {
		all[i] = b.target()
	}
	return all
}

// firstResource is the one in the row itself; the others have a table.
func firstResource(ts []access.Target) string {
	if len(ts) == 0 {
		return ""
	}
	return string(ts[0].Resource)
}

// otherTargets are the rows of a table of the targets after the first.
func otherTargets(id string, ts []access.Target) (rows []write) {
	for i := 1; i < len(ts); i++ {
		rows = append(rows, write{string(ts[i].Resource), id})
	}
	return rows
}
