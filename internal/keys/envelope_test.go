package keys

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"pgregory.net/rapid"
)

func TestSealRoundTrip(t *testing.T) {
	k, stranger := ringOf(1, 2), ringOf(3)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(1, -1, 40)
		purpose, place := text.Draw(t, "purpose"), text.Draw(t, "place")
		plaintext := rapid.SliceOf(rapid.Byte()).Draw(t, "plaintext")
		sealed, err := k.Seal(purpose, place, plaintext)
		if err != nil {
			t.Fatal(err)
		}
		if len(sealed) != overhead+len(plaintext) {
			t.Errorf("%d bytes for %d", len(sealed), len(plaintext))
		}
		if got, err := k.Open(purpose, place, sealed); err != nil || !bytes.Equal(got, plaintext) {
			t.Errorf("opened %x, %v; want %x", got, err, plaintext)
		}
		// What an older key sealed opens too.
		if got, err := ringOf(9, 8, 1).Open(purpose, place, sealed); err != nil || !bytes.Equal(got, plaintext) {
			t.Errorf("as an older key: opened %x, %v; want %x", got, err, plaintext)
		}
		if again := must(k.Seal(purpose, place, plaintext)); bytes.Equal(sealed[headSize:], again[headSize:]) {
			t.Error("sealed twice to the same bytes")
		}

		if other := text.Draw(t, "other"); other != purpose {
			refuses(t, "another purpose", k, other, place, sealed)
		}
		if other := text.Draw(t, "elsewhere"); other != place {
			refuses(t, "another place", k, purpose, other, sealed)
		}
		if purpose != place {
			refuses(t, "purpose and place exchanged", k, place, purpose, sealed)
		}
		refuses(t, "no purpose", k, "", place, sealed)
		refuses(t, "no place", k, purpose, "", sealed)
		refuses(t, "a border moved", k, purpose+place[:1], place[1:], sealed)
		refuses(t, "cut off", k, purpose, place, sealed[:rapid.IntRange(0, len(sealed)-1).Draw(t, "length")])
		refuses(t, "longer", k, purpose, place, append(bytes.Clone(sealed), rapid.Byte().Draw(t, "more")))
		if _, err := stranger.Open(purpose, place, sealed); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("another installation: %v", err)
		}
	})
}

func refuses(t *rapid.T, what string, k *Keys, purpose, place string, sealed []byte) {
	t.Helper()
	if got, err := k.Open(purpose, place, sealed); !errors.Is(err, ErrSealed) || got != nil {
		t.Errorf("%s: opened %x, %v", what, got, err)
	}
}

func TestEveryBitCounts(t *testing.T) {
	k := ringOf(1, 2)
	sealed := must(k.Seal("credential", "credentials/orders", []byte("secret")))
	for i := range len(sealed) * 8 {
		bad := bytes.Clone(sealed)
		bad[i/8] ^= 1 << (i % 8)
		want := ErrSealed
		if i/8 > 0 && i/8 < headSize {
			want = ErrUnknownKey
		}
		if got, err := k.Open("credential", "credentials/orders", bad); !errors.Is(err, want) || got != nil {
			t.Errorf("bit %d flipped: opened %q, %v; want %v", i, got, err, want)
		}
	}
	// The other key's name on this key's value.
	swapped := bytes.Clone(sealed)
	id := (*k.ring.Load())[1].id
	copy(swapped[1:], id[:])
	if _, err := k.Open("credential", "credentials/orders", swapped); !errors.Is(err, ErrSealed) {
		t.Errorf("under another key's name: %v", err)
	}
}

func TestSealNeedsABinding(t *testing.T) {
	k := ringOf(1)
	for _, c := range [][2]string{{"", "x"}, {"p", ""}, {"", ""}} {
		if _, err := k.Seal(c[0], c[1], nil); err == nil {
			t.Errorf("sealed for %q", c)
		}
	}
}

// What is stored today opens in every later version.
func TestSealedGolden(t *testing.T) {
	var golden struct {
		Key, Purpose, Place, Plaintext string
		Sealed                         []byte
	}
	if err := json.Unmarshal(must(os.ReadFile("testdata/envelope.json")), &golden); err != nil {
		t.Fatal(err)
	}
	ring, err := parseText([]byte(golden.Key))
	if err != nil {
		t.Fatal(err)
	}
	got, err := newKeys("golden", ring, nil).Open(golden.Purpose, golden.Place, golden.Sealed)
	if err != nil || string(got) != golden.Plaintext {
		t.Errorf("opened %q, %v; want %q", got, err, golden.Plaintext)
	}
}

func FuzzOpen(f *testing.F) {
	k := ringOf(1)
	sealed := must(k.Seal("p", "x", []byte("text")))
	f.Add("p", "x", sealed)
	f.Add("p", "y", sealed)
	f.Add("", "", sealed[:overhead])
	f.Add("p", "x", []byte{})
	f.Fuzz(func(t *testing.T, purpose, place string, blob []byte) {
		got, err := k.Open(purpose, place, blob)
		if err != nil {
			if got != nil || (!errors.Is(err, ErrSealed) && !errors.Is(err, ErrUnknownKey)) {
				t.Errorf("%x and %v", got, err)
			}
			return
		}
		if purpose != "p" || place != "x" || string(got) != "text" {
			t.Errorf("forged: %q at %q opened to %q", purpose, place, got)
		}
	})
}
