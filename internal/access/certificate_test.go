package access

import (
	"errors"
	"testing"
	"time"
)

func TestSerials(t *testing.T) {
	for in, want := range map[[8]byte]Serial{
		{}:                       1,
		{0, 0, 0, 0, 0, 0, 0, 9}: 9,
		{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}: 1<<63 - 1,
		{0x80}: 1,
	} {
		if got := NewSerial(in); got != want {
			t.Errorf("%x: %d, want %d", in, got, want)
		}
	}
}

func TestCertificateEvents(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	c := Certificate{Serial: 7, Kind: HostCertificate, Resource: "web1", Principals: []string{"web1", "10.0.0.1"}, NotBefore: now, NotAfter: now.Add(time.Hour), IssuedAt: now}
	ev := c.Issued(System, nil)
	if ev.Entity != "crt_7" || ev.Version != 1 || ev.Facts["principals"] != "web1,10.0.0.1" || ev.Facts["expires_at"] == "" || ev.Facts["grant"] != "" {
		t.Errorf("%+v", ev)
	}
	gone, ev, err := c.Revoke(System, "the host left", now)
	if err != nil || gone.RevokedAt != now || ev.Version != 2 || ev.Facts["why"] != "the host left" {
		t.Errorf("%+v, %+v, %v", gone, ev, err)
	}
	if _, _, err := gone.Revoke(System, "again", now); !errors.Is(err, Conflict) {
		t.Errorf("revoked twice: %v", err)
	}
}
