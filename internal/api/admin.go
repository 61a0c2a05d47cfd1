package api

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
)

// JWK is the public half of a device's signing key, RFC 8037 section 2.
type JWK struct {
	Kty string `json:"kty" enum:"OKP"`
	Crv string `json:"crv" enum:"Ed25519"`
	X   string `json:"x" minLength:"43" maxLength:"43" doc:"The key, base64url"`
}

// Enroll exchanges a one-time code for a login on this device. The call is
// signed by the key it brings.
type Enroll struct {
	Code      Secret `json:"code" minLength:"1" maxLength:"256" doc:"The one-time code"`
	Device    JWK    `json:"device_jwk" doc:"The device's signing key; the proof must be by it"`
	SealKey   []byte `json:"seal_key" maxLength:"44" doc:"The device's X25519 public key, 32 bytes, that credentials are sealed to"`
	Bootstrap bool   `json:"bootstrap,omitempty" doc:"The code is the bootstrap token; name becomes the first administrator"`
	Name      string `json:"name,omitempty" maxLength:"63" doc:"With bootstrap: the user to create"`
}

// LoginResult is a login, and what a client pins.
type LoginResult struct {
	Token      Secret `json:"token" doc:"Good only with proofs by this device"`
	Principal  string `json:"principal" example:"user:mira"`
	Person     string `json:"person" example:"mira"`
	Admin      bool   `json:"admin"`
	Auditor    bool   `json:"auditor"`
	ExpiresAt  Time   `json:"expires_at" format:"date-time"`
	LogOrigin  string `json:"log_origin" doc:"The name of the audit log"`
	LogKey     string `json:"log_key" doc:"The audit log's public key, to pin"`
	ServerTime Time   `json:"server_time" format:"date-time"`
}

// LogKey names the audit log and the public key its checkpoints verify with.
type LogKey struct {
	Origin string `json:"origin"`
	Key    string `json:"key" doc:"A verifier key in the note format"`
}

