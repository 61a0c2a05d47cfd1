package keys

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

const origin = "stint/orders"

func TestCheckpointSigner(t *testing.T) {
	k := ringOf(1)
	sealed, err := k.NewCheckpointKey(origin)
	if err != nil {
		t.Fatal(err)
	}
	signer, text, err := k.CheckpointSigner(origin, sealed)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := note.Sign(&note.Note{Text: origin + "\n7\nroot\n"}, signer)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(text)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := note.Open(msg, note.VerifierList(verifier)); err != nil || len(n.Sigs) != 1 || n.Sigs[0].Name != origin {
		t.Errorf("opened %+v, %v", n, err)
	}
	if _, err := note.Open(bytes.Replace(msg, []byte("\n7\n"), []byte("\n8\n"), 1), note.VerifierList(verifier)); err == nil {
		t.Error("a changed note verifies")
	}

	if _, again, err := k.CheckpointSigner(origin, sealed); err != nil || again != text {
		t.Errorf("opened again: %q, %v; want %q", again, err, text)
	}
	_, other, err := k.CheckpointSigner(origin, must(k.NewCheckpointKey(origin)))
	if err != nil || other == text {
		t.Errorf("a second key is %q, %v", other, err)
	}
	if _, _, err := k.CheckpointSigner("stint/other", sealed); !errors.Is(err, ErrSealed) {
		t.Errorf("for another log: %v", err)
	}
	if _, _, err := ringOf(2).CheckpointSigner(origin, sealed); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("with another seal key: %v", err)
	}
	if _, _, err := k.CheckpointSigner(origin, must(k.Seal(checkpointPurpose, origin, []byte("short")))); err == nil {
		t.Error("a key of 5 bytes signs")
	}
	if _, _, err := k.CheckpointSigner(origin, must(k.NewTagKey())); !errors.Is(err, ErrSealed) {
		t.Errorf("a tag key: %v", err)
	}
}

func TestCheckpointNames(t *testing.T) {
	for _, name := range []string{"", "two words", "a+b", "line\nbreak", "bad\xff"} {
		if _, err := ringOf(1).NewCheckpointKey(name); err == nil {
			t.Errorf("a log may have the name %q", name)
		}
	}
}

// Ours is the signer that the note package makes from the same key.
func TestCheckpointSignerIsTheStandardOne(t *testing.T) {
	seed := bytes.Repeat([]byte{5}, 32)
	k := ringOf(1)
	signer, text, err := k.CheckpointSigner(origin, must(k.Seal(checkpointPurpose, origin, seed)))
	if err != nil {
		t.Fatal(err)
	}
	hash := strings.Split(text, "+")[1]
	const ed25519Alg = 1
	standard, err := note.NewSigner("PRIVATE+KEY+" + origin + "+" + hash + "+" +
		base64.StdEncoding.EncodeToString(append([]byte{ed25519Alg}, seed...)))
	if err != nil {
		t.Fatal(err)
	}
	n := &note.Note{Text: "text\n"}
	if got, want := must(note.Sign(n, signer)), must(note.Sign(n, standard)); !bytes.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
