package egress

import (
	"fmt"
	"net/netip"
	"slices"
)

func prefixes(texts ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(texts))
	for i, t := range texts {
		all[i] = netip.MustParsePrefix(t)
	}
	return all
}

// never are dialled by no rule: they name nobody in particular.
var never = prefixes("0.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "::/128", "ff00::/8")

// said are dialled by a rule that lies within one of them, so that no wide rule
// takes them in unawares. The metadata services of clouds are in them.
var said = prefixes("127.0.0.0/8", "169.254.0.0/16", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32",
	"::1/128", "fe80::/10", "fd00:ec2::/32", "fd20:ce::254/128")

// special are dialled by a rule that contains them. Of IPv4 the rest is public
// (IANA's registry of special-purpose addresses).
var special = prefixes("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16",
	"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4")

// public6 is all of IPv6 that is handed out for public use; of it, special6 is
// not, or carries an IPv4 address that the filter would not see.
var (
	public6  = netip.MustParsePrefix("2000::/3")
	special6 = prefixes("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)

// within reports whether the address is in one of the prefixes.
func within(a netip.Addr, ps []netip.Prefix) bool {
	return slices.ContainsFunc(ps, func(p netip.Prefix) bool { return p.Contains(a) })
}

// CheckRule refuses a rule that takes in more than an installation can mean.
func CheckRule(p netip.Prefix) error {
	least := 8
	if p.Addr().Is6() {
		least = 7
	}
	switch {
	case !p.IsValid() || p.Addr().Is4In6() || p.Addr().Zone() != "":
		return fmt.Errorf("%s is not a range of addresses", p)
	case p.Bits() < least:
		return fmt.Errorf("%s is wider than /%d", p, least)
	case p != p.Masked():
		return fmt.Errorf("%s names one address and a range; the range is %s", p, p.Masked())
	case slices.ContainsFunc(never, func(n netip.Prefix) bool { return n.Overlaps(p) }):
		return fmt.Errorf("%s holds addresses that are nobody's", p)
	}
	return nil
}

// refused says why an address is not dialled under the rules; empty when it is.
func refused(a netip.Addr, rules []netip.Prefix) string {
	a = a.Unmap().WithZone("")
	switch {
	case !a.IsValid():
		return "it is none"
	case within(a, never):
		return "it names no single host"
	case within(a, said):
		for _, s := range said {
			if !s.Contains(a) {
				continue
			}
			for _, r := range rules {
				if r.Contains(a) && s.Bits() <= r.Bits() {
					return ""
				}
			}
		}
		return "it is of this host, of its link or of a metadata service"
	case within(a, rules):
		return ""
	case a.Is4() && within(a, special):
		return "it is not of the public Internet"
	case a.Is6() && (!public6.Contains(a) || within(a, special6)):
		return "it is not of the public Internet"
	}
	return ""
}
