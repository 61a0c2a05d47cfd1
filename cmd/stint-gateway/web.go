package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"stint/internal/api"
	"stint/internal/gateway"
	"stint/internal/gateway/control"
	"stint/internal/gateway/httpgate"
	"stint/internal/gateway/tcpgate"
	"stint/internal/recording"
	"stint/internal/wholefile"
)

const (
	webFile        = "web.pem"
	assertionsFile = "assertions.pem"
	// lookAtFiles is how often the files of a certificate are looked at: who renews it leaves
	// a new one there.
	lookAtFiles = time.Minute
)

// shown is a certificate, and what of it the control plane is told.
type shown struct {
	cert *tls.Certificate
	pem  string
}

// webDoor is where this gateway takes browsers and HTTP clients.
type webDoor struct {
	ln     net.Listener // of browsers and HTTP clients; nil: none
	tcp    net.Listener // of whatever else speaks TCP; nil: none
	domain string
	key    ed25519.PrivateKey // signs who requests are
	now    atomic.Pointer[shown]

	renewed chan struct{} // of room for one: another certificate is shown than before

	files  [2]string // of a certificate and its key that somebody else keeps; empty: its own
	looked atomic.Int64
	log    *slog.Logger
}

var domainForm = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// openWeb opens the door for the web.
func (f flags) openWeb(log *slog.Logger) (*webDoor, error) {
	d := &webDoor{domain: strings.ToLower(strings.Trim(f.domain, ".")), renewed: make(chan struct{}, 1), log: log}
	if d.domain == "" || len(d.domain) > 200 || !domainForm.MatchString(d.domain) {
		return nil, unusable("no domain was said in which web applications have hosts", "it is "+f.domain, "add --http-domain apps.example, and have *.apps.example lead to this gateway; people have no other hosts in it")
	}
	if (f.cert == "") != (f.key == "") {
		return nil, unusable("a certificate needs its key, and a key its certificate", "one of --http-cert and --http-key is missing", "give both, or neither")
	}
	var err error
	if f.cert != "" {
		d.files = [2]string{f.cert, f.key}
		if err := d.load(); err != nil {
			return nil, unusable("the certificate for browsers cannot be used", err.Error(), "check --http-cert and --http-key: the certificate is for *."+d.domain+" and not over")
		}
	} else {
		s := &shown{}
		if s.cert, s.pem, err = f.ownCertificate(webFile, "browsers", "*."+d.domain, "any."+d.domain); err != nil {
			return nil, err
		}
		d.now.Store(s)
	}
	if d.key, err = f.assertionKey(); err != nil {
		return nil, err
	}
	if f.http != "" {
		if d.ln, err = net.Listen("tcp", f.http); err != nil {
			return nil, unusable("cannot listen on "+f.http, err.Error(), "stop what listens there, or choose another address with --http")
		}
	}
	if f.tcp != "" {
		if d.tcp, err = net.Listen("tcp", f.tcp); err != nil {
			d.close()
			return nil, unusable("cannot listen on "+f.tcp, err.Error(), "stop what listens there, or choose another address with --tcp")
		}
	}
	return d, nil
}

// load reads the certificate that somebody else keeps. Its errors quote nothing of the key.
func (d *webDoor) load() error {
	cert, err := os.ReadFile(d.files[0])
	if err != nil {
		return err
	}
	key, err := os.ReadFile(d.files[1])
	if err != nil {
		return err
	}
	defer clear(key)
	c, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return errors.New("they are not a certificate and its key")
	}
	if c.Leaf, err = x509.ParseCertificate(c.Certificate[0]); err != nil {
		return errors.New("the certificate cannot be read")
	}
	if err := c.Leaf.VerifyHostname("any." + d.domain); err != nil {
		return err
	}
	if time.Now().After(c.Leaf.NotAfter) {
		return errors.New("the certificate ended at " + c.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	now := &shown{&c, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}))}
	if before := d.now.Swap(now); before != nil && before.pem != now.pem {
		select {
		case d.renewed <- struct{}{}:
		default: // it is known already
		}
	}
	return nil
}

// shownNow is the certificate, which may have been renewed.
func (d *webDoor) shownNow() *shown {
	now, last := time.Now().UnixNano(), d.looked.Load()
	if d.files[0] != "" && now-last > int64(lookAtFiles) && d.looked.CompareAndSwap(last, now) {
		if err := d.load(); err != nil {
			d.log.Warn("the certificate for browsers was not read anew; the one before goes on", "error", err)
		}
	}
	return d.now.Load()
}

func (d *webDoor) shown(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return d.shownNow().cert, nil
}

func (d *webDoor) address() string {
	if d == nil || d.ln == nil {
		return ""
	}
	return d.ln.Addr().String()
}

func (d *webDoor) close() {
	for _, ln := range []net.Listener{d.ln, d.tcp} {
		if ln != nil {
			_ = ln.Close()
		}
	}
}

