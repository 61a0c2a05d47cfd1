package api

import (
	"context"
	"net/http"
	"net/url"
)

// Assertion is what a passkey signed, as WebAuthn has it.
type Assertion struct {
	Passkey           string `json:"passkey" maxLength:"64" doc:"The id of the passkey" example:"pky_6f1ed002ab5595859014ebf0951522d9"`
	ClientData        []byte `json:"client_data" maxLength:"12288" doc:"clientDataJSON"`
	AuthenticatorData []byte `json:"authenticator_data" maxLength:"6144" doc:"authenticatorData"`
	Signature         []byte `json:"signature" maxLength:"1536"`
}

// Passkey is a public key of a person, that an authenticator of theirs uses.
type Passkey struct {
	ID         string    `json:"id" example:"pky_6f1ed002ab5595859014ebf0951522d9"`
	State      string    `json:"state" enum:"proposed,active,removed"`
	Principal  string    `json:"principal" example:"user:mira"`
	Person     string    `json:"person" example:"mira"`
	Name       string    `json:"name" doc:"The person's own word for it" example:"laptop"`
	Client     bool      `json:"client" doc:"Whether only the person's own stint asks it to sign; else pages of this server do"`
	RPID       string    `json:"rp_id" doc:"The site that its authenticator scopes it to" example:"localhost"`
	Origin     string    `json:"origin" doc:"Of the pages that may ask it to sign"`
	Credential []byte    `json:"credential" doc:"The authenticator's name for it"`
	Key        []byte    `json:"key" doc:"The public key, as COSE_Key"`
	Digest     string    `json:"digest" doc:"Covers what it is; whoever vouches for it signs this" example:"sha256:9f86d081…"`
	Anchor     string    `json:"anchor,omitempty" enum:"genesis,own,admins,admin,recovery" doc:"By whose word it is the person's; absent while proposed"`
	Vouchers   []Voucher `json:"vouchers" nullable:"false"`
	CreatedAt  Time      `json:"created_at" format:"date-time"`
	ExpiresAt  Time      `json:"expires_at,omitzero" nullable:"true" format:"date-time" doc:"While proposed: until when somebody can vouch for it"`
}

// Voucher is somebody's word for a passkey.
type Voucher struct {
	Principal string `json:"principal" example:"user:root"`
	Passkey   string `json:"passkey" doc:"With which they signed it"`
	At        Time   `json:"at" format:"date-time"`
}

// PasskeyAdd enrols a passkey that an authenticator has just made.
type PasskeyAdd struct {
	Name         string     `json:"name" minLength:"1" maxLength:"64" example:"laptop"`
	Client       bool       `json:"client,omitempty" doc:"Only the caller's own stint asks it to sign, with a page on http://localhost"`
	Nonce        []byte     `json:"nonce" maxLength:"44" doc:"32 random bytes; the challenge is the SHA-256 of them with who registers, see docs/rfd/0018"`
	ClientData   []byte     `json:"client_data" maxLength:"12288"`
	Attestation  []byte     `json:"attestation" maxLength:"90000" doc:"attestationObject; who made the authenticator is not looked at"`
	Own          *Assertion `json:"own,omitempty" doc:"By an older passkey of the caller, over the new one's digest"`
	RecoveryCode Secret     `json:"recovery_code,omitempty" maxLength:"128" doc:"For the last administrator with no passkey left"`
}

// PasskeyVouch is an administrator's word for a proposed passkey.
type PasskeyVouch struct {
	Assertion Assertion `json:"assertion" doc:"Over the passkey's digest with who vouches"`
}

// PasskeyRemove ends a passkey.
type PasskeyRemove struct {
	Note string `json:"note,omitempty" maxLength:"1000" doc:"Why"`
}

// RecoveryAsk has recovery codes made.
type RecoveryAsk struct {
	Nonce     []byte     `json:"nonce" maxLength:"44" doc:"32 random bytes, good once"`
	Assertion *Assertion `json:"assertion,omitempty" doc:"By a passkey of the caller, if they have one"`
}

// RecoveryCodes are shown this once. Each is a way in, once.
type RecoveryCodes struct {
	Codes []Secret `json:"codes" nullable:"false"`
}

// Passkeys lists the caller's passkeys; of another person for administrators and
// auditors, and with all everybody's.
func (c *Client) Passkeys(ctx context.Context, user string, all bool, l List) (Page[Passkey], error) {
	q := l.query()
	set(q, "user", user)
	if all {
		q.Set("all", "true")
	}
	return get[Page[Passkey]](ctx, c, call{method: http.MethodGet, path: []string{"passkeys"}, query: q})
}

// Passkey reads one passkey.
func (c *Client) Passkey(ctx context.Context, id string) (Passkey, error) {
	return get[Passkey](ctx, c, call{method: http.MethodGet, path: []string{"passkeys", id}, query: url.Values{}})
}

// AddPasskey enrols a passkey of the caller, or proposes it.
func (c *Client) AddPasskey(ctx context.Context, a PasskeyAdd) (Passkey, error) {
	return get[Passkey](ctx, c, call{method: http.MethodPost, path: []string{"passkeys"}, in: a})
}

// VouchPasskey gives the caller's word for a proposed passkey.
func (c *Client) VouchPasskey(ctx context.Context, id string, a Assertion) (Passkey, error) {
	return get[Passkey](ctx, c, call{method: http.MethodPost, path: []string{"passkeys", id, "vouch"}, in: PasskeyVouch{a}})
}

// RemovePasskey ends a passkey.
func (c *Client) RemovePasskey(ctx context.Context, id, note string) (Passkey, error) {
	return get[Passkey](ctx, c, call{method: http.MethodPost, path: []string{"passkeys", id, "remove"}, in: PasskeyRemove{note}})
}

// RecoveryCodes has fresh recovery codes made, in the place of those before.
func (c *Client) RecoveryCodes(ctx context.Context, a RecoveryAsk) (RecoveryCodes, error) {
	return get[RecoveryCodes](ctx, c, call{method: http.MethodPost, path: []string{"recovery-codes"}, in: a})
}
