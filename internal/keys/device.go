package keys

import (
	"crypto/ecdh"
	"crypto/hpke"
	"errors"
	"fmt"
)

// SealTo encrypts plaintext so that only the device with the private key of
// devicePublic (X25519, 32 bytes) opens it, and only with the same info, which says
// what it is for. We cannot open it ourselves.
//
// The result is the encapsulated key and the ciphertext, one after the other: HPKE
// (RFC 9180) in base mode, single-shot, without additional data, with the suite
// DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM.
func SealTo(devicePublic []byte, info string, plaintext []byte) ([]byte, error) {
	if info == "" {
		return nil, errors.New("seal to a device: an info is needed that says what for")
	}
	public, err := hpke.DHKEM(ecdh.X25519()).NewPublicKey(devicePublic)
	if err != nil {
		return nil, fmt.Errorf("seal to a device: its public key: %w", err)
	}
	sealed, err := hpke.Seal(public, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(info), plaintext)
	if err != nil {
		return nil, fmt.Errorf("seal to a device: %w", err)
	}
	return sealed, nil
}
