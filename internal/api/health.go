package api

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"
)

// healthWithin bounds the question: the answer decorates another one.
const healthWithin = 2 * time.Second

// Ready asks the server whether it serves, and what weakens what it promises. The
// question is public: it carries neither token nor proof.
func (c *Client) Ready(ctx context.Context) (h Health, err error) {
	ctx, cancel := context.WithTimeout(ctx, healthWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Server.JoinPath("readyz").String(), nil)
	if err != nil {
		return h, err
	}
	req.Header.Set("User-Agent", c.UserAgent)
	resp, err := c.client().Do(req)
	if err != nil {
		return h, err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end, or given up
	err = json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&h)
	return h, err
}
