package witness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"stint/internal/access"
	"stint/internal/audit"
)

// Client asks one witness, of ours or another that speaks C2SP tlog-witness.
type Client struct {
	URL     *url.URL // submission prefix
	Witness audit.Cosigner
	HTTP    *http.Client
	Now     func() time.Time // nil: the clock
}

// Conflict is the answer of a witness that has signed a checkpoint of another
// size, or another one of this size.
type Conflict struct{ Size int64 }

func (c *Conflict) Error() string {
	return fmt.Sprintf("the witness has signed a checkpoint of size %d last", c.Size)
}

// ErrFork is the answer of a witness to a log that does not continue the one that
// it signed.
var ErrFork = errors.New("the witness says that the log does not continue the one it signed")

// clockSlack is how far a witness's clock may be off. An older signature would be
// one that somebody has kept: it says nothing of what the witness knows now.
const clockSlack = 10 * time.Minute

// Add asks for a cosignature and gives its line, verified.
func (c *Client) Add(ctx context.Context, old int64, proof []tlog.Hash, signed []byte, cp audit.Checkpoint) (line string, at time.Time, err error) {
	status, kind, body, err := c.call(ctx, http.MethodPost, c.URL.JoinPath("add-checkpoint"), message{old, proof, string(signed)}.String())
	if err != nil {
		return "", at, err
	}
	switch status {
	case http.StatusOK:
	case http.StatusConflict:
		size, ok := decimal(strings.TrimSuffix(body, "\n"))
		if !ok || !strings.HasPrefix(kind, "text/x.tlog.size") {
			return "", at, c.strange("it said 409 without a size", nil)
		}
		return "", at, &Conflict{size}
	case http.StatusUnprocessableEntity:
		return "", at, ErrFork
	case http.StatusNotFound:
		return "", at, access.Fail(access.Invalid, "witness-unknown-log", "the witness "+c.URL.Host+" does not know this log").
			Try("let its operator add the log's public key: stint-witness serve --log FILE")
	case http.StatusForbidden:
		return "", at, access.Fail(access.Invalid, "witness-other-key", "the witness "+c.URL.Host+" knows another key of this log").
			Try("let its operator compare the key with that of stint, and replace it")
	default:
		return "", at, c.strange(fmt.Sprintf("it answered with status %d", status), nil)
	}
	now := time.Now
	if c.Now != nil {
		now = c.Now
	}
	for line := range strings.Lines(body) {
		if at, ok := c.Witness.Verify(cp, line); ok {
			if off := now().Sub(at).Abs(); off > clockSlack {
				return "", at, c.strange("its cosignature is of another time: "+at.Format(time.RFC3339), nil)
			}
			return line, at, nil
		}
	}
	return "", at, c.strange("its answer has no cosignature by the key that is configured", nil)
}

// Newest is the checkpoint that the witness signed last, if it shows that: only a
// witness of ours does. It counts only if the log's key signed it; what a witness
// claims without that is its word.
func (c *Client) Newest(ctx context.Context, origin, logKeys string) (audit.Checkpoint, error) {
	status, _, body, err := c.call(ctx, http.MethodGet, c.URL.JoinPath("logs", LogID(origin), "checkpoint"), "")
	if err != nil {
		return audit.Checkpoint{}, err
	}
	if status != http.StatusOK {
		return audit.Checkpoint{}, c.strange(fmt.Sprintf("it does not show its newest checkpoint: status %d", status), nil)
	}
	cp, seen, err := audit.OpenWitnessed([]byte(body), logKeys, []audit.Cosigner{c.Witness})
	if err != nil || len(seen) == 0 || cp.Origin != origin {
		return audit.Checkpoint{}, c.strange("what it shows is not a checkpoint of this log that it signed", err)
	}
	return cp, nil
}

func (c *Client) strange(why string, err error) *access.Error {
	e := access.Fail(access.Unavailable, "witness-unusable", "the witness "+c.URL.Host+" did not cosign").Because(why).Try("look at its log, and compare its key with the one configured")
	if err != nil {
		return e.Wrap(err)
	}
	return e
}

func (c *Client) call(ctx context.Context, method string, to *url.URL, body string) (status int, kind, text string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, to.String(), strings.NewReader(body))
	if err != nil {
		return 0, "", "", c.strange("its address cannot be called", err)
	}
	res, err := c.HTTP.Do(req)
	if err != nil {
		return 0, "", "", access.Fail(access.Unavailable, "witness-unreachable", "the witness "+c.URL.Host+" cannot be reached").Because(short(err)).Wrap(err)
	}
	defer func() { _ = res.Body.Close() }() // only read
	b, err := io.ReadAll(io.LimitReader(res.Body, maxRequest))
	if err != nil {
		return 0, "", "", access.Fail(access.Unavailable, "witness-unreachable", "the witness "+c.URL.Host+" broke off").Wrap(err)
	}
	return res.StatusCode, res.Header.Get("Content-Type"), string(b), nil
}

// short is why a call failed, without method and address.
func short(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err.Error()
	}
	return err.Error()
}
