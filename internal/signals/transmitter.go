package signals

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"stint/internal/access"
)

// How a transmitter is asked.
const (
	keysFor     = 10 * time.Minute // keys are good for
	keysApart   = time.Minute      // an unknown key asks again
	answerBytes = 1 << 20
	askWithin   = 30 * time.Second
	pollMost    = 100 // tokens of one poll
)

// Keys are the public keys of transmitters, kept for a while. It is safe for
// concurrent use.
type Keys struct {
	HTTP *http.Client
	Now  func() time.Time

	mu    sync.Mutex
	known map[string]keySet // by URL
}

type keySet struct {
	keys  []jose.JSONWebKey
	asked time.Time
}

// At reads the key set at a URL. fresh asks for newer ones than are known, which is
// done once a minute at most: a stranger's tokens cause no more calls than that. While
// the transmitter does not answer, keys that are known stay good.
func (k *Keys) At(ctx context.Context, url string, fresh bool) ([]jose.JSONWebKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	have := k.known[url]
	age := k.Now().Sub(have.asked)
	if !have.asked.IsZero() && (age < keysApart || !fresh && age < keysFor) && (have.keys != nil || age < keysApart) {
		if have.keys == nil {
			return nil, access.Fail(access.Unavailable, "no-keys", "the transmitter's keys could not be read a moment ago")
		}
		return have.keys, nil
	}
	var set jose.JSONWebKeySet
	err := ask(ctx, k.HTTP, http.MethodGet, url, "", nil, &set)
	have.asked = k.Now()
	if err == nil {
		have.keys = set.Keys
	}
	if k.known == nil {
		k.known = map[string]keySet{}
	}
	k.known[url] = have
	if have.keys == nil {
		return nil, access.Fail(access.Unavailable, "no-keys", "the transmitter's keys cannot be read").Wrap(err)
	}
	return have.keys, nil
}

// Poll asks for tokens (RFC 8936 section 2.4): it acknowledges those that were
// understood, and says what was wrong with others.
func Poll(ctx context.Context, c *http.Client, url, bearer string, acks []string, errs map[string]*Problem) (tokens map[string]string, more bool, err error) {
	type fault struct {
		Code string `json:"err"`
		Text string `json:"description"`
	}
	in := struct {
		Most  int              `json:"maxEvents"`
		Now   bool             `json:"returnImmediately"`
		Acks  []string         `json:"ack,omitempty"`
		Fault map[string]fault `json:"setErrs,omitempty"`
	}{Most: pollMost, Now: true, Acks: acks, Fault: map[string]fault{}}
	for jti, p := range errs {
		in.Fault[jti] = fault{p.Code, p.Text}
	}
	body, err := json.Marshal(in)
	if err != nil {
		return nil, false, err
	}
	var out struct {
		Sets map[string]string `json:"sets"`
		More bool              `json:"moreAvailable"`
	}
	if err := ask(ctx, c, http.MethodPost, url, bearer, body, &out); err != nil {
		return nil, false, err
	}
	if len(out.Sets) > pollMost {
		return nil, false, access.Fail(access.Unavailable, "bad-transmitter", "the transmitter sends more tokens than it was asked for")
	}
	return out.Sets, out.More, nil
}

// ask makes one call and reads its JSON.
func ask(ctx context.Context, c *http.Client, method, url, bearer string, body []byte, into any) error {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return access.Fail(access.Invalid, "bad-address", "the transmitter's address cannot be called").Wrap(err)
	}
	r.Header.Set("Accept", "application/json")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	res, err := c.Do(r)
	if err != nil {
		return access.Fail(access.Unavailable, "no-transmitter", "the transmitter does not answer").Wrap(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, answerBytes+1))
	switch {
	case err != nil:
		return access.Fail(access.Unavailable, "no-transmitter", "the transmitter's answer broke off").Wrap(err)
	case res.StatusCode != http.StatusOK:
		return access.Fail(access.Unavailable, "bad-transmitter", fmt.Sprintf("the transmitter answers %d", res.StatusCode))
	case len(text) > answerBytes:
		return access.Fail(access.Unavailable, "bad-transmitter", "the transmitter's answer is too long")
	}
	if err := json.NewDecoder(strings.NewReader(string(text))).Decode(into); err != nil {
		return access.Fail(access.Unavailable, "bad-transmitter", "the transmitter's answer is not what it should be").Wrap(err)
	}
	return nil
}
