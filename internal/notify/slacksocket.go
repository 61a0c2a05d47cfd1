package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"stint/internal/access"
)

// Socket mode: what is clicked and typed comes over a WebSocket that we open, so that Slack
// need not reach us. Each replica has one; Slack sends each envelope to one of them.

const (
	// socketSilent is how long a socket may say nothing; Slack pings far more often.
	socketSilent = 2 * time.Minute
	// socketAtOnce bounds what is carried out at a time for one socket.
	socketAtOnce = 8
)

// envelope is what comes over the socket.
type envelope struct {
	Type    string          `json:"type"` // hello, disconnect, interactive, slash_commands, events_api
	ID      string          `json:"envelope_id"`
	Payload json.RawMessage `json:"payload"`
}

// runSocket keeps a socket open until ctx is done.
func (s *Service) runSocket(ctx context.Context, i Integration) {
	ch, _, err := newSlack(s, i)
	if err != nil {
		return // the channel itself says so
	}
	c := ch.(*slack)
	defer c.opening.Wait()
	said := false
	for fails := 0; ctx.Err() == nil; {
		began := time.Now()
		err := c.converse(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > socketSilent || err == nil {
			fails, said = 0, false
		}
		if err != nil && !said {
			s.Log.Warn("the socket of a chat is not open; clicks and commands wait", "integration", i.Name, "error", cut(err.Error(), 300))
			said = true
		}
		pause(ctx, backoff(fails))
		fails++
	}
}

// converse opens a socket and answers what comes, until it ends. No error says that
// Slack asked us to come again.
func (c *slack) converse(ctx context.Context) error {
	u, err := c.socketURL(ctx)
	if err != nil {
		return err
	}
	sock, err := openSocket(ctx, c.service.Dial, c.service.TLS, u)
	if err != nil {
		return err
	}
	defer sock.close()
	defer context.AfterFunc(ctx, sock.close)()
	busy := make(chan struct{}, socketAtOnce)
	for {
		text, err := sock.read(socketSilent)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var e envelope
		if err := json.Unmarshal(text, &e); err != nil {
			return errors.New("the socket sent what is no envelope")
		}
		switch {
		case e.Type == "disconnect":
			return nil
		case e.ID == "" || len(e.ID) > 128:
			continue // hello, and what else needs no answer
		}
		select {
		case busy <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		c.opening.Go(func() { // a socket that ended keeps no next one waiting for them
			defer func() { <-busy }()
			c.open(ctx, sock, e)
		})
	}
}

// socketURL asks for the address of a socket. It must be Slack's, too: an answer sends us
// nowhere else.
func (c *slack) socketURL(ctx context.Context) (*url.URL, error) {
	login, err := c.service.secret(ctx, c.at, c.at.Options["socket"])
	if err != nil {
		return nil, err
	}
	h := http.Header{}
	h.Set("Authorization", "Bearer "+strings.TrimSpace(string(login.Secret.Reveal())))
	a, err := post(ctx, c.service.HTTP, c.base+"apps.connections.open", h, []byte("{}"))
	if err != nil {
		return nil, err
	}
	var got struct {
		OK    bool   `json:"ok"`
		Error string `json:"error"`
		URL   string `json:"url"`
	}
	if err := json.Unmarshal(a.body, &got); err != nil {
		return nil, errors.New("the answer of Slack is not JSON")
	}
	if !got.OK {
		return nil, &slackError{oneLine(got.Error, 60)}
	}
	u, err := url.Parse(got.URL)
	home, herr := url.Parse(c.at.Address)
	if err != nil || herr != nil || u.Scheme != "wss" || u.User != nil || u.Hostname() != home.Hostname() && !strings.HasSuffix(u.Hostname(), "."+home.Hostname()) {
		return nil, fmt.Errorf("the socket that Slack names is not of %s", c.at.Address)
	}
	return u, nil
}

// open carries out what is in an envelope. It is acknowledged in any case: one that is not
// comes again, and again.
func (c *slack) open(ctx context.Context, sock *socket, e envelope) {
	ctx, cancel := context.WithTimeout(ctx, clickWithin)
	defer cancel()
	answer := func(payload any) {
		b, err := encode(struct {
			ID      string `json:"envelope_id"`
			Payload any    `json:"payload,omitempty"`
		}{e.ID, payload})
		if err == nil {
			err = sock.write(opText, b)
		}
		if err != nil && ctx.Err() == nil {
			c.service.Log.Warn("a chat was not answered", "integration", c.at.Name, "error", cut(err.Error(), 300))
		}
	}
	fresh, err := c.service.People.Fresh(ctx, "slack "+c.at.Name+" "+e.ID, time.Now().Add(2*clickAge))
	if err != nil {
		return // it comes again
	}
	if !fresh {
		answer(nil)
		return
	}
	switch e.Type {
	case "interactive":
		answer(nil)
		var p slackPayload
		if json.Unmarshal(e.Payload, &p) == nil {
			c.carryOut(ctx, p)
		}
	case "slash_commands":
		var typed struct {
			Text string `json:"text"`
			Team string `json:"team_id"`
			User string `json:"user_id"`
			Name string `json:"user_name"`
		}
		if json.Unmarshal(e.Payload, &typed) != nil {
			answer(nil)
			return
		}
		var p slackPayload
		p.User.ID, p.User.Username, p.User.Team = typed.User, typed.Name, typed.Team
		within, done := context.WithTimeout(ctx, ackWithin)
		defer done()
		answer(orderAnswer(c.order(within, p, typed.Text)))
	default:
		answer(nil)
	}
}

// hasSocket reports whether an integration fetches clicks itself.
func (s *Service) hasSocket(i Integration) bool {
	return i.Type == Slack && i.Options["socket"] != "" && s.People != nil && access.ValidName(i.Name)
}
