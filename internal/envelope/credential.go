package envelope

import (
	"crypto/ecdh"
	"crypto/hpke"
	"fmt"
	"io"

	"stint/internal/access"
)

// Recipient opens the credentials of answers. It is made anew by each process, and
// nothing is kept of it: an answer is of no use to a later one.
type Recipient struct{ key hpke.PrivateKey }

// NewRecipient makes a key.
func NewRecipient() (*Recipient, error) {
	key, err := hpke.DHKEM(ecdh.X25519()).GenerateKey()
	if err != nil {
		return nil, fmt.Errorf("make the key for credentials: %w", err)
	}
	return &Recipient{key}, nil
}

// Public is what goes into Call.SealTo.
func (r *Recipient) Public() []byte { return r.key.PublicKey().Bytes() }

// Format keeps every verb of fmt from printing the key.
func (r *Recipient) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "recipient of credentials") }

// SealCredential seals a credential to whoever made the call with this id; nothing
// of nothing.
func SealCredential(to []byte, id string, s access.Secret) ([]byte, error) {
	if s.Empty() {
		return nil, nil
	}
	public, err := hpke.DHKEM(ecdh.X25519()).NewPublicKey(to)
	if err != nil {
		return nil, malformed("it does not say whom to seal a credential to")
	}
	sealed, err := hpke.Seal(public, hpke.HKDFSHA256(), hpke.AES256GCM(), info(id), s.Reveal())
	if err != nil {
		return nil, fmt.Errorf("seal a credential: %w", err)
	}
	return sealed, nil
}

// Open opens what SealCredential made for the id.
func (r *Recipient) Open(id string, sealed []byte) (access.Secret, error) {
	if len(sealed) == 0 {
		return access.Secret{}, nil
	}
	plain, err := hpke.Open(r.key, hpke.HKDFSHA256(), hpke.AES256GCM(), info(id), sealed)
	if err != nil {
		return access.Secret{}, access.Fail(access.Denied, "cannot-open", "the credential does not open").Because("it was sealed for another call, or was changed on the way")
	}
	return access.NewSecret(plain), nil
}

func info(id string) []byte { return []byte("stint call credential " + id) }
