package api

import (
	"context"
	"crypto/ed25519"
	"net/http"
	"time"
)

// MaxHostAnswers is how many answers one poll of an agent brings.
const MaxHostAnswers = 256

// HostEnrolment is a one-time code with which the agent of a host enrols.
type HostEnrolment struct {
	Host      string `json:"host" doc:"The host, by the address of its resources"`
	Code      Secret `json:"code" doc:"Good once, for stint-agent enroll on that host; it also names the key that orders are signed with"`
	ExpiresAt Time   `json:"expires_at" format:"date-time" doc:"When the code ends"`
}

// Host is one host with an agent, or with a code for one.
type Host struct {
	Host       string   `json:"host" doc:"The address of its resources"`
	Resources  []string `json:"resources" nullable:"false" doc:"The resources at that address"`
	State      string   `json:"state" enum:"none,waiting,enrolled,revoked" doc:"Whether its agent has enrolled"`
	Agent      string   `json:"agent,omitempty" doc:"The thumbprint of the agent's key"`
	Version    string   `json:"version,omitempty" doc:"The agent's version"`
	EnrolledAt Time     `json:"enrolled_at,omitzero" nullable:"true" format:"date-time" doc:"When it enrolled"`
	SeenAt     Time     `json:"seen_at,omitzero" nullable:"true" format:"date-time" doc:"When it asked for orders last; up to half a minute old"`
	CodeUntil  Time     `json:"code_until,omitzero" nullable:"true" format:"date-time" doc:"Until when the code that was given out is good"`
	Silent     bool     `json:"silent" doc:"Whether an enrolled agent has not asked for longer than it should"`
}

// HostEnroll is what an agent brings to enrol.
type HostEnroll struct {
	Code      Secret `json:"code" doc:"The one-time code"`
	DeviceJWK JWK    `json:"device_jwk" doc:"The agent's public key; the call's proof is by it"`
	Version   string `json:"version" maxLength:"100" doc:"The agent's version"`
	HostAsk
}

// HostAsk asks what the sshd of a host shall believe and show.
type HostAsk struct {
	Nonce   string   `json:"nonce,omitempty" maxLength:"32" doc:"128 random bits in hex: the signed answer repeats them"`
	SSHKeys []string `json:"ssh_keys,omitempty" maxItems:"4" doc:"The public keys of its sshd, one line each, Ed25519 first"`
	// Ceiling is of a host that has a roster.
	Ceiling *HostCeiling `json:"ceiling,omitempty" doc:"What the host's own roster lets be done there; absent where it has none"`
	// Ended is told until it was heard.
	Ended []HostEnded `json:"ended,omitempty" maxItems:"64" doc:"What its agent took away by its own clock, without being told"`
}

// HostCeiling is what a host lets be done, by a file on it: the first rule that holds an order
// decides, and what no rule holds is never done.
type HostCeiling struct {
	Rules []HostRule `json:"rules,omitempty" maxItems:"100"`
	Why   string     `json:"why,omitempty" maxLength:"2000" doc:"Why the file cannot be used; nothing new is made then"`
	// Untold is of one that is beyond the bounds of what is told.
	Untold bool `json:"untold,omitempty" doc:"There is one that is too long to be told: the host alone knows it, and decides by it"`
}

// Bounds of the ceiling that a host tells.
const (
	MaxHostCeiling    = 128 << 10 // bytes, as JSON
	MaxHostRules      = 100
	MaxRuleMechanisms = 10
	MaxRuleNames      = 1000 // of accounts, of rights, and of those whom commands run as
)

// HostRule is one rule of it. An empty list holds whatever there is.
type HostRule struct {
	Mechanisms []string `json:"mechanisms" maxItems:"10"`
	Accounts   []string `json:"accounts,omitempty" maxItems:"1000" doc:"That it is about"`
	Rights     []string `json:"rights,omitempty" maxItems:"1000" doc:"Groups, or commands"`
	RunAs      []string `json:"run_as,omitempty" maxItems:"1000" doc:"Whom commands run as"`
	Longest    string   `json:"longest" maxLength:"32" example:"4h"`
	Approvals  int      `json:"approvals" minimum:"0" maximum:"20" doc:"How many persons must have signed with a passkey"`
	Level      string   `json:"level,omitempty" enum:"passkey,client" doc:"client: where stint approve asked for it"`
	Fresh      string   `json:"fresh,omitempty" maxLength:"32" doc:"How old a signature may be"`
}

// HostEnded is something that an agent took away by its own clock, without being told.
type HostEnded struct {
	Tag string `json:"tag" maxLength:"200" doc:"Of the order"`
	At  Time   `json:"at" format:"date-time" doc:"When, by the host's clock"`
}

// HostTrust is what the sshd of a host shall believe and show.
type HostTrust struct {
	Trust   string `json:"trust,omitempty" doc:"Signed with the orders key: the authorities of people's certificates, a certificate for each of the host's keys, and the digest of the list beside it"`
	Revoked []byte `json:"revoked,omitempty" doc:"The key revocation list of OpenSSH"`
}

// HostEnrolled is what an agent has to know.
type HostEnrolled struct {
	Host         string `json:"host" doc:"What calls for it name"`
	Installation string `json:"installation" doc:"Whose calls it takes"`
	OrdersKey    []byte `json:"orders_key" doc:"The public key, Ed25519, that calls are signed with"`
	HostTrust
}

// HostPoll brings answers of an agent and asks for calls.
type HostPoll struct {
	Answers    []string `json:"answers,omitempty" maxItems:"256" doc:"Signed answers to calls"`
	RoomToEnd  int      `json:"room_to_end,omitempty" minimum:"0" maximum:"1024" doc:"How many calls that end access it takes now"`
	Room       int      `json:"room,omitempty" minimum:"0" maximum:"1024" doc:"How many other calls it takes now"`
	WaitMillis int64    `json:"wait_ms,omitempty" minimum:"0" maximum:"30000" doc:"How long to wait for calls when there are none"`
	Version    string   `json:"version,omitempty" maxLength:"100" doc:"The agent's version"`
}

