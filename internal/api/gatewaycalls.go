package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
)

// MaxGatewaySessions is how many sessions one report of a gateway may name.
const MaxGatewaySessions = 10_000

// SessionKnock is somebody at the door of a gateway.
type SessionKnock struct {
	Protocol    string `json:"protocol" enum:"ssh,postgres,http,tcp"`
	Key         []byte `json:"key,omitempty" maxLength:"16384" doc:"The public key that proved itself, in its protocol's form; none with a ticket"`
	Certificate []byte `json:"certificate,omitempty" maxLength:"16384" doc:"Its certificate, likewise"`
	Resource    string `json:"resource" maxLength:"80"`
	Login       string `json:"login,omitempty" maxLength:"64" doc:"The account that was named, if one was"`
	Ticket      string `json:"ticket,omitempty" maxLength:"64" doc:"What a browser brought from the sign-in"`
	Verifier    string `json:"verifier,omitempty" maxLength:"128" doc:"Of the challenge with which it was sent there (RFC 7636)"`
	Source      string `json:"source" maxLength:"80" doc:"Where they come from: address and port" example:"10.0.0.7:40122"`
	Nonce       string `json:"nonce,omitempty" maxLength:"32" doc:"128 random bits in hex: the permit is signed then, for this question, and nothing of it stands beside its word"`
}

// SessionPermit is the right to one session.
type SessionPermit struct {
	Session         string        `json:"session"`
	Grant           string        `json:"grant"`
	Person          string        `json:"person"`
	Resource        string        `json:"resource"`
	End             Time          `json:"end" format:"date-time" doc:"The grant's end"`
	RemainingMillis int64         `json:"remaining_ms" doc:"How long that was when this was answered"`
	Keep            bool          `json:"keep" doc:"It goes on while the gateway is cut off"`
	Strict          bool          `json:"strict" doc:"No byte passes before it is durably recorded"`
	OmitTyped       bool          `json:"omit_typed" doc:"What is typed at a terminal is not recorded"`
	Principal       string        `json:"principal" doc:"Stands in the certificate"`
	Target          SessionTarget `json:"target"`
	Rules           SessionRules  `json:"rules"`
	Limits          SessionLimits `json:"limits"`
	Web             *SessionWeb   `json:"web,omitempty" doc:"Of a web application"`
	Word            string        `json:"word,omitempty" doc:"All of it, signed with the orders key"`
}

// SessionTarget is where a session leads.
type SessionTarget struct {
	Address         string   `json:"address"`
	Name            string   `json:"name" doc:"What a certificate of the host must be for"`
	Account         string   `json:"account"`
	HostKeys        []string `json:"host_keys" nullable:"false" doc:"Its public keys, as lines"`
	HostAuthorities []string `json:"host_authorities" nullable:"false" doc:"The keys that sign certificates of hosts, as lines; of a database, PEM, or system for those of the gateway's machine"`
	Database        string   `json:"database,omitempty" doc:"Of a database: where a client leads that names none"`
	Plain           bool     `json:"plain,omitempty" doc:"Of a web application: it is reached without TLS, on the gateway's own host"`
}

// SessionWeb says what a session with a web application may do, and how its requests look there.
type SessionWeb struct {
	Rules    []WebRule `json:"rules" nullable:"false"`
	Host     string    `json:"host,omitempty" doc:"The Host header that the application gets"`
	Drop     []string  `json:"drop,omitempty" doc:"Headers that nobody may send"`
	Assert   bool      `json:"assert,omitempty" doc:"Each request carries a signed word of who it is"`
	Bodies   int       `json:"bodies,omitempty" doc:"How many bytes of each body are recorded"`
	MostBody int64     `json:"most_body,omitempty" doc:"How many bytes a request may have"`
}

// WebRule is one pattern of requests and what it does.
type WebRule struct {
	Effect  string   `json:"effect" enum:"allow,deny,alarm"`
	Methods []string `json:"methods" nullable:"false"`
	Path    string   `json:"path"`
}

// SessionLimits bound what a session with a database carries; 0 is any number.
type SessionLimits struct {
	Rows     int64    `json:"rows,omitempty"`
	Bytes    int64    `json:"bytes,omitempty"`
	ReadOnly bool     `json:"read_only,omitempty" doc:"Its transactions begin as such that only read"`
	Deny     []string `json:"deny,omitempty" doc:"Classes of statements that do not pass"`

	DenyTables    []string `json:"deny_tables,omitempty" doc:"Tables that no statement may name, as in SQL"`
	DenyFunctions []string `json:"deny_functions,omitempty" doc:"Functions that no statement may call, as in SQL"`
}

