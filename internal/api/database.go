package api

import (
	"context"
	"net/http"
)

// DatabaseKey is what a key of a client of databases opens. A client shows the key in a certificate that it
// makes by itself, whose serial number is this one: it is how the key is found, and nobody
// has to sign it.
type DatabaseKey struct {
	Request     string          `json:"request"`
	Grant       string          `json:"grant"`
	Serial      string          `json:"serial" doc:"A number of up to 63 bits, in digits"`
	Fingerprint string          `json:"fingerprint" doc:"Of the key"`
	ValidBefore Time            `json:"valid_before"`
	ExpiresAt   Time            `json:"expires_at" doc:"The end of the grant"`
	Gateway     string          `json:"gateway" doc:"Host and port of a gateway"`
	Certificate string          `json:"certificate" doc:"By which the gateway is known there, PEM"`
	Logins      []DatabaseLogin `json:"logins" nullable:"false"`
}

// DatabaseLogin is a database that it opens sessions with: its resource is the user name
// that a client says to the gateway.
type DatabaseLogin struct {
	Resource string `json:"resource"`
	Database string `json:"database"`
}

// RegisterKey has a key of this device open sessions through a gateway, for one's own active
// grant.
func (c *Client) RegisterKey(ctx context.Context, id string, ask DoorKeyAsk) (DatabaseKey, error) {
	return get[DatabaseKey](ctx, c, call{method: http.MethodPost, path: []string{"grants", id, "database-key"}, in: ask})
}
