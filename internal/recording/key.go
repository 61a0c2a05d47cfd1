package recording

import (
	"crypto"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
)

// Recipient is the public half of the recordings key: what is sealed to it only the Opener
// reads.
type Recipient struct {
	public hpke.PublicKey
	id     [8]byte
}

// NewRecipient takes an X25519 public key, 32 bytes.
func NewRecipient(public []byte) (Recipient, error) {
	key, err := newKEM().NewPublicKey(public)
	if err != nil {
		return Recipient{}, &Error{Message: "the recordings key is not one", Why: "it must be an X25519 public key of 32 bytes",
			Next: "fetch it from the control plane again", Cause: err}
	}
	return Recipient{key, keyID(key)}, nil
}

// Bytes are the public key, 32 bytes.
func (r Recipient) Bytes() []byte { return r.public.Bytes() }

func keyID(key hpke.PublicKey) [8]byte {
	sum := sha256.Sum256(key.Bytes())
	return [8]byte(sum[:])
}

// Opener reads what was sealed to its public half.
type Opener struct {
	private hpke.PrivateKey
	id      [8]byte
}

// NewOpener takes the private key that opens. It must be of DHKEM(X25519, HKDF-SHA256).
func NewOpener(private hpke.PrivateKey) *Opener {
	return &Opener{private, keyID(private.PublicKey())}
}

// Recipient is who seals to this opener.
func (o *Opener) Recipient() Recipient { return Recipient{o.private.PublicKey(), o.id} }

// Format keeps every verb of fmt from printing the key.
func (o *Opener) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "recordings key %x", o.id) }

// errOtherKey says that none of the openers is the recipient.
var errOtherKey = errors.New("it was sealed to another recordings key than those that are here")

func openKey(h head, openers []*Opener) (cipher.AEAD, error) {
	for _, o := range openers {
		if o.id != h.recipient {
			continue
		}
		key, err := hpke.Open(o.private, hpke.HKDFSHA256(), hpke.AES256GCM(), h.info(), h.wrapped[:])
		if err != nil || len(key) != keySize {
			return nil, &Damage{What: "its key does not open"}
		}
		defer clear(key)
		return aeadOf(key), nil
	}
	return nil, &Error{Message: "the recording " + h.name + " cannot be read", Cause: errOtherKey,
		Next: "add the recordings key that was in force when it was made"}
}

// Sealer signs recordings. It is safe for concurrent use if its signer is.
type Sealer struct {
	signer crypto.Signer
	public ed25519.PublicKey
}

// NewSealer takes an Ed25519 key, which may be in hardware.
func NewSealer(signer crypto.Signer) (*Sealer, error) {
	public, ok := signer.Public().(ed25519.PublicKey)
	if !ok {
		return nil, &Error{Message: "recordings cannot be signed with this key", Why: fmt.Sprintf("it is a %T, and must be an Ed25519 key", signer.Public())}
	}
	return &Sealer{signer, public}, nil
}

// Public is the key that verifies.
func (s *Sealer) Public() ed25519.PublicKey { return s.public }

// Format keeps every verb of fmt from printing the key.
func (s *Sealer) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "recording sealer "+fmt.Sprintf("%x", []byte(s.public[:8])))
}

func (s *Sealer) sign(message []byte) ([]byte, error) {
	sig, err := s.signer.Sign(nil, message, crypto.Hash(0))
	if err == nil && len(sig) != ed25519.SignatureSize {
		err = errors.New("the signer gave something that is no Ed25519 signature")
	}
	return sig, err
}
