package api

import (
	"context"
	"net/http"
)

// WebAccess is where the web applications of a grant are reached.
type WebAccess struct {
	Request     string       `json:"request"`
	Grant       string       `json:"grant"`
	ExpiresAt   Time         `json:"expires_at" doc:"The end of the grant"`
	Gateway     string       `json:"gateway" doc:"Host and port of a gateway"`
	Certificate string       `json:"certificate" doc:"By which the gateway is known there, PEM"`
	Addresses   []WebAddress `json:"addresses" nullable:"false"`
}

// WebAddress is the address of one of them, for browsers.
type WebAddress struct {
	Resource string `json:"resource"`
	URL      string `json:"url"`
}

// WebKey is what a key of a program opens. A client shows the key in a certificate that it
// makes by itself, whose serial number is this one.
type WebKey struct {
	WebAccess
	Serial      string `json:"serial" doc:"A number of up to 63 bits, in digits"`
	Fingerprint string `json:"fingerprint" doc:"Of the key"`
	ValidBefore Time   `json:"valid_before"`
}

// Web says where the web applications of one's own active grant are reached.
func (c *Client) Web(ctx context.Context, id string) (WebAccess, error) {
	return get[WebAccess](ctx, c, call{method: http.MethodGet, path: []string{"grants", id, "web"}})
}

// RegisterWebKey has a key of this device open sessions with web applications, for one's own
// active grant.
func (c *Client) RegisterWebKey(ctx context.Context, id string, ask DoorKeyAsk) (WebKey, error) {
	return get[WebKey](ctx, c, call{method: http.MethodPost, path: []string{"grants", id, "web-key"}, in: ask})
}

// RegisterTCPKey has a key of this device open sessions with ports, for one's own active grant.
func (c *Client) RegisterTCPKey(ctx context.Context, id string, ask DoorKeyAsk) (WebKey, error) {
	return get[WebKey](ctx, c, call{method: http.MethodPost, path: []string{"grants", id, "tcp-key"}, in: ask})
}
