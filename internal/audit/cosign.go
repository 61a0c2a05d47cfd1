package audit

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/tlog"

	"stint/internal/access"
)

// Cosigner is the public key of a witness: it signs, with the time, that it has
// seen a checkpoint and that the log it saw before is the beginning of this one.
// The format is the Ed25519 one of C2SP tlog-cosignature, cosignature/v1.
type Cosigner struct {
	Name string
	id   [4]byte
	key  ed25519.PublicKey
}

// cosignatureType is the signature type of C2SP for Ed25519 cosignatures.
const cosignatureType = 0x04

// NewCosigner names a key. The name is one word, without a plus sign.
func NewCosigner(name string, key ed25519.PublicKey) (Cosigner, error) {
	if name == "" || len(name) > 255 || strings.Contains(name, "+") || !utf8.ValidString(name) || strings.IndexFunc(name, unicode.IsSpace) >= 0 || len(key) != ed25519.PublicKeySize {
		return Cosigner{}, badCosigner("a witness has a name of one word, and a key of Ed25519")
	}
	c := Cosigner{Name: name, key: slices.Clone(key)}
	h := sha256.New()
	h.Write([]byte(name + "\n"))
	h.Write([]byte{cosignatureType})
	h.Write(key)
	copy(c.id[:], h.Sum(nil))
	return c, nil
}

// ParseCosigner reads a key in the form name+hash+base64, as String writes it.
func ParseCosigner(text string) (Cosigner, error) {
	text = strings.TrimSpace(text)
	parts := strings.SplitN(text, "+", 3)
	if len(parts) != 3 {
		return Cosigner{}, badCosigner("it is not name+hash+base64")
	}
	b, err := base64.StdEncoding.Strict().DecodeString(parts[2])
	if err != nil || len(b) != 1+ed25519.PublicKeySize || b[0] != cosignatureType {
		return Cosigner{}, badCosigner("it is not an Ed25519 key for cosignatures")
	}
	c, err := NewCosigner(parts[0], b[1:])
	if err == nil && c.String() != text {
		err = badCosigner("its hash is not of this name and key")
	}
	return c, err
}

func badCosigner(why string) *access.Error {
	return access.Fail(access.Invalid, "bad-witness-key", "the key of the witness cannot be read").Because(why).
		Try("give it as stint-witness key shows it: name+hash+base64")
}

// String is the key as ParseCosigner reads it.
func (c Cosigner) String() string {
	return c.Name + "+" + hex.EncodeToString(c.id[:]) + "+" + base64.StdEncoding.EncodeToString(append([]byte{cosignatureType}, c.key...))
}

// message is what a cosignature covers.
func (c Checkpoint) message(at int64) []byte {
	return []byte("cosignature/v1\ntime " + strconv.FormatInt(at, 10) + "\n" + c.text())
}

// Cosign makes the line of a note that says that the witness has seen the
// checkpoint at that time. key is the private half of c.
func (c Cosigner) Cosign(cp Checkpoint, key ed25519.PrivateKey, at time.Time) string {
	sig := binary.BigEndian.AppendUint64(c.id[:], uint64(at.Unix()))
	sig = append(sig, ed25519.Sign(key, cp.message(at.Unix()))...)
	return "— " + c.Name + " " + base64.StdEncoding.EncodeToString(sig) + "\n"
}

// cosignatureSize is key id, time and signature.
const cosignatureSize = 4 + 8 + ed25519.SignatureSize

// Verify reports whether line is this witness's cosignature of the checkpoint,
// and when it was made.
func (c Cosigner) Verify(cp Checkpoint, line string) (at time.Time, ok bool) {
	text, ok := strings.CutPrefix(line, "— "+c.Name+" ")
	text, whole := strings.CutSuffix(text, "\n")
	if !ok || !whole {
		return time.Time{}, false
	}
	sig, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(sig) != cosignatureSize || [4]byte(sig[:4]) != c.id {
		return time.Time{}, false
	}
	seconds := binary.BigEndian.Uint64(sig[4:12])
	if seconds > 1<<40 || !ed25519.Verify(c.key, cp.message(int64(seconds)), sig[12:]) {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0).UTC(), true
}

// Cosignature says that a witness has seen a checkpoint.
type Cosignature struct {
	Witness string
	At      time.Time
}

// maxCosignatures bounds the lines of a note that are looked at.
const maxCosignatures = 64

// OpenWitnessed opens a checkpoint that carries, after the log's signature, those
// of witnesses. Lines of witnesses that are not asked for say nothing and are
// passed over; of each witness one counts.
func OpenWitnessed(signed []byte, verifierKeys string, witnesses []Cosigner) (Checkpoint, []Cosignature, error) {
	text, lines, ok := strings.Cut(string(signed), "\n\n")
	first, rest, whole := strings.Cut(lines, "\n")
	if !ok || !whole {
		return Checkpoint{}, nil, badCheckpoint("it has no signature")
	}
	cp, err := OpenCheckpoint([]byte(text+"\n\n"+first+"\n"), verifierKeys)
	if err != nil {
		return Checkpoint{}, nil, err
	}
	var seen []Cosignature
	n := 0
	for line := range strings.Lines(rest) {
		if n++; n > maxCosignatures {
			return Checkpoint{}, nil, badCheckpoint("it has more signatures than anybody needs")
		}
		for _, w := range witnesses {
			at, ok := w.Verify(cp, line)
			if ok && !slices.ContainsFunc(seen, func(s Cosignature) bool { return s.Witness == w.Name }) {
				seen = append(seen, Cosignature{w.Name, at})
			}
		}
	}
	return cp, seen, nil
}

// ProveConsistency proves that the log of size old is the beginning of that of
// size now, RFC 6962, section 2.1.2; the proof from nothing, and from itself, is
// empty.
func ProveConsistency(old, now int64, stored tlog.HashReader) ([]tlog.Hash, error) {
	if old < 0 || old > now {
		return nil, access.Fail(access.Invalid, "bad-tree-size", "a log is consistent only with what it was before")
	}
	if old == 0 || old == now {
		return nil, nil
	}
	p, err := tlog.ProveTree(now, old, stored)
	if err != nil {
		return nil, access.Fail(access.Unavailable, "tree-unreadable", "the audit tree cannot be read").Wrap(err)
	}
	return p, nil
}

// Continues reports whether the proof shows that next continues old.
func (c Checkpoint) Continues(old Checkpoint, proof []tlog.Hash) bool {
	switch {
	case c.Origin != old.Origin || old.Size > c.Size:
		return false
	case old.Size == 0:
		return len(proof) == 0 && old.Root == (Tree{}).Root()
	case old.Size == c.Size:
		return len(proof) == 0 && old.Root == c.Root
	}
	return tlog.CheckTree(proof, c.Size, c.Root, old.Size, old.Root) == nil
}
