package audit

import (
	"crypto/sha256"
	"math/bits"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"stint/internal/access"
)

// Tree is the right edge of a Merkle tree: all that is needed to append to it
// and to compute its root, about log₂(size) hashes. It is a value: Append
// returns a new tree and leaves the old one as it was, so a transaction that
// did not commit costs nothing. The zero Tree is empty.
type Tree struct {
	size int64
	// peaks are the roots of the perfect subtrees, one for each one bit of
	// size, the largest and leftmost first.
	peaks []tlog.Hash
}

// LoadTree reads the right edge of a stored tree of the given size. Who loads
// a tree in order to sign what it becomes MUST compare Root with the last
// checkpoint first, or a change of the stored hashes would be signed.
func LoadTree(size int64, stored tlog.HashReader) (Tree, error) {
	if size < 0 {
		return Tree{}, access.Fail(access.Invalid, "bad-tree-size", "the size of a tree cannot be negative")
	}
	var where []int64
	for left, rest := int64(0), size; rest > 0; {
		level := bits.Len64(uint64(rest)) - 1
		where = append(where, tlog.StoredHashIndex(level, left>>level))
		left, rest = left+1<<level, rest-1<<level
	}
	peaks, err := stored.ReadHashes(where)
	if err == nil && len(peaks) != len(where) {
		err = access.Fail(access.Internal, "missing-hashes", "the store does not hold the hashes of the tree")
	}
	if err != nil {
		return Tree{}, access.Fail(access.Unavailable, "tree-unreadable", "the audit tree cannot be read").Wrap(err)
	}
	return Tree{size: size, peaks: slices.Clone(peaks)}, nil
}

// Append returns the tree with the leaves appended, and the hashes to store
// for them: consecutive, the first at tlog.StoredHashIndex(0, t.Size()). For
// each leaf that is the leaf and the root of each subtree it completes, two on
// average.
func (t Tree) Append(leaves ...tlog.Hash) (Tree, []tlog.Hash) {
	next := Tree{size: t.size, peaks: slices.Clone(t.peaks)}
	store := make([]tlog.Hash, 0, 2*len(leaves)+len(t.peaks))
	for _, leaf := range leaves {
		store = next.add(store, leaf)
	}
	return next, store
}

// add appends one leaf in place, and to store the hashes to keep for it. Each
// trailing one bit of the size is a perfect subtree that the leaf completes.
func (t *Tree) add(store []tlog.Hash, leaf tlog.Hash) []tlog.Hash {
	h := leaf
	store = append(store, h)
	for n := t.size; n&1 == 1; n >>= 1 {
		last := len(t.peaks) - 1
		h = tlog.NodeHash(t.peaks[last], h)
		t.peaks = t.peaks[:last]
		store = append(store, h)
	}
	t.peaks = append(t.peaks, h)
	t.size++
	return store
}

// Size is the number of leaves.
func (t Tree) Size() int64 { return t.size }

// Root is the hash of the whole tree, as RFC 6962, section 2.1, defines it.
func (t Tree) Root() tlog.Hash {
	if t.size == 0 {
		return sha256.Sum256(nil)
	}
	last := len(t.peaks) - 1
	h := t.peaks[last]
	for i := last - 1; i >= 0; i-- {
		h = tlog.NodeHash(t.peaks[i], h)
	}
	return h
}
