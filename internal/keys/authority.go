package keys

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
)

const authorityPurpose = "certificate authority"

// NewAuthorityKey makes a key that signs certificates of the kind that name says,
// sealed for the caller to store, and gives its public half.
func (k *Keys) NewAuthorityKey(name string) (sealed []byte, public ed25519.PublicKey, err error) {
	seed := make([]byte, ed25519.SeedSize)
	defer clear(seed)
	_, _ = rand.Read(seed) // never fails
	if sealed, err = k.Seal(authorityPurpose, name, seed); err != nil {
		return nil, nil, err
	}
	key := ed25519.NewKeyFromSeed(seed)
	defer clear(key)
	return sealed, append(ed25519.PublicKey(nil), key.Public().(ed25519.PublicKey)...), nil
}

// AuthoritySigner opens what NewAuthorityKey made for the same name. What it gives is
// all that the makers of certificates know of a key, so that one which a hardware
// module keeps to itself (package hsm) takes its place where the store names one.
func (k *Keys) AuthoritySigner(name string, sealed []byte) (crypto.Signer, error) {
	seed, err := k.Open(authorityPurpose, name, sealed)
	if err != nil {
		return nil, fmt.Errorf("open the key of the %s authority: %w", name, err)
	}
	defer clear(seed)
	if len(seed) != ed25519.SeedSize {
		return nil, ErrSealed
	}
	key := ed25519.NewKeyFromSeed(seed)
	return &authoritySigner{name: name, public: key.Public().(ed25519.PublicKey), key: hide(key)}, nil
}

// referenceBegins is what a reference has before its text. With it, a reference is never as
// long as a key, so that neither can be taken for the other.
const referenceBegins = "stint-authority-elsewhere-1\n"

// SealAuthorityReference seals what names a key that something else holds, in the place of
// a key by NewAuthorityKey: nobody else can make it name another one.
func (k *Keys) SealAuthorityReference(name string, text []byte) ([]byte, error) {
	plain := append([]byte(referenceBegins), text...)
	if len(text) == 0 || len(plain) <= ed25519.SeedSize {
		return nil, errors.New("a reference to the key of an authority says too little")
	}
	return k.Seal(authorityPurpose, name, plain)
}

// AuthorityReference opens what SealAuthorityReference made for the same name; it is not
// ok of a key by NewAuthorityKey.
func (k *Keys) AuthorityReference(name string, sealed []byte) (text []byte, ok bool, err error) {
	plain, err := k.Open(authorityPurpose, name, sealed)
	if err != nil {
		return nil, false, fmt.Errorf("open the key of the %s authority: %w", name, err)
	}
	if len(plain) == ed25519.SeedSize {
		clear(plain)
		return nil, false, nil
	}
	text, ok = bytes.CutPrefix(plain, []byte(referenceBegins))
	if !ok {
		clear(plain)
		return nil, false, ErrSealed
	}
	return text, true, nil
}

// ResealAuthorityKey is Reseal for what NewAuthorityKey or SealAuthorityReference made for
// the name.
func (k *Keys) ResealAuthorityKey(name string, sealed []byte) ([]byte, error) {
	return k.Reseal(authorityPurpose, name, sealed)
}

// authoritySigner signs with Ed25519. It may be used from any goroutine.
type authoritySigner struct {
	name   string
	public ed25519.PublicKey
	key    secret // an ed25519.PrivateKey
}

func (s *authoritySigner) Public() crypto.PublicKey { return s.public }

// Sign signs a message, which is not hashed before.
func (s *authoritySigner) Sign(_ io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts != nil && opts.HashFunc() != 0 {
		return nil, errors.New("an authority signs messages, and no hashes of them")
	}
	return ed25519.Sign(s.key(), message), nil
}

// Format covers every verb of fmt.
func (s *authoritySigner) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "signer of the "+s.name+" authority")
}