// Fingerprint is a short name of a log's key that people can compare.
func (k LogKey) Fingerprint() string {
	sum := sha256.Sum256([]byte(strings.TrimSpace(k.Key)))
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// Whoami is who the caller is.
type Whoami struct {
	Principal     string   `json:"principal" example:"user:mira"`
	Person        string   `json:"person" example:"mira"`
	Groups        []string `json:"groups" nullable:"false"`
	Admin         bool     `json:"admin"`
	Auditor       bool     `json:"auditor"`
	Author        bool     `json:"policy_author"`
	Owns          []string `json:"owns" nullable:"false" doc:"The resources that the caller owns, by oneself or by a group" example:"orders-db"`
	Approves      []string `json:"approves" nullable:"false" doc:"The policies that ask the caller to approve, by name, group or as an owner" example:"orders-read"`
	Device        string   `json:"device" doc:"The thumbprint of the device's signing key"`
	Provider      string   `json:"provider,omitempty" doc:"Who vouched for the person when they signed in: an integration, code or passkey" example:"corp-sso"`
	Methods       []string `json:"amr" nullable:"false" doc:"How they proved who they are, RFC 8176" example:"pwd"`
	MFA           bool     `json:"mfa" doc:"Two kinds of factor were proven"`
	ExpiresAt     Time     `json:"expires_at" format:"date-time" doc:"When to sign in again"`
	ServerVersion string   `json:"server_version"`
	ServerTime    Time     `json:"server_time" format:"date-time"`
	BreakGlass    bool     `json:"break_glass,omitempty" doc:"The login is good for break-glass access alone"`

	Sponsor     string `json:"sponsor,omitempty" doc:"Of a vendor: the user who answers for them" example:"omar"`
	Company     string `json:"company,omitempty" doc:"Of a vendor: whose they are" example:"Acme Ltd"`
	Responsible string `json:"responsible,omitempty" doc:"Of an agent: its human" example:"ana"`
	Until       Time   `json:"until" nullable:"true" format:"date-time" doc:"When the caller ends by itself: a contract, or a service or an agent that is not renewed"`
}

// UserAdd creates a local user.
type UserAdd struct {
	Name    string   `json:"name" minLength:"1" maxLength:"63" example:"mira"`
	Admin   bool     `json:"admin,omitempty" doc:"Administers Stint; has no access to any resource by that"`
	Auditor bool     `json:"auditor,omitempty" doc:"Reads the whole audit log"`
	Author  bool     `json:"policy_author,omitempty" doc:"Writes roles and policies of all resources, within their ceilings"`
	Groups  []string `json:"groups,omitempty" maxItems:"256" example:"platform"`
	Manager string   `json:"manager,omitempty" maxLength:"63" doc:"The user whom policies call manager" example:"noor"`
}

// UserSet changes a user. What is absent stays as it is.
type UserSet struct {
	Groups  []string `json:"groups,omitzero" nullable:"false" maxItems:"256" doc:"All groups from now on, instead of those before" example:"platform"`
	Manager *string  `json:"manager,omitempty" maxLength:"63" doc:"The user whom policies call manager; empty for nobody" example:"noor"`
	Mail    *string  `json:"mail,omitempty" maxLength:"254" doc:"Where messages about what they ask for reach them; empty for nowhere" example:"mira@example.com"`
	Admin   *bool    `json:"admin,omitempty"`
	Auditor *bool    `json:"auditor,omitempty"`
	Author  *bool    `json:"policy_author,omitempty"`
	Enable  bool     `json:"enable,omitempty" doc:"Let a disabled user sign in again, with a fresh code"`
}

// UserAdded carries the one-time code for the user's first sign-in.
type UserAdded struct {
	Name        string `json:"name"`
	Principal   string `json:"principal" example:"user:mira"`
	EnrollToken Secret `json:"enroll_token" doc:"Shown once; good once"`
	ExpiresAt   Time   `json:"expires_at" format:"date-time"`

	Proposal *Proposal `json:"proposal,omitempty" doc:"The rights wait for a second person; the user is made without them"`
}

// ServiceAdd creates a service, a principal without a person at the keyboard.
type ServiceAdd struct {
	Name   string   `json:"name" minLength:"1" maxLength:"63" example:"ci"`
	Groups []string `json:"groups,omitempty" maxItems:"256"`
	Owner  string   `json:"owner" minLength:"1" maxLength:"63" doc:"The user who answers for it" example:"mira"`
	For    string   `json:"for,omitempty" maxLength:"32" doc:"How long the service is good for, and its token, at most 366 days; absent: 30 days" example:"720h"`
	// NoToken makes a service that is known by what its platform says of it.
	NoToken bool `json:"no_token,omitempty" doc:"Make no token: the service signs in by a workload document"`
}

// ServiceAdded carries the service's token.
type ServiceAdded struct {
	Name      string `json:"name"`
	Principal string `json:"principal" example:"service:ci"`
	Token     Secret `json:"token,omitempty" doc:"Shown once; absent for a service without one"`
	ExpiresAt Time   `json:"expires_at" format:"date-time"`
}

// Disabled says what disabling a user ended.
type Disabled struct {
	Principal string   `json:"principal"`
	Grants    []string `json:"grants" nullable:"false" doc:"The ids of the grants that are ending"`
}

// Lock says that somebody is locked out, and why.
type Lock struct {
	With string `json:"with" doc:"Whose lock it is: its own, or that of the user who answers for it" example:"user:mira"`
	By   string `json:"by" example:"user:root"`
	Why  string `json:"why" example:"laptop stolen, ticket 4711"`
	At   Time   `json:"at" format:"date-time"`
}

// LockAsk says why somebody is locked out, or let in again.
type LockAsk struct {
	Why string `json:"why" minLength:"1" maxLength:"1000" example:"laptop stolen, ticket 4711"`
}

// CredentialSet registers the credential a connector logs in with, or Stint at an
// integration. It is bound to type and address, so that no document can send it
// elsewhere.
type CredentialSet struct {
	Type     string `json:"type" minLength:"1" maxLength:"63" example:"postgres"`
	Address  string `json:"address" minLength:"1" maxLength:"1024" doc:"host:port of a resource, the URL of an integration" example:"db1:5432"`
	Username string `json:"username,omitempty" maxLength:"255" doc:"Required for a resource" example:"stint"`
	Password Secret `json:"password" minLength:"1" maxLength:"8192" doc:"The password, token or key"`
}

// ConnectorCredential is a registered credential, without its secret.
type ConnectorCredential struct {
	Name      string `json:"name" example:"orders-connector"`
	Type      string `json:"type" example:"postgres"`
	Address   string `json:"address" example:"db1:5432"`
	Username  string `json:"username" example:"stint"`
	UpdatedAt Time   `json:"updated_at" format:"date-time"`

	Resources    []string  `json:"resources" nullable:"false" doc:"The resources that name it"`
	Integrations []string  `json:"integrations" nullable:"false" doc:"The integrations that name it"`
	Warnings     []Problem `json:"warnings" nullable:"false" doc:"What is probably not meant: no document names it, or one has another address"`
}

// CheckReport is the preflight of a resource: can we create AND remove there?
type CheckReport struct {
	Resource string      `json:"resource" example:"orders-db"`
	OK       bool        `json:"ok"`
	Steps    []CheckStep `json:"steps" nullable:"false"`
}

// CheckStep is one step of a preflight.
type CheckStep struct {
	Name   string `json:"name" example:"drop the canary account"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
	Fix    string `json:"fix,omitempty" doc:"What to do about it"`
}

// SweepAsk sweeps a resource's place now. Remove, for administrators, lets the
// sweep order that many removals, more than it may by itself.
type SweepAsk struct {
	Remove int    `json:"remove,omitempty" minimum:"0" maximum:"100000" doc:"How many removals it may order; 0: its ordinary budget"`
	Why    string `json:"why,omitempty" maxLength:"2000" doc:"Needed with remove"`
}

// SweepReport is what a sweep found on a target.
type SweepReport struct {
	Resource string   `json:"resource" example:"orders-db"`
	Standing []string `json:"standing" nullable:"false" doc:"Privilege that nobody granted through Stint; never touched"`
	Foreign  []string `json:"foreign" nullable:"false" doc:"What looks like ours and is not; never touched"`
	Unwanted []string `json:"unwanted" nullable:"false" doc:"Ours, without a live grant"`
	Ordered  int      `json:"ordered" doc:"Removals ordered: all that is unwanted, or none when that is more than the sweep may remove"`
}

// Stop is the stop switch: while stopped, nothing new is granted. What is
// granted still ends.
type Stop struct {
	Stopped bool   `json:"stopped"`
	Why     string `json:"why,omitempty" maxLength:"1000"`
	By      string `json:"by,omitempty" doc:"Set by the server" example:"user:noor"`
	Since   Time   `json:"since,omitzero" nullable:"true" format:"date-time" doc:"Set by the server"`
}

// Health is the answer of /healthz and /readyz.
type Health struct {
	OK      bool   `json:"ok"`
	Version string `json:"version"`
	Detail  string `json:"detail,omitempty" doc:"What it is waiting for, or what weakens what it promises"`
	Doubt   string `json:"doubt,omitempty" doc:"/readyz: why the clock is not trusted. It serves, ends and revokes, and grants nothing new"`
}

// AuditRecord is one record of the log in its canonical encoding. Whoever
// writes it must not escape HTML, which would change its bytes.
type AuditRecord struct {
	Seq    int64           `json:"seq" doc:"Its place in the log, from 0"`
	Record json.RawMessage `json:"record" doc:"The record in its canonical encoding, which the log's hash covers"`
}

// Checkpoint is the log's newest signed state.
type Checkpoint struct {
	Checkpoint string `json:"checkpoint" doc:"A signed note: origin, size, root hash"`
}
