package store

import (
	"fmt"
	"strings"

	"stint/internal/access"
)

var certificateTable = table{
	name: "certificates", noun: "certificate", keys: 1, once: true,
	columns: []column{{"serial", integer}, {"kind", text}, {"grant_id", text}, {"resource", text}, {"ends_at", integer}, {"body", text}},
}.build()

type certificateBody struct {
	Authority   string   `json:"authority"`
	Fingerprint string   `json:"fingerprint"`
	KeyID       string   `json:"key_id"`
	Principals  []string `json:"principals"`
	NotBefore   int64    `json:"not_before"`
	IssuedAt    int64    `json:"issued_at"`
}

func certificateRow(c access.Certificate) (write, error) {
	body, err := encode(certificateBody{c.Authority, c.Fingerprint, c.KeyID, c.Principals, c.NotBefore.UnixMilli(), c.IssuedAt.UnixMilli()})
	return write{int64(c.Serial), string(c.Kind), string(c.Grant), string(c.Resource), c.NotAfter.UnixMilli(), body}, err
}

const certificateColumns = "SELECT c.serial, c.kind, c.grant_id, c.resource, c.ends_at, c.revoked_at, c.body FROM certificates c"

func scanCertificate(row row) (access.Certificate, error) {
	var c access.Certificate
	var ends int64
	var revoked *int64
	var text string
	if err := row.Scan(&c.Serial, &c.Kind, &c.Grant, &c.Resource, &ends, &revoked, &text); err != nil {
		return c, err
	}
	var b certificateBody
	if err := decode(text, "certificate", c.Serial.String(), &b); err != nil {
		return c, err
	}
	c.Authority, c.Fingerprint, c.KeyID, c.Principals = b.Authority, b.Fingerprint, b.KeyID, b.Principals
	c.NotBefore, c.IssuedAt, c.NotAfter, c.RevokedAt = instant(b.NotBefore), instant(b.IssuedAt), instant(ends), instantOf(revoked)
	return c, nil
}

// SaveCertificates writes down certificates that are about to be signed; one with a
// serial that is there is access.Conflict.
func (tx *Tx) SaveCertificates(cs ...access.Certificate) error {
	rows := make([]write, 0, len(cs))
	for _, c := range cs {
		w, err := certificateRow(c)
		if err != nil {
			return tx.fail(err)
		}
		rows = append(rows, w)
	}
	return tx.save(certificateTable, rows)
}

// RevokeCertificate notes that one was taken back by itself, which is not undone.
func (tx *Tx) RevokeCertificate(c access.Certificate) error {
	n, err := tx.exec("UPDATE certificates SET revoked_at = $2 WHERE serial = $1 AND revoked_at IS NULL", int64(c.Serial), c.RevokedAt.UnixMilli())
	if err == nil && n != 1 {
		err = tx.fail(changed("certificate", c.Serial.String(), 2))
	}
	return err
}

// Certificate reads one by its serial.
func (tx *Tx) Certificate(s access.Serial) (access.Certificate, error) {
	return one(tx, "certificate", scanCertificate, certificateColumns+" WHERE c.serial = $1", int64(s))
}

// Certificates lists them, what ends first first.
func (tx *Tx) Certificates(q access.CertificateQuery) ([]access.Certificate, error) {
	p := plan{conds: []string{"c.serial > 0"}}
	p.equal("c.grant_id", string(q.Grant))
	p.equal("c.resource", string(q.Resource))
	if q.Valid {
		p.args = append(p.args, tx.now.UnixMilli())
		p.conds = append(p.conds, fmt.Sprintf("c.ends_at > $%d", len(p.args)))
	}
	p.args = append(p.args, int64(limited(q.Limit, 1000, 10_000)))
	return list(tx, scanCertificate, fmt.Sprintf("%s WHERE %s ORDER BY c.ends_at, c.serial LIMIT $%d", certificateColumns, strings.Join(p.conds, " AND "), len(p.args)), p.args...)
}

// RevokedCertificates are those, tickets aside, whose end has not come, and that are good no more: they
// were taken back, or their grant is not active. Which they are follows from the rows,
// so nothing has to be remembered when a grant ends.
func (tx *Tx) RevokedCertificates() ([]access.Certificate, error) {
	return list(tx, scanCertificate, certificateColumns+` LEFT JOIN grants g ON g.id = c.grant_id
		WHERE c.ends_at > $1 AND c.kind <> 'ticket' AND (c.revoked_at IS NOT NULL OR c.kind = 'user' AND (g.state IS NULL OR g.state <> 'active'))
		ORDER BY c.serial`, tx.now.UnixMilli())
}
