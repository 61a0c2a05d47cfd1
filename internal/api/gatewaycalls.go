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
	Protocol    string `json:"protocol" enum:"ssh"`
	Key         []byte `json:"key" maxLength:"16384" doc:"The public key that proved itself, in its protocol's form"`
	Certificate []byte `json:"certificate,omitempty" maxLength:"16384" doc:"Its certificate, likewise"`
	Resource    string `json:"resource" maxLength:"80"`
	Login       string `json:"login,omitempty" maxLength:"64" doc:"The account that was named, if one was"`
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
	Word            string        `json:"word,omitempty" doc:"All of it, signed with the orders key"`
}

// SessionTarget is where a session leads.
type SessionTarget struct {
	Address         string   `json:"address"`
	Name            string   `json:"name" doc:"What a certificate of the host must be for"`
	Account         string   `json:"account"`
	HostKeys        []string `json:"host_keys" nullable:"false" doc:"Its public keys, as lines"`
	HostAuthorities []string `json:"host_authorities" nullable:"false" doc:"The keys that sign certificates of hosts, as lines"`
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
