package api

import (
	"context"
	"net/http"
)

// CertificateAsk asks for a certificate of an SSH key of one's own.
type CertificateAsk struct {
	PublicKey string `json:"public_key" maxLength:"4096" doc:"One line, as ssh-keygen writes it into files that end in .pub" example:"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI… mira@laptop"`
}

// Certificate is an SSH certificate for one grant. It is no secret: whoever has it
// needs the key as well.
type Certificate struct {
	Request     string         `json:"request"`
	Grant       string         `json:"grant"`
	Certificate string         `json:"certificate" doc:"One line, for the file that ends in -cert.pub"`
	Serial      string         `json:"serial" doc:"A number of up to 63 bits, in digits"`
	KeyID       string         `json:"key_id" doc:"What the host's log says at each log-in"`
	Principals  []string       `json:"principals"`
	Fingerprint string         `json:"fingerprint" doc:"Of the key that was certified"`
	ValidAfter  Time           `json:"valid_after"`
	ValidBefore Time           `json:"valid_before"`
	ExpiresAt   Time           `json:"expires_at" doc:"The end of the grant"`
	Logins      []SSHLogin     `json:"logins" doc:"Where it opens sessions, and of which account"`
	Hosts       []SSHAuthority `json:"hosts" doc:"The keys by which to know the hosts"`
}

// SSHLogin is where a certificate opens sessions.
type SSHLogin struct {
	Resource string `json:"resource"`
	Address  string `json:"address" doc:"Host and port"`
	Account  string `json:"account"`
}

// SSHAuthority is a public key that signs certificates, or did.
type SSHAuthority struct {
	PublicKey   string `json:"public_key" doc:"One line, as in a file that ends in .pub"`
	Fingerprint string `json:"fingerprint"`
	Signs       bool   `json:"signs" doc:"False for an earlier one, which is trusted until it is retired"`
}

// SSHAuthorities are those of an installation.
type SSHAuthorities struct {
	Users      []SSHAuthority `json:"users" doc:"For TrustedUserCAKeys of hosts"`
	Hosts      []SSHAuthority `json:"hosts" doc:"For clients"`
	KnownHosts []string       `json:"known_hosts" doc:"The lines of a known_hosts file that trust the hosts' authorities"`
}

// Certify has a certificate made for an SSH key, for one's own active grant.
func (c *Client) Certify(ctx context.Context, id string, ask CertificateAsk) (Certificate, error) {
	return get[Certificate](ctx, c, call{method: http.MethodPost, path: []string{"grants", id, "certificate"}, in: ask})
}

// SSHAuthorities are the keys that sign certificates.
func (c *Client) SSHAuthorities(ctx context.Context) (SSHAuthorities, error) {
	return get[SSHAuthorities](ctx, c, call{method: http.MethodGet, path: []string{"ssh", "ca"}, noToken: true})
}

// RevokedCertificates is the list of the certificates that ended early, of people and of
// hosts: a key revocation list of OpenSSH.
func (c *Client) RevokedCertificates(ctx context.Context) ([]byte, error) {
	res, err := c.send(ctx, call{method: http.MethodGet, path: []string{"ssh", "krl"}, noToken: true})
	if err != nil {
		return nil, err
	}
	return res.text, nil
}
