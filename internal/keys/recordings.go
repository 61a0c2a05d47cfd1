package keys

import (
	"crypto/ecdh"
	"crypto/hpke"
	"fmt"
)

const recordingsPurpose = "recordings"

// NewRecordingsKey makes a key to which gateways seal the keys of recordings (X25519), sealed
// for the caller to store under that name, and its public half, which gateways get.
func (k *Keys) NewRecordingsKey(name string) (sealed, public []byte, err error) {
	key, err := hpke.DHKEM(ecdh.X25519()).GenerateKey()
	if err != nil {
		return nil, nil, fmt.Errorf("make the recordings key: %w", err)
	}
	private, err := key.Bytes()
	if err != nil {
		return nil, nil, fmt.Errorf("make the recordings key: %w", err)
	}
	defer clear(private)
	sealed, err = k.Seal(recordingsPurpose, name, private)
	return sealed, key.PublicKey().Bytes(), err
}

// ResealRecordingsKey is Reseal for what NewRecordingsKey made for the name.
func (k *Keys) ResealRecordingsKey(name string, sealed []byte) ([]byte, error) {
	return k.Reseal(recordingsPurpose, name, sealed)
}

// RecordingsKey opens what NewRecordingsKey made for the same name. Whoever has it reads
// every recording that was sealed to it: give it to recording.NewOpener, and nowhere else.
func (k *Keys) RecordingsKey(name string, sealed []byte) (hpke.PrivateKey, error) {
	private, err := k.Open(recordingsPurpose, name, sealed)
	if err != nil {
		return nil, fmt.Errorf("open the recordings key: %w", err)
	}
	defer clear(private)
	key, err := hpke.DHKEM(ecdh.X25519()).NewPrivateKey(private)
	if err != nil {
		return nil, ErrSealed // its error could tell of the key
	}
	return key, nil
}
