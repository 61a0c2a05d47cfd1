package access

import "time"

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
}

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
