package keys

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/rand"
	"encoding/json"
	"os"
	"testing"

	"pgregory.net/rapid"
)

// openAs is what the device does; the client has its own, which opens the same
// golden file.
func openAs(device *ecdh.PrivateKey, info string, sealed []byte) ([]byte, error) {
	k, err := hpke.NewDHKEMPrivateKey(device)
	if err != nil {
		return nil, err
	}
	return hpke.Open(k, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(info), sealed)
}

func TestSealToRoundTrip(t *testing.T) {
	device := must(ecdh.X25519().GenerateKey(rand.Reader))
	other := must(ecdh.X25519().GenerateKey(rand.Reader))
	rapid.Check(t, func(t *rapid.T) {
		info := rapid.StringN(1, 60, -1).Draw(t, "info")
		plaintext := rapid.SliceOf(rapid.Byte()).Draw(t, "plaintext")
		sealed, err := SealTo(device.PublicKey().Bytes(), info, plaintext)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := openAs(device, info, sealed); err != nil || !bytes.Equal(got, plaintext) {
			t.Errorf("opened %x, %v; want %x", got, err, plaintext)
		}
		if got, err := openAs(device, info+"x", sealed); err == nil {
			t.Errorf("with another info: %x", got)
		}
		if got, err := openAs(other, info, sealed); err == nil {
			t.Errorf("by another device: %x", got)
		}
		bad := bytes.Clone(sealed)
		bit := rapid.IntRange(0, len(bad)*8-1).Draw(t, "bit")
		bad[bit/8] ^= 1 << (bit % 8)
		// X25519 ignores the top bit of a public key (RFC 7748 section 5), but HPKE
		// puts the key as it was sent into the secret.
		if got, err := openAs(device, info, bad); err == nil {
			t.Errorf("with bit %d flipped: %x", bit, got)
		}
		if again := must(SealTo(device.PublicKey().Bytes(), info, plaintext)); bytes.Equal(again, sealed) {
			t.Error("sealed twice to the same bytes")
		}
	})
}

func TestSealToGolden(t *testing.T) {
	var golden struct {
		Info, Plaintext         string
		Private, Public, Sealed []byte
	}
	if err := json.Unmarshal(must(os.ReadFile("testdata/sealed.json")), &golden); err != nil {
		t.Fatal(err)
	}
	device := must(ecdh.X25519().NewPrivateKey(golden.Private))
	if !bytes.Equal(device.PublicKey().Bytes(), golden.Public) {
		t.Error("the public key is another's")
	}
	if got, err := openAs(device, golden.Info, golden.Sealed); err != nil || string(got) != golden.Plaintext {
		t.Errorf("opened %q, %v", got, err)
	}
	sealed := must(SealTo(golden.Public, golden.Info, []byte(golden.Plaintext)))
	if got, err := openAs(device, golden.Info, sealed); err != nil || string(got) != golden.Plaintext {
		t.Errorf("sealed again: opened %q, %v", got, err)
	}
	if len(sealed) != len(golden.Sealed) {
		t.Errorf("%d bytes, want %d", len(sealed), len(golden.Sealed))
	}
}

func TestSealToRefuses(t *testing.T) {
	good := must(ecdh.X25519().GenerateKey(rand.Reader)).PublicKey().Bytes()
	one := make([]byte, 32)
	one[0] = 1
	for name, c := range map[string]struct {
		public []byte
		info   string
	}{
		"no key":         {nil, "i"},
		"short key":      {good[:31], "i"},
		"long key":       {append(bytes.Clone(good), 0), "i"},
		"the point zero": {make([]byte, 32), "i"}, // of low order: anybody knows the shared secret
		"the point one":  {one, "i"},
		"for no purpose": {good, ""},
		"a P-256 public": {must(ecdh.P256().GenerateKey(rand.Reader)).PublicKey().Bytes(), "i"},
	} {
		if sealed, err := SealTo(c.public, c.info, []byte("text")); err == nil {
			t.Errorf("%s: sealed to %x", name, sealed)
		}
	}
}
