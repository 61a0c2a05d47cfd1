package krl

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"
)

const (
	magic   = 0x5353484b524c0a00 // "SSHKRL\n\0"
	version = 1
)

// Sections of a list.
const (
	sectionCertificates = 1
	sectionKeys         = 2
	sectionSHA1         = 3
	sectionSignature    = 4
	sectionSHA256       = 5
)

// Sections within one of certificates.
const (
	certSerials = 0x20
	certRange   = 0x21
	certBitmap  = 0x22
	certKeyIDs  = 0x23
)

// Marshal writes a list: the same bytes for the same content.
func Marshal(l List) ([]byte, error) {
	if len(l.Keys)+len(l.SHA1)+len(l.SHA256) > 0 {
		return nil, errors.New("key revocation list: single keys are not written")
	}
	var generated uint64
	if at := l.Generated.Unix(); at > 0 {
		generated = uint64(at)
	}
	b := binary.BigEndian.AppendUint64(nil, magic)
	b = binary.BigEndian.AppendUint32(b, version)
	b = binary.BigEndian.AppendUint64(b, l.Version)
	b = binary.BigEndian.AppendUint64(b, generated)
	b = binary.BigEndian.AppendUint64(b, 0) // flags
	b = appendBytes(b, nil)                 // reserved
	b = appendBytes(b, []byte(l.Comment))
	for _, a := range l.Authorities {
		section, err := certificates(a)
		if err != nil {
			return nil, err
		}
		if section != nil {
			b = appendBytes(append(b, sectionCertificates), section)
		}
	}
	return b, nil
}

// certificates is the section of one authority; nil where nothing is revoked.
func certificates(a Authority) ([]byte, error) {
	if len(a.Key) == 0 {
		return nil, errors.New("key revocation list: an authority without a key would be every authority")
	}
	rs := join(slices.Clone(a.Serials))
	for _, r := range rs {
		if r.First == 0 || r.Last < r.First {
			return nil, errors.New("key revocation list: a range of serials that begins at 0 or runs backwards")
		}
	}
	if slices.Contains(a.KeyIDs, "") {
		return nil, errors.New("key revocation list: an empty key id")
	}
	if len(rs) == 0 && len(a.KeyIDs) == 0 {
		return nil, nil
	}
	b := appendBytes(appendBytes(nil, a.Key), nil) // and reserved
	for len(rs) > 0 {
		var kind byte
		var data []byte
		kind, data, rs = first(rs)
		b = appendBytes(append(b, kind), data)
	}
	if ids := slices.Compact(slices.Sorted(slices.Values(a.KeyIDs))); len(ids) > 0 {
		var data []byte
		for _, id := range ids {
			data = appendBytes(data, []byte(id))
		}
		b = appendBytes(append(b, certKeyIDs), data)
	}
	return b, nil
}

// A bitmap spans at most this many serials; it then takes half a kilobyte.
const maxBitmap = 4096

// first writes the ranges at the front in the way that takes the least room, and
// returns what is left: a bitmap where serials are close, a range where they are many,
// and else a list up to where another way begins.
func first(rs []Range) (kind byte, data []byte, rest []Range) {
	if n, size := dense(rs); n > 1 && size < costOfList(rs[:n]) {
		return certBitmap, bitmap(rs[:n]), rs[n:]
	}
	if rs[0].Last-rs[0].First >= 2 {
		data = binary.BigEndian.AppendUint64(nil, rs[0].First)
		return certRange, binary.BigEndian.AppendUint64(data, rs[0].Last), rs[1:]
	}
	for i, r := range rs {
		if r.Last-r.First >= 2 {
			return certSerials, data, rs[i:]
		}
		if n, size := dense(rs[i:]); i > 0 && n > 1 && size < costOfList(rs[i:i+n]) {
			return certSerials, data, rs[i:]
		}
		for n := r.First; ; n++ {
			data = binary.BigEndian.AppendUint64(data, n)
			if n == r.Last {
				break
			}
		}
	}
	return certSerials, data, nil
}

// dense is how many of the ranges at the front fit into one bitmap, and its size.
func dense(rs []Range) (n, size int) {
	for n < len(rs) && rs[n].Last-rs[0].First < maxBitmap {
		n++
	}
	if n == 0 {
		return 0, 0
	}
	return n, 5 + 8 + 4 + int((rs[n-1].Last-rs[0].First)/8) + 2
}

// costOfList is about what ranges take otherwise.
func costOfList(rs []Range) (size int) {
	for _, r := range rs {
		if d := r.Last - r.First; d >= 2 {
			size += 5 + 16
		} else {
			size += 8 * int(d+1)
		}
	}
	return size
}

func bitmap(rs []Range) []byte {
	offset := rs[0].First
	width := int(rs[len(rs)-1].Last - offset + 1)
	number := make([]byte, (width+7)/8) // big-endian: bit i is serial offset+i
	for _, r := range rs {
		for n := r.First - offset; n <= r.Last-offset; n++ {
			number[len(number)-1-int(n/8)] |= 1 << (n % 8)
		}
	}
	if bits.Len8(number[0]) == 8 { // an mpint with its first bit set would be negative
		number = append([]byte{0}, number...)
	}
	return appendBytes(binary.BigEndian.AppendUint64(nil, offset), number)
}

func appendBytes(b, s []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}
