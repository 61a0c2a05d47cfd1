package linux

import (
	"cmp"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"stint/internal/access"
)

// What a session may forward.
const (
	ForwardPorts = "ports"
	ForwardAgent = "agent"
	ForwardX11   = "x11"
)

// How sessions reach a host, and what a gateway makes of them.
const (
	ThroughHost    = "direct"
	ThroughGateway = "gateway"
	RecordStrict   = "strict"
	TypedOmit      = "omit"
	PartitionKeep  = "keep"
	FilesNone      = "none"
	FilesRead      = "read"
	FilesWrite     = "write"

	byGateway = "through=" + ThroughGateway
)

// What becomes of a home.
const (
	HomeRemove  = "remove"
	HomeArchive = "archive"
)

// SudoRefuse keeps the commands of an elevation from sudo.
const SudoRefuse = "refuse"

const (
	defaultShell = "/bin/sh"
	defaultRunAs = "root"
)

const (
	shellPattern = `/[a-zA-Z0-9_/.-]{1,126}`

	// An address or a network; netip decides which of these texts are.
	addressPattern  = `[0-9a-fA-F.:]{2,39}(/[0-9]{1,3})?`
	patternPattern  = `[^\x00-\x1f\x7f,]{1,500}`
	patternForm     = "one line without commas"
	hostPortPattern = `(\*|[A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:.]{2,45}\]):(\*|[0-9]{1,5})`

	// In the options of a line sshd reads \" as a quote, so that a backslash before the
	// closing one would open the text again. At a # it cuts the line, quoted or not.
	commandPattern = `[^\x00-\x1f\x7f#]{0,999}[^\x00-\x1f\x7f#\\]`
)

var shellForm = regexp.MustCompile("^(?:" + shellPattern + ")$")

// Options are a role's settings, parsed.
type Options struct {
	SourceAddress []netip.Prefix // that the host looks at; sorted as given; empty: from anywhere
	ForceCommand  string         // empty: what the person wants
	Forwarding    []string       // of ForwardPorts, ForwardAgent, ForwardX11
	KeepSessions  bool           // of a membership
	Home          string         // HomeRemove or HomeArchive
	Shell         string
	RunAs         string // whom commands run as
	NoSudo        bool   // commands run by stint elevate alone, recorded
}

// ParseOptions reads the settings. Documents were checked against the schema; what gets
// here regardless is refused, with an *access.Error of kind Invalid.
func ParseOptions(m map[string]string) (Options, error) {
	o := Options{KeepSessions: m["sessions"] == "keep", Home: cmp.Or(m["home"], HomeRemove), Shell: cmp.Or(m["shell"], defaultShell), RunAs: cmp.Or(m["runAs"], defaultRunAs)}
	switch m["sudo"] {
	case "", "allow":
	case SudoRefuse:
		o.NoSudo = true
	default:
		return Options{}, bad("sudo", m["sudo"], "allow or "+SudoRefuse)
	}
	if o.Home != HomeRemove && o.Home != HomeArchive {
		return Options{}, bad("home", o.Home, HomeRemove+" or "+HomeArchive)
	}
	if !shellForm.MatchString(o.Shell) {
		return Options{}, bad("shell", o.Shell, "the path of a program")
	}
	if !ValidName(o.RunAs) {
		return Options{}, bad("runAs", o.RunAs, "the name of an account")
	}
	for _, text := range items(m["sourceAddress"]) {
		p, err := parseNetwork(text)
		if err != nil {
			return Options{}, err
		}
		o.SourceAddress = append(o.SourceAddress, p)
	}
	if m["through"] == ThroughGateway {
		o.SourceAddress = nil // where the person comes from the gateway sees, and not the host
	}
	for _, text := range items(m["forwarding"]) {
		if !slices.Contains([]string{ForwardPorts, ForwardAgent, ForwardX11}, text) {
			return Options{}, bad("forwarding", text, "a list of "+ForwardPorts+", "+ForwardAgent+", "+ForwardX11)
		}
		if !slices.Contains(o.Forwarding, text) {
			o.Forwarding = append(o.Forwarding, text)
		}
	}
	o.ForceCommand = m["forceCommand"]
	if !validCommand(o.ForceCommand) {
		return Options{}, bad("forceCommand", o.ForceCommand, "one line of at most 1000 bytes, without #, that does not end in a backslash")
	}
	return o, nil
}

// parseNetwork reads an address or a network whose host bits are zero: sshd refuses a
// line with others, and would with it refuse everybody.
func parseNetwork(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if a, e := netip.ParseAddr(text); e == nil && a.Zone() == "" { // a prefix would lose the zone
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	if err != nil || p != p.Masked() {
		return netip.Prefix{}, bad("sourceAddress", text, "a list of addresses, or of networks like 10.0.0.0/8 without bits behind the mask")
	}
	return p, nil
}

// validCommand reports whether a line of sshd's can carry the command as it is.
func validCommand(text string) bool {
	if len(text) > 1000 || strings.HasSuffix(text, `\`) {
		return false
	}
	return !strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f || c == '#' })
}

func items(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

func bad(name, text, want string) error {
	return access.Fail(access.Invalid, "bad-option", name+" is "+want).Because("it is " + strconv.Quote(text))
}
