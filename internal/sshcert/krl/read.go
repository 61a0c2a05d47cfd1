package krl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// maxSize is that of a list that is read: half a million serials, apart from each other.
const maxSize = 4 << 20

var (
	errShort   = errors.New("key revocation list: it ends in the middle of a field")
	errUnknown = errors.New("key revocation list: it has a part that is not known")
)

// Parse reads a list.
func Parse(b []byte) (List, error) {
	if len(b) > maxSize {
		return List{}, fmt.Errorf("key revocation list: %d bytes, of at most %d", len(b), maxSize)
	}
	r := &reader{rest: b}
	if r.uint64() != magic {
		return List{}, errors.New("key revocation list: it is none")
	}
	if v := r.uint32(); v != version {
		return List{}, fmt.Errorf("key revocation list: format %d, and %d is known", v, version)
	}
	l := List{Version: r.uint64()}
	generated, flags := r.uint64(), r.uint64()
	if reserved := r.bytes(); flags != 0 || len(reserved) > 0 || generated > math.MaxInt64/2 {
		return List{}, errUnknown
	}
	l.Generated, l.Comment = time.Unix(int64(generated), 0).UTC(), string(r.bytes())
	for r.err == nil && len(r.rest) > 0 {
		kind := r.byte()
		if err := l.section(kind, r.bytes(), r.err); err != nil {
			return List{}, err
		}
	}
	return l, r.err
}

func (l *List) section(kind byte, data []byte, err error) error {
	if err != nil {
		return err
	}
	switch kind {
	case sectionCertificates:
		a, err := parseAuthority(data)
		if err != nil {
			return err
		}
		l.Authorities = append(l.Authorities, a)
		return nil
	case sectionKeys:
		return blobs(&l.Keys, data, 0)
	case sectionSHA1:
		return blobs(&l.SHA1, data, 20)
	case sectionSHA256:
		return blobs(&l.SHA256, data, 32)
	case sectionSignature:
		return errors.New("key revocation list: it is signed, which newer versions of OpenSSH do not know either")
	}
	return errUnknown
}

// blobs reads strings, each of a size where that is not 0.
func blobs(to *[][]byte, data []byte, size int) error {
	r := &reader{rest: data}
	for len(r.rest) > 0 {
		b := r.bytes()
		if r.err != nil {
			return r.err
		}
		if len(b) == 0 || size > 0 && len(b) != size {
			return errors.New("key revocation list: a key or a fingerprint of a wrong size")
		}
		*to = append(*to, slices.Clone(b))
	}
	return nil
}

func parseAuthority(data []byte) (Authority, error) {
	r := &reader{rest: data}
	a := Authority{Key: slices.Clone(r.bytes())}
	if reserved := r.bytes(); len(reserved) > 0 {
		return a, errUnknown
	}
	for r.err == nil && len(r.rest) > 0 {
		kind := r.byte()
		in := &reader{rest: r.bytes()}
		if r.err != nil {
			break
		}
		if err := a.part(kind, in); err != nil {
			return a, err
		}
	}
	a.Serials = join(a.Serials)
	return a, r.err
}

func (a *Authority) part(kind byte, r *reader) error {
	switch kind {
	case certSerials:
		for len(r.rest) > 0 && r.err == nil {
			n := r.uint64()
			a.Serials = append(a.Serials, Range{n, n})
		}
	case certRange:
		a.Serials = append(a.Serials, Range{r.uint64(), r.uint64()})
	case certBitmap:
		offset, number := r.uint64(), r.bytes()
		if r.err != nil {
			return r.err
		}
		if err := a.bits(offset, number); err != nil {
			return err
		}
	case certKeyIDs:
		for len(r.rest) > 0 && r.err == nil {
			id := string(r.bytes())
			if id == "" && r.err == nil {
				return errors.New("key revocation list: an empty key id")
			}
			a.KeyIDs = append(a.KeyIDs, id)
		}
	default:
		return errUnknown
	}
	if r.err == nil && len(r.rest) > 0 {
		return errors.New("key revocation list: bytes after the end of a part")
	}
	if r.err != nil {
		return r.err
	}
	for _, s := range a.Serials {
		if s.First == 0 || s.Last < s.First {
			return errors.New("key revocation list: a serial that is 0, or a range that runs backwards")
		}
	}
	return nil
}

// maxBits is the longest number that OpenSSH reads, in bytes.
const maxBits = 16384/8 + 1

// bits reads a number whose bit i, if it is set, revokes offset+i.
func (a *Authority) bits(offset uint64, number []byte) error {
	if len(number) > maxBits || len(number) > 0 && number[0]&0x80 != 0 {
		return errors.New("key revocation list: a bitmap that is negative or too long")
	}
	if uint64(len(number))*8 > math.MaxUint64-offset {
		return errors.New("key revocation list: a bitmap that runs over the last serial")
	}
	for i := range len(number) * 8 {
		if number[len(number)-1-i/8]>>(i%8)&1 == 0 {
			continue
		}
		n := offset + uint64(i)
		if k := len(a.Serials); k > 0 && a.Serials[k-1].Last+1 == n && a.Serials[k-1].Last != 0 {
			a.Serials[k-1].Last = n // runs take one range each, not one a bit
			continue
		}
		a.Serials = append(a.Serials, Range{n, n})
	}
	return nil
}

// reader takes fields off the front; after the first error it gives zero values.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) take(n uint64) []byte {
	if r.err != nil || n > uint64(len(r.rest)) {
		r.err, r.rest = errShort, nil
		return nil
	}
	out := r.rest[:n]
	r.rest = r.rest[n:]
	return out
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) bytes() []byte { return r.take(uint64(r.uint32())) }
