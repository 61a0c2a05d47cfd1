package access

import (
	"strconv"
	"strings"
	"time"
)

// CertificateKind is whom a certificate is for. Stored: only append.
type CertificateKind string

// The kinds of certificates.
const (
	UserCertificate CertificateKind = "user" // a person's, for one grant
	HostCertificate CertificateKind = "host" // a host's, by which clients know it
	// DatabaseKey is a key of a person's by which a gateway for databases knows them, for one
	// grant. It has no authority: what it opens stands in its row alone.
	DatabaseKey CertificateKind = "database"
	// WebKey is likewise one by which gateways for the web and for TCP know the programs of a
	// person.
	WebKey CertificateKind = "web"
	// WebTicket is what a browser that was signed in to is sent back to a gateway with, once:
	// for whoever has what the challenge, its fingerprint, is of.
	WebTicket CertificateKind = "ticket"
)

// Serial numbers a certificate, among all of an installation and for all times. It is
// random, 1 to 2^63-1: one that counted would begin again after a restore, and a list
// of what is revoked would then name certificates of somebody else.
type Serial int64

// NewSerial makes one of 8 random bytes; 0, which is none, becomes 1.
func NewSerial(random [8]byte) Serial {
	var n uint64
	for _, b := range random {
		n = n<<8 | uint64(b)
	}
	return max(1, Serial(n&(1<<63-1)))
}

func (s Serial) String() string { return strconv.FormatInt(int64(s), 10) }

// Certificate is what is kept of one that was made. It is no secret: it says who may
// be believed to hold which key, until when.
type Certificate struct {
	Serial      Serial
	Kind        CertificateKind
	Grant       GrantID      // of a user's
	Resource    ResourceName // of a host's
	Authority   string       // fingerprint of the key that signs
	Fingerprint string       // of the key that is certified
	KeyID       string
	Principals  []string
	NotBefore   time.Time
	NotAfter    time.Time
	IssuedAt    time.Time
	RevokedAt   time.Time // zero unless it was taken back by itself; a user's ends with its grant
}

// CertificateIssued says that a certificate is about to be signed: it is in the log
// before it leaves. CertificateRevoked says that one was taken back by itself.
const (
	CertificateIssued  EventType = "certificate.issued"
	CertificateRevoked EventType = "certificate.revoked"
)

// Entity is by what the log names it.
func (c Certificate) Entity() string { return "crt_" + c.Serial.String() }

// Issued is the event of its making, for the grant it is of, if any.
func (c Certificate) Issued(actor Actor, g *Grant) Event {
	kv := []string{"kind", string(c.Kind), "serial", c.Serial.String(), "authority", c.Authority, "fingerprint", c.Fingerprint, "key_id", c.KeyID,
		"principals", strings.Join(c.Principals, ","), "starts_at", stamp(c.NotBefore), "expires_at", stamp(c.NotAfter), "resource", string(c.Resource)}
	if g != nil {
		kv = append(kv, "grant", string(g.ID), "request", string(g.Request), "principal", string(g.Principal), "person", string(g.Person), "role", string(g.Role))
	}
	return Event{Type: CertificateIssued, At: c.IssuedAt, Entity: c.Entity(), Version: 1, Actor: actor, Facts: fact(kv...)}
}

// Revoke takes a certificate back before its end.
func (c Certificate) Revoke(actor Actor, why string, now time.Time) (Certificate, Event, error) {
	if !c.RevokedAt.IsZero() {
		return c, Event{}, Fail(Conflict, "already-revoked", "the certificate was taken back already")
	}
	c.RevokedAt = now
	return c, Event{Type: CertificateRevoked, At: now, Entity: c.Entity(), Version: 2, Actor: actor,
		Facts: fact("kind", string(c.Kind), "serial", c.Serial.String(), "resource", string(c.Resource), "why", why)}, nil
}

// CertificateQuery selects certificates, what ends first first. Zero fields do not select.
type CertificateQuery struct {
	Grant    GrantID
	Resource ResourceName
	// Valid leaves out those whose end has come.
	Valid bool
	Limit int // 1 to 10000; 0 means 1000
}
