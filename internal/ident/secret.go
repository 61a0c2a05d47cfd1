package ident

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"stint/internal/access"
)

// The prefixes let a person, and a scanner for leaked secrets, see what a text
// is. They are part of what is hashed.
const (
	tokenPrefix = "stint_"
	codePrefix  = "stint-enroll-"

	providerPrefix = "stint-provider-"

	secretBytes = 32
)

// newSecret makes 256 random bits of text, and the hash that is stored.
func (i *Ident) newSecret(prefix string) (access.Secret, access.Digest, error) {
	var b [secretBytes]byte
	if _, err := i.rand.Read(b[:]); err != nil {
		return access.Secret{}, access.Digest{}, fmt.Errorf("read randomness: %w", err)
	}
	text := base64.RawURLEncoding.AppendEncode([]byte(prefix), b[:])
	clear(b[:])
	s := access.NewSecret(text)
	return s, digest(s), nil
}

func digest(s access.Secret) access.Digest { return sha256.Sum256(s.Reveal()) }
