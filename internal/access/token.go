package access

import "time"

// IntegrationToken lets an outside service in that tells Stint of people. Only its hash
// is kept. It is no login: with it nobody calls the API.
type IntegrationToken struct {
	Token     Digest // SHA-256 of the opaque token
	Provider  string // the integration
	CreatedAt time.Time
	ExpiresAt time.Time // a newer token of the same integration brings it forward
	Revoked   bool
	Version   int64
}

// Good reports whether the token lets anybody in at now.
func (t IntegrationToken) Good(now time.Time) bool { return !t.Revoked && now.Before(t.ExpiresAt) }