// SessionLoginAsk asks for the login for the target of a session.
type SessionLoginAsk struct {
	Session string `json:"session" maxLength:"64"`
	Key     []byte `json:"key" maxLength:"44" doc:"An X25519 public key, 32 bytes, that was made for this session: the login is sealed to it"`
	Nonce   string `json:"nonce" maxLength:"32" doc:"128 random bits in hex"`
}

// SessionLogin is the login, for one process alone.
type SessionLogin struct {
	Word string `json:"word" doc:"SealedLogin, signed with the orders key for this gateway and this question"`
}

// SealedLogin is the content of its word.
type SealedLogin struct {
	Session string `json:"session"`
	Sealed  []byte `json:"sealed" doc:"A credential, sealed to the session's key (HPKE)"`
}

// SessionLoginInfo binds a sealed login to its session: whoever seals and whoever opens use
// the same text.
func SessionLoginInfo(session string) string { return "stint session login " + session }

// GatewayDoors says where a gateway takes connections of other protocols than SSH.
type GatewayDoors struct {
	Doors []GatewayDoor `json:"doors" nullable:"false" maxItems:"8"`
}

// GatewayDoor is one of them.
type GatewayDoor struct {
	Protocol    string `json:"protocol" enum:"postgres,http,tcp"`
	Port        uint16 `json:"port" minimum:"1"`
	Certificate string `json:"certificate" maxLength:"8192" doc:"By which it is known there, PEM: for the host of its address, or of the web and of TCP for every host of its domain"`
	Domain      string `json:"domain,omitempty" maxLength:"200" pattern:"^[a-z0-9.-]+$" doc:"Of the web and of TCP: each resource is reached at a host of its own in it"`
}

// SessionRules say what may be done within a session.
type SessionRules struct {
	Shell    bool          `json:"shell"`
	Exec     bool          `json:"exec"`
	Pty      bool          `json:"pty"`
	Files    string        `json:"files,omitempty" enum:"read,write"`
	Env      []string      `json:"env" nullable:"false"`
	Commands []CommandRule `json:"commands" nullable:"false"`
	Forward  []string      `json:"forward" nullable:"false"`
	Agent    bool          `json:"agent"`
	X11      bool          `json:"x11"`
}

// CommandRule is one pattern and what it does.
type CommandRule struct {
	Effect  string `json:"effect" enum:"allow,deny,alarm"`
	Pattern string `json:"pattern"`
}

// SessionSign asks for the certificate of a session's leg to its target.
type SessionSign struct {
	Session string `json:"session" maxLength:"64"`
	Key     []byte `json:"key" maxLength:"16384" doc:"The public key that was made for this session"`
}

// SignedKey is a certificate in its protocol's form.
type SignedKey struct {
	Certificate []byte `json:"certificate"`
	ValidBefore Time   `json:"valid_before" format:"date-time"`
}

// SessionReport is what a gateway tells of its sessions.
type SessionReport struct {
	Live    []string         `json:"live" nullable:"false" maxItems:"10000" doc:"Ids of those it has open"`
	Ended   []SessionEnded   `json:"ended" nullable:"false" maxItems:"10000"`
	Alarms  []SessionAlarm   `json:"alarms" nullable:"false" maxItems:"10000"`
	LeftOut []SessionLeftOut `json:"left_out,omitempty" maxItems:"1000" doc:"Alarms that are not among those, because there were too many"`
	Nonce   string           `json:"nonce,omitempty" maxLength:"32" doc:"128 random bits in hex: the answer is signed then, for this question, and nothing of it stands beside its word"`
}

// SessionLeftOut says how many more alarms a session had than are told one by one.
type SessionLeftOut struct {
	Session string `json:"session" maxLength:"64"`
	Alarms  int64  `json:"alarms" minimum:"1" maximum:"1000000000"`
}

// SessionEnded says that no byte of a session passes any more.
type SessionEnded struct {
	Session    string `json:"session" maxLength:"64"`
	Reason     string `json:"reason" maxLength:"32" pattern:"^[a-z-]+$"`
	Text       string `json:"text,omitempty" maxLength:"1024"`
	At         Time   `json:"at" format:"date-time" doc:"By the gateway's clock"`
	TookMillis int64  `json:"took_ms" doc:"From when it knew to the last byte"`
}

