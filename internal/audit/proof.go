package audit

import (
	"golang.org/x/mod/sumdb/tlog"

	"stint/internal/access"
)

// ProveRecord makes the proof that record seq is in the tree of the given size.
func ProveRecord(size, seq int64, stored tlog.HashReader) (tlog.RecordProof, error) {
	p, err := tlog.ProveRecord(size, seq, stored)
	if err != nil {
		return nil, access.Fail(access.Invalid, "no-proof", "there is no such record to prove").Wrap(err)
	}
	return p, nil
}

// CheckRecord reports whether the proof shows that the encoded record is number
// seq of the log that the checkpoint describes.
func CheckRecord(p tlog.RecordProof, c Checkpoint, seq int64, encoded []byte) error {
	if err := tlog.CheckRecord(p, c.Size, c.Root, seq, Leaf(encoded)); err != nil {
		return access.Fail(access.Invalid, "bad-proof", "the record is not proven to be in the log").Wrap(err)
	}
	return nil
}

// ProveTree makes the proof that the tree of size older is a prefix of the
// tree of size newer.
func ProveTree(newer, older int64, stored tlog.HashReader) (tlog.TreeProof, error) {
	if older == 0 && newer >= 0 {
		return tlog.TreeProof{}, nil // nothing is a prefix of everything
	}
	p, err := tlog.ProveTree(newer, older, stored)
	if err != nil {
		return nil, access.Fail(access.Invalid, "no-proof", "there is no such tree to prove").Wrap(err)
	}
	return p, nil
}

// CheckTree reports whether the proof shows that the log of the newer
// checkpoint begins with all of the log of the older one.
func CheckTree(p tlog.TreeProof, newer, older Checkpoint) error {
	bad := access.Fail(access.Invalid, "bad-proof", "the log is not proven to continue the older one")
	switch {
	case newer.Origin != older.Origin:
		return bad.Because("they are different logs")
	case older.Size == 0:
		if older.Root != (Tree{}).Root() || newer.Size < 0 || len(p) != 0 {
			return bad
		}
		return nil
	}
	if err := tlog.CheckTree(p, newer.Size, newer.Root, older.Size, older.Root); err != nil {
		return bad.Wrap(err)
	}
	return nil
}
