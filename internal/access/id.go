package access

import (
	"encoding/hex"
	"strings"

	"github.com/oklog/ulid/v2"
)

// Identities. Each kind of thing has its own type, so that one cannot be
// passed for another. The prefixed ones are a prefix and a ULID.
type (
	RequestID     string // req_…
	GrantID       string // grt_…
	EntitlementID string // ent_…
	ResourceName  string
	RoleName      string
	PolicyName    string
	Group         string // without the "group:" prefix
	// Person is the human behind principals; separation of duties counts persons.
	Person string
	// PrincipalID is kind and name: "user:mira", "service:ci", "agent:fixer".
	PrincipalID string
	// DeviceID is the RFC 7638 thumbprint of a device's signing key, base64url.
	DeviceID string
	// Tag is the deterministic mark an artefact carries on its target; a MAC
	// over installation, target, epoch and entitlement, so that it cannot be planted.
	Tag string
)

// Entropy is the randomness of one identifier, passed in by the caller.
type Entropy [10]byte

func newULID(ms int64, e Entropy) string {
	var id ulid.ULID
	_ = id.SetTime(uint64(ms)) // fails after the year 10889
	_ = id.SetEntropy(e[:])
	return id.String()
}

// NewRequestID makes an identifier that sorts by time.
func NewRequestID(ms int64, e Entropy) RequestID { return RequestID("req_" + newULID(ms, e)) }

// NewGrantID makes an identifier that sorts by time.
func NewGrantID(ms int64, e Entropy) GrantID { return GrantID("grt_" + newULID(ms, e)) }

// NewEntitlementID makes an identifier that sorts by time.
func NewEntitlementID(ms int64, e Entropy) EntitlementID {
	return EntitlementID("ent_" + newULID(ms, e))
}

// PrincipalKind is the kind of a principal.
type PrincipalKind string

// The kinds of principal.
const (
	User    PrincipalKind = "user"
	Service PrincipalKind = "service"
	Agent   PrincipalKind = "agent"
)

// NewPrincipalID joins kind and name.
func NewPrincipalID(kind PrincipalKind, name string) PrincipalID {
	return PrincipalID(string(kind) + ":" + name)
}

// Kind is the part before the colon.
func (p PrincipalID) Kind() PrincipalKind {
	k, _, _ := strings.Cut(string(p), ":")
	return PrincipalKind(k)
}

// Name is the part after the colon.
func (p PrincipalID) Name() string {
	_, n, _ := strings.Cut(string(p), ":")
	return n
}

// Digest is a SHA-256 over a canonical encoding.
type Digest [32]byte

// String is the form users see: "sha256:" and hex.
func (d Digest) String() string { return "sha256:" + hex.EncodeToString(d[:]) }

// ParseDigest reads the form String writes.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	h, ok := strings.CutPrefix(s, "sha256:")
	if ok && len(h) == 64 && strings.ToLower(h) == h {
		if _, err := hex.Decode(d[:], []byte(h)); err == nil {
			return d, nil
		}
	}
	return Digest{}, Fail(Invalid, "bad-digest", "a digest is sha256: and 64 hex digits")
}

// ValidName reports whether s can name a person, group, resource, role, policy
// or credential: 1 to 63 of a-z, 0-9, '.', '_', '-', beginning with a letter or digit.
// One alphabet everywhere leaves no look-alikes to confuse an approver with.
func ValidName(s string) bool {
	if s == "" || len(s) > 63 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || c != '.' && c != '_' && c != '-') {
			return false
		}
	}
	return true
}
