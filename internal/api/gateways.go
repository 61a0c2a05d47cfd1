package api

import (
	"context"
	"net/http"
)

// GatewayInvite says where persons will reach a gateway.
type GatewayInvite struct {
	Address string   `json:"address" maxLength:"255" doc:"Host and port by which persons reach it" example:"gw.example:2022"`
	Carries []string `json:"carries,omitempty" maxItems:"8" doc:"The protocols of the sessions that it may carry, of ssh, postgres, http and tcp; without: ssh" example:"ssh"`
}

// GatewayCarries says what a gateway may carry.
type GatewayCarries struct {
	Carries []string `json:"carries" nullable:"false" maxItems:"8" doc:"The protocols of the sessions that it may carry, all of them: of ssh, postgres, http and tcp" example:"ssh"`
}

// GatewayEnrolment is a one-time code with which a gateway enrols.
type GatewayEnrolment struct {
	Gateway   string   `json:"gateway" example:"edge"`
	Address   string   `json:"address" example:"gw.example:2022"`
	Carries   []string `json:"carries" nullable:"false" doc:"The protocols of the sessions that it may carry" example:"ssh"`
	Code      Secret   `json:"code" doc:"Good once, for stint-gateway enroll"`
	ExpiresAt Time     `json:"expires_at" format:"date-time" doc:"When the code ends"`
}

// Gateway is one gateway, or a code for one.
type Gateway struct {
	Gateway    string   `json:"gateway" example:"edge"`
	Address    string   `json:"address" doc:"Where persons reach it" example:"gw.example:2022"`
	Carries    []string `json:"carries" nullable:"false" doc:"The protocols of the sessions that it may carry, as an administrator said" example:"ssh"`
	State      string   `json:"state" enum:"none,waiting,enrolled,revoked" doc:"Whether it has enrolled"`
	Key        string   `json:"key,omitempty" doc:"The thumbprint of its key"`
	Version    string   `json:"version,omitempty"`
	EnrolledAt Time     `json:"enrolled_at,omitzero" nullable:"true" format:"date-time" doc:"When it enrolled"`
	SeenAt     Time     `json:"seen_at,omitzero" nullable:"true" format:"date-time" doc:"When it renewed its sessions last"`
	CodeUntil  Time     `json:"code_until,omitzero" nullable:"true" format:"date-time" doc:"Until when the code that was given out is good"`
	Silent     bool     `json:"silent" doc:"Whether an enrolled gateway has not been heard of for longer than it should"`
}

// GatewayEnroll is what a gateway brings to enrol.
type GatewayEnroll struct {
	Code      Secret `json:"code" doc:"The one-time code"`
	DeviceJWK JWK    `json:"device_jwk" doc:"The gateway's public key; the call's proof is by it"`
	Version   string `json:"version" maxLength:"100" doc:"The gateway's version"`
}

// GatewayEnrolled is what it is from then on.
type GatewayEnrolled struct {
	Gateway      string `json:"gateway"`
	Address      string `json:"address" doc:"Where persons will look for it"`
	Installation string `json:"installation"`
	OrdersKey    []byte `json:"orders_key" doc:"The public key, Ed25519, that what it is told is signed with; the code names it"`
}

// GatewayAsk asks what a gateway has to know of its installation.
type GatewayAsk struct {
	Nonce string `json:"nonce" maxLength:"32" doc:"128 random bits in hex: the signed answer repeats them"`
}

// GatewayTrust answers it.
type GatewayTrust struct {
	Word    string   `json:"word" doc:"GatewaySettings, signed with the orders key for this gateway and this question"`
	Revoked []byte   `json:"revoked" doc:"The key revocation list of OpenSSH, whose digest the word names"`
	Rolls   []string `json:"rolls,omitempty" doc:"Signed words of orders keys about those that followed them"`
}

// GatewaySettings are what a gateway has to know of its installation: the content of the
// word that answers its question.
type GatewaySettings struct {
	Address    string         `json:"address"`
	Recordings []byte         `json:"recordings_key"` // X25519, that recordings are sealed to
	Users      []SSHAuthority `json:"users"`          // the keys that sign certificates of users
	Hosts      []SSHAuthority `json:"hosts"`          // those that sign certificates of hosts, its own among them
	Revoked    []byte         `json:"revoked"`        // the SHA-256 of the list beside it
}

// EnrollAsGateway exchanges a code for the enrolment of this device as a gateway.
func (c *Client) EnrollAsGateway(ctx context.Context, e GatewayEnroll) (out GatewayEnrolled, err error) {
	return out, c.do(ctx, call{method: http.MethodPost, path: []string{"gateway", "enroll"}, in: e, out: &out, noToken: true})
}

// TrustOfGateway asks what this gateway has to know.
func (c *Client) TrustOfGateway(ctx context.Context, a GatewayAsk) (out GatewayTrust, err error) {
	return out, c.do(ctx, call{method: http.MethodPost, path: []string{"gateway", "trust"}, in: a, out: &out, noToken: true})
}

// EnrollGateway makes a code for a gateway; administrators only.
func (c *Client) EnrollGateway(ctx context.Context, name string, in GatewayInvite) (out GatewayEnrolment, err error) {
	return out, c.do(ctx, call{method: http.MethodPost, path: []string{"admin", "gateways", name, "enroll"}, in: in, out: &out})
}

// CarryByGateway says what a gateway may carry; administrators only.
func (c *Client) CarryByGateway(ctx context.Context, name string, in GatewayCarries) (out Gateway, err error) {
	return out, c.do(ctx, call{method: http.MethodPost, path: []string{"admin", "gateways", name, "carries"}, in: in, out: &out})
}

// RevokeGateway ends the enrolment of a gateway; administrators only.
func (c *Client) RevokeGateway(ctx context.Context, name string) (out Gateway, err error) {
	return out, c.do(ctx, call{method: http.MethodPost, path: []string{"admin", "gateways", name, "revoke"}, out: &out})
}

// Gateways lists the gateways.
func (c *Client) Gateways(ctx context.Context) (out Page[Gateway], err error) {
	return out, c.do(ctx, call{method: http.MethodGet, path: []string{"admin", "gateways"}, out: &out})
}
