package linux

import (
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

// Type is the type of resource that stands for a host with stint-agent on it.
const Type = "linux"

// served are the mechanisms that are whole: the conformance suite passes for them.
var served = []access.Mechanism{access.Token}

// Schema says what documents may contain for a host.
func Schema() access.Schema {
	return access.Schema{
		Type:       Type,
		Mechanisms: served,
		Connection: map[string]access.Option{},
		Role: map[string]access.Option{
			"sourceAddress": {Doc: "where sessions may come from; without it, from anywhere", Many: true,
				Pattern: addressPattern, Form: "an address, or a network like 10.0.0.0/8"},
			"forceCommand": {Doc: "the one command that a session runs, whatever was asked for; without it, what the person wants",
				Pattern: commandPattern, Form: "one line that does not end in a backslash"},
			"forwarding": {Doc: "what a session may forward; without it, nothing", Many: true,
				Values: []string{ForwardPorts, ForwardAgent, ForwardX11}},
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
