package krl

import (
	"bytes"
	"cmp"
	"crypto/sha1"
	"crypto/sha256"
	"slices"
	"sort"
	"time"
)

// List is the content of one list. The zero value revokes nothing.
type List struct {
	Version   uint64 // a later list has a higher one
	Generated time.Time
	Comment   string
	// Authorities are what is revoked of each authority.
	Authorities []Authority
	// Keys, in their wire form, and fingerprints of keys, are revoked whatever signed
	// them. They are read, for lists of others, and not written.
	Keys, SHA1, SHA256 [][]byte
}

// Authority is what is revoked of the certificates that one key signed.
type Authority struct {
	Key     []byte  // in its wire form; empty, in lists of others: any
	Serials []Range // in order, apart from each other
	KeyIDs  []string
}

// Range is from First to Last, both included.
type Range struct{ First, Last uint64 }

// Serials makes ranges of numbers in any order; zero is left out.
func Serials(numbers ...uint64) []Range {
	rs := make([]Range, 0, len(numbers))
	for _, n := range numbers {
		if n != 0 {
			rs = append(rs, Range{n, n})
		}
	}
	return join(rs)
}

// join puts ranges into order and together.
func join(rs []Range) []Range {
	slices.SortFunc(rs, func(a, b Range) int { return cmp.Compare(a.First, b.First) })
	if len(rs) == 0 {
		return nil
	}
	out := rs[:0]
	for _, r := range rs {
		if n := len(out); n > 0 && (r.First <= out[n-1].Last || r.First == out[n-1].Last+1) {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out
}

// Revokes reports whether the list takes back a certificate that authority signed for
// key. What it says of keys counts for both of them, as in OpenSSH.
func (l List) Revokes(authority, key []byte, serial uint64, keyID string) bool {
	for _, k := range [][]byte{authority, key} {
		s1, s256 := sha1.Sum(k), sha256.Sum256(k)
		if has(l.Keys, k) || has(l.SHA1, s1[:]) || has(l.SHA256, s256[:]) {
			return true
		}
	}
	for _, a := range l.Authorities {
		if len(a.Key) > 0 && !bytes.Equal(a.Key, authority) {
			continue
		}
		if serial != 0 && contains(a.Serials, serial) || slices.Contains(a.KeyIDs, keyID) {
			return true
		}
	}
	return false
}

func has(list [][]byte, b []byte) bool {
	return slices.ContainsFunc(list, func(x []byte) bool { return bytes.Equal(x, b) })
}

func contains(rs []Range, n uint64) bool {
	i := sort.Search(len(rs), func(i int) bool { return rs[i].Last >= n })
	return i < len(rs) && rs[i].First <= n
}

// Count is how many serials the list names; more than fit are all there are.
func (l List) Count() (n uint64) {
	for _, a := range l.Authorities {
		for _, r := range a.Serials {
			if d := r.Last - r.First + 1; d == 0 || n+d < n {
				return ^uint64(0)
			} else {
				n += d
			}
		}
	}
	return n
}
