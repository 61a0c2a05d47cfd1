package keys

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/note"
)

const checkpointPurpose = "checkpoint"

// NewCheckpointKey makes a key that signs the checkpoints of the audit log of that
// name, sealed for the caller to store. The name is the log's origin.
func (k *Keys) NewCheckpointKey(name string) ([]byte, error) {
	seed := make([]byte, ed25519.SeedSize)
	defer clear(seed)
	_, _ = rand.Read(seed) // never fails
	if _, err := newCheckpointSigner(name, seed); err != nil {
		return nil, err // a name that could never sign
	}
	return k.Seal(checkpointPurpose, name, seed)
}

// CheckpointSigner opens what NewCheckpointKey made for the same name, and gives
// with the signer the text of its public key, for note.NewVerifier.
func (k *Keys) CheckpointSigner(name string, sealed []byte) (signer note.Signer, verifier string, err error) {
	seed, err := k.Open(checkpointPurpose, name, sealed)
	if err != nil {
		return nil, "", fmt.Errorf("open the checkpoint key: %w", err)
	}
	defer clear(seed)
	s, err := newCheckpointSigner(name, seed)
	if err != nil {
		return nil, "", err
	}
	return s, s.verifier, nil
}

// checkpointSigner is what note.NewSigner makes, without the key as a string on
// the way, which could not be wiped.
type checkpointSigner struct {
	name     string
	hash     uint32
	verifier string
	key      secret // an ed25519.PrivateKey
}

func newCheckpointSigner(name string, seed []byte) (*checkpointSigner, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, ErrSealed
	}
	key := ed25519.NewKeyFromSeed(seed)
	text, err := note.NewEd25519VerifierKey(name, key.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, fmt.Errorf("public key of the checkpoint signer: %w", err)
	}
	v, err := note.NewVerifier(text) // it also knows which names are allowed
	if err != nil {
		return nil, fmt.Errorf("a log cannot have the name %q: %w", name, err)
	}
	return &checkpointSigner{name: name, hash: v.KeyHash(), verifier: text, key: hide(key)}, nil
}

func (s *checkpointSigner) Name() string    { return s.name }
func (s *checkpointSigner) KeyHash() uint32 { return s.hash }

func (s *checkpointSigner) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.key(), msg), nil }

// Format covers every verb of fmt.
func (s *checkpointSigner) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "checkpoint signer "+s.name)
}
