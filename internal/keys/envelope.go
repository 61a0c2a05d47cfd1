package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
)

// A sealed value is
//
//	version 1 (1 byte) ‖ key id (8) ‖ nonce (12) ‖ ciphertext ‖ GCM tag (16)
//
// under AES-256-GCM with the key HKDF-SHA256(seal key, "stint-seal-1:" + purpose).
// The additional data are version, key id, and purpose and place, each after its
// length in 8 bytes. Nonces are random; under one key, which is per purpose, NIST
// SP 800-38D section 8.3 allows 2^32 of them: rotate long before that.
const (
	sealVersion = 1
	headSize    = 1 + len(keyID{})
	overhead    = headSize + 12 + 16
)

// Seal encrypts plaintext with the current seal key. It opens again only with the
// same purpose ("credential") and place (the table and the row that hold it).
func (k *Keys) Seal(purpose, place string, plaintext []byte) ([]byte, error) {
	if purpose == "" || place == "" {
		return nil, errNoBinding
	}
	key := k.current()
	head := append([]byte{sealVersion}, key.id[:]...)
	blob := append(make([]byte, 0, overhead+len(plaintext)), head...)
	return key.aead(purpose).Seal(blob, nil, plaintext, boundTo(head, purpose, place)), nil
}

// Open decrypts what Seal made, with whichever key of the file sealed it. The error
// is ErrSealed or ErrUnknownKey.
func (k *Keys) Open(purpose, place string, sealed []byte) ([]byte, error) {
	if len(sealed) < overhead || sealed[0] != sealVersion {
		return nil, ErrSealed
	}
	head, body := sealed[:headSize], sealed[headSize:]
	id := keyID(head[1:])
	key, ok := k.find(id)
	if !ok {
		return nil, fmt.Errorf("%w (key id %x)", ErrUnknownKey, id)
	}
	plaintext, err := key.aead(purpose).Open(nil, nil, body, boundTo(head, purpose, place))
	if err != nil {
		return nil, ErrSealed
	}
	return plaintext, nil
}

// Current reports whether the current key sealed a value; one that it did not seal
// is to be sealed again after Rotate.
func (k *Keys) Current(sealed []byte) bool {
	return len(sealed) >= overhead && sealed[0] == sealVersion && keyID(sealed[1:headSize]) == k.current().id
}

// aead puts a fresh random nonce before each ciphertext and reads it from there.
func (k sealKey) aead(purpose string) cipher.AEAD {
	block, err := aes.NewCipher(k.derive("stint-seal-1:"+purpose, 32))
	if err != nil {
		panic(err) // only for other key sizes
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // only for ciphers that are not AES
	}
	return aead
}

func boundTo(head []byte, purpose, place string) []byte {
	return appendFields(append([]byte(nil), head...), purpose, place)
}

// appendFields writes each field after its length, so that no two lists of fields
// give the same bytes.
func appendFields(b []byte, fields ...string) []byte {
	for _, f := range fields {
		b = binary.BigEndian.AppendUint64(b, uint64(len(f)))
		b = append(b, f...)
	}
	return b
}
