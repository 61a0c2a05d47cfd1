package simstore

import (
	"cmp"
	"slices"

	"stint/internal/access"
)

// SaveCertificates writes down certificates that are about to be signed.
func (tx *Tx) SaveCertificates(cs ...access.Certificate) error {
	if err := tx.writes(); err != nil {
		return err
	}
	for _, c := range cs {
		if _, there := tx.s.certificates[c.Serial]; there {
			return tx.fail(taken("certificate " + c.Serial.String()))
		}
		if c.Serial <= 0 || (c.Kind == access.UserCertificate) != (c.Grant != "") {
			return tx.fail(broken("a certificate is of a user and a grant, or of a host"))
		}
		c.NotBefore, c.NotAfter, c.IssuedAt, c.Principals = instant(c.NotBefore), instant(c.NotAfter), instant(c.IssuedAt), slices.Clone(c.Principals)
		putKey(tx, tx.s.certificates, c.Serial, c)
	}
	return nil
}

// RevokeCertificate notes that one was taken back by itself.
func (tx *Tx) RevokeCertificate(c access.Certificate) error {
	if err := tx.writes(); err != nil {
		return err
	}
	have, there := tx.s.certificates[c.Serial]
	if !there || !have.RevokedAt.IsZero() {
		return tx.fail(changed("certificate", c.Serial.String(), 2))
	}
	have.RevokedAt = instant(c.RevokedAt)
	putKey(tx, tx.s.certificates, c.Serial, have)
	return nil
}

// Certificate reads one by its serial.
func (tx *Tx) Certificate(s access.Serial) (access.Certificate, error) {
	if tx.err != nil {
		return access.Certificate{}, tx.err
	}
	c, there := tx.s.certificates[s]
	if !there {
		return c, missing("certificate")
	}
	return c, nil
}

// Certificates lists them, what ends first first.
func (tx *Tx) Certificates(q access.CertificateQuery) (found []access.Certificate, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	for _, c := range tx.s.certificates {
		if (q.Grant == "" || c.Grant == q.Grant) && (q.Resource == "" || c.Resource == q.Resource) && (!q.Valid || c.NotAfter.After(tx.now)) {
			found = append(found, c)
		}
	}
	slices.SortFunc(found, func(a, b access.Certificate) int {
		return cmp.Or(a.NotAfter.Compare(b.NotAfter), cmp.Compare(a.Serial, b.Serial))
	})
	return found[:min(len(found), limited(q.Limit, 1000, 10_000))], nil
}

// RevokedCertificates are those whose end has not come, and that are good no more.
func (tx *Tx) RevokedCertificates() (found []access.Certificate, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	for _, c := range tx.s.certificates {
		g := tx.s.grants.rows[c.Grant]
		if c.NotAfter.After(tx.now) && c.Kind != access.WebTicket && (!c.RevokedAt.IsZero() || c.Kind == access.UserCertificate && (g == nil || g.State != access.Active)) {
			found = append(found, c)
		}
	}
	slices.SortFunc(found, func(a, b access.Certificate) int { return cmp.Compare(a.Serial, b.Serial) })
	return found, nil
}
