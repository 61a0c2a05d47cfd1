package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/envelope"
	"stint/internal/gateway/control"
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
	voice  *control.Voice
	plain  ssh.Signer // the host key
	said   atomic.Pointer[believed]
	shown  atomic.Pointer[ssh.Certificate]
	signer atomic.Pointer[ssh.Signer]
}

// believed is what the control plane signed last.
type believed struct {
	users, hosts []ssh.PublicKey
	list         krl.List
	recordings   []byte // the key that recordings are sealed to
	at           time.Time
}

func newTrust(c *api.Client, v *control.Voice, host ssh.Signer) *trust {
	return &trust{client: c, voice: v, plain: host}
}

// ask asks the control plane what is to be trusted, and believes it in its voice alone.
func ask(ctx context.Context, c *api.Client, v *control.Voice) (s api.GatewaySettings, revoked []byte, err error) {
	ctx, done := context.WithTimeout(ctx, refreshEvery)
	defer done()
	nonce := envelope.NewID()
	got, err := c.TrustOfGateway(ctx, api.GatewayAsk{Nonce: nonce})
	if err != nil {
		return s, nil, err
	}
	v.Follow(got.Rolls)
	if err := v.Hear(got.Word, nonce, envelope.AboutTrust, &s); err != nil {
		return s, nil, err
	}
	if sum := sha256.Sum256(got.Revoked); !bytes.Equal(sum[:], s.Revoked) {
		return s, nil, access.Fail(access.Denied, "other-list", "the list of certificates that ended early is another one than was signed")
	}
	return s, got.Revoked, nil
}

// refresh asks for authorities, and for what was taken back.
func (t *trust) refresh(ctx context.Context) error {
	s, revoked, err := ask(ctx, t.client, t.voice)
	if err != nil {
		return err
	}
	b := believed{recordings: s.Recordings, at: time.Now()}
	if b.users, err = authorities(s.Users); err != nil {
		return err
	}
	if b.hosts, err = authorities(s.Hosts); err != nil {
		return err
	}
	if b.list, err = krl.Parse(revoked); err != nil {
		return err
	}
	if have := t.said.Load(); have != nil && b.list.Version < have.list.Version { // an old one does not bring anything back
		b.list = have.list
	}
	t.said.Store(&b)
	return nil
}

func authorities(said []api.SSHAuthority) (keys []ssh.PublicKey, err error) {
	for _, a := range said {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(a.PublicKey))
		if err != nil {
			return nil, fmt.Errorf("an authority cannot be read: %w", err)
		}
		if _, is := key.(*ssh.Certificate); is {
			return nil, errors.New("an authority is a certificate")
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no authority")
	}
	return keys, nil
}

// heardAt is when it was said; zero before it was.
func (t *trust) heardAt() time.Time {
	if b := t.said.Load(); b != nil {
		return b.at
	}
	return time.Time{}
}

// sealed is the key that recordings are sealed to; begin has heard it.
func (t *trust) sealed() []byte { return t.said.Load().recordings }

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
	by := cert.SignatureKey.Marshal()
	if !slices.ContainsFunc(t.said.Load().hosts, func(k ssh.PublicKey) bool { return bytes.Equal(k.Marshal(), by) }) {
		return errors.New("the host certificate is by no authority of this installation")
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
	b := t.said.Load()
	list := b.list
	return sshgate.Trust{UserAuthorities: b.users, Revoked: func(k ssh.PublicKey) bool {
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
