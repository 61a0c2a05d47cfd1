package vault

import (
	"bytes"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/access"
)

// Kind is what a secret is.
type Kind = access.SecretKind

// The kinds.
const (
	Password    = access.PasswordSecret
	Token       = access.TokenSecret
	Key         = access.KeySecret
	Certificate = access.CertificateSecret
)

func known(k Kind) bool { return k == Password || k == Token || k == Key || k == Certificate }

// leastRSA is how long the modulus of an RSA key is that is taken.
const leastRSA = 2048

// Given is a secret that somebody brought, as the vault keeps it, and when it ends by itself
// (zero: never). It refuses what cannot open an account that has secrets of this kind. No
// error repeats any of it.
func Given(k Kind, s access.Secret, now time.Time) (kept access.Secret, until time.Time, err error) {
	text := s.Reveal()
	if err := bounded(k, text); err != nil {
		return access.Secret{}, time.Time{}, err
	}
	switch k {
	case Certificate:
		return readCertificate(text, now)
	case Key:
		return s, time.Time{}, checkKey(text)
	}
	if bytes.ContainsAny(text, "\r\n") {
		return access.Secret{}, time.Time{}, badSecret(k, "it has more than one line")
	}
	if k == Token {
		s = access.NewSecret(append([]byte(access.GivenToken), text...))
	}
	return s, time.Time{}, nil
}

func badSecret(k Kind, why string) error {
	next := "the file holds the " + string(k) + " and at most one newline after it"
	switch k {
	case Certificate:
		next = "give one file with the certificate and its private key, both in PEM: cat client.crt client.key. Or give none: Stint makes them then"
	case Key:
		next = "give a private key in PEM, without a passphrase: ssh-keygen -t ed25519 makes one. Or give none: Stint makes it then"
	}
	return access.Fail(access.Invalid, "bad-secret", "that cannot be a "+string(k)).Because(why).Try(next)
}

// bounded refuses what is nothing, too much, or no text.
func bounded(k Kind, b []byte) error {
	switch {
	case len(b) == 0:
		return badSecret(k, "it is empty")
	case pemKept(k) && len(b) > MaxKey:
		return badSecret(k, "it is longer than 16384 bytes")
	case !pemKept(k) && len(b) > MaxSecret-len(access.GivenToken):
		return badSecret(k, "it is longer than 4090 bytes")
	case bytes.IndexByte(b, 0) >= 0:
		return badSecret(k, "it has a NUL byte")
	}
	return nil
}

// pemKept reports whether secrets of a kind are kept as PEM.
func pemKept(k Kind) bool { return k == Key || k == Certificate }

func checkKey(text []byte) error {
	bad := func(why string) error { return badSecret(Key, why) }
	if !bytes.HasPrefix(text, []byte("-----BEGIN ")) {
		return bad("it does not begin like PEM")
	}
	block, rest := pem.Decode(text)
	if block == nil {
		return bad("it is no PEM")
	}
	clear(block.Bytes)
	if len(bytes.TrimSpace(rest)) > 0 {
		return bad("there is more than one thing in it")
	}
	key, err := ssh.ParseRawPrivateKey(text)
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return bad("it is locked with a passphrase")
	case err != nil: // its words could quote the key
		return bad("it is no private key that can be read")
	}
	if r, ok := key.(*rsa.PrivateKey); ok && r.N.BitLen() < leastRSA {
		return bad("an RSA key has 2048 bits or more")
	}
	if _, err := ssh.NewSignerFromKey(key); err != nil {
		return bad("it is of a sort that signs nothing here; Ed25519, ECDSA and RSA do")
	}
	return nil
}
