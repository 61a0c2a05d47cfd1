package access

import (
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
	// SSHKeys are the public keys of its sshd, as its agent said last, Ed25519 first. They
	// are what the host is known by, to clients and to gateways.
	SSHKeys []HostKey
	// Ceiling is what its own roster lets be done there, as its agent said last; nil where
	// it has none.
	Ceiling *Ceiling
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