// HostCalls are calls for the agent that asked.
type HostCalls struct {
	Now   Time       `json:"now" format:"date-time" doc:"The server's time"`
	Calls []HostCall `json:"calls" nullable:"false" doc:"Those that end access first"`
	Rolls []string   `json:"rolls,omitempty" doc:"Signed words of orders keys about those that followed them"`
}

// HostCall is one signed call.
type HostCall struct {
	Call       string `json:"call" doc:"The signed call"`
	LeftMillis int64  `json:"left_ms" doc:"How long it is good for"`
}

// MaxHostCommands is how many commands one call of a host tells of.
const MaxHostCommands = 64

// HostCommand is a command that a host ran for a person with more privilege, by stint
// elevate. It is told of twice: before it runs, and when it has ended.
type HostCommand struct {
	ID          string `json:"id" maxLength:"64" doc:"The command, and its recording"`
	Entitlement string `json:"entitlement" maxLength:"64" doc:"The entitlement that allows it"`
	Tag         string `json:"tag" maxLength:"64" doc:"The tag of its order"`
	Account     string `json:"account" maxLength:"64" doc:"Who ran it, on the host"`
	RunAs       string `json:"run_as" maxLength:"64" doc:"Whom it ran as"`
	Command     string `json:"command" maxLength:"1024" doc:"The program and its arguments"`
	Terminal    bool   `json:"terminal,omitempty" doc:"Whether it had a terminal"`
	BeganAt     Time   `json:"began_at" format:"date-time" doc:"By the host's clock"`
	EndedAt     Time   `json:"ended_at,omitzero" format:"date-time" doc:"By the host's clock; absent while it runs"`
	Status      int    `json:"status,omitempty" minimum:"0" maximum:"255" doc:"The exit code"`
	Signal      string `json:"signal,omitempty" maxLength:"32" doc:"The signal that ended it"`
	Cut         string `json:"cut,omitempty" maxLength:"64" doc:"Why the host ended it; absent where it ended by itself"`
	Input       int64  `json:"input,omitempty" minimum:"0" doc:"Bytes that went in"`
	Output      int64  `json:"output,omitempty" minimum:"0" doc:"Bytes that came out"`
	Frames      int64  `json:"frames,omitempty" minimum:"0" doc:"Frames of the recording"`
	Root        string `json:"root,omitempty" maxLength:"64" doc:"The recording's last link, in hex: no other recording has it"`
}

// HostTold is a host's report of commands.
type HostTold struct {
	Commands []HostCommand `json:"commands" minItems:"1" maxItems:"64" nullable:"false" doc:"Those that began or ended"`
}

// HostHeard says what became of a report.
type HostHeard struct {
	Refused map[string]string `json:"refused,omitempty" doc:"Those that are not kept, by id, and why: telling of them again is of no use"`
}

// TellOfCommands reports commands that a host ran; the same again is no other.
func (c *Client) TellOfCommands(ctx context.Context, t HostTold) (out HostHeard, err error) {
	return out, c.do(ctx, call{method: http.MethodPost, path: []string{"host", "commands"}, in: t, out: &out, noToken: true})
}

// EnrollAsHost exchanges a code for the pins of an agent.
func (c *Client) EnrollAsHost(ctx context.Context, e HostEnroll) (out HostEnrolled, err error) {
	return out, c.do(ctx, call{method: http.MethodPost, path: []string{"host", "enroll"}, in: e, out: &out, noToken: true})
}

// PollHost brings answers, and fetches calls, for which it waits a while. It makes
// one attempt: the agent itself tries again.
func (c *Client) PollHost(ctx context.Context, p HostPoll) (out HostCalls, err error) {
	return out, c.do(ctx, call{method: http.MethodPost, path: []string{"host", "poll"}, in: p, out: &out, noToken: true, wait: time.Duration(p.WaitMillis) * time.Millisecond})
}

// TrustOfHost asks what the host's sshd shall believe and show. It makes one attempt.
func (c *Client) TrustOfHost(ctx context.Context, ask HostAsk) (out HostTrust, err error) {
	return out, c.do(ctx, call{method: http.MethodPost, path: []string{"host", "trust"}, in: ask, out: &out, noToken: true})
}

// EnrollHost makes a code for the agent of a resource's host; administrators only.
func (c *Client) EnrollHost(ctx context.Context, resource string) (out HostEnrolment, err error) {
	return out, c.do(ctx, call{method: http.MethodPost, path: []string{"admin", "hosts", resource, "enroll"}, out: &out})
}

// RevokeHost ends the enrolment of a host's agent; administrators only.
func (c *Client) RevokeHost(ctx context.Context, resource string) (out Host, err error) {
	return out, c.do(ctx, call{method: http.MethodPost, path: []string{"admin", "hosts", resource, "revoke"}, out: &out})
}

// Hosts lists the hosts with agents.
func (c *Client) Hosts(ctx context.Context) (out Page[Host], err error) {
	return out, c.do(ctx, call{method: http.MethodGet, path: []string{"admin", "hosts"}, out: &out})
}

// Sign signs a message by which the device speaks for itself, and not in a call. What
// kind of message, it says itself, in a form that no proof has.
func (d *Device) Sign(message []byte) []byte { return ed25519.Sign(d.sign, message) }

// Public is the public half of the signing key.
func (d *Device) Public() ed25519.PublicKey { return d.sign.Public().(ed25519.PublicKey) }
