package passkey_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"testing"

	"stint/internal/passkey"
	"stint/internal/passkey/passkeytest"
)

// BenchmarkVerify is an assertion with everything that is asked of it.
func BenchmarkVerify(b *testing.B) {
	d := passkeytest.New(passkey.ES256, rpID, console)
	made, err := passkey.Register(d.Register(challenge), expect(challenge))
	if err != nil {
		b.Fatal(err)
	}
	a := d.Sign("", challenge)
	for b.Loop() {
		if _, err := passkey.Verify(a, made.Key, expect(challenge)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBare is the signature in it, by itself.
func BenchmarkBare(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	sum := sha256.Sum256(challenge)
	sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if !ecdsa.VerifyASN1(&key.PublicKey, sum[:], sig) {
			b.Fatal("it does not hold")
		}
	}
}
