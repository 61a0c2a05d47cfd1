package access

import (
	"bytes"
	"encoding/json"
	"io"
	"time"
)

// The texts below are canonical: what is read is written again and must be the same,
// so that a text and its digest stand for each other. They are in the audit log, and a
// member is only ever added where its absence is the zero value.

// askText is all that a request's digest covers.
type askText struct {
	Principal   PrincipalID    `json:"principal"`
	Person      Person         `json:"person"`
	Device      DeviceID       `json:"device,omitempty"`
	SealKey     []byte         `json:"seal_to,omitempty"`
	Targets     []askTarget    `json:"targets"`
	Role        RoleName       `json:"role"`
	Permissions askPermissions `json:"permissions"`
	OnLogout    bool           `json:"on_logout,omitempty"`
	OnIdle      int64          `json:"on_idle_ms,omitempty"`
	Clock       StartClock     `json:"clock,omitempty"`
	Duration    int64          `json:"duration_ms"`
	Start       string         `json:"start,omitempty"`
	Reason      string         `json:"reason"`
	Ticket      string         `json:"ticket,omitempty"`
	Extends     GrantID        `json:"extends,omitempty"`
	Documents   int64          `json:"documents"`
	Nonce       []byte         `json:"nonce"`
	Emergency   Emergency      `json:"emergency,omitempty"`
	Task        TaskID         `json:"task,omitempty"`
	Bundle      string         `json:"bundle,omitempty"`
}

type askTarget struct {
	Resource    ResourceName      `json:"resource"`
	Criticality Criticality       `json:"criticality,omitempty"`
	Type        string            `json:"type,omitempty"`
	Address     string            `json:"address,omitempty"`
	Credential  string            `json:"credential,omitempty"`
	Options     map[string]string `json:"options,omitempty"`
	Account     string            `json:"account,omitempty"`
}

type askPermissions struct {
	Mechanism Mechanism         `json:"mechanism"`
	Rights    []string          `json:"rights,omitempty"`
	Options   map[string]string `json:"options,omitempty"`
	Exclusive bool              `json:"exclusive,omitempty"`
}

// EncodeAsk writes what a request asks for, all that its digest covers and no more.
func EncodeAsk(r Request) string {
	a := askText{
		Principal: r.Principal, Person: r.Person, Device: r.Device, SealKey: r.SealKey, Role: r.Role,
		Permissions: askPermissions(r.Permissions), OnLogout: r.Endings.OnLogout, OnIdle: r.Endings.OnIdle.Milliseconds(), Clock: r.Clock,
		Duration: r.Duration.Milliseconds(), Start: stamp(r.Start), Reason: r.Reason, Ticket: r.Ticket, Extends: r.Extends,
		Documents: r.Documents, Nonce: r.Nonce[:], Emergency: r.Emergency, Task: r.Task, Bundle: bundleFact(r.Bundle),
	}
	for _, t := range r.Targets {
		a.Targets = append(a.Targets, askTarget{t.Resource, t.Criticality, t.Connection.Type, t.Connection.Address, t.Connection.Credential,
			t.Connection.Options, t.Account})
	}
	return encodeText(a)
}

// DecodeAsk reads what EncodeAsk wrote, and nothing else. The request it returns has
// what was asked and the digest of that, and nothing of what became of it.
func DecodeAsk(text string) (Request, error) {
	var a askText
	if err := decodeText(text, &a); err != nil {
		return Request{}, err
	}
	r := Request{
		Principal: a.Principal, Person: a.Person, Device: a.Device, SealKey: a.SealKey, Role: a.Role, Permissions: Permissions(a.Permissions),
		Endings: Endings{OnLogout: a.OnLogout, OnIdle: time.Duration(a.OnIdle) * time.Millisecond}, Clock: a.Clock,
		Duration: time.Duration(a.Duration) * time.Millisecond, Reason: a.Reason, Ticket: a.Ticket, Extends: a.Extends, Documents: a.Documents, Emergency: a.Emergency, Task: a.Task,
	}
	if len(a.Nonce) != len(r.Nonce) || r.Endings.OnIdle.Milliseconds() != a.OnIdle || r.Duration.Milliseconds() != a.Duration {
		return Request{}, badText("a number in it cannot be")
	}
	copy(r.Nonce[:], a.Nonce)
	if a.Start != "" {
		var err error
		if r.Start, err = time.Parse(Stamp, a.Start); err != nil {
			return Request{}, badText("its start is not a time")
		}
	}
	if a.Bundle != "" {
		var err error
		if r.Bundle, err = ParseDigest(a.Bundle); err != nil {
			return Request{}, err
		}
	}
	for _, t := range a.Targets {
		r.Targets = append(r.Targets, Target{Resource: t.Resource, Criticality: t.Criticality, Account: t.Account,
			Connection: Connection{Type: t.Type, Address: t.Address, Credential: t.Credential, Options: t.Options}})
	}
	if EncodeAsk(r) != text {
		return Request{}, badText("it is not in its canonical form")
	}
	r.Digest = requestDigest(r)
	return r, nil
}

