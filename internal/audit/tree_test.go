package audit

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"stint/internal/access"
)

// hashes is a store of hashes in memory.
type hashes []tlog.Hash

func (h hashes) ReadHashes(where []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(where))
	for i, w := range where {
		if w < 0 || w >= int64(len(h)) {
			return nil, fmt.Errorf("no hash %d", w)
		}
		out[i] = h[w]
	}
	return out, nil
}

func leafOf(n int64) tlog.Hash { return Leaf(fmt.Appendf(nil, "record %d", n)) }

// grown is a tree of n leaves and the hashes stored for it.
func grown(n int64) (Tree, hashes) {
	var leaves []tlog.Hash
	for i := range n {
		leaves = append(leaves, leafOf(i))
	}
	t, stored := Tree{}.Append(leaves...)
	return t, stored
}

func TestTreeIsTlog(t *testing.T) {
	var tree Tree
	var ours, theirs hashes
	for n := range int64(600) {
		root, err := tlog.TreeHash(n, theirs)
		if err != nil {
			t.Fatal(err)
		}
		if tree.Root() != root || tree.Size() != n {
			t.Fatalf("size %d: root %v, want %v", tree.Size(), tree.Root(), root)
		}
		if int64(len(ours)) != tlog.StoredHashCount(n) {
			t.Fatalf("size %d: %d hashes stored, want %d", n, len(ours), tlog.StoredHashCount(n))
		}
		want, err := tlog.StoredHashesForRecordHash(n, leafOf(n), theirs)
		if err != nil {
			t.Fatal(err)
		}
		theirs = append(theirs, want...)
		next, got := tree.Append(leafOf(n))
		ours = append(ours, got...)
		if !slices.Equal(got, want) {
			t.Fatalf("size %d: stored %v, want %v", n, got, want)
		}
		tree = next
	}
}

func TestTreeInBatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.Int64Range(0, 300).Draw(t, "first")
		more := rapid.Int64Range(0, 300).Draw(t, "more")
		whole, want := grown(first + more)

		_, stored := grown(first)
		before, err := LoadTree(first, stored)
		if err != nil {
			t.Fatal(err)
		}
		root := before.Root()
		var leaves []tlog.Hash
		for n := first; n < first+more; n++ {
			leaves = append(leaves, leafOf(n))
		}
		after, add := before.Append(leaves...)
		if after.Root() != whole.Root() || after.Size() != whole.Size() {
			t.Fatalf("root %v of size %d, want %v of %d", after.Root(), after.Size(), whole.Root(), whole.Size())
		}
		if !slices.Equal(append(stored, add...), want) {
			t.Fatal("the stored hashes differ from those of one append")
		}
		// A transaction that did not commit: the tree before is as it was.
		other, _ := before.Append(leafOf(-1), leafOf(-2))
		if before.Root() != root || before.Size() != first {
			t.Fatal("Append changed the tree it was called on")
		}
		if again, _ := before.Append(leaves...); again.Root() != whole.Root() || other.Root() == whole.Root() {
			t.Fatal("appending twice to the same tree gives different trees")
		}
	})
}

func TestLoadTreeRefuses(t *testing.T) {
	_, stored := grown(5)
	if _, err := LoadTree(-1, stored); !errors.Is(err, access.Invalid) {
		t.Errorf("negative size: got %v", err)
	}
	if _, err := LoadTree(9, stored); !errors.Is(err, access.Unavailable) {
		t.Errorf("missing hashes: got %v", err)
	}
	few := tlog.HashReaderFunc(func([]int64) ([]tlog.Hash, error) { return nil, nil })
	if _, err := LoadTree(5, few); !errors.Is(err, access.Unavailable) {
		t.Errorf("too few hashes: got %v", err)
	}
}

func TestProofs(t *testing.T) {
	const size = 77
	_, stored := grown(size)
	at := func(n int64) Checkpoint {
		tree, err := LoadTree(n, grownStore(n))
		if err != nil {
			t.Fatal(err)
		}
		return tree.Checkpoint("stint/test")
	}
	whole := at(size)
	for seq := range int64(size) {
		p, err := ProveRecord(size, seq, stored)
		if err != nil {
			t.Fatal(err)
		}
		encoded := fmt.Appendf(nil, "record %d", seq)
		if err := CheckRecord(p, whole, seq, encoded); err != nil {
			t.Errorf("record %d: %v", seq, err)
		}
		if CheckRecord(p, whole, seq, append(encoded, '!')) == nil {
			t.Errorf("record %d: another record is proven", seq)
		}
		if CheckRecord(p, whole, (seq+1)%size, encoded) == nil {
			t.Errorf("record %d: proven at another place", seq)
		}
		p[0][0] ^= 1
		if CheckRecord(p, whole, seq, encoded) == nil {
			t.Errorf("record %d: proven by a damaged proof", seq)
		}
	}
	for n := int64(0); n <= size; n++ {
		p, err := ProveTree(size, n, stored)
		if err != nil {
			t.Fatal(err)
		}
		older := at(n)
		if err := CheckTree(p, whole, older); err != nil {
			t.Errorf("tree %d: %v", n, err)
		}
		forged := older
		forged.Root[3] ^= 4
		if CheckTree(p, whole, forged) == nil {
			t.Errorf("tree %d: another history is proven", n)
		}
		other := older
		other.Origin = "stint/other"
		if !errors.Is(CheckTree(p, whole, other), access.Invalid) {
			t.Errorf("tree %d: another log is proven", n)
		}
	}
	if _, err := ProveRecord(size, size, stored); !errors.Is(err, access.Invalid) {
		t.Errorf("a record past the end: %v", err)
	}
	if _, err := ProveTree(size, size+1, stored); !errors.Is(err, access.Invalid) {
		t.Errorf("a tree past the end: %v", err)
	}
}

func grownStore(n int64) hashes { _, h := grown(n); return h }
