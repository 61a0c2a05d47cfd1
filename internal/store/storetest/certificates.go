package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"stint/internal/access"
)

// certificates are kept as they were made, each serial once; those whose grant is not
// active any more, and those that were taken back, are revoked until their end.
func certificates(t *testing.T, s Store) {
	now := storeNow(t, s)
	b := Active(t, s)
	of := func(serial access.Serial, g access.GrantID, ends time.Time) access.Certificate {
		return access.Certificate{Serial: serial, Kind: access.UserCertificate, Grant: g, Authority: "SHA256:a", Fingerprint: "SHA256:f", KeyID: "stint k", Principals: []string{"stint-x", "stint-y"},
			NotBefore: now.Add(-30 * time.Second), NotAfter: ends, IssuedAt: now}
	}
	long, over := of(1<<63-1, b.Grant.ID, now.Add(time.Hour)), of(2, b.Grant.ID, now.Add(-time.Second))
	host := access.Certificate{Serial: 3, Kind: access.HostCertificate, Resource: "web1", Principals: []string{"web1"}, NotBefore: now, NotAfter: now.Add(2 * time.Hour), IssuedAt: now}
	gone := host
	gone.Serial = 4
	update(t, s, func(tx Tx) error { return tx.SaveCertificates(long, host, over, gone) })
	list := func(q access.CertificateQuery) []access.Certificate {
		return read(t, s, func(tx Tx) ([]access.Certificate, error) { return tx.Certificates(q) })
	}
	revoked := func() []access.Certificate {
		return read(t, s, func(tx Tx) ([]access.Certificate, error) { return tx.RevokedCertificates() })
	}
	diff(t, list(access.CertificateQuery{}), []access.Certificate{over, long, host, gone})
	diff(t, list(access.CertificateQuery{Grant: b.Grant.ID, Valid: true}), []access.Certificate{long})
	diff(t, list(access.CertificateQuery{Resource: "web1", Limit: 1}), []access.Certificate{host})
	diff(t, revoked(), []access.Certificate(nil))

	ctx := context.Background()
	for name, c := range map[string]access.Certificate{"a serial that is there": of(3, b.Grant.ID, now.Add(time.Hour))} {
		if err := s.Update(ctx, func(tx Tx) error { return tx.SaveCertificates(c) }); !errors.Is(err, access.Conflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	none := of(9, "", now.Add(time.Hour))
	if s.Update(ctx, func(tx Tx) error { return tx.SaveCertificates(none) }) == nil {
		t.Error("a user's certificate without a grant is kept")
	}

	gone.RevokedAt = now
	update(t, s, func(tx Tx) error { return tx.RevokeCertificate(gone) })
	wantKind(t, s.Update(ctx, func(tx Tx) error { return tx.RevokeCertificate(gone) }), access.Conflict)
	diff(t, revoked(), []access.Certificate{gone})
	update(t, s, func(tx Tx) error {
		var ev access.Event
		g, err := tx.Grant(b.Grant.ID)
		if err != nil {
			return err
		}
		g, ev, _, err = g.End(access.ByPerson, "no more", access.System, tx.Now())
		if err != nil {
			return err
		}
		return errors.Join(tx.SaveGrants(g), tx.Append(ev))
	})
	diff(t, revoked(), []access.Certificate{gone, long})
}
