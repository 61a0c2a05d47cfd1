package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"stint/internal/api"
)

// A program on a platform that says what it is needs no secret of Stint's: it shows what
// the platform gave it, and is the service that the documents say. Where that comes from
// is looked for in this order; the first that is there is used.
//
//	--token-file, STINT_TOKEN_FILE     a file, read anew each time: Kubernetes, SPIFFE
//	STINT_ID_TOKEN                     a variable: GitLab's id_tokens
//	STINT_CLIENT_CERT                  a certificate, with its key in STINT_CLIENT_KEY
//	STINT_TOKEN                        a static token, which is no such thing
//	a sign-in on this device
//	ACTIONS_ID_TOKEN_REQUEST_URL       GitHub Actions with id-token: write

// platform fetches what shows what this program is.
type platform struct {
	name  string
	fetch func(ctx context.Context) (api.Secret, error) // nil: a certificate does
}

// said is the platform that the invocation names, or nil.
func (c *cli) said() (*platform, error) {
	file := c.tokenFile
	if file == "" {
		file = c.env["STINT_TOKEN_FILE"]
	}
	switch {
	case file != "":
		// A file that another program writes is read each time: what it held before has
		// been replaced by then.
		return &platform{"the token in " + file, func(context.Context) (api.Secret, error) { return readToken(file) }}, nil
	case c.env["STINT_ID_TOKEN"] != "":
		token := api.Secret(strings.TrimSpace(c.env["STINT_ID_TOKEN"]))
		return &platform{"the token in STINT_ID_TOKEN", func(context.Context) (api.Secret, error) { return token, nil }}, nil
	case c.env["STINT_CLIENT_CERT"] != "":
		return &platform{name: "the certificate in " + c.env["STINT_CLIENT_CERT"]}, nil
	}
	return nil, nil
}

// platformed reports whether this is a program on a platform: nobody is there to ask.
func (c *cli) platformed() bool {
	for _, name := range []string{"STINT_TOKEN_FILE", "STINT_ID_TOKEN", "STINT_CLIENT_CERT", "ACTIONS_ID_TOKEN_REQUEST_URL"} {
		if c.env[name] != "" {
			return true
		}
	}
	return c.tokenFile != ""
}

// found is the platform that this program runs on by its environment, or nil.
func (c *cli) found(server string) *platform {
	at, bearer := c.env["ACTIONS_ID_TOKEN_REQUEST_URL"], api.Secret(c.env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"])
	if at == "" || bearer == "" {
		return nil
	}
	audience := c.env["STINT_AUDIENCE"]
	if audience == "" {
		audience = server
	}
	return &platform{"GitHub Actions", func(ctx context.Context) (api.Secret, error) { return githubToken(ctx, at, bearer, audience) }}
}

const maxPlatformToken = 64 << 10

// readToken reads a token that a platform keeps in a file. Its mode is the platform's.
func readToken(path string) (api.Secret, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", wrong("unreadable-file", "--token-file: cannot read "+path, cause(err), "")
	}
	defer f.Close()
	text, err := readAtMost(f, maxPlatformToken)
	if err != nil {
		return "", wrong("unreadable-file", "--token-file: cannot read "+path, cause(err), "")
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsAny(token, " \t\r\n\"{}") {
		return "", wrong("no-token", "--token-file: there is no token in "+path, "it is empty, or holds more than one word", "name a file that holds the token alone")
	}
	return api.Secret(token), nil
}

// githubToken asks GitHub for an ID token of the job that runs: the job needs
// permissions: {id-token: write}.
func githubToken(ctx context.Context, at string, bearer api.Secret, audience string) (api.Secret, error) {
	fail := func(why string) error {
		return &api.Error{Kind: api.Unauthenticated, Code: "no-id-token", Message: "GitHub gives no ID token for this job", Why: why,
			Next: "give the job permissions: {id-token: write}"}
	}
	u, err := url.Parse(at)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && !localHost(u.Hostname()) {
		return "", fail("ACTIONS_ID_TOKEN_REQUEST_URL is no https address")
	}
	q := u.Query()
	q.Set("audience", audience)
	u.RawQuery = q.Encode()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }} // the bearer goes nowhere else
	for last := "it does not answer"; ; {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
		if err != nil {
			return "", fail("ACTIONS_ID_TOKEN_REQUEST_URL is no https address")
		}
		r.Header.Set("Authorization", "bearer "+bearer.Reveal())
		r.Header.Set("Accept", "application/json")
		res, err := client.Do(r)
		if err == nil {
			var said struct {
				Value api.Secret `json:"value"`
			}
			text, err := io.ReadAll(io.LimitReader(res.Body, maxPlatformToken))
			_ = res.Body.Close() // only read
			switch {
			case err == nil && res.StatusCode == http.StatusOK && json.Unmarshal(text, &said) == nil && said.Value != "":
				return said.Value, nil
			case res.StatusCode < 500 && res.StatusCode != http.StatusTooManyRequests:
				return "", fail("it answers " + res.Status)
			}
			last = "it answers " + res.Status
		}
		select {
		case <-ctx.Done():
			return "", fail(last)
		case <-time.After(time.Second):
		}
	}
}

