package store

import "stint/internal/access"

const tokenColumns = "SELECT token, version, provider, created_at, expires_at, revoked FROM integration_tokens"

func scanToken(row row) (access.IntegrationToken, error) {
	var t access.IntegrationToken
	var token []byte
	var created, expires int64
	err := row.Scan(&token, &t.Version, &t.Provider, &created, &expires, &t.Revoked)
	t.Token, t.CreatedAt, t.ExpiresAt = digestOf(token), instant(created), instant(expires)
	return t, err
}

// IntegrationToken reads a token by its hash, good or not.
func (tx *Tx) IntegrationToken(token access.Digest) (access.IntegrationToken, error) {
	return one(tx, "token", scanToken, tokenColumns+" WHERE token = $1", token[:])
}

// IntegrationTokens lists the tokens of an integration, the oldest first.
func (tx *Tx) IntegrationTokens(provider string) ([]access.IntegrationToken, error) {
	return list(tx, scanToken, tokenColumns+" WHERE provider = $1 ORDER BY created_at, token", provider)
}

// SaveIntegrationToken inserts at version 1; else it brings the end forward or revokes,
// replacing exactly the version before.
func (tx *Tx) SaveIntegrationToken(t access.IntegrationToken) error {
	if t.Version == 1 {
		_, err := tx.exec("INSERT INTO integration_tokens (token, version, provider, created_at, expires_at, revoked) VALUES ($1, $2, $3, $4, $5, $6)",
			t.Token[:], t.Version, t.Provider, t.CreatedAt.UnixMilli(), t.ExpiresAt.UnixMilli(), t.Revoked)
		return err
	}
	n, err := tx.exec("UPDATE integration_tokens SET version = $2, expires_at = $3, revoked = $4 WHERE token = $1 AND version = $2 - 1 AND NOT revoked AND expires_at >= $3",
		t.Token[:], t.Version, t.ExpiresAt.UnixMilli(), t.Revoked)
	if err == nil && n == 0 {
		err = tx.fail(changed("token", t.Provider, t.Version))
	}
	return err
}
