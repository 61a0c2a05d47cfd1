package audit

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"stint/internal/access"
)

func TestCheckpoint(t *testing.T) {
	if Origin("test") != testOrigin {
		t.Errorf("got origin %q", Origin("test"))
	}
	signer, key := testKey(t, testOrigin, 1)
	for _, n := range []int64{0, 1, 2, 1000} {
		tree, _ := grown(n)
		want := tree.Checkpoint(testOrigin)
		signed, err := SignCheckpoint(want, signer)
		if err != nil {
			t.Fatal(err)
		}
		got, err := OpenCheckpoint(signed, key)
		if err != nil || got != want {
			t.Errorf("size %d: got %+v, %v, want %+v", n, got, err, want)
		}
		for i := range len(signed) * 8 {
			bad := append([]byte(nil), signed...)
			bad[i/8] ^= 1 << (i % 8)
			if c, err := OpenCheckpoint(bad, key); err == nil {
				t.Fatalf("bit %d flipped, and still opens as %+v", i, c)
			}
		}
		for i := range signed {
			if _, err := OpenCheckpoint(signed[:i], key); err == nil {
				t.Fatalf("opens when cut at %d", i)
			}
		}
	}
}

func TestOpenCheckpointRefuses(t *testing.T) {
	signer, key := testKey(t, testOrigin, 1)
	other, otherKey := testKey(t, testOrigin, 2)
	stranger, strangerKey := testKey(t, "stint/other", 1)
	tree, _ := grown(7)
	root := tree.Root().String()
	sign := func(text string, by ...note.Signer) string {
		signed, err := note.Sign(&note.Note{Text: text}, by...)
		if err != nil {
			t.Fatal(err)
		}
		return string(signed)
	}
	text := testOrigin + "\n7\n" + root + "\n"
	good := sign(text, signer)
	if _, err := OpenCheckpoint([]byte(good), key); err != nil {
		t.Fatal(err)
	}
	head, sigs, _ := strings.Cut(good, "\n\n")
	spare := strings.Replace(root, "=", "", 1) // 43 characters, two bits of the last are spare
	spare = spare[:42] + string(nextBase64(spare[42])) + "="
	for name, bad := range map[string]string{
		"nothing":              "",
		"another signer":       sign(text, other),
		"another log's signer": sign(text, stranger),
		"two signers":          sign(text, signer, other),
		"the same one twice":   head + "\n\n" + sigs + sigs,
		"another log":          sign("stint/other\n7\n"+root+"\n", signer),
		"an extension":         sign(text+"more\n", signer),
		"no root":              sign(testOrigin+"\n7\n", signer),
		"a leading zero":       sign(testOrigin+"\n07\n"+root+"\n", signer),
		"a sign":               sign(testOrigin+"\n+7\n"+root+"\n", signer),
		"a negative size":      sign(testOrigin+"\n-7\n"+root+"\n", signer),
		"spare bits":           sign(testOrigin+"\n7\n"+spare+"\n", signer),
		"a short root":         sign(testOrigin+"\n7\nAAAA\n", signer),
	} {
		if c, err := OpenCheckpoint([]byte(bad), key); !errors.Is(err, access.Invalid) {
			t.Errorf("%s: got %+v, %v", name, c, err)
		}
	}
	for name, bad := range map[string]string{
		"no key": " ", "junk": "junk", "another key": otherKey, "two logs": key + " " + strangerKey,
	} {
		if _, err := OpenCheckpoint([]byte(good), bad); !errors.Is(err, access.Invalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for _, both := range []string{key + "\n" + otherKey, otherKey + "\n" + key + "\n" + key} {
		if _, err := OpenCheckpoint([]byte(good), both); err != nil {
			t.Errorf("the key among several: %v", err)
		}
	}
}

func TestSignCheckpointRefuses(t *testing.T) {
	signer, _ := testKey(t, testOrigin, 1)
	tree, _ := grown(3)
	for name, c := range map[string]Checkpoint{
		"another log":     tree.Checkpoint("stint/other"),
		"a negative size": {Origin: testOrigin, Size: -1},
		"an empty root":   {Origin: testOrigin},
	} {
		if signed, err := SignCheckpoint(c, signer); !errors.Is(err, access.Internal) || signed != nil {
			t.Errorf("%s: got %q, %v", name, signed, err)
		}
	}
}

func FuzzOpenCheckpoint(f *testing.F) {
	signer, key := testKey(f, testOrigin, 1)
	tree, _ := grown(7)
	signed, err := SignCheckpoint(tree.Checkpoint(testOrigin), signer)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed)
	f.Fuzz(func(t *testing.T, in []byte) {
		// Only what was signed opens, and it was signed once.
		if c, err := OpenCheckpoint(in, key); err == nil && string(in) != string(signed) {
			t.Fatalf("%q opens as %+v", in, c)
		}
	})
}

// nextBase64 is the digit whose lowest bit differs.
func nextBase64(c byte) byte {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	return digits[strings.IndexByte(digits, c)^1]
}
