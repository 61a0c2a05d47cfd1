package keys

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"sync/atomic"
)

const keySize = 32

// keyID names a seal key without telling anything of it.
type keyID [8]byte

// sealKey is one seal key, and how its line in the file is written.
type sealKey struct {
	id      keyID
	secret  secret // keySize bytes
	by      string // the wrapper without which the line does not open; "" where the key is in it as it is
	wrapped []byte
}

func newSealKey() sealKey {
	var b [keySize]byte
	_, _ = rand.Read(b[:]) // never fails
	return sealKeyOf(b)
}

func sealKeyOf(secret [keySize]byte) sealKey {
	k := sealKey{secret: hide(secret[:])}
	copy(k.id[:], k.derive("stint-key-id-1", len(k.id)))
	return k
}

// derive makes a key that tells nothing of this one or of others derived from it.
func (k sealKey) derive(info string, size int) []byte {
	out, err := hkdf.Key(sha256.New, k.secret(), nil, info, size)
	if err != nil {
		panic(err) // only for sizes above 8160 bytes; ours are constants
	}
	return out
}

// Keys is the content of a seal key file: the current seal key, and older ones that
// only open. It may be used from any goroutine.
type Keys struct {
	path     string
	wrappers []Wrapper
	ring     atomic.Pointer[[]sealKey] // the current first; never empty, never changed in place
}

func newKeys(path string, ring []sealKey, wrappers []Wrapper) *Keys {
	k := &Keys{path: path, wrappers: wrappers}
	k.ring.Store(&ring)
	return k
}

func (k *Keys) current() sealKey { return (*k.ring.Load())[0] }

func (k *Keys) find(id keyID) (sealKey, bool) {
	for _, key := range *k.ring.Load() {
		if key.id == id {
			return key, true
		}
	}
	return sealKey{}, false
}

// Format covers every verb of fmt.
func (k *Keys) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "seal keys of "+k.path) }
