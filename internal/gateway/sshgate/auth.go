package sshgate

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/access"
	"stint/internal/gateway"
)

// attempt is one connection on its way to being signed in. Its callbacks decide by what
// they are given and by nothing else; what they find goes into the permissions that the
// library keeps for the one key that proved itself (CVE-2024-45337: a key that is merely
// offered gets here, too).
type attempt struct {
	*Server
	ctx    context.Context
	source netip.AddrPort
	// opened are the sessions that were opened, so that those come to an end which no
	// connection came of. Nobody is told by it who signed in.
	opened []*gateway.Session
	hinted bool // that a key alone opens nothing: clients offer several
}

// proof is what signing in came to.
type proof struct {
	session  *gateway.Session
	rules    gateway.Rules // of the permit, narrowed by the certificate
	forced   string        // the only command, where the certificate names one
	isForced bool
	from     Client
}

// proofKey is where the proof stands in the permissions.
type proofKey struct{}

func (a *attempt) config() *ssh.ServerConfig {
	c := &ssh.ServerConfig{
		Config:                    common(),
		PublicKeyAuthAlgorithms:   signatures,
		MaxAuthTries:              tries,
		ServerVersion:             version,
		PublicKeyCallback:         a.offered,
		VerifiedPublicKeyCallback: a.verified,
	}
	for _, k := range a.HostKeys {
		c.AddHostKey(k)
	}
	return c
}

// offered says whether a key would do, without asking anybody and without leaving
// anything behind: whoever offers it has shown nothing yet.
func (a *attempt) offered(m ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	if _, err := parseUser(m.User()); err != nil {
		return nil, banner(err)
	}
	p := &ssh.Permissions{}
	trust := a.Trust()
	cert, is := key.(*ssh.Certificate)
	if !is && !trust.PlainKeys {
		return nil, a.plainKey()
	}
	if !is {
		return p, trust.checkKey(key)
	}
	if err := trust.checkUser(cert, time.Now()); err != nil {
		return nil, banner(access.Fail(access.Denied, "bad-certificate", "the certificate is not taken").Because(err.Error()).
			Try("ask for a new one: stint ssh, or stint ssh-config for your own client"))
	}
	if s, ok := cert.CriticalOptions[sourceAddress]; ok {
		p.CriticalOptions = map[string]string{sourceAddress: s} // which the library checks
	}
	return p, nil
}

func (a *attempt) plainKey() error {
	err := access.Fail(access.Denied, "no-certificate", "a key alone opens nothing here").Try("connect with stint ssh, or write a configuration with stint ssh-config")
	if a.hinted {
		return err
	}
	a.hinted = true
	return banner(err)
}

// verified is called for the key that signed. Only now is the control plane asked.
func (a *attempt) verified(m ssh.ConnMetadata, key ssh.PublicKey, before *ssh.Permissions, _ string) (*ssh.Permissions, error) {
	w, err := parseUser(m.User())
	if err != nil {
		return nil, banner(err)
	}
	f := gateway.Facts{Protocol: "ssh", Key: key.Marshal(), Resource: w.Resource, Login: w.Login, Source: a.source}
	cert, _ := key.(*ssh.Certificate)
	if cert != nil {
		f.Key, f.Certificate = cert.Key.Marshal(), cert.Marshal()
	}
	s, err := a.Gateway.Open(a.ctx, f)
	if err != nil {
		a.Log.Info("no permit", "source", a.source, "wanted", w.String(), "key", ssh.FingerprintSHA256(key), "error", err)
		return nil, banner(err)
	}
	a.opened = append(a.opened, s)
	p := &proof{session: s, rules: narrow(s.Rules, cert), from: Client{Source: a.source, Version: plain(string(m.ClientVersion()))}}
	if cert != nil {
		if err := checkPrincipal(cert, s.Principal); err != nil {
			return nil, banner(access.Fail(access.Denied, "bad-certificate", err.Error()))
		}
		p.forced, p.isForced = cert.CriticalOptions[forceCommand]
	}
	return &ssh.Permissions{CriticalOptions: before.CriticalOptions, ExtraData: map[any]any{proofKey{}: p}}, nil
}

// proven is what the connection's own permissions say; nil where it is not signed in.
func (a *attempt) proven(c *ssh.ServerConn) *proof {
	if c == nil || c.Permissions == nil {
		return nil
	}
	p, _ := c.Permissions.ExtraData[proofKey{}].(*proof)
	return p
}

// giveBack ends the sessions that no connection came of.
func (a *attempt) giveBack(but *gateway.Session) {
	for _, s := range a.opened {
		if s != but {
			s.End(gateway.Refused, "nobody signed in")
			s.Closed()
		}
	}
}

// banner makes an error one that the person reads.
func banner(err error) error {
	return &ssh.BannerError{Err: err, Message: "stint: " + sentence(err) + "\r\n"}
}

// sentence says an error to a person: what, why and what next. Of an error that is not
// for people it says that there was one.
func sentence(err error) string {
	var e *access.Error
	var over *gateway.Ended
	switch {
	case errors.As(err, &over):
		return plain(over.Error())
	case !errors.As(err, &e) || e.Kind == access.Internal:
		return "the gateway could not find out whether you may; try again, and tell an administrator if it stays so"
	}
	var b bytes.Buffer
	b.WriteString(plain(e.Message))
	if e.Why != "" {
		b.WriteString(": " + plain(e.Why))
	}
	if e.Next != "" {
		b.WriteString("\r\nstint: hint: " + plain(e.Next))
	}
	return b.String()
}
