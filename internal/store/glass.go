package store

import (
	"net/netip"

	"stint/internal/access"
)

const glassCodeColumns = "SELECT code, id, made_with, need, principal, resource, created_at, expires_at, used_at, revoked_at FROM glass_codes"

func scanGlassCode(row row) (access.GlassCode, error) {
	var c access.GlassCode
	var code []byte
	var created, expires int64
	var used, revoked *int64
	err := row.Scan(&code, &c.ID, &c.MadeWith, &c.Need, &c.Principal, &c.Resource, &created, &expires, &used, &revoked)
	c.Code, c.CreatedAt, c.ExpiresAt, c.UsedAt, c.RevokedAt = digestOf(code), instant(created), instant(expires), instantOf(used), instantOf(revoked)
	return c, err
}

// SaveGlassCodes writes new break-glass codes.
func (tx *Tx) SaveGlassCodes(cs ...access.GlassCode) error {
	for _, c := range cs {
		if _, err := tx.exec(`INSERT INTO glass_codes (code, id, made_with, need, principal, resource, created_at, expires_at, used_at, revoked_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, c.Code[:], c.ID, c.MadeWith, int64(c.Need), string(c.Principal), string(c.Resource),
			c.CreatedAt.UnixMilli(), c.ExpiresAt.UnixMilli(), millis(c.UsedAt), millis(c.RevokedAt)); err != nil {
			return err
		}
	}
	return nil
}

// GlassCode reads a code by its hash, whatever became of it.
func (tx *Tx) GlassCode(code access.Digest) (access.GlassCode, error) {
	return one(tx, "code", scanGlassCode, glassCodeColumns+" WHERE code = $1", code[:])
}

// GlassCodes lists all codes, the oldest first.
func (tx *Tx) GlassCodes() ([]access.GlassCode, error) {
	return list(tx, scanGlassCode, glassCodeColumns+" ORDER BY created_at, id")
}

// UseGlassCode uses a code up, at Now; access.Conflict when it was used or revoked
// before. Of several at once, on whichever replicas, one succeeds.
func (tx *Tx) UseGlassCode(code access.Digest) error {
	return tx.endGlassCode("UPDATE glass_codes SET used_at = $2 WHERE code = $1 AND used_at IS NULL AND revoked_at IS NULL", code[:])
}

// RevokeGlassCode makes a code worthless; access.Conflict when it was used or revoked before.
func (tx *Tx) RevokeGlassCode(code access.Digest) error {
	return tx.endGlassCode("UPDATE glass_codes SET revoked_at = $2 WHERE code = $1 AND used_at IS NULL AND revoked_at IS NULL", code[:])
}

func (tx *Tx) endGlassCode(q string, code []byte) error {
	n, err := tx.exec(q, code, tx.now.UnixMilli())
	if err == nil && n == 0 {
		err = tx.fail(access.Fail(access.Conflict, "code-used", "the code was used or revoked already"))
	}
	return err
}

// dropGlass ends the break-glass logins of a principal, and makes its codes worthless.
func (tx *Tx) dropGlass(p access.PrincipalID) error {
	if _, err := tx.exec("UPDATE glass_logins SET revoked = TRUE WHERE principal = $1 AND NOT revoked", string(p)); err != nil {
		return err
	}
	_, err := tx.exec("UPDATE glass_codes SET revoked_at = $2 WHERE principal = $1 AND used_at IS NULL AND revoked_at IS NULL", string(p), tx.now.UnixMilli())
	return err
}

type glassBody struct {
	Codes    []string `json:"codes"`
	Persons  []string `json:"persons"`
	Resource string   `json:"resource,omitempty"`
	From     string   `json:"from,omitempty"`
}

// SaveGlassLogin writes a new login by break-glass codes. It has a table of its own:
// Login never finds it.
func (tx *Tx) SaveGlassLogin(l access.Login) error {
	if l.Glass == nil {
		return tx.fail(access.Fail(access.Internal, "no-glass", "an ordinary login is none by break-glass codes"))
	}
	b := glassBody{Codes: l.Glass.Codes, Persons: textsOf(l.Glass.Persons), Resource: string(l.Glass.Resource)}
	if l.From.IsValid() {
		b.From = l.From.String()
	}
	body, err := encode(b)
	if err != nil {
		return tx.fail(err)
	}
	_, err = tx.exec(`INSERT INTO glass_logins (token, principal, device, seal_key, created_at, expires_at, revoked, body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		l.Token[:], string(l.Principal), string(l.Device), l.SealKey, l.CreatedAt.UnixMilli(), l.ExpiresAt.UnixMilli(), l.Revoked, body)
	return err
}

// GlassLogin reads a login by break-glass codes by the hash of its token, good or not.
func (tx *Tx) GlassLogin(token access.Digest) (access.Login, error) {
	return one(tx, "login", scanGlassLogin, glassLoginColumns+" WHERE token = $1", token[:])
}

// GlassLogins lists those of a principal, the oldest first.
func (tx *Tx) GlassLogins(p access.PrincipalID) ([]access.Login, error) {
	return list(tx, scanGlassLogin, glassLoginColumns+" WHERE principal = $1 ORDER BY created_at, token", string(p))
}

const glassLoginColumns = "SELECT token, principal, device, seal_key, created_at, expires_at, revoked, body FROM glass_logins"

func scanGlassLogin(row row) (access.Login, error) {
	var l access.Login
	var token []byte
	var created, expires int64
	var text string
	if err := row.Scan(&token, &l.Principal, &l.Device, &l.SealKey, &created, &expires, &l.Revoked, &text); err != nil {
		return l, err
	}
	var b glassBody
	if err := decode(text, "login", string(l.Principal), &b); err != nil {
		return l, err
	}
	l.Token, l.CreatedAt, l.ExpiresAt = digestOf(token), instant(created), instant(expires)
	l.Glass = &access.Glass{Codes: b.Codes, Persons: as[access.Person](b.Persons), Resource: access.ResourceName(b.Resource)}
	l.From, _ = netip.ParseAddr(b.From) // for its owner's eyes; none where it is not known
	return l, nil
}

// RevokeGlassLogin ends one such login; access.NotFound when there is none.
func (tx *Tx) RevokeGlassLogin(token access.Digest) error {
	n, err := tx.exec("UPDATE glass_logins SET revoked = TRUE WHERE token = $1", token[:])
	if err == nil && n == 0 {
		err = access.Fail(access.NotFound, "no-such-login", "there is no such login")
	}
	return err
}
