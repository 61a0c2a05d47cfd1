package keys

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

const (
	tagPurpose = "tags"
	tagPlace   = "tag key"

	idPrefix = "ent_"
	ulidSize = 26
	macSize  = 16 // characters, of 5 bits each
	// tagSize is that of every tag. PostgreSQL's names have 63 bytes, so a name
	// made from a tag has 20 left.
	tagSize = ulidSize + 1 + macSize
)

// crockford is the alphabet of ULIDs in lower case, as targets fold names.
const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

var macEncoding = base32.NewEncoding(crockford).WithPadding(base32.NoPadding)

// NewTagKey makes a key for tags, sealed for the caller to store.
func (k *Keys) NewTagKey() ([]byte, error) {
	key := make([]byte, keySize)
	defer clear(key)
	_, _ = rand.Read(key) // never fails
	return k.Seal(tagPurpose, tagPlace, key)
}

// Tagger opens what NewTagKey made. The first key makes tags and checks them; the
// others, of earlier times, check only: a tag stays on its target for as long as
// the entitlement lives.
func (k *Keys) Tagger(current []byte, earlier ...[]byte) (*Tagger, error) {
	t := &Tagger{}
	for _, sealed := range append([][]byte{current}, earlier...) {
		key, err := k.Open(tagPurpose, tagPlace, sealed)
		if err == nil && len(key) != keySize {
			err = ErrSealed
		}
		if err != nil {
			return nil, fmt.Errorf("open a tag key: %w", err)
		}
		t.keys = append(t.keys, hide(key))
	}
	return t, nil
}

// Tagger makes and checks tags: the marks that what we made carries on its target.
//
// A tag is the identifier of an entitlement and a MAC, such as
//
//	01j8zq5t3m8w6y2x4v9n7k1b5c_3kq7m9x2c5v8b1n4
//
// The identifier says which row to look up when all else is lost; the MAC, 80 bits
// of HMAC-SHA256 over installation, target, epoch and identifier, says that we made
// it, for this target, and that nobody planted it there for a sweep to remove. The
// MAC cannot be tried offline, and guesses on a target are its own log lines.
//
// A Tagger may be used from any goroutine.
type Tagger struct {
	keys []secret // the first makes tags
}

// Tag gives the one tag of an entitlement, identified by "ent_" and a ULID. For
// anything else it is empty, which no connector accepts as a tag.
func (t *Tagger) Tag(installation, target string, epoch int64, id string) string {
	lower, ok := idToTag(id)
	if !ok {
		return ""
	}
	return lower + "_" + t.mac(t.keys[0], installation, target, epoch, id)
}

// Check reads a tag found on a target. Only a tag that is, byte for byte, what Tag
// makes for the same installation, target and epoch is ok.
func (t *Tagger) Check(installation, target string, epoch int64, tag string) (id string, ok bool) {
	if len(tag) != tagSize || tag[ulidSize] != '_' {
		return "", false
	}
	if id, ok = tagToID(tag[:ulidSize]); !ok {
		return "", false
	}
	mac := []byte(tag[ulidSize+1:])
	ok = false
	for _, key := range t.keys {
		if hmac.Equal(mac, []byte(t.mac(key, installation, target, epoch, id))) {
			ok = true
		}
	}
	if !ok {
		return "", false
	}
	return id, true
}

func (t *Tagger) mac(key secret, installation, target string, epoch int64, id string) string {
	h := hmac.New(sha256.New, key())
	msg := appendFields(nil, "stint-tag-1", installation, target, id)
	h.Write(binary.BigEndian.AppendUint64(msg, uint64(epoch)))
	return macEncoding.EncodeToString(h.Sum(nil)[:macSize*5/8])
}

// Format covers every verb of fmt.
func (t *Tagger) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "tagger") }

func idToTag(id string) (string, bool) {
	ulid, ok := strings.CutPrefix(id, idPrefix)
	if !ok {
		return "", false
	}
	lower := strings.ToLower(ulid)
	back, ok := tagToID(lower)
	return lower, ok && back == id
}

func tagToID(lower string) (string, bool) {
	// 26 characters hold 130 bits and a ULID has 128, so the first is at most 7.
	if len(lower) != ulidSize || lower[0] > '7' {
		return "", false
	}
	for i := range len(lower) {
		if strings.IndexByte(crockford, lower[i]) < 0 {
			return "", false
		}
	}
	return idPrefix + strings.ToUpper(lower), true
}
