package keys

import (
	"bytes"
	"crypto/hpke"
	"errors"
	"testing"
)

func TestRecordingsKey(t *testing.T) {
	k := newKeys("x", []sealKey{newSealKey()}, nil)
	sealed, public, err := k.NewRecordingsKey("recordings-1")
	if err != nil {
		t.Fatal(err)
	}
	key, err := k.RecordingsKey("recordings-1", sealed)
	if err != nil || !bytes.Equal(key.PublicKey().Bytes(), public) {
		t.Fatalf("another key comes back: %v", err)
	}
	box, err := SealTo(public, "info", []byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := hpke.Open(key, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte("info"), box); err != nil || string(got) != "key" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := k.RecordingsKey("recordings-2", sealed); !errors.Is(err, ErrSealed) {
		t.Errorf("under another name: %v", err)
	}
	if _, err := k.Open(checkpointPurpose, "recordings-1", sealed); !errors.Is(err, ErrSealed) {
		t.Errorf("for another purpose: %v", err)
	}
	short, err := k.Seal(recordingsPurpose, "recordings-1", []byte("short"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.RecordingsKey("recordings-1", short); !errors.Is(err, ErrSealed) {
		t.Errorf("no key: %v", err)
	}
}
