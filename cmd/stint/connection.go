package main

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"stint/internal/api"
	"stint/internal/program"
)

// defaultServer is where stintd listens when it is told nothing.
const defaultServer = "http://127.0.0.1:7420"

// connection is the server, spoken to as whoever is signed in.
type connection struct {
	*api.Client
	name  string // scheme and host: the key of logins and pins
	keyAt string // where the device's keys belong that are in no file yet; empty once they are
	// leave ends the login of a workload; nil for all others, which go on.
	leave func(context.Context)
}

// keepDevice writes the device's keys down, before something is bound to them. Until
// then who only reads, and who is told to sign in, leaves no trace in STINT_HOME.
func (n *connection) keepDevice() error {
	if n.keyAt == "" {
		return nil
	}
	d, err := api.OpenDevice(n.keyAt) // another process may have made others meanwhile
	if err == nil {
		n.Device, n.keyAt = d, ""
	}
	return err
}

// LogKey asks as nobody, as before sign-in: the call is public, and a token has no
// place in its proof.
func (n *connection) LogKey(ctx context.Context) (api.LogKey, error) {
	return (&api.Client{Server: n.Server, Device: n.Device, UserAgent: n.UserAgent}).LogKey(ctx)
}

// dial makes the connection without a token, for sign-in and public calls.
// Nothing is sent yet.
func (c *cli) dial() (*connection, config, error) {
	var cfg config
	if err := c.load(configFile, &cfg); err != nil {
		return nil, cfg, err
	}
	address := c.server
	for _, or := range []string{c.env["STINT_SERVER"], cfg.Server, defaultServer} {
		if address == "" {
			address = or
		}
	}
	u, err := api.ParseServer(address)
	if err != nil {
		return nil, cfg, err
	}
	dir, err := c.home()
	if err != nil {
		return nil, cfg, err
	}
	conn := &connection{Client: &api.Client{Server: u, UserAgent: "stint/" + program.Version()}, name: u.Scheme + "://" + u.Host}
	path := filepath.Join(dir, deviceFile)
	if conn.Device, err = api.LoadDevice(path); errors.Is(err, fs.ErrNotExist) {
		conn.keyAt = path
		conn.Device, err = api.NewDevice()
	}
	if err != nil {
		return nil, cfg, err
	}
	return conn, cfg, nil
}

// connect makes the connection with the token of whoever is signed in, of the service
// that STINT_TOKEN names, or as the workload that this program is.
func (c *cli) connect() (*connection, error) {
	if c.started != nil {
		return c.started, nil
	}
	conn, cfg, err := c.dial()
	if err != nil {
		return nil, err
	}
	said, err := c.said()
	if err != nil {
		return nil, err
	}
	if said != nil {
		if err := c.become(conn, said); err != nil {
			return nil, err
		}
	} else if token := c.env["STINT_TOKEN"]; token != "" {
		if !strings.HasPrefix(token, tokenPrefix) {
			return nil, wrong("bad-token", "STINT_TOKEN does not hold the token of a service", "one begins with "+tokenPrefix+", and is shown once by stint admin service add",
				"set STINT_TOKEN to that, or unset it to act as yourself")
		}
		conn.Token, conn.Service = api.Secret(token), true
	} else if conn.Token = cfg.tokenFor(conn.name, c.now()); conn.Token != "" {
	} else if on := c.found(conn.name); on != nil {
		if err := c.become(conn, on); err != nil {
			return nil, err
		}
	} else {
		return nil, &api.Error{Kind: api.Unauthenticated, Code: "not-signed-in", Message: "not signed in to " + conn.name,
			Next: "sign in with stint login, or choose another server with STINT_SERVER"}
	}
	c.started = conn
	return conn, nil
}

// tokenPrefix is what every token of a service begins with (internal/ident).
const tokenPrefix = "stint_"

// parseFor reads a duration that a flag gave; empty stays empty.
func parseFor(flag, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	d, err := api.ParseDuration(text)
	if err != nil {
		if e, ok := err.(*api.Error); ok {
			named := *e
			named.Message = "--" + flag + ": " + e.Message
			return "", &named
		}
		return "", err
	}
	return api.FormatDuration(d), nil
}

// parseTimeout reads how long to wait; zero is for ever.
func parseTimeout(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	if _, err := parseFor("timeout", text); err != nil {
		return 0, err
	}
	return api.ParseDuration(text)
}

// readSecret reads a secret from a file, or from stdin for "-": arguments and
// the environment of a process are read by others too easily.
func (c *cli) readSecret(flag, path string) (api.Secret, error) {
	return c.readSecretOf(flag, path, 4096)
}

// readSecretOf is readSecret of so many bytes at most.
func (c *cli) readSecretOf(flag, path string, most int64) (api.Secret, error) {
	var text []byte
	var err error
	if path == "-" {
		text, err = readAtMost(c.in, most)
	} else {
		var f *os.File
		if f, err = os.Open(path); err == nil {
			text, err = readAtMost(f, most)
			f.Close()
		}
	}
	if err != nil {
		return "", wrong("unreadable-file", "--"+flag+": cannot read "+path, cause(err), "")
	}
	defer clear(text)
	end := len(text)
	for end > 0 && (text[end-1] == '\n' || text[end-1] == '\r') {
		end--
	}
	if end == 0 {
		return "", wrong("empty-file", "--"+flag+": "+path+" is empty", "what wrote it may have failed", "see that the file holds the secret and nothing else")
	}
	return api.Secret(text[:end]), nil
}

// grantList narrows a list of grants.
type grantList struct {
	mine            bool
	state, resource string // of one or more states, with commas between
}

// liveStates are those in which there is, or may be, access.
const liveStates = "scheduled,provisioning,active,ending"

// grants lists grants, newest first, each as the request it belongs to.
func (n *connection) grants(ctx context.Context, f grantList, l api.List) (api.Page[api.Request], error) {
	q := url.Values{}
	for name, value := range map[string]string{"state": f.state, "resource": f.resource, "cursor": l.Cursor} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if f.mine {
		q.Set("mine", "true")
	}
	var page api.Page[api.Request]
	err := n.Do(ctx, http.MethodGet, "/grants?"+q.Encode(), nil, &page)
	return page, err
}
