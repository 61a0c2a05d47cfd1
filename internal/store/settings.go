package store

import (
	"time"

	"stint/internal/access"
)

// Documents is the newest version of the documents; version 0 and an empty body
// before there are any.
func (tx *Tx) Documents() (version int64, body []byte, err error) {
	err = tx.each("SELECT version, body FROM documents ORDER BY version DESC LIMIT 1", nil, func(row row) error {
		return row.Scan(&version, &body)
	})
	return version, body, err
}

// DocumentsEdition says which are the newest documents; version 0 before there are any.
func (tx *Tx) DocumentsEdition() (e access.Edition, err error) {
	err = tx.each("SELECT version, at FROM documents ORDER BY version DESC LIMIT 1", nil, func(row row) error { return row.Scan(&e.Version, &e.MadeMS) })
	return e, err
}

// DocumentsAt is one version of the documents.
func (tx *Tx) DocumentsAt(version int64) ([]byte, error) {
	return one(tx, "version", func(row row) (body []byte, err error) {
		err = row.Scan(&body)
		return body, err
	}, "SELECT body FROM documents WHERE version = $1", version)
}

// SaveDocuments adds the next version; access.Conflict when it is not the next.
func (tx *Tx) SaveDocuments(version int64, body []byte) error {
	last, _, err := tx.Documents()
	if err != nil {
		return err
	}
	if version != last+1 {
		return tx.fail(changed("set of", "documents", version))
	}
	if body == nil {
		body = []byte{}
	}
	_, err = tx.exec("INSERT INTO documents (version, body, at) VALUES ($1, $2, $3)", version, body, tx.now.UnixMilli())
	return err
}

var credentialTable = table{
	name: "credentials", noun: "credential", keys: 1, versioned: true,
	columns: []column{{"name", text}, {"version", integer}, {"body", text}, {"sealed", binary}, {"set_at", integer}},
}.build()

type credentialBody struct {
	Type     string `json:"type"`
	Address  string `json:"address"`
	Username string `json:"username,omitempty"`
}

// Credential reads a registered connector login.
func (tx *Tx) Credential(name string) (access.Credential, error) {
	return one(tx, "credential", scanCredential, "SELECT name, version, body, sealed, set_at FROM credentials WHERE name = $1", name)
}

// Credentials lists all of them by name.
func (tx *Tx) Credentials() ([]access.Credential, error) {
	return list(tx, scanCredential, "SELECT name, version, body, sealed, set_at FROM credentials ORDER BY name")
}

func scanCredential(row row) (access.Credential, error) {
	var c access.Credential
	var text string
	var set int64
	if err := row.Scan(&c.Name, &c.Version, &text, &c.Sealed, &set); err != nil {
		return c, err
	}
	var b credentialBody
	if err := decode(text, "credential", c.Name, &b); err != nil {
		return c, err
	}
	c.Type, c.Address, c.Username, c.SetAt = b.Type, b.Address, b.Username, instant(set)
	return c, nil
}

// SaveCredential writes a connector login.
func (tx *Tx) SaveCredential(c access.Credential) error {
	w, err := credentialRow(c)
	if err != nil {
		return tx.fail(err)
	}
	return tx.save(credentialTable, []write{w})
}

func credentialRow(c access.Credential) (write, error) {
	body, err := encode(credentialBody{c.Type, c.Address, c.Username})
	return write{c.Name, c.Version, body, c.Sealed, c.SetAt.UnixMilli()}, err
}

// Setting is a small named value; nil when it is not set.
func (tx *Tx) Setting(name string) (value []byte, err error) {
	err = tx.each("SELECT value FROM settings WHERE name = $1", []any{name}, func(row row) error {
		err := row.Scan(&value)
		if value == nil { // set, and empty
			value = []byte{}
		}
		return err
	})
	return value, err
}

// SaveSetting sets a named value; nil unsets it.
func (tx *Tx) SaveSetting(name string, value []byte) error {
	q, args := "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value", []any{name, value}
	if value == nil {
		q, args = "DELETE FROM settings WHERE name = $1", args[:1]
	}
	_, err := tx.exec(q, args...)
	return err
}

// rememberFor is how long the answer to an idempotent call is kept.
const rememberFor = 24 * time.Hour

// Recall reads the answer to an idempotent call of the last day.
func (tx *Tx) Recall(p access.PrincipalID, key string) (access.Remembered, error) {
	return one(tx, "call", func(row row) (access.Remembered, error) {
		m := access.Remembered{Principal: p, Key: key}
		var body []byte
		var at int64
		err := row.Scan(&body, &m.Result, &at)
		m.Body, m.At = digestOf(body), instant(at)
		return m, err
	}, "SELECT body, result, at FROM remembered WHERE principal = $1 AND key = $2 AND at > $3",
		string(p), key, tx.now.Add(-rememberFor).UnixMilli())
}

// Remember keeps the answer to an idempotent call; access.Conflict when there is
// one for the key already.
func (tx *Tx) Remember(m access.Remembered) error {
	return tx.later(func(n int64) error {
		if n == 0 {
			return access.Fail(access.Conflict, "key-used", "the call was made already")
		}
		return nil
	}, `INSERT INTO remembered AS t (principal, key, body, result, at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (principal, key) DO UPDATE SET body = excluded.body, result = excluded.result, at = excluded.at
		WHERE t.at <= $6`, string(m.Principal), m.Key, m.Body[:], m.Result, m.At.UnixMilli(), tx.now.Add(-rememberFor).UnixMilli())
}
