package ticket

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"stint/internal/access"
)

// Site is one ticket system, as its integration and its credential say.
type Site struct {
	Name     string
	Type     string
	Address  string // without a slash at the end
	Options  map[string]string
	Username string
	Secret   access.Secret
}

// Bounds of one call. Jira sends the history along, of which 100 entries have some
// hundred kilobytes.
const (
	answerWithin = 5 * time.Second
	answerBytes  = 2 << 20
	textBytes    = 256 << 10 // of what can name a resource
)

// Look reads one ticket. The client's rules say what may be called.
func Look(ctx context.Context, c *http.Client, s Site, id string) (access.Ticket, error) {
	key, err := s.checkID(id)
	if err != nil {
		return access.Ticket{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	var t access.Ticket
	switch s.Type {
	case Jira:
		t, err = s.jira(ctx, c, key)
	case ServiceNow:
		t, err = s.serviceNow(ctx, c, key)
	case GitHub:
		t, err = s.gitHub(ctx, c, key)
	case GitLab:
		t, err = s.gitLab(ctx, c, key)
	default:
		t, err = s.plain(ctx, c, key)
	}
	if err != nil {
		return access.Ticket{}, err
	}
	if len(t.Text) > textBytes {
		t.Text = t.Text[:textBytes]
	}
	return t, nil
}

// get asks for one thing and reads the JSON of the answer.
func (s Site) get(ctx context.Context, c *http.Client, path string, query url.Values, sign func(*http.Request), into any) error {
	u := s.Address + path
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return s.failed("its address cannot be called", err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "stint")
	sign(req)
	own := *c
	own.Jar = nil
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := own.Do(req)
	if err != nil {
		return s.failed("it did not answer", withoutURL(err))
	}
	defer func() { _ = res.Body.Close() }()
	switch {
	case res.StatusCode == http.StatusUnauthorized, res.StatusCode == http.StatusForbidden, res.StatusCode == http.StatusNotFound, res.StatusCode == http.StatusGone:
		return s.unknown().Wrap(fmt.Errorf("%s answered %d", s.Name, res.StatusCode))
	case res.StatusCode >= 300 && res.StatusCode < 400: // as of an issue that was moved away
		return s.unreadable("it answered with a redirect, which is not followed")
	case res.StatusCode != http.StatusOK:
		return s.failed(fmt.Sprintf("it answered %d", res.StatusCode), nil)
	}
	if typ, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err != nil || typ != "application/json" {
		return s.failed("its answer is not application/json", nil)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, answerBytes+1))
	switch {
	case err != nil:
		return s.failed("its answer broke off", err)
	case len(body) > answerBytes:
		return s.unreadable(fmt.Sprintf("its answer is longer than %d bytes", answerBytes))
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if s.Type == HTTP {
		d.DisallowUnknownFields() // the format is ours
	}
	if err := d.Decode(into); err != nil {
		return s.strange()
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return s.strange()
	}
	return nil
}

// withoutURL takes the address out of an error: it is the same each time, and the
// path of it has the ticket in it, which is not for every log.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func (s Site) failed(why string, cause error) *access.Error {
	e := access.Fail(access.Unavailable, "no-ticket-system", "the ticket could not be read from "+s.Name).Because(why).
		Try("try again when " + s.Name + " answers")
	if cause != nil {
		e = e.Wrap(cause)
	}
	return e
}

// unreadable is for an answer that says nothing of its ticket, and nothing of others:
// whoever writes a ticket can bring it about.
func (s Site) unreadable(why string) *access.Error {
	e := s.failed(why, nil)
	e.Code = access.TicketUnreadable
	return e
}

// strange is for an answer that cannot be what was asked for.
func (s Site) strange() *access.Error {
	return s.unreadable("its answer is not about that ticket, or not understood")
}

func (s Site) bearer(req *http.Request) {
	switch {
	case s.Secret.Empty():
	case s.Username != "":
		req.SetBasicAuth(s.Username, string(s.Secret.Reveal()))
	default:
		req.Header.Set("Authorization", "Bearer "+string(s.Secret.Reveal()))
	}
}
