package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// The example of C2SP tlog-cosignature fixes the lengths and the key id's place.
func TestCosignatureForm(t *testing.T) {
	const example = "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
	fields := strings.Fields(example)
	b, err := base64.StdEncoding.DecodeString(fields[2])
	if err != nil || len(b) != cosignatureSize {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	w, key := newWitness(t, "witness.example.com/w1", 1)
	line := w.Cosign(Checkpoint{Origin: "example.com/behind-the-sofa", Size: 20852163}, key, time.Unix(1679315147, 0))
	got := strings.Fields(line)
	if len(got) != 3 || len(got[2]) != len(fields[2]) || !strings.HasSuffix(line, "\n") {
		t.Errorf("a cosignature is %q", line)
	}
	mine, err := base64.StdEncoding.DecodeString(got[2])
	if err != nil || !bytes.Equal(mine[4:12], b[4:12]) {
		t.Errorf("the time is %x, the example's %x", mine[4:12], b[4:12])
	}
}

func newWitness(t *testing.T, name string, seed byte) (Cosigner, ed25519.PrivateKey) {
	t.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	w, err := NewCosigner(name, key.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return w, key
}

func TestCosignerText(t *testing.T) {
	w, _ := newWitness(t, "witness.example.org", 1)
	again, err := ParseCosigner(w.String() + "\n")
	if err != nil || again.String() != w.String() || again.Name != w.Name {
		t.Fatalf("%v, %v", again, err)
	}
	for _, bad := range []string{"", "a", "a+b", strings.Replace(w.String(), "witness", "otherss", 1), w.String() + "=", "x" + w.String(),
		strings.Replace(w.String(), "+", "+f", 1), w.String()[:len(w.String())-8]} {
		if _, err := ParseCosigner(bad); err == nil {
			t.Errorf("%q was taken for a key", bad)
		}
	}
}

// TestWitnessed: a cosignature counts for its witness and its checkpoint only, and
// one of a note's lines changed in any byte counts for nothing.
func TestWitnessed(t *testing.T) {
	private, public, err := note.GenerateKey(rand.Reader, Origin("test"))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	tree, _ := Tree{}.Append(Leaf([]byte("a")), Leaf([]byte("b")))
	cp := tree.Checkpoint(Origin("test"))
	signed, err := SignCheckpoint(cp, signer)
	if err != nil {
		t.Fatal(err)
	}
	a, keyA := newWitness(t, "a.example.org", 1)
	b, keyB := newWitness(t, "b.example.org", 2)
	stranger, keyS := newWitness(t, "a.example.org", 3) // the same name, another key
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	whole := string(signed) + a.Cosign(cp, keyA, at) + stranger.Cosign(cp, keyS, at) + b.Cosign(cp, keyB, at.Add(time.Minute)) + a.Cosign(cp, keyA, at)
	got, seen, err := OpenWitnessed([]byte(whole), public, []Cosigner{a, b})
	if err != nil || got != cp || len(seen) != 2 || seen[0] != (Cosignature{"a.example.org", at}) || seen[1].Witness != "b.example.org" {
		t.Fatalf("%+v, %+v, %v", got, seen, err)
	}
	if _, seen, err := OpenWitnessed(signed, public, []Cosigner{a}); err != nil || len(seen) != 0 {
		t.Errorf("without cosignatures: %v, %v", seen, err)
	}
	if _, _, err := OpenWitnessed([]byte(a.Cosign(cp, keyA, at)), public, []Cosigner{a}); err == nil {
		t.Error("a witness's word alone was taken for a checkpoint")
	}
	line := a.Cosign(cp, keyA, at)
	for i := range line {
		bad := []byte(line)
		bad[i] ^= 1
		if _, ok := a.Verify(cp, string(bad)); ok {
			t.Errorf("byte %d changed, and it still verifies", i)
		}
	}
	other := cp
	other.Size++
	if _, ok := a.Verify(other, line); ok {
		t.Error("it counts for another checkpoint")
	}
	if _, _, err := OpenWitnessed([]byte(string(signed)+strings.Repeat(line, maxCosignatures+1)), public, []Cosigner{a}); err == nil {
		t.Error("any number of lines is read")
	}
}

// TestContinues: every pair of sizes of a small log, and no fork of it.
func TestContinues(t *testing.T) {
	var stored hashes
	var trees []Tree
	tree := Tree{}
	trees = append(trees, tree)
	for i := range 20 {
		var more []tlog.Hash
		tree, more = tree.Append(Leaf([]byte{byte(i)}))
		stored = append(stored, more...)
		trees = append(trees, tree)
	}
	fork, _ := trees[6].Append(Leaf([]byte("fork")))
	for old := range trees {
		for now := old; now < len(trees); now++ {
			p, err := ProveConsistency(int64(old), int64(now), stored)
			if err != nil {
				t.Fatal(err)
			}
			o, n := trees[old].Checkpoint("x"), trees[now].Checkpoint("x")
			if !n.Continues(o, p) {
				t.Errorf("%d does not continue %d", now, old)
			}
			if n.Continues(Checkpoint{Origin: "y", Size: o.Size, Root: o.Root}, p) {
				t.Error("it continues another log")
			}
			if old == 7 && n.Continues(fork.Checkpoint("x"), p) {
				t.Errorf("%d continues a fork", now)
			}
			if len(p) > 0 && n.Continues(o, p[1:]) || n.Continues(o, append(p, tlog.Hash{})) {
				t.Errorf("%d to %d: a proof of another length was accepted", old, now)
			}
		}
	}
	if _, err := ProveConsistency(5, 3, stored); err == nil {
		t.Error("a proof backwards")
	}
}
