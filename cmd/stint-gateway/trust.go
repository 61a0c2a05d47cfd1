package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/api"
	"stint/internal/gateway/sshgate"
	"stint/internal/sshcert/krl"
)

const (
	// refreshEvery is how soon a new authority counts here, and what was taken back.
	refreshEvery = 10 * time.Second
	// certifyEvery is how often the host certificate is renewed, which is good for a week.
	certifyEvery = 12 * time.Hour
	tryAgain     = 2 * time.Second
)

// trust is by whom this gateway knows persons and hosts, and by what they know it. What
// it heard last counts while the control plane is away: certificates end by themselves.
type trust struct {
	client *api.Client
	plain  ssh.Signer // the host key
	users  atomic.Pointer[[]ssh.PublicKey]
	list   atomic.Pointer[krl.List]
	shown  atomic.Pointer[ssh.Certificate]
	signer atomic.Pointer[ssh.Signer]
}

func newTrust(c *api.Client, host ssh.Signer) *trust { return &trust{client: c, plain: host} }

// refresh fetches authorities and the list of what was taken back.
func (t *trust) refresh(ctx context.Context) error {
	s, err := t.client.GatewaySettings(ctx)
	if err != nil {
		return err
	}
	var users []ssh.PublicKey
	for _, a := range s.Users {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(a.PublicKey))
		if err != nil {
			return fmt.Errorf("an authority cannot be read: %w", err)
		}
		if _, is := key.(*ssh.Certificate); is {
			return errors.New("an authority is a certificate")
		}
		users = append(users, key)
	}
	list, err := t.revoked(ctx)
	if err != nil {
		return err
	}
	if have := t.list.Load(); have == nil || list.Version >= have.Version { // an old one does not bring anything back
		t.list.Store(&list)
	}
	t.users.Store(&users)
	return nil
}

func (t *trust) revoked(ctx context.Context) (krl.List, error) {
	ctx, done := context.WithTimeout(ctx, refreshEvery)
	defer done()
	list, err := t.client.RevokedCertificates(ctx)
	if err != nil {
		return krl.List{}, err
	}
	return krl.Parse(list)
}

// certify has the host key certified.
func (t *trust) certify(ctx context.Context) error {
	got, err := t.client.CertifyGateway(ctx, api.KeyAsk{Key: t.plain.PublicKey().Marshal()})
	if err != nil {
		return err
	}
	public, err := ssh.ParsePublicKey(got.Certificate)
	if err != nil {
		return fmt.Errorf("the host certificate cannot be read: %w", err)
	}
	cert, is := public.(*ssh.Certificate)
	if !is || cert.CertType != ssh.HostCert || string(cert.Key.Marshal()) != string(t.plain.PublicKey().Marshal()) {
		return errors.New("the host certificate is not for this gateway's key")
	}
	signer, err := ssh.NewCertSigner(cert, t.plain)
	if err != nil {
		return fmt.Errorf("the host certificate cannot be used: %w", err)
	}
	t.signer.Store(&signer)
	t.shown.Store(cert)
	return nil
}

// begin does both until both have worked: without them nobody could connect.
func (t *trust) begin(ctx context.Context, log *slog.Logger) error {
	for {
		err := t.refresh(ctx)
		if err == nil {
			err = t.certify(ctx)
		}
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		var e *api.Error
		if errors.As(err, &e) && e.Kind == api.Unauthenticated && e.Code == "not-enrolled" {
			return err
		}
		log.Warn("the control plane does not say what is to be trusted; nobody is let in before", "error", err)
		wait(ctx, tryAgain)
	}
}

// keep does both again and again.
func (t *trust) keep(ctx context.Context, log *slog.Logger) {
	certified := time.Now()
	for {
		wait(ctx, refreshEvery)
		if ctx.Err() != nil {
			return
		}
		if err := t.refresh(ctx); err != nil && ctx.Err() == nil {
			log.Warn("what is trusted is not refreshed; tried again", "error", err)
			continue
		}
		if time.Since(certified) < certifyEvery {
			continue
		}
		if err := t.certify(ctx); err != nil && ctx.Err() == nil {
			log.Warn("the host certificate is not renewed; tried again", "error", err)
			continue
		}
		certified = time.Now()
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// now is what counts at this moment.
func (t *trust) now() sshgate.Trust {
	list := t.list.Load()
	return sshgate.Trust{UserAuthorities: *t.users.Load(), Revoked: func(k ssh.PublicKey) bool {
		if c, is := k.(*ssh.Certificate); is {
			return list.Revokes(c.SignatureKey.Marshal(), c.Key.Marshal(), c.Serial, c.KeyId)
		}
		return list.Revokes(nil, k.Marshal(), 0, "")
	}}
}

// The host key as the SSH server has it: with whatever certificate is the newest.

// PublicKey is the newest certificate.
func (t *trust) PublicKey() ssh.PublicKey { return t.shown.Load() }

// Sign signs with the host key.
func (t *trust) Sign(random io.Reader, data []byte) (*ssh.Signature, error) {
	return (*t.signer.Load()).Sign(random, data)
}

// SignWithAlgorithm signs with the host key.
func (t *trust) SignWithAlgorithm(random io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	s, ok := (*t.signer.Load()).(ssh.AlgorithmSigner)
	if !ok {
		return nil, errors.New("the host key cannot choose how it signs")
	}
	return s.SignWithAlgorithm(random, data, algorithm)
}

var _ ssh.AlgorithmSigner = (*trust)(nil)
