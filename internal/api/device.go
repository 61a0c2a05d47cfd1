package api

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Device is the two keys of one installation of a client: one signs the proof
// of each call, one opens the credentials sealed to it. They never leave the
// machine. A Device is immutable and safe for concurrent use.
type Device struct {
	sign ed25519.PrivateKey
	seal hpke.PrivateKey
	jwk  JWK
	id   string
}

// NewDevice makes fresh keys.
func NewDevice() (*Device, error) {
	_, sign, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, fmt.Errorf("make the device's signing key: %w", err)
	}
	seal, err := hpke.DHKEM(ecdh.X25519()).GenerateKey()
	if err != nil {
		return nil, fmt.Errorf("make the device's seal key: %w", err)
	}
	return deviceOf(sign, seal), nil
}

func deviceOf(sign ed25519.PrivateKey, seal hpke.PrivateKey) *Device {
	public := sign.Public().(ed25519.PublicKey)
	return &Device{sign: sign, seal: seal, jwk: jwkOf(public), id: Thumbprint(public)}
}

// ID is the RFC 7638 thumbprint of the signing key. It is not secret.
func (d *Device) ID() string { return d.id }

// JWK is the public half of the signing key.
func (d *Device) JWK() JWK { return d.jwk }

// SealKey is the public half of the seal key, 32 bytes.
func (d *Device) SealKey() []byte { return d.seal.PublicKey().Bytes() }

// RecordingSigner signs seals of recordings with the device's key, and nothing else: what
// proves the device's calls cannot be made with it.
func (d *Device) RecordingSigner() crypto.Signer { return sealSigner{d} }

type sealSigner struct{ d *Device }

// sealWord is how what a seal of a recording signs begins; see package recording.
const sealWord = "stint recording seal 1\n"

func (s sealSigner) Public() crypto.PublicKey { return s.d.sign.Public() }

func (s sealSigner) Sign(_ io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts != nil && opts.HashFunc() != 0 || !bytes.HasPrefix(message, []byte(sealWord)) {
		return nil, errors.New("this signs seals of recordings only")
	}
	return ed25519.Sign(s.d.sign, message), nil
}

// Format keeps every verb of fmt from printing the key.
func (s sealSigner) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "recording signer of "+s.d.id)
}

// OpenSealed opens what was sealed to this device with the same info:
// encapsulated key, then ciphertext; DHKEM(X25519, HKDF-SHA256), HKDF-SHA256,
// AES-256-GCM, no associated data (RFC 9180).
func (d *Device) OpenSealed(info string, sealed []byte) ([]byte, error) {
	plain, err := hpke.Open(d.seal, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(info), sealed)
	if err != nil {
		return nil, &Error{Kind: Internal, Code: "cannot-open", Message: "what the server sent does not open on this device",
			Why: "it was sealed to another device, for another grant, or was changed on the way", cause: err}
	}
	return plain, nil
}

// OpenCredential opens the credential of a grant. Its end is what the server
// says now, since the grant may have become active, or been extended, after the
// credential was sealed.
func (d *Device) OpenCredential(c SealedCredential) (Credential, error) {
	plain, err := d.OpenSealed(CredentialInfo(c.Grant), c.Sealed)
	if err != nil {
		return Credential{}, err
	}
	defer clear(plain)
	var cred Credential
	if json.Unmarshal(plain, &cred) != nil { // its error could quote the secret
		return Credential{}, &Error{Kind: Internal, Code: "cannot-open", Message: "the credential of " + c.Grant + " is not readable"}
	}
	if !c.ExpiresAt.IsZero() {
		cred.ExpiresAt = c.ExpiresAt
	}
	return cred, nil
}

// SealedDigest names a sealed credential, for who asks whether there is a newer one.
func SealedDigest(sealed []byte) string {
	sum := sha256.Sum256(sealed)
	return hex.EncodeToString(sum[:])
}

// CredentialInfo binds a sealed credential to its grant: whoever seals and
// whoever opens must use the same text. It never changes: credentials that are
// sealed now are opened by clients of any age.
func CredentialInfo(grant string) string { return "stint credential " + grant }

// Format keeps every verb of fmt from printing the keys.
func (d *Device) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("device " + d.id)) }

// Thumbprint is the RFC 7638 thumbprint of an Ed25519 key, base64url: the
// SHA-256 of its JWK with the members sorted and no space (RFC 8037 section 2).
func Thumbprint(key ed25519.PublicKey) string {
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + encode(key) + `"}`))
	return encode(sum[:])
}

// Thumbprint is the device id that belongs to the key; an error where j is not
// an Ed25519 key.
func (j JWK) Thumbprint() (string, error) {
	key, err := j.key()
	if err != nil {
		return "", err
	}
	return Thumbprint(key), nil
}

func jwkOf(key ed25519.PublicKey) JWK { return JWK{Kty: "OKP", Crv: "Ed25519", X: encode(key)} }

func (j JWK) key() (ed25519.PublicKey, error) {
	x, err := decode(j.X)
	if j.Kty != "OKP" || j.Crv != "Ed25519" || err != nil || len(x) != ed25519.PublicKeySize {
		return nil, &Error{Kind: Invalid, Code: "bad-device-key", Message: "the device's key is not an Ed25519 public key"}
	}
	return x, nil
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
