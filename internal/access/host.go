package access

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Host is a host whose agent carries out what is ordered for the resources on it, or
// one for which a code was given out. Its name is the address of those resources.
type Host struct {
	Name    string
	Version int64
	// Code is the digest of the code that is open, good until CodeUntil; zero when
	// there is none.
	Code      Digest
	CodeUntil time.Time
	// Agent is the thumbprint of the agent's key, and Key the key; empty before one
	// has enrolled, and once it was revoked.
	Agent      DeviceID
	Key        []byte
	Program    string // the agent's version
	EnrolledAt time.Time
	RevokedAt  time.Time
	SeenAt     time.Time // when it asked for calls last, about; kept beside the version
	// Address is where persons reach a gateway, host and port; of a gateway only.
	Address string
	// Carries are the protocols of the sessions that a gateway may carry, as an administrator
	// said; none: SSH alone.
	Carries []Protocol
	// Doors are where persons reach a gateway by other protocols than SSH, as it said last. One
	// that is closed stays, without a port, so that its certificate is known when it opens again.
	Doors []Door
	// SSHKeys are the public keys of its sshd, as its agent said last, Ed25519 first. They
	// are what the host is known by, to clients and to gateways.
	SSHKeys []HostKey
	// Ceiling is what its own roster lets be done there, as its agent said last; nil where
	// it has none.
	Ceiling *Ceiling
}

// Door is where a gateway takes connections of a protocol: a port of the host of its
// address, and by what it is known there.
type Door struct {
	Protocol    Protocol
	Port        uint16    // 0: it is closed
	Certificate string    // PEM: whoever connects is told it by the control plane
	Domain      string    // of the web: each resource has a host of its own in it
	Since       time.Time // when it told of this certificate first
}

// Door is a gateway's for a protocol: an open one, for what it may carry.
func (h Host) Door(p Protocol) (d Door, has bool) {
	for _, d := range h.Doors {
		if d.Protocol == p && d.Port != 0 && h.MayCarry(p) {
			return d, true
		}
	}
	return Door{}, false
}

// GatewayProtocols are those that gateways carry, in the order of their names.
var GatewayProtocols = []Protocol{HTTP, Postgres, SSH, TCP}

const sayProtocols = "say one or more of ssh, postgres, http, tcp"

// Carried reads which protocols a gateway is to carry, each once and in order.
func Carried(names []string) ([]Protocol, error) {
	var all []Protocol
	for _, n := range names {
		if !slices.Contains(GatewayProtocols, Protocol(n)) {
			return nil, Fail(Invalid, "bad-protocol", "gateways do not carry this protocol").Because("it is " + strconv.Quote(n)).Try(sayProtocols)
		}
		all = append(all, Protocol(n))
	}
	if len(all) == 0 {
		return nil, Fail(Invalid, "no-protocol", "nobody said what the gateway carries").Try(sayProtocols)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// MayCarry reports whether a gateway may carry sessions of a protocol. What is no gateway
// carries none.
func (h Host) MayCarry(p Protocol) bool {
	if _, is := h.Gateway(); !is {
		return false
	}
	if len(h.Carries) == 0 {
		return p == SSH
	}
	return slices.Contains(h.Carries, p)
}

// CarryOnly refuses a gateway a protocol that nobody said it carries.
func (h Host) CarryOnly(p Protocol) error {
	if h.MayCarry(p) {
		return nil
	}
	name, _ := h.Gateway()
	return Fail(Denied, "not-carried", "this gateway may not carry sessions of "+string(p)).Because("no administrator said that " + name + " does").
		Try("an administrator says all that it carries, as with: stint admin gateway carry " + name + " ssh postgres")
}

// HostEnd is when something that is lent on a host ends. Told is what the host was told
// when it was made: the latest end that could come of it.
type HostEnd struct {
	Tag       Tag
	Told, End time.Time
}

// EndedAlone is what the agent of a host took away by its own clock.
type EndedAlone struct {
	Tag         Tag
	Entitlement EntitlementID
	At          time.Time
}

// HostKey is a public key of a host's sshd, and the certificate that clients know it by.
type HostKey struct {
	Line        string // type and key, as files of OpenSSH have it
	Fingerprint string
	// Certificate is one line; empty before there is one, and the rest with it.
	Certificate string
	Authority   string // the fingerprint of the key that signed it
	Principals  []string
	NotAfter    time.Time
	Resource    ResourceName // that it is recorded for
}

// gatewayPrefix begins the names of gateways, which stand beside hosts because they
// enrol as hosts do. No address has a slash, so that none is a host's.
const gatewayPrefix = "gateway/"

// GatewayHost is the name under which a gateway stands beside hosts.
func GatewayHost(gateway string) string { return gatewayPrefix + gateway }

// Gateway is the name of the gateway that this is; is says whether it is one.
func (h Host) Gateway() (name string, is bool) { return strings.CutPrefix(h.Name, gatewayPrefix) }

// Enrolled reports whether an agent may act for the host.
func (h Host) Enrolled() bool { return h.Agent != "" }

// HostCall is a sealed call on its way between replicas.
type HostCall struct {
	ID    string
	Host  string
	Call  string
	Ends  bool // it takes access away
	DueAt time.Time
}