// tell is what of it the control plane is told.
func (d *webDoor) tell() (all []api.GatewayDoor) {
	if d.ln != nil {
		all = append(all, api.GatewayDoor{Protocol: "http", Port: portOf(d.ln), Certificate: d.shownNow().pem, Domain: d.domain})
	}
	if d.tcp != nil {
		all = append(all, api.GatewayDoor{Protocol: "tcp", Port: portOf(d.tcp), Certificate: d.shownNow().pem, Domain: d.domain})
	}
	return all
}

// carrier carries sessions of whatever else speaks TCP.
func (d *webDoor) carrier(g *gateway.Gateway, spool *recording.Spool, log *slog.Logger) (*tcpgate.Server, error) {
	return tcpgate.New(tcpgate.Config{Gateway: g, Recorder: tcpgate.Spooled(spool), Log: log, Certificate: d.shown, Resource: httpgate.Under(d.domain)})
}

// assertionKey is the key that signs who requests are, made the first time.
func (f flags) assertionKey() (ed25519.PrivateKey, error) {
	path := f.path(assertionsFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		defer clear(der)
		text = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
		if err := wholefile.Write(path, text); err != nil {
			return nil, unusable("the key that says who requests are cannot be written", err.Error(), "check --state, and who owns it")
		}
	} else if err != nil {
		return nil, unusable("the key that says who requests are cannot be read", err.Error(), "check --state, and who owns it")
	}
	defer clear(text)
	bad := unusable("the key that says who requests are is damaged", path, "remove it, and a new one is made")
	block, rest := pem.Decode(text)
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		return nil, bad
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if k, is := key.(ed25519.PrivateKey); err == nil && is {
		return k, nil
	}
	return nil, bad
}

// server carries sessions. A browser that is not known is sent to the pages of the control
// plane at plane.
func (d *webDoor) server(g *gateway.Gateway, p control.Plane, spool *recording.Spool, plane string, log *slog.Logger) (*httpgate.Server, error) {
	signIn, err := url.Parse(plane)
	if err != nil {
		return nil, err
	}
	return httpgate.New(httpgate.Config{Gateway: g, Logins: webLogins{p}, Recorder: httpgate.Spooled(spool), Log: log, Certificate: d.shown, Key: d.key, Resource: httpgate.Under(d.domain), Port: portOf(d.ln),
		SignIn: func(w httpgate.Wish) string {
			to := signIn.JoinPath("enter", string(w.Resource))
			to.RawQuery = url.Values{"back": {w.Back}, "state": {w.State}, "challenge": {w.Challenge}}.Encode()
			return to.String()
		}})
}

// webLogins asks the control plane.
type webLogins struct{ plane control.Plane }

// Login is what the gateway says to an application in a person's place.
func (w webLogins) Login(ctx context.Context, id gateway.SessionID) (httpgate.Login, error) {
	l, err := w.plane.WebLogin(ctx, id)
	if err != nil {
		return httpgate.Login{}, err
	}
	switch l.Kind {
	case "":
		return httpgate.Login{}, nil
	case "basic":
		return httpgate.Basic(l.User, l.Secret)
	case "bearer":
		return httpgate.Bearer(l.Secret)
	case "header":
		return httpgate.Header(l.Header, l.Secret)
	case "form":
		return byForm(l)
	case "certificate":
		c, err := tls.X509KeyPair([]byte(l.Secret), []byte(l.Secret))
		if err != nil { // which could quote it
			return httpgate.Login{}, unusable("the login of the session is no certificate and its key", "", "an administrator registers the credential anew, with both in one PEM file")
		}
		return httpgate.Certificate(c)
	}
	return httpgate.Login{}, unusable("this gateway does not know how to log in", "by "+l.Kind, "an administrator installs the version of the control plane")
}

// byForm is a login that is sent as a form.
func byForm(l control.WebLogin) (httpgate.Login, error) {
	if l.Form == nil {
		return httpgate.Login{}, unusable("the login of the session does not say how its form is sent", "", "an administrator installs the version of the control plane")
	}
	f := httpgate.Form{Path: l.Form.Path, Post: l.Form.Post, User: l.Form.User, Password: l.Form.Password, Token: l.Form.Token, Cookie: l.Form.Cookie, Shown: l.Form.Shown, Logout: l.Form.Logout}
	for _, text := range l.Form.Fields {
		name, value, is := strings.Cut(text, "=")
		if !is { // it is not quoted: it may be a value without its name
			return httpgate.Login{}, unusable("the login of the session cannot be sent", "one of loginFields has no =", "an administrator says each as NAME=VALUE in the resource's connection")
		}
		f.Fields = append(f.Fields, httpgate.Field{Name: name, Value: value})
	}
	return httpgate.ByForm(f, l.User, l.Secret)
}
