package hsm

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"

	"stint/internal/access"
	"stint/internal/hsm/wire"
)

// Signer signs with one key of the token. It may be used from any goroutine.
type Signer struct {
	token  *Token
	key    wire.Key
	public crypto.PublicKey
}

// Signer takes a key as it was pinned; it asks nobody.
func (t *Token) Signer(k wire.Key) (*Signer, error) {
	if err := k.Check(); err != nil {
		return nil, err
	}
	public, err := k.PublicKey()
	return &Signer{t, k, public}, err
}

// Public is the pinned key.
func (s *Signer) Public() crypto.PublicKey { return s.public }

// Ready is why nothing can be signed now, as far as is known without asking.
func (s *Signer) Ready() error { return s.token.State() }

// Sign signs a message with Ed25519, or a SHA-256 with ECDSA. It waits for some seconds
// at most.
func (s *Signer) Sign(_ io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.sign(context.Background(), message, opts)
}

func (s *Signer) sign(ctx context.Context, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	hash := crypto.Hash(0)
	if opts != nil {
		hash = opts.HashFunc()
	}
	switch s.key.Algorithm {
	case wire.Ed25519:
		if hash != 0 {
			return nil, errors.New("an Ed25519 key signs messages, and no hashes of them")
		}
	case wire.P256:
		if hash != crypto.SHA256 || len(message) != sha256.Size {
			return nil, errors.New("a key of P-256 signs a SHA-256")
		}
	}
	answer, err := s.token.call(ctx, signWithin, wire.Sign, s.key.Marshal(), message)
	if err != nil {
		return nil, err
	}
	if len(answer) == 1 {
		if sig, ok := s.verified(message, answer[0]); ok {
			return sig, nil
		}
	}
	return nil, access.Fail(access.Unavailable, "token-wrong-signature", "the PKCS#11 token gave a wrong signature, which was not used").
		Because("it is not by the key that this installation pinned: another key has its place, or the token is not itself").
		Try("what is granted goes on and ends on time; an administrator finds out why before anything else: stint admin doctor").
		Wrap(fmt.Errorf("key %s", s.key.Label))
}

// verified gives the signature in the form of the standard library, if it is right.
func (s *Signer) verified(message, raw []byte) ([]byte, bool) {
	const size = 64
	if len(raw) != size {
		return nil, false
	}
	switch public := s.public.(type) {
	case ed25519.PublicKey:
		return raw, ed25519.Verify(public, message, raw)
	case *ecdsa.PublicKey:
		der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(raw[:size/2]), new(big.Int).SetBytes(raw[size/2:])})
		return der, err == nil && ecdsa.VerifyASN1(public, message, der)
	}
	return nil, false
}

// probe is no certificate, nor the beginning of one.
var probe = sha256.Sum256([]byte("stint-hsm: does this key sign?"))

// Try has something signed that nobody could use.
func (s *Signer) Try(ctx context.Context) error {
	opts := crypto.SignerOpts(crypto.Hash(0))
	if s.key.Algorithm == wire.P256 {
		opts = crypto.SHA256
	}
	_, err := s.sign(ctx, probe[:], opts)
	return err
}
