package host

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/connector/linux"
)

// line is an order's line in the file of principals of an account. Its options are those
// of authorized_keys, sshd(8).
type line struct {
	tag  access.Tag
	ends time.Time // whole seconds; from then on sshd refuses it
	opt  linux.Options
}

const (
	endForm   = "20060102150405Z" // sshd 9.1 and later read the Z as UTC
	lineStart = `expiry-time="`
	lineBase  = `",restrict,pty`
)

// lastSecond is what sshd and sudo are told: both still let somebody in during the second
// that they are given as the end.
func lastSecond(end time.Time) time.Time { return end.UTC().Add(-time.Second) }

// What a role may forward, as sshd calls it.
var forwardings = []struct{ option, sshd string }{
	{linux.ForwardPorts, "port-forwarding"}, {linux.ForwardAgent, "agent-forwarding"}, {linux.ForwardX11, "X11-forwarding"},
}

// String is the line without its newline. Forwardings stand in an order of their own, so
// that one set of options has one text.
func (l line) String() string {
	var b strings.Builder
	b.WriteString(lineStart + lastSecond(l.ends).Format(endForm) + lineBase)
	for _, f := range forwardings {
		if slices.Contains(l.opt.Forwarding, f.option) {
			b.WriteString("," + f.sshd)
		}
	}
	if len(l.opt.SourceAddress) > 0 {
		from := make([]string, len(l.opt.SourceAddress))
		for i, p := range l.opt.SourceAddress {
			from[i] = p.String()
		}
		b.WriteString(`,from="` + strings.Join(from, ",") + `"`)
	}
	if l.opt.ForceCommand != "" {
		b.WriteString(`,command="` + strings.ReplaceAll(l.opt.ForceCommand, `"`, `\"`) + `"`)
	}
	b.WriteString(" " + linux.Principal(l.tag))
	return b.String()
}

// parseLine reads what String wrote, and nothing else: a line that somebody changed is
// not understood, so that it is never taken for what was ordered.
func parseLine(text string) (l line, ok bool) {
	i := strings.LastIndexByte(text, ' ')
	if i < 0 {
		return line{}, false
	}
	if l.tag, ok = linux.PrincipalTag(text[i+1:]); !ok {
		return line{}, false
	}
	rest, ok := strings.CutPrefix(text[:i], lineStart)
	if !ok || len(rest) < len(endForm) {
		return line{}, false
	}
	var err error
	if l.ends, err = time.Parse(endForm, rest[:len(endForm)]); err != nil {
		return line{}, false
	}
	l.ends = l.ends.Add(time.Second)
	if rest, ok = strings.CutPrefix(rest[len(endForm):], lineBase); !ok {
		return line{}, false
	}
	for _, f := range forwardings {
		if after, has := strings.CutPrefix(rest, ","+f.sshd); has {
			l.opt.Forwarding, rest = append(l.opt.Forwarding, f.option), after
		}
	}
	if after, has := strings.CutPrefix(rest, `,from="`); has {
		list, left, closed := strings.Cut(after, `"`)
		if !closed {
			return line{}, false
		}
		for a := range strings.SplitSeq(list, ",") {
			p, err := netip.ParsePrefix(a)
			if err != nil {
				return line{}, false
			}
			l.opt.SourceAddress = append(l.opt.SourceAddress, p)
		}
		rest = left
	}
	if after, has := strings.CutPrefix(rest, `,command="`); has {
		quoted, closed := strings.CutSuffix(after, `"`)
		if !closed {
			return line{}, false
		}
		l.opt.ForceCommand, rest = strings.ReplaceAll(quoted, `\"`, `"`), ""
	}
	if rest != "" || l.String() != text {
		return line{}, false
	}
	return l, true
}

// markOf reads whose line it is from the principal alone. Whatever stands before it,
// a line that accepts an order's principal is that order's, and goes with it.
func markOf(text string) (access.Tag, bool) {
	text = strings.TrimRight(text, " \t\r")
	if strings.HasPrefix(strings.TrimLeft(text, " \t"), "#") {
		return "", false
	}
	return linux.PrincipalTag(text[strings.LastIndexAny(text, " \t")+1:])
}
