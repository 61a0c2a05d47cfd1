package sshgate

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/access"
	"stint/internal/gateway"
	"stint/internal/gateway/door"
)

// target is the leg to the target.
type target struct {
	ssh.Conn
	channels <-chan ssh.NewChannel
	requests <-chan *ssh.Request
}

// connect logs in to the target of a session, with a key and a certificate that are
// made for it and are forgotten with it.
func (s *Server) connect(ctx context.Context, session *gateway.Session) (*target, error) {
	ctx, done := context.WithTimeout(ctx, dialWithin)
	defer done()
	trust := s.Trust()
	h, err := parseHosts(session.Target, trust)
	if err != nil {
		return nil, access.Fail(access.SetupFailed, "bad-target", "the target cannot be told from another").Wrap(err)
	}
	signer, err := credential(ctx, session)
	if err != nil {
		return nil, access.Fail(access.SetupFailed, "no-certificate", "the gateway got no certificate for the target").
			Try("try again; if it stays so, tell an administrator").Wrap(err)
	}
	raw, err := s.Dial(ctx, session.Target.Address)
	if err != nil {
		return nil, access.Fail(access.SetupFailed, "target-unreachable", "the target cannot be reached").
			Because(plain(session.Target.Address)).Try("check that it is up").Wrap(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Now()) })
	var wrong error
	conn, channels, requests, err := ssh.NewClientConn(door.Gather(raw), session.Target.Address, &ssh.ClientConfig{
		Config:            common(),
		User:              session.Target.Login,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyAlgorithms: h.algorithms(),
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			wrong = h.verify(key, time.Now())
			return wrong
		},
		ClientVersion: version,
	})
	switch {
	case wrong != nil:
		err = access.Fail(access.SetupFailed, "wrong-host-key", wrong.Error()).
			Try("somebody may stand between the gateway and the target: tell an administrator, who compares its host key").Wrap(err)
	case err != nil:
		err = access.Fail(access.SetupFailed, "target-refused", "the target did not let the gateway in").
			Because("as " + plain(session.Target.Login) + " at " + plain(session.Target.Address)).Wrap(err)
	case !stop():
		err = errors.Join(context.Cause(ctx), conn.Close())
	default:
		_ = raw.SetDeadline(time.Time{})
		return &target{conn, channels, requests}, nil
	}
	_ = raw.Close()
	return nil, err
}

// credential makes a key and has it certified. What comes back is read as if it came
// from a stranger: it is for this key, for a person, by name, and ends with the grant.
func credential(ctx context.Context, session *gateway.Session) (ssh.Signer, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	text, err := session.Sign(ctx, signer.PublicKey().Marshal())
	if err != nil {
		return nil, err
	}
	key, err := ssh.ParsePublicKey(text)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate: %w", err)
	}
	cert, is := key.(*ssh.Certificate)
	switch {
	case !is:
		return nil, errors.New("the control plane signed no certificate")
	case cert.CertType != ssh.UserCert || string(cert.Key.Marshal()) != string(signer.PublicKey().Marshal()):
		return nil, errors.New("the certificate is not for the key of this session")
	case len(cert.ValidPrincipals) == 0:
		return nil, errors.New("the certificate names no principal")
	case cert.ValidBefore > uint64(max(0, session.Permit.End.Unix())):
		return nil, errors.New("the certificate outlives the grant")
	}
	return ssh.NewCertSigner(cert, signer)
}
