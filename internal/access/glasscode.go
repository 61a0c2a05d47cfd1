package access

import "time"

// GlassCode is a one-time code for break-glass access when sign-in is down. Some are
// made so that it takes several, of different persons, presented together.
type GlassCode struct {
	Code      Digest // SHA-256 of the code
	ID        string // code_…; not secret
	MadeWith  string // the id of the first code made in the same step
	Need      int    // how many of these it takes together; 1: any of them by itself
	Principal PrincipalID
	Resource  ResourceName // for this one alone; empty: for any
	CreatedAt time.Time
	ExpiresAt time.Time
	UsedAt    time.Time // zero until used
	RevokedAt time.Time // zero until revoked
}

// NewGlassCodeID makes an identifier that sorts by time.
func NewGlassCodeID(ms int64, e Entropy) string { return "code_" + newULID(ms, e) }

// Spent reports whether the code is of no use any more, whatever the time.
func (c GlassCode) Spent() bool { return !c.UsedAt.IsZero() || !c.RevokedAt.IsZero() }
