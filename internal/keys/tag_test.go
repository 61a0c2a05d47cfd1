package keys

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const anID = "ent_01J8ZQ5T3M8W6Y2X4V9N7K1B5C"

func taggerOf(ns ...byte) *Tagger {
	k := ringOf(1)
	var blobs [][]byte
	for _, n := range ns {
		blobs = append(blobs, must(k.Seal(tagPurpose, tagPlace, bytes.Repeat([]byte{n}, keySize))))
	}
	return must(k.Tagger(blobs[0], blobs[1:]...))
}

var (
	drawID = rapid.Map(rapid.StringMatching("[0-7][0-9A-HJKMNP-TV-Z]{25}"), func(ulid string) string { return "ent_" + ulid })
	word   = rapid.StringN(0, 20, -1)
)

// A tag outlives the program that made it: it is on the targets.
func TestTagGolden(t *testing.T) {
	const want = "01j8zq5t3m8w6y2x4v9n7k1b5c_10mhrtwyk55393rj"
	if got := taggerOf(7).Tag("orders", "postgres://db1:5432", 3, anID); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTagRoundTrip(t *testing.T) {
	tagger, stranger := taggerOf(1), taggerOf(2)
	rapid.Check(t, func(t *rapid.T) {
		installation, target := word.Draw(t, "installation"), word.Draw(t, "target")
		epoch, id := rapid.Int64().Draw(t, "epoch"), drawID.Draw(t, "id")
		tag := tagger.Tag(installation, target, epoch, id)
		if len(tag) != tagSize || strings.Trim(tag, "0123456789abcdefghijklmnopqrstuvwxyz_") != "" {
			t.Errorf("the form of %q", tag)
		}
		if again := tagger.Tag(installation, target, epoch, id); again != tag {
			t.Errorf("made again: %q, want %q", again, tag)
		}
		if got, ok := tagger.Check(installation, target, epoch, tag); !ok || got != id {
			t.Errorf("read %q, %v; want %q", got, ok, id)
		}

		refuse := func(what string, by *Tagger, installation, target string, epoch int64, tag string) {
			if got, ok := by.Check(installation, target, epoch, tag); ok || got != "" {
				t.Errorf("%s: read %q, %v", what, got, ok)
			}
		}
		refuse("another key", stranger, installation, target, epoch, tag)
		refuse("another epoch", tagger, installation, target, epoch+rapid.Int64Min(1).Draw(t, "later"), tag)
		if other := word.Draw(t, "other"); other != installation {
			refuse("another installation", tagger, other, target, epoch, tag)
		}
		if other := word.Draw(t, "elsewhere"); other != target {
			refuse("another target", tagger, installation, other, epoch, tag)
		}
		if target != "" {
			refuse("a border moved", tagger, installation+target[:1], target[1:], epoch, tag)
		}
		if other := drawID.Draw(t, "other id"); other != id {
			otherTag := tagger.Tag(installation, target, epoch, other)
			refuse("another entitlement's MAC", tagger, installation, target, epoch, tag[:ulidSize]+otherTag[ulidSize:])
		}
		i := rapid.IntRange(0, len(tag)-1).Draw(t, "position")
		if c := rapid.Byte().Draw(t, "character"); c != tag[i] {
			refuse("a changed character", tagger, installation, target, epoch, tag[:i]+string([]byte{c})+tag[i+1:])
		}
		refuse("upper case", tagger, installation, target, epoch, strings.ToUpper(tag[:ulidSize])+tag[ulidSize:ulidSize+1]+"X"+tag[ulidSize+2:])
		refuse("cut off", tagger, installation, target, epoch, tag[:i])
		refuse("longer", tagger, installation, target, epoch, tag+"0")
	})
}

func TestTagOnlyOfEntitlements(t *testing.T) {
	for _, id := range []string{
		"", "ent_", "01J8ZQ5T3M8W6Y2X4V9N7K1B5C", "grt_01J8ZQ5T3M8W6Y2X4V9N7K1B5C",
		strings.ToLower(anID), anID + "0", anID[:len(anID)-1], " " + anID,
		"ent_81J8ZQ5T3M8W6Y2X4V9N7K1B5C", // above 128 bits
		"ent_01J8ZQ5T3M8W6Y2X4V9N7K1B5I", // not in the alphabet
		"ent_01J8ZQ5T3M8W6Y2X4V9N7K1B5'",
		"ent_01J8ZQ5T3M8W6Y2X4V9N7\u212a15C", // the Kelvin sign folds to k
	} {
		if tag := taggerOf(1).Tag("i", "t", 1, id); tag != "" {
			t.Errorf("%q has the tag %q", id, tag)
		}
	}
}

func TestEarlierTagKeysOnlyCheck(t *testing.T) {
	before, after := taggerOf(1), taggerOf(2, 1)
	tag := before.Tag("i", "t", 1, anID)
	if id, ok := after.Check("i", "t", 1, tag); !ok || id != anID {
		t.Errorf("a tag of the earlier key: %q, %v", id, ok)
	}
	if got, want := after.Tag("i", "t", 1, anID), taggerOf(2).Tag("i", "t", 1, anID); got != want || got == tag {
		t.Errorf("made with the earlier key: %q, want %q", got, want)
	}
}

func TestTagKey(t *testing.T) {
	k := ringOf(1)
	a, b := must(k.NewTagKey()), must(k.NewTagKey())
	if x, y := must(k.Tagger(a)), must(k.Tagger(b)); x.Tag("i", "t", 1, anID) == y.Tag("i", "t", 1, anID) {
		t.Error("two new keys are the same")
	}
	if x, y := must(k.Tagger(a)), must(k.Tagger(a)); x.Tag("i", "t", 1, anID) != y.Tag("i", "t", 1, anID) {
		t.Error("one key, opened twice, makes two tags")
	}
	for what, blob := range map[string][]byte{
		"nothing":          nil,
		"a checkpoint key": must(k.NewCheckpointKey("log")),
		"a short key":      must(k.Seal(tagPurpose, tagPlace, []byte("short"))),
	} {
		if _, err := k.Tagger(blob); !errors.Is(err, ErrSealed) {
			t.Errorf("%s as the key: %v", what, err)
		}
		if _, err := k.Tagger(a, blob); !errors.Is(err, ErrSealed) {
			t.Errorf("%s as an earlier key: %v", what, err)
		}
	}
}

func FuzzCheckTag(f *testing.F) {
	tagger := taggerOf(1)
	f.Add(tagger.Tag("i", "t", 1, anID))
	f.Add(strings.ToUpper(tagger.Tag("i", "t", 1, anID)))
	f.Add(strings.Repeat("0", tagSize))
	f.Add("")
	f.Fuzz(func(t *testing.T, tag string) {
		id, ok := tagger.Check("i", "t", 1, tag)
		if ok && tagger.Tag("i", "t", 1, id) != tag {
			t.Errorf("%q was read as %q, which has another tag", tag, id)
		}
		if !ok && id != "" {
			t.Errorf("%q is refused and read as %q", tag, id)
		}
	})
}
