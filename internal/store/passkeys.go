package store

import (
	"stint/internal/access"
)

var passkeyTable = table{
	name: "passkeys", noun: "passkey", keys: 1, versioned: true,
	columns: []column{{"id", text}, {"version", integer}, {"state", text}, {"principal", text}, {"person", text}, {"credential", binary},
		{"anchor", text}, {"counter", integer}, {"created_at", integer}, {"body", text}},
	fixed: []string{"principal", "person", "credential", "created_at"},
}.build()

type passkeyBody struct {
	Name      string        `json:"name"`
	RPID      string        `json:"rp_id"`
	Origin    string        `json:"origin"`
	Key       []byte        `json:"key"`
	Vouchers  []voucherBody `json:"vouchers,omitempty"`
	ExpiresAt stamp         `json:"expires_at,omitempty"`
}

type voucherBody struct {
	By        string        `json:"by"`
	Person    string        `json:"person"`
	Assertion assertionBody `json:"assertion"`
	At        stamp         `json:"at"`
}

type assertionBody struct {
	Passkey           string `json:"passkey"`
	ClientData        []byte `json:"client_data"`
	AuthenticatorData []byte `json:"authenticator_data"`
	Signature         []byte `json:"signature"`
}

func assertionOf(a access.Assertion) assertionBody {
	return assertionBody{string(a.Passkey), a.ClientData, a.AuthenticatorData, a.Signature}
}

func (b assertionBody) assertion() access.Assertion {
	return access.Assertion{Passkey: access.PasskeyID(b.Passkey), ClientData: b.ClientData, AuthenticatorData: b.AuthenticatorData, Signature: b.Signature}
}

func passkeyRow(p access.Passkey) (write, error) {
	b := passkeyBody{Name: p.Name, RPID: p.RPID, Origin: p.Origin, Key: p.Key, ExpiresAt: stampOf(p.ExpiresAt)}
	for _, v := range p.Vouchers {
		b.Vouchers = append(b.Vouchers, voucherBody{string(v.By), string(v.Person), assertionOf(v.Assertion), stampOf(v.At)})
	}
	body, err := encode(b)
	return write{string(p.ID), p.Version, string(p.State), string(p.Principal), string(p.Person), p.Credential, string(p.Anchor),
		int64(p.Counter), p.CreatedAt.UnixMilli(), body}, err
}

const passkeyColumns = "SELECT id, version, state, principal, person, credential, anchor, counter, created_at, body FROM passkeys"

func scanPasskey(row row) (access.Passkey, error) {
	var p access.Passkey
	var counter, created int64
	var text string
	if err := row.Scan(&p.ID, &p.Version, &p.State, &p.Principal, &p.Person, &p.Credential, &p.Anchor, &counter, &created, &text); err != nil {
		return p, err
	}
	var b passkeyBody
	if err := decode(text, "passkey", string(p.ID), &b); err != nil {
		return p, err
	}
	p.Counter, p.CreatedAt, p.ExpiresAt = uint32(counter), instant(created), b.ExpiresAt.time()
	p.Name, p.RPID, p.Origin, p.Key = b.Name, b.RPID, b.Origin, b.Key
	for _, v := range b.Vouchers {
		p.Vouchers = append(p.Vouchers, access.Voucher{By: access.PrincipalID(v.By), Person: access.Person(v.Person), Assertion: v.Assertion.assertion(), At: v.At.time()})
	}
	return p, nil
}

// Passkey reads one passkey.
func (tx *Tx) Passkey(id access.PasskeyID) (access.Passkey, error) {
	return one(tx, "passkey", scanPasskey, passkeyColumns+" WHERE id = $1", string(id))
}

// Passkeys lists the passkeys of a person, or without one all, removed ones too, by name.
func (tx *Tx) Passkeys(person access.Person) ([]access.Passkey, error) {
	if person == "" {
		return list(tx, scanPasskey, passkeyColumns+" ORDER BY id")
	}
	return list(tx, scanPasskey, passkeyColumns+" WHERE person = $1 ORDER BY id", string(person))
}

// PasskeyCalled finds a passkey by the name that its authenticator gave it.
func (tx *Tx) PasskeyCalled(credential []byte) (access.Passkey, error) {
	return one(tx, "passkey", scanPasskey, passkeyColumns+" WHERE credential = $1", credential)
}

// SavePasskeys writes passkeys.
func (tx *Tx) SavePasskeys(ps ...access.Passkey) error {
	rows := make([]write, 0, len(ps))
	for _, p := range ps {
		w, err := passkeyRow(p)
		if err != nil {
			return tx.fail(err)
		}
		rows = append(rows, w)
	}
	return tx.save(passkeyTable, rows)
}

// SaveRecoveryCodes puts codes in the place of all that the principal had and did not
// use; of those used it stays known that they were.
func (tx *Tx) SaveRecoveryCodes(p access.PrincipalID, codes ...access.Digest) error {
	if _, err := tx.exec("DELETE FROM recovery_codes WHERE principal = $1 AND used_at IS NULL", string(p)); err != nil {
		return err
	}
	for _, c := range codes {
		if _, err := tx.exec("INSERT INTO recovery_codes (code, principal, made_at) VALUES ($1, $2, $3)", c[:], string(p), tx.now.UnixMilli()); err != nil {
			return err
		}
	}
	return nil
}

// UseRecoveryCode uses a code up, at Now, and says whose it was: access.NotFound when
// there is none, access.Conflict when it was used before. Of several at once, one succeeds.
func (tx *Tx) UseRecoveryCode(code access.Digest) (access.PrincipalID, error) {
	type found struct {
		principal access.PrincipalID
		used      *int64
	}
	f, err := one(tx, "recovery-code", func(row row) (f found, err error) {
		err = row.Scan(&f.principal, &f.used)
		return f, err
	}, "SELECT principal, used_at FROM recovery_codes WHERE code = $1", code[:])
	if err != nil {
		return "", err
	}
	if f.used != nil {
		return "", access.Fail(access.Conflict, "code-used", "the code was used already")
	}
	n, err := tx.exec("UPDATE recovery_codes SET used_at = $2 WHERE code = $1 AND used_at IS NULL", code[:], tx.now.UnixMilli())
	if err == nil && n == 0 {
		err = tx.fail(access.Fail(access.Conflict, "code-used", "the code was used already"))
	}
	return f.principal, err
}

// RecoveryCodes is how many codes a principal has left.
func (tx *Tx) RecoveryCodes(p access.PrincipalID) (n int64, err error) {
	return one(tx, "count", func(row row) (n int64, err error) { err = row.Scan(&n); return n, err },
		"SELECT COUNT(*) FROM recovery_codes WHERE principal = $1 AND used_at IS NULL", string(p))
}