type statementText struct {
	Request  string      `json:"request"`
	By       PrincipalID `json:"by"`
	Person   Person      `json:"person"`
	Approve  bool        `json:"approve"`
	Duration int64       `json:"duration_ms"`
	Rights   []string    `json:"rights,omitempty"`
	Note     string      `json:"note,omitempty"`
	At       string      `json:"at,omitempty"`
}

// EncodeStatement writes a vote.
func EncodeStatement(s Statement) string {
	return encodeText(statementText{s.Request.String(), s.By, s.Person, s.Approve, s.Duration.Milliseconds(), s.Rights, s.Note, stamp(s.At)})
}

// DecodeStatement reads what EncodeStatement wrote, and nothing else.
func DecodeStatement(text string) (Statement, error) {
	var t statementText
	if err := decodeText(text, &t); err != nil {
		return Statement{}, err
	}
	d, err := ParseDigest(t.Request)
	if err != nil {
		return Statement{}, err
	}
	s := Statement{d, t.By, t.Person, t.Approve, time.Duration(t.Duration) * time.Millisecond, t.Rights, t.Note, time.Time{}}
	if t.At != "" {
		if s.At, err = time.Parse(Stamp, t.At); err != nil {
			return Statement{}, badText("its time is none")
		}
	}
	if EncodeStatement(s) != text {
		return Statement{}, badText("it is not in its canonical form")
	}
	return s, nil
}

type assertionText struct {
	Passkey           PasskeyID `json:"passkey"`
	ClientData        []byte    `json:"client_data"`
	AuthenticatorData []byte    `json:"authenticator_data"`
	Signature         []byte    `json:"signature"`
}

// EncodeAssertion writes an assertion.
func EncodeAssertion(a Assertion) string { return encodeText(assertionText(a)) }

// DecodeAssertion reads what EncodeAssertion wrote, and nothing else.
func DecodeAssertion(text string) (Assertion, error) {
	var t assertionText
	if err := decodeText(text, &t); err != nil {
		return Assertion{}, err
	}
	a := Assertion(t)
	if EncodeAssertion(a) != text {
		return Assertion{}, badText("it is not in its canonical form")
	}
	return a, nil
}

type passkeyText struct {
	Principal  PrincipalID `json:"principal"`
	Person     Person      `json:"person"`
	Name       string      `json:"name"`
	RPID       string      `json:"rp_id"`
	Origin     string      `json:"origin"`
	Credential []byte      `json:"credential"`
	Key        []byte      `json:"key"`
}

// EncodePasskey writes what a passkey is, all that its digest covers and no more.
func EncodePasskey(p Passkey) string {
	return encodeText(passkeyText{p.Principal, p.Person, p.Name, p.RPID, p.Origin, p.Credential, p.Key})
}

// DecodePasskey reads what EncodePasskey wrote, and nothing else. The passkey it
// returns has its name and nothing of what became of it.
func DecodePasskey(text string) (Passkey, error) {
	var t passkeyText
	if err := decodeText(text, &t); err != nil {
		return Passkey{}, err
	}
	p := Passkey{Principal: t.Principal, Person: t.Person, Name: t.Name, RPID: t.RPID, Origin: t.Origin, Credential: t.Credential, Key: t.Key}
	if EncodePasskey(p) != text {
		return Passkey{}, badText("it is not in its canonical form")
	}
	p.ID = IDOf(p.Digest())
	return p, nil
}

func encodeText(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("access: a text cannot be written: " + err.Error()) // texts, numbers and lists of them
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

func decodeText(text string, into any) error {
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return badText("it cannot be read").Wrap(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return badText("something follows it")
	}
	return nil
}

func badText(why string) *Error {
	return Fail(Invalid, "bad-canonical-text", "this is not the canonical text of what it should be").Because(why)
}
