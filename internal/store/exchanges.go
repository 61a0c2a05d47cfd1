package store

import (
	"time"

	"stint/internal/access"
)

type exchangeBody struct {
	Workload    string            `json:"workload"`
	Integration string            `json:"integration,omitempty"`
	Issuer      string            `json:"issuer,omitempty"`
	Subject     string            `json:"subject,omitempty"`
	Audience    string            `json:"audience,omitempty"`
	Claims      map[string]string `json:"claims,omitempty"`
	Certificate []byte            `json:"certificate,omitempty"`
	URIs        []string          `json:"uris,omitempty"`
	DNS         []string          `json:"dns,omitempty"`
}

func exchangeBodyOf(x *access.Exchange) *exchangeBody {
	if x == nil {
		return nil
	}
	return &exchangeBody{x.Workload, x.Integration, x.Issuer, x.Subject, x.Audience, x.Claims, digestBytes(x.Certificate), x.URIs, x.DNS}
}

func (b *exchangeBody) exchange() *access.Exchange {
	if b == nil {
		return nil
	}
	return &access.Exchange{Workload: b.Workload, Integration: b.Integration, Issuer: b.Issuer, Subject: b.Subject, Audience: b.Audience, Claims: b.Claims,
		Certificate: digestOf(b.Certificate), URIs: b.URIs, DNS: b.DNS}
}

// UseExchange notes that a workload's token was shown by a device, until the token has
// expired. The device that showed it first may show it again; for any other, and for one
// without a key, it is access.Conflict.
func (tx *Tx) UseExchange(token access.Digest, device access.DeviceID, until time.Time) error {
	used := access.Fail(access.Conflict, "token-used", "the token was used already")
	var by string
	found := false
	err := tx.each("SELECT device FROM exchanges WHERE token = $1", []any{token[:]}, func(row row) error { found = true; return row.Scan(&by) })
	switch {
	case err != nil:
		return err
	case found && (by == "" || by != string(device)):
		return used
	case found:
		return nil
	}
	n, err := tx.exec("INSERT INTO exchanges (token, device, expires_at) VALUES ($1, $2, $3) ON CONFLICT (token) DO NOTHING", token[:], string(device), until.UnixMilli())
	if err == nil && n == 0 {
		err = tx.fail(used)
	}
	return err
}

// LiveLogins are the logins of a kind that are good, of all principals, the oldest first.
func (tx *Tx) LiveLogins(kind access.LoginKind) ([]access.Login, error) {
	return list(tx, scanLogin, loginColumns+" WHERE kind = $1 AND NOT revoked AND expires_at > $2 ORDER BY created_at, token", string(kind), tx.now.UnixMilli())
}