func localHost(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}

// machine is a login that is exchanged for anew whenever it is about to end: a job may
// take longer than its platform's tokens are good for.
type machine struct {
	mu    sync.Mutex
	token api.Secret
	until time.Time
}

// margin is how long before its end a login is replaced.
const margin = 30 * time.Second

// become makes a connection that of the workload which this program is.
func (c *cli) become(conn *connection, p *platform) error {
	if p.fetch == nil {
		cert, err := c.clientCertificate()
		if err != nil {
			return err
		}
		conn.HTTP = api.WithCertificate(cert)
	}
	// The login is bound to this device's key. Where no file can be kept, it is one of
	// this process alone.
	if err := conn.keepDevice(); err != nil {
		conn.keyAt = ""
	}
	m := &machine{}
	conn.Service = true
	conn.Fresh = func(ctx context.Context) (api.Secret, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.token != "" && c.now().Before(m.until) {
			return m.token, nil
		}
		out := &api.Client{Server: conn.Server, Device: conn.Device, UserAgent: conn.UserAgent, HTTP: conn.HTTP, Patience: conn.Patience, Now: conn.Now}
		got, err := c.exchange(ctx, out, p)
		if err != nil {
			return "", err
		}
		lasts := time.Duration(got.ExpiresIn) * time.Second
		if m.token == "" {
			c.say("signed in as " + printable(got.Scope) + " with " + p.name)
		}
		m.token, m.until = got.Token, c.now().Add(lasts-min(margin, lasts/3))
		return m.token, nil
	}
	conn.leave = func(ctx context.Context) {
		m.mu.Lock()
		live := m.token != "" && c.now().Before(m.until)
		m.mu.Unlock()
		if live {
			_ = conn.Logout(ctx) // it ends by itself soon
		}
	}
	return nil
}

func (c *cli) exchange(ctx context.Context, conn *api.Client, p *platform) (api.Exchanged, error) {
	service := strings.TrimPrefix(c.env["STINT_SERVICE"], "service:")
	if p.fetch == nil {
		return conn.ExchangeCertificate(ctx, service)
	}
	token, err := p.fetch(ctx)
	if err != nil {
		return api.Exchanged{}, err
	}
	if strings.HasPrefix(token.Reveal(), tokenPrefix) {
		return api.Exchanged{}, wrong("static-token", "there is a static token of a service where one of the platform belongs", "it begins with "+tokenPrefix,
			"give static tokens in STINT_TOKEN")
	}
	return conn.Exchange(ctx, token, service)
}

func (c *cli) clientCertificate() (tls.Certificate, error) {
	file, key := c.env["STINT_CLIENT_CERT"], c.env["STINT_CLIENT_KEY"]
	if key == "" {
		return tls.Certificate{}, wrong("no-client-key", "STINT_CLIENT_CERT has no key", "STINT_CLIENT_KEY is not set", "name the file of its key there")
	}
	cert, err := tls.LoadX509KeyPair(file, key)
	if err != nil {
		var path *os.PathError
		why := "it is no PEM, or the key belongs to another certificate"
		if errors.As(err, &path) {
			why = path.Path + ": " + cause(err)
		}
		return cert, wrong("bad-client-certificate", "the client certificate cannot be used", why, "")
	}
	return cert, nil
}
