package store

import (
	"net/netip"
	"time"

	"stint/internal/access"
)

type attemptBody struct {
	Kind      string        `json:"kind"`
	CreatedAt stamp         `json:"created_at"`
	From      netip.Addr    `json:"from,omitzero"`
	Client    string        `json:"client,omitempty"`
	Provider  string        `json:"provider,omitempty"`
	Browser   []byte        `json:"browser,omitempty"`
	Redirect  string        `json:"redirect,omitempty"`
	Next      string        `json:"next,omitempty"`
	Device    string        `json:"device,omitempty"`
	Challenge []byte        `json:"challenge,omitempty"`
	Refused   bool          `json:"refused,omitempty"`
	Principal string        `json:"principal,omitempty"`
	Auth      authBody      `json:"auth,omitzero"`
	Until     stamp         `json:"until,omitempty"`
	By        []byte        `json:"by,omitempty"`
	PolledAt  stamp         `json:"polled_at,omitempty"`
	Interval  time.Duration `json:"interval,omitempty"`
	Subject   string        `json:"subject,omitempty"`
}

// digestBytes is empty for a digest of nothing.
func digestBytes(d access.Digest) []byte {
	if d == (access.Digest{}) {
		return nil
	}
	return d[:]
}

func attemptText(a access.Attempt) (string, error) {
	return encode(attemptBody{string(a.Kind), stampOf(a.CreatedAt), a.From, a.Client, a.Provider, digestBytes(a.Browser), a.Redirect, a.Next,
		string(a.Device), digestBytes(a.Challenge), a.Refused, string(a.Principal), authBodyOf(a.Auth), stampOf(a.Until), digestBytes(a.By),
		stampOf(a.PolledAt), a.Interval, a.Subject})
}

func scanAttempt(row row) (access.Attempt, error) {
	var a access.Attempt
	var key, alias []byte
	var expires int64
	var used *int64
	var text string
	if err := row.Scan(&key, &alias, &expires, &used, &text); err != nil {
		return a, err
	}
	var b attemptBody
	if err := decode(text, "attempt", "", &b); err != nil {
		return a, err
	}
	return access.Attempt{Key: digestOf(key), Kind: access.AttemptKind(b.Kind), Alias: digestOf(alias),
		CreatedAt: b.CreatedAt.time(), ExpiresAt: instant(expires), UsedAt: instantOf(used), From: b.From, Client: b.Client,
		Provider: b.Provider, Browser: digestOf(b.Browser), Redirect: b.Redirect, Next: b.Next,
		Device: access.DeviceID(b.Device), Challenge: digestOf(b.Challenge), Refused: b.Refused, Principal: access.PrincipalID(b.Principal),
		Auth: b.Auth.auth(), Until: b.Until.time(), By: digestOf(b.By), PolledAt: b.PolledAt.time(), Interval: b.Interval, Subject: b.Subject}, nil
}

const attemptColumns = "SELECT key, alias, expires_at, used_at, body FROM attempts"

// Attempt reads a sign-in that was begun, used, expired or neither.
func (tx *Tx) Attempt(key access.Digest) (access.Attempt, error) {
	return one(tx, "attempt", scanAttempt, attemptColumns+" WHERE key = $1", key[:])
}

// AttemptCalled is Attempt by the short code that a person types.
func (tx *Tx) AttemptCalled(alias access.Digest) (access.Attempt, error) {
	return one(tx, "attempt", scanAttempt, attemptColumns+" WHERE alias = $1", alias[:])
}

// SaveAttempt writes a sign-in; one that was finished changes no more.
func (tx *Tx) SaveAttempt(a access.Attempt) error {
	body, err := attemptText(a)
	if err != nil {
		return tx.fail(err)
	}
	_, err = tx.exec(`INSERT INTO attempts (key, alias, expires_at, used_at, body) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (key) DO UPDATE SET body = excluded.body`,
		a.Key[:], digestBytes(a.Alias), a.ExpiresAt.UnixMilli(), millis(a.UsedAt), body)
	return err
}

// UseAttempt finishes a sign-in, at Now; access.Conflict when that was done before,
// access.Expired when its time was up. Of several at once, one succeeds.
func (tx *Tx) UseAttempt(key access.Digest) (access.Attempt, error) {
	used := access.Fail(access.Conflict, "attempt-used", "the sign-in was finished already")
	a, err := tx.Attempt(key)
	switch {
	case err != nil:
		return access.Attempt{}, err
	case !a.UsedAt.IsZero():
		return access.Attempt{}, used
	case !tx.now.Before(a.ExpiresAt):
		return access.Attempt{}, access.Fail(access.Expired, "attempt-expired", "the sign-in took too long")
	}
	a.UsedAt = tx.now
	n, err := tx.exec("UPDATE attempts SET used_at = $2 WHERE key = $1 AND used_at IS NULL", key[:], tx.now.UnixMilli())
	if err == nil && n == 0 {
		err = tx.fail(used)
	}
	return a, err
}
