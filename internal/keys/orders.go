package keys

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"io"
)

const ordersPurpose = "orders"

// NewOrdersKey makes a key that signs what the agents of hosts are told to do by the
// installation of that name, sealed for the caller to store.
func (k *Keys) NewOrdersKey(installation string) ([]byte, error) {
	seed := make([]byte, ed25519.SeedSize)
	defer clear(seed)
	_, _ = rand.Read(seed) // never fails
	return k.Seal(ordersPurpose, installation, seed)
}

// OrdersSigner opens what NewOrdersKey made for the same installation.
func (k *Keys) OrdersSigner(installation string, sealed []byte) (*OrdersSigner, error) {
	seed, err := k.Open(ordersPurpose, installation, sealed)
	if err != nil {
		return nil, fmt.Errorf("open the orders key: %w", err)
	}
	defer clear(seed)
	if len(seed) != ed25519.SeedSize {
		return nil, ErrSealed
	}
	key := ed25519.NewKeyFromSeed(seed)
	return &OrdersSigner{installation: installation, public: key.Public().(ed25519.PublicKey), key: hide(key)}, nil
}

// ResealOrdersKey is Reseal for what NewOrdersKey made for the installation.
func (k *Keys) ResealOrdersKey(installation string, sealed []byte) ([]byte, error) {
	return k.Reseal(ordersPurpose, installation, sealed)
}

// OrdersSigner signs orders. It may be used from any goroutine.
type OrdersSigner struct {
	installation string
	public       ed25519.PublicKey
	key          secret // an ed25519.PrivateKey
}

// Sign signs a message; what kind of message, it says itself.
func (s *OrdersSigner) Sign(message []byte) []byte { return ed25519.Sign(s.key(), message) }

// Public is what agents pin.
func (s *OrdersSigner) Public() ed25519.PublicKey { return s.public }

// Format covers every verb of fmt.
func (s *OrdersSigner) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "orders signer of "+s.installation)
}
