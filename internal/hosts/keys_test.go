package hosts_test

import (
	"testing"
	"time"

	"stint/internal/access"
)

// TestKeepKeys: the keys of a host are those that its own agent said last; one that stays
// keeps its certificate; and with the agent goes what its host was known by.
func TestKeepKeys(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.enrol("web1:22", "a", newKey())
	if _, err := w.register.KeepKeys(ctx, "stranger", []access.HostKey{{Line: "k1"}}); access.KindOf(err) != access.NotFound {
		t.Errorf("a stranger's: %v", err)
	}
	h, err := w.register.KeepKeys(ctx, "a", []access.HostKey{{Line: "k1", Fingerprint: "f1"}, {Line: "k2", Fingerprint: "f2"}})
	if err != nil || len(h.SSHKeys) != 2 {
		t.Fatalf("%+v, %v", h, err)
	}
	version := h.Version
	made := access.HostKey{Line: "k1", Fingerprint: "f1", Certificate: "c1", Principals: []string{"web1"}, NotAfter: time.Now().Add(time.Hour), Resource: "web1"}
	gone := access.HostKey{Line: "k9", Certificate: "c9", Principals: []string{"web1"}}
	if err := w.register.KeepCertificates(ctx, "a", []access.HostKey{made, gone}); err != nil {
		t.Fatal(err)
	}
	same := []access.HostKey{{Line: "k1", Fingerprint: "f1"}, {Line: "k2", Fingerprint: "f2"}}
	if h, err = w.register.KeepKeys(ctx, "a", same); err != nil || h.Version != version+1 || h.SSHKeys[0].Certificate != "c1" || h.SSHKeys[1].Certificate != "" {
		t.Errorf("the same keys once more: %+v, %v", h, err)
	}
	if h, err = w.register.KeepKeys(ctx, "a", []access.HostKey{{Line: "k3", Fingerprint: "f3"}, {Line: "k1", Fingerprint: "f1"}}); err != nil || len(h.SSHKeys) != 2 || h.SSHKeys[0].Certificate != "" || h.SSHKeys[1].Certificate != "c1" {
		t.Errorf("another key: %+v, %v", h, err)
	}
	if h, err = w.register.Revoke(ctx, by, "web1:22"); err != nil || len(h.SSHKeys) != 0 {
		t.Errorf("revoked: %+v, %v", h, err)
	}
}
