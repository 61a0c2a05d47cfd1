package lint

import (
	"net/netip"
	"slices"
	"strings"
)

// valueOf says what is wrong with the value of an option; "" is nothing.
type valueOf func(value, key string) string

// criticalOptions are those that a user's certificate may have. A server refuses a
// certificate with one that it does not know, so a name that is wrong takes access
// away, and a value that is wrong may give too much.
var criticalOptions = map[string]valueOf{
	"force-command": func(v, _ string) string {
		if v == "" || len(v) > 4096 || strings.ContainsFunc(v, func(r rune) bool { return r < 0x20 && r != '\t' || r == 0x7f }) {
			return "it is empty, too long, or has characters of control"
		}
		return ""
	},
	"source-address": func(v, _ string) string {
		if _, err := Sources(v); err != "" {
			return err
		}
		return ""
	},
	"verify-required": func(v, key string) string {
		if v != "" || !hardware(key) {
			return "it has a value, or the key is no sk- key"
		}
		return ""
	},
}

// extensionNames are those that a user's certificate may have; none has a value.
// no-touch-required is not among them: what an authenticator asks is never waived.
var extensionNames = map[string]valueOf{
	"permit-X11-forwarding": empty, "permit-agent-forwarding": empty, "permit-port-forwarding": empty,
	"permit-pty": empty, "permit-user-rc": empty,
}

func empty(v, _ string) string {
	if v != "" {
		return "it has a value"
	}
	return ""
}

// options checks a list of names and values: known, in order, each once, as wanted,
// and of a host none at all.
func (c *checker) options(field string, b []byte, want []Option, known map[string]valueOf, k Kind, key string) {
	var got []Option
	for r := (reader{rest: b}); len(r.rest) > 0; {
		name, data := r.text(), r.bytes()
		if r.err != nil {
			c.say(field, "%v", r.err)
			return
		}
		o := Option{Name: name}
		if len(data) > 0 { // a value is a string in the string
			in := reader{rest: data}
			o.Value = in.text()
			if err := in.end("the value"); err != nil || o.Value == "" {
				c.say(field, "the value of %q cannot be read", clip(name))
			}
		}
		if len(got) > 0 && got[len(got)-1].Name >= name {
			c.say(field, "%q is there twice or out of order", clip(name))
		}
		check, ok := known[name]
		switch {
		case k == Host:
			c.say(field, "a host's certificate has none, and this has %q", clip(name))
		case !ok:
			c.say(field, "%q is not known", clip(name))
		default:
			if wrong := check(o.Value, key); wrong != "" {
				c.say(field, "%s: %s", name, wrong)
			}
		}
		got = append(got, o)
	}
	if !slices.Equal(got, want) {
		c.say(field, "others than were decided")
	}
}

// Sources reads the value of source-address: addresses and networks in CIDR notation,
// with commas between. OpenSSH refuses a network with bits after its prefix, and
// another notation, at log-in; here it is said before.
func Sources(v string) (ps []netip.Prefix, problem string) {
	if v == "" || len(v) > 1024 {
		return nil, "it is empty or too long"
	}
	for text := range strings.SplitSeq(v, ",") {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			var a netip.Addr
			if a, err = netip.ParseAddr(text); err == nil && a.Zone() == "" {
				p = netip.PrefixFrom(a, a.BitLen())
			} else {
				return nil, "\"" + clip(text) + "\" is no address and no network"
			}
		}
		if p != p.Masked() {
			return nil, "\"" + clip(text) + "\" has bits after its prefix"
		}
		if p.Addr().Is4In6() {
			return nil, "\"" + clip(text) + "\" is an address of IPv4 written as IPv6"
		}
		ps = append(ps, p)
	}
	return ps, ""
}
