package postgres

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
)

// newPassword makes a password of 256 random bits: 43 bytes of base64url, which
// SASLprep leaves as they are.
func newPassword() []byte {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	p := make([]byte, base64.RawURLEncoding.EncodedLen(len(b)))
	base64.RawURLEncoding.Encode(p, b[:])
	return p
}

// newVerifier computes what the target stores in place of the password, with a
// fresh salt.
func newVerifier(password []byte, iterations int) string {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt)
	return verifier(password, salt, iterations)
}

// verifier is the text of PostgreSQL's pg_authid.rolpassword for SCRAM-SHA-256
// (RFC 5803, and RFC 5802 §3 for the keys).
func verifier(password, salt []byte, iterations int) string {
	// Key cannot fail: SHA-256 allows any length asked for here.
	salted, err := pbkdf2.Key(sha256.New, string(password), salt, iterations, sha256.Size)
	if err != nil {
		panic("pbkdf2: " + err.Error())
	}
	mac := func(msg string) []byte {
		h := hmac.New(sha256.New, salted)
		h.Write([]byte(msg))
		return h.Sum(nil)
	}
	stored := sha256.Sum256(mac("Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, b64(salt), b64(stored[:]), b64(mac("Server Key")))
}
