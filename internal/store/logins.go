package store

import "stint/internal/access"

const loginColumns = "SELECT token, principal, device, seal_key, created_at, expires_at, revoked, kind, seen_at, body FROM logins"

func scanLogin(row row) (access.Login, error) {
	var l access.Login
	var token []byte
	var created, expires int64
	var seen *int64
	var text string
	err := row.Scan(&token, &l.Principal, &l.Device, &l.SealKey, &created, &expires, &l.Revoked, &l.Kind, &seen, &text)
	l.Token, l.CreatedAt, l.ExpiresAt, l.SeenAt = digestOf(token), instant(created), instant(expires), instantOf(seen)
	if len(l.SealKey) == 0 {
		l.SealKey = nil
	}
	if err != nil || text == "" {
		return l, err
	}
	var b loginBody
	err = decode(text, "login", l.Name(), &b)
	l.Auth, l.From, l.Client, l.Exchange = b.Auth.auth(), b.From, b.Client, b.Exchange.exchange()
	return l, err
}

// Login reads a login by the hash of its token, whether it is still good or
// not: that is for the caller to say.
func (tx *Tx) Login(token access.Digest) (access.Login, error) {
	return one(tx, "login", scanLogin, loginColumns+" WHERE token = $1", token[:])
}

// SaveLogin writes a login; a second save may move its end, say when it was used,
// or revoke it.
func (tx *Tx) SaveLogin(l access.Login) error {
	key := l.SealKey
	if key == nil {
		key = []byte{}
	}
	body, err := loginText(l)
	if err != nil {
		return tx.fail(err)
	}
	_, err = tx.exec(`INSERT INTO logins (token, principal, device, seal_key, created_at, expires_at, revoked, kind, seen_at, body)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT (token) DO UPDATE SET principal = excluded.principal, device = excluded.device, seal_key = excluded.seal_key,
			expires_at = excluded.expires_at, revoked = excluded.revoked, kind = excluded.kind, seen_at = excluded.seen_at, body = excluded.body`,
		l.Token[:], string(l.Principal), string(l.Device), key, l.CreatedAt.UnixMilli(), l.ExpiresAt.UnixMilli(), l.Revoked,
		string(l.Kind), millis(l.SeenAt), body)
	return err
}

// Logins lists the logins of a principal, the oldest first.
func (tx *Tx) Logins(p access.PrincipalID) ([]access.Login, error) {
	return list(tx, scanLogin, loginColumns+" WHERE principal = $1 ORDER BY created_at, token", string(p))
}

// LoginSeen says that a login was used at Now. It changes nothing of one that has
// ended.
func (tx *Tx) LoginSeen(token access.Digest) error {
	_, err := tx.exec("UPDATE logins SET seen_at = $2 WHERE token = $1 AND NOT revoked", token[:], tx.now.UnixMilli())
	return err
}

// RevokeLogin ends one login; access.NotFound when there is none.
func (tx *Tx) RevokeLogin(token access.Digest) error {
	n, err := tx.exec("UPDATE logins SET revoked = TRUE WHERE token = $1", token[:])
	if err == nil && n == 0 {
		err = access.Fail(access.NotFound, "no-such-login", "there is no such login")
	}
	return err
}

// DropLogins ends every login of a principal, and its open enrolments and break-glass codes.
func (tx *Tx) DropLogins(p access.PrincipalID) error {
	if _, err := tx.exec("UPDATE logins SET revoked = TRUE WHERE principal = $1 AND NOT revoked", string(p)); err != nil {
		return err
	}
	if err := tx.dropGlass(p); err != nil {
		return err
	}
	return tx.DropEnrolments(p)
}

// DropEnrolments makes the codes of a principal that were not used worthless.
func (tx *Tx) DropEnrolments(p access.PrincipalID) error {
	_, err := tx.exec("DELETE FROM enrolments WHERE principal = $1 AND used_at IS NULL", string(p))
	return err
}

// SaveEnrolment writes a new one-time code.
func (tx *Tx) SaveEnrolment(e access.Enrolment) error {
	_, err := tx.exec("INSERT INTO enrolments (code, principal, expires_at, used_at) VALUES ($1, $2, $3, $4)",
		e.Code[:], string(e.Principal), e.ExpiresAt.UnixMilli(), millis(e.UsedAt))
	return err
}

// Enrolment reads a one-time code by its hash, used, expired or neither.
func (tx *Tx) Enrolment(code access.Digest) (access.Enrolment, error) {
	return one(tx, "enrolment", func(row row) (access.Enrolment, error) {
		var e access.Enrolment
		var code []byte
		var expires int64
		var used *int64
		err := row.Scan(&code, &e.Principal, &expires, &used)
		e.Code, e.ExpiresAt, e.UsedAt = digestOf(code), instant(expires), instantOf(used)
		return e, err
	}, "SELECT code, principal, expires_at, used_at FROM enrolments WHERE code = $1", code[:])
}

// UseEnrolment uses a code up, at Now; access.Conflict when it was used before,
// access.Expired when its time was up. Of several at once, one succeeds.
func (tx *Tx) UseEnrolment(code access.Digest) (access.Enrolment, error) {
	e, err := tx.Enrolment(code)
	switch {
	case err != nil:
		return access.Enrolment{}, err
	case !e.UsedAt.IsZero():
		return access.Enrolment{}, access.Fail(access.Conflict, "code-used", "the code was used already")
	case !tx.now.Before(e.ExpiresAt):
		return access.Enrolment{}, access.Fail(access.Expired, "code-expired", "the code has expired")
	}
	e.UsedAt = tx.now
	n, err := tx.exec("UPDATE enrolments SET used_at = $2 WHERE code = $1 AND used_at IS NULL", code[:], tx.now.UnixMilli())
	if err == nil && n == 0 {
		err = tx.fail(access.Fail(access.Conflict, "code-used", "the code was used already"))
	}
	return e, err
}