// SessionAlarm says that a command rule matched.
type SessionAlarm struct {
	Session string `json:"session" maxLength:"64"`
	Pattern string `json:"pattern" maxLength:"1024"`
	Text    string `json:"text" maxLength:"1024"`
	At      Time   `json:"at" format:"date-time" doc:"By the gateway's clock"`
}

// SessionRenewals answer a report. A session that is left out is to end.
type SessionRenewals struct {
	Renewals []SessionRenewal `json:"renewals" nullable:"false"`
	Word     string           `json:"word,omitempty" doc:"All of it, signed with the orders key"`
}

// SessionRenewal says of one session that it goes on, or that it is to end.
type SessionRenewal struct {
	Session         string      `json:"session"`
	RemainingMillis int64       `json:"remaining_ms"`
	Cut             *SessionCut `json:"cut,omitempty"`
	Paused          bool        `json:"paused,omitempty" doc:"Nothing of it passes until an answer says otherwise"`
}

// SessionCut says that a session is to end now.
type SessionCut struct {
	Session string `json:"session"`
	Reason  string `json:"reason"`
	Text    string `json:"text,omitempty"`
	Look    bool   `json:"look,omitempty" doc:"Nothing ends: a renewal has something new to tell"`
}

// KeyAsk is a public key to certify.
type KeyAsk struct {
	Key []byte `json:"key" maxLength:"16384" doc:"In its protocol's form"`
}

// OpenSession asks for a permit. It makes one attempt: whoever knocks, knocks again.
func (c *Client) OpenSession(ctx context.Context, k SessionKnock) (out SessionPermit, err error) {
	return out, c.do(ctx, call{method: http.MethodPost, path: []string{"gateway", "open"}, in: k, out: &out, noToken: true, patience: -1})
}

// SignSession asks for the certificate of a session's leg to its target.
func (c *Client) SignSession(ctx context.Context, s SessionSign) (out SignedKey, err error) {
	return out, c.do(ctx, call{method: http.MethodPost, path: []string{"gateway", "sign"}, in: s, out: &out, noToken: true})
}

// RenewSessions tells what is open and what has ended. It makes one attempt: a report is
// as good as the moment in which it was sent.
func (c *Client) RenewSessions(ctx context.Context, r SessionReport) (out SessionRenewals, err error) {
	return out, c.do(ctx, call{method: http.MethodPost, path: []string{"gateway", "renew"}, in: r, out: &out, noToken: true, patience: -1})
}

// SessionLogin asks for the login for the target of a session.
func (c *Client) SessionLogin(ctx context.Context, a SessionLoginAsk) (out SessionLogin, err error) {
	return out, c.do(ctx, call{method: http.MethodPost, path: []string{"gateway", "login"}, in: a, out: &out, noToken: true})
}

// TellDoors says where this gateway takes connections.
func (c *Client) TellDoors(ctx context.Context, d GatewayDoors) (out GatewayDoors, err error) {
	return out, c.do(ctx, call{method: http.MethodPost, path: []string{"gateway", "doors"}, in: d, out: &out, noToken: true})
}

// CertifyGateway asks for a certificate of the gateway's own host key.
func (c *Client) CertifyGateway(ctx context.Context, a KeyAsk) (out SignedKey, err error) {
	return out, c.do(ctx, call{method: http.MethodPost, path: []string{"gateway", "host-certificate"}, in: a, out: &out, noToken: true})
}

// FollowCuts hands over what is to end as it becomes known, until the stream ends. ready
// is called once it stands.
func (c *Client) FollowCuts(ctx context.Context, ready func(), cut func(SessionCut)) error {
	return c.followCuts(ctx, "gateway", ready, cut)
}

// FollowHostCuts hands over which commands of a host are to end, likewise.
func (c *Client) FollowHostCuts(ctx context.Context, ready func(), cut func(SessionCut)) error {
	return c.followCuts(ctx, "host", ready, cut)
}

func (c *Client) followCuts(ctx context.Context, of string, ready func(), cut func(SessionCut)) error {
	res, err := c.send(ctx, call{method: http.MethodGet, path: []string{of, "cuts"}, stream: true, noToken: true, patience: -1})
	if err != nil {
		return err
	}
	defer res.stream.Close()
	ready()
	err = res.stream.lines(func(line []byte) error {
		var x SessionCut
		if err := json.Unmarshal(line, &x); err != nil || x.Session == "" {
			return errors.New("a line of the stream of cuts cannot be read")
		}
		cut(x)
		return nil
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
