package door

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"
)

// never are no targets' addresses: those of a link, of many hosts, and of the services
// that tell a machine its secrets.
var never = func(all ...string) (ps []netip.Prefix) {
	for _, p := range all {
		ps = append(ps, netip.MustParsePrefix(p))
	}
	return ps
}("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32",
	"::/128", "fe80::/10", "ff00::/8", "fd00:ec2::/32", "fd20:ce::254/128")

// Target connects to a target whose name or address somebody wrote down. The address that
// a name stands for is judged when it is dialled, so that a name that changes its answer
// gains nothing. This host itself is reached by an address that says so, and by no name.
func Target(ctx context.Context, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	literal, _ := netip.ParseAddr(host) // of a name it is the zero value, which is no loopback
	d := net.Dialer{ControlContext: func(_ context.Context, _, to string, _ syscall.RawConn) error {
		a, err := netip.ParseAddrPort(to)
		if err != nil {
			return err
		}
		return judge(a.Addr(), literal)
	}}
	c, err := d.DialContext(ctx, "tcp", address)
	if err == nil {
		Probe(c)
	}
	return c, err
}

var errNoTarget = errors.New("the address is none of a target's")

func judge(a, literal netip.Addr) error {
	a = a.Unmap().WithZone("")
	if a.IsLoopback() && !literal.Unmap().IsLoopback() || slices.ContainsFunc(never, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return errNoTarget
	}
	return nil
}
