package door

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"
)

// TestTarget: class E6. A name that stands for this host, and addresses that are nobody's
// in particular, are not dialled.
func TestTarget(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	ctx, done := context.WithTimeout(t.Context(), 30*time.Second)
	defer done()
	c, err := Target(ctx, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	for _, a := range []string{"localhost:" + port, "0.0.0.0:" + port, "[::]:" + port, "169.254.169.254:80", "[fd00:ec2::254]:80"} {
		if c, err := Target(ctx, a); !errors.Is(err, errNoTarget) {
			t.Errorf("%s: %v", a, err)
			if c != nil {
				_ = c.Close()
			}
		}
	}
	for _, a := range []string{"::ffff:169.254.169.254", "fe80::1", "224.0.0.1", "100.100.100.200", "127.0.0.1", "::1", "::ffff:127.0.0.1"} {
		if judge(netip.MustParseAddr(a), netip.Addr{}) == nil {
			t.Errorf("%s is judged to be a target's", a)
		}
	}
	for _, a := range []string{"10.0.0.7", "192.0.2.1", "2001:db8::1", "fd12::1"} {
		if err := judge(netip.MustParseAddr(a), netip.Addr{}); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
}
