package linux

import (
	"path"
	"regexp"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

// Type is the type of resource that stands for a host with stint-agent on it.
const Type = "linux"

// served are the mechanisms that are whole: the conformance suite passes for them.
var served = []access.Mechanism{access.Account, access.Member, access.Enable, access.Token, access.Elevate, access.Checkout}

// certified are those whose sessions open by a certificate, and can go through a gateway.
// Members of a group log in by other means, as does who was lent a password, and an
// elevation is no session.
var certified = []access.Mechanism{access.Token, access.Account, access.Enable}

// Schema says what documents may contain for a host.
func Schema() access.Schema {
	return access.Schema{
		Type:       Type,
		Mechanisms: served,
		Connection: map[string]access.Option{},
		// A certificate that somebody holds opens an enabled account for as long as the line
		// for it is there.
		Alone: []access.Mechanism{access.Enable},
		Rights: map[access.Mechanism]access.Option{
			access.Account: {Pattern: namePattern, Form: nameForm},
			access.Member:  {Pattern: namePattern, Form: nameForm},
			access.Elevate: {Pattern: rightPattern, Form: CommandForm},
		},
		NoCredential: true,
		Role: map[string]access.Option{
			"sourceAddress": {Doc: "where sessions may come from; without it, from anywhere", Many: true,
				Pattern: addressPattern, Form: "an address, or a network like 10.0.0.0/8"},
			"forceCommand": {Doc: "the one command that a session runs, whatever was asked for; without it, what the person wants",
				Pattern: commandPattern, Form: "one line, without #, that does not end in a backslash"},
			"sessions": {Doc: "what becomes of the account's processes that still act as a group when it leaves it",
				Values: []string{"end", "keep"}, Default: "end"},
			"home": {Doc: "what becomes of the home of an account that was made for a grant; archives are kept on the host, in /var/lib/stint-agent/homes",
				Values: []string{HomeRemove, HomeArchive}, Default: HomeRemove},
			"runAs": {Doc: "whom the commands of an elevation run as", Pattern: namePattern, Form: nameForm, Default: defaultRunAs},
			"sudo": {Doc: "whether an elevation's commands can be run by sudo, which nothing records, beside stint elevate, which records them",
				Values: []string{"allow", SudoRefuse}, Default: "allow"},
			"shell": {Doc: "the shell of an account that is made for a grant", Pattern: shellPattern, Form: "the path of a program, like /bin/bash",
				Default: defaultShell},
			"forwarding": {Doc: "what a session may forward; without it, nothing", Many: true,
				Values: []string{ForwardPorts, ForwardAgent, ForwardX11}},
			"through": {Doc: "how sessions reach the host: directly, by a certificate of the person's own, or through a gateway, which records them; without it, directly",
				For: certified, Values: []string{ThroughHost, ThroughGateway}},
			"record": {Doc: "how a gateway records: with strict, no byte passes before it is durable; without it, normal", Needs: byGateway,
				Values: []string{"normal", RecordStrict}},
			"typed": {Doc: "whether what is typed at a terminal is recorded beside what it shows; without it, it is", Needs: byGateway,
				Values: []string{"keep", TypedOmit}},
			"onPartition": {Doc: "what becomes of a session while its gateway is cut off from Stint; without it, it closes. Resources of high and critical criticality always close", Needs: byGateway,
				Values: []string{"close", PartitionKeep}},
			"files": {Doc: "file transfer by sftp and scp; without it, write", Needs: byGateway,
				Values: []string{FilesNone, FilesRead, FilesWrite}},
			"allowCommands": {Doc: "the only commands that may be sent; there are no shells then. A * stands for one plain word, ** for several", Needs: byGateway, Many: true,
				Pattern: patternPattern, Form: patternForm},
			"denyCommands": {Doc: "commands that are refused; in a shell they only set off an alarm. A * stands for anything", Needs: byGateway, Many: true,
				Pattern: patternPattern, Form: patternForm},
			"alarmCommands": {Doc: "commands, also in a shell as far as they are seen, that set off an alarm", Needs: byGateway, Many: true,
				Pattern: patternPattern, Form: patternForm},
			"forwardTo": {Doc: "where a session may forward ports to, with forwarding: ports; without it, anywhere", Needs: byGateway, Many: true,
				Pattern: hostPortPattern, Form: "host:port, with * for either"},
		},
	}
}

// Capabilities says what a host can and cannot do. Both ends give the same answer.
func Capabilities() connector.Capabilities {
	return connector.Capabilities{
		Mechanisms:   served,
		Sweepable:    true,
		NativeExpiry: true,
		SessionKill:  true,
		Certificates: true,
		Proofs:       true,
		MinTTL:       time.Second,
	}
}

// The form of a tag: a ULID, an underscore, a MAC, in lower case.
const (
	ulidLen = 26
	tagLen  = ulidLen + 1 + 16
)

// principalPrefix begins the principal of every certificate.
const principalPrefix = "stint-"

// Principal is the one principal of certificates for an order, and what the order's
// line on the host accepts.
func Principal(tag access.Tag) string { return principalPrefix + string(tag) }

// PrincipalTag reads the tag of a principal; ok is false for those of others.
func PrincipalTag(principal string) (tag access.Tag, ok bool) {
	rest, ok := strings.CutPrefix(principal, principalPrefix)
	return access.Tag(rest), ok && ValidTag(access.Tag(rest))
}

// ValidTag reports whether t has the form of a tag. Nothing in such a text needs to be
// quoted in a file name, a line of sshd's or sudo's, or the name of a cgroup.
func ValidTag(t access.Tag) bool {
	if len(t) != tagLen {
		return false
	}
	for i := range len(t) {
		if i == ulidLen {
			if t[i] != '_' {
				return false
			}
		} else if c := t[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// AccountPrefix begins the name of every account that is made for a grant.
const (
	AccountPrefix = "s-"
	slugLen       = 10
)

// AccountName is the name of the account that is made for one order, of a valid tag: at
// most 2 + 10 + 1 + 16 bytes. Both ends make it, so that neither need believe the other.
func AccountName(p access.Person, tag access.Tag) string {
	slug := []byte(strings.ToLower(string(p)))
	slug = slug[:min(len(slug), slugLen)]
	for i, c := range slug {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			slug[i] = '_'
		}
	}
	return AccountPrefix + string(slug) + "-" + string(tag[ulidLen+1:])
}

// rightPattern is ValidCommand for documents.
const (
	rightPattern = `/[A-Za-z0-9_./+-]*[A-Za-z0-9_+-]( [A-Za-z0-9_./+@%=-]+[A-Za-z0-9_./+@%=:-]*)*`
	CommandForm  = "the path of a program, and its exact arguments, each after one space, of letters, digits and _ . / + @ % = : -"
)

var right = regexp.MustCompile("^(?:" + rightPattern + ")$")

// ValidCommand reports whether a command can be lent: the clean path of a program with
// exact arguments. What sudo or a shell would take for more than itself (wildcards,
// quotes, lists, a folder for all that is in it) cannot.
func ValidCommand(text string) bool {
	program, _, _ := strings.Cut(text, " ")
	return len(text) <= 255 && right.MatchString(text) && path.Clean(program) == program && path.Base(program) != "sudoedit"
}

// namePattern is ValidName for documents.
const (
	namePattern = `[a-zA-Z_][a-zA-Z0-9_.-]{0,31}`
	nameForm    = "1 to 32 letters, digits, and the marks _ - . after the first"
)

// ValidName reports whether an account or group of this name can be acted on: the
// portable names, as useradd makes them. Other names exist (a directory's "DOM\user"),
// and are refused rather than quoted in five different files.
func ValidName(name string) bool {
	if name == "" || len(name) > 32 {
		return false
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_':
		case i > 0 && (c >= '0' && c <= '9' || c == '-' || c == '.'):
		default:
			return false
		}
	}
	return true
}
