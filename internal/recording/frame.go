package recording

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	magic     = "STINTR1\n"
	linkSize  = sha256.Size
	keySize   = 32
	wrapSize  = 32 + keySize + 16 // encapsulated key, key, tag
	headFixed = len(magic) + 16 + 8 + 6 + 8 + wrapSize + 1
	frameHead = 1 + 8 + 4
	tagSize   = 16

	// maxName is how long the name of a recording may be.
	maxName = 64

	// maxChunk is the largest plaintext of a chunk: what a writer lets wait, and the record
	// that does not fit any more.
	maxChunk = 1 << 20

	maxPayload = maxChunk + tagSize
	maxReason  = 255
	sealFixed  = 1 + 8 + ed25519.PublicKeySize + 1 + ed25519.SignatureSize
)

const (
	frameChunk = 'C'
	frameSeal  = 'S'
)

// HPKE's numbers of the suite (RFC 9180 section 7).
var suite = [6]byte{0x00, 0x20, 0x00, 0x01, 0x00, 0x02}

// Link names everything before it, and itself.
type Link [linkSize]byte

func (l Link) String() string { return hex.EncodeToString(l[:]) }

// State is how a recording ends.
type State byte

const (
	Unended  State = 0 // it has no final seal: it is being written, or its end is missing
	Complete State = 1 // the session ended, and the writer said so
	Broken   State = 2 // the writer did not live to end it, or its disk did not let it
)

func (s State) String() string {
	switch s {
	case Unended:
		return "open"
	case Complete:
		return "complete"
	case Broken:
		return "broken"
	}
	return fmt.Sprintf("state-%d", byte(s))
}

// head is what a recording begins with.
type head struct {
	id        [16]byte
	began     time.Time
	recipient [8]byte
	wrapped   [wrapSize]byte
	name      string
}

// newHead makes a head and the key whose wrapping it holds.
func newHead(name string, began time.Time, to Recipient) (head, cipher.AEAD, error) {
	h := head{began: began, name: name, recipient: to.id}
	var key [keySize]byte
	defer clear(key[:])
	rand.Read(h.id[:]) // never fails
	rand.Read(key[:])
	sealed, err := hpke.Seal(to.public, hpke.HKDFSHA256(), hpke.AES256GCM(), h.info(), key[:])
	if err == nil && len(sealed) != wrapSize {
		err = fmt.Errorf("it became %d bytes long", len(sealed))
	}
	if err != nil {
		return head{}, nil, fmt.Errorf("wrap the key of a recording: %w", err)
	}
	h.wrapped = [wrapSize]byte(sealed)
	return h, aeadOf(key[:]), nil
}

// info binds the wrapped key to its recording.
func (h head) info() []byte {
	return []byte("stint recording 1 " + hex.EncodeToString(h.id[:]) + " " + h.name)
}

func aeadOf(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // only for other key sizes
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // only for ciphers that are not AES
	}
	return aead
}

func (h head) encode() []byte {
	b := h.body()
	link := headLink(b)
	return append(b, link[:]...)
}

// body is the head before its link.
func (h head) body() []byte {
	b := make([]byte, 0, headFixed+len(h.name)+linkSize)
	b = append(b, magic...)
	b = append(b, h.id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(h.began.UnixMilli()))
	b = append(b, suite[:]...)
	b = append(b, h.recipient[:]...)
	b = append(b, h.wrapped[:]...)
	b = append(b, byte(len(h.name)))
	return append(b, h.name...)
}

func headLink(b []byte) Link {
	return Link(sha256.Sum256(append([]byte("stint recording 1\n"), b...)))
}

// readHead reads a head and its link.
func readHead(r io.Reader) (h head, link Link, err error) {
	b := make([]byte, headFixed, headFixed+maxName+linkSize)
	if _, err := io.ReadFull(r, b); err != nil {
		return h, link, short(err, "it is cut off")
	}
	if string(b[:len(magic)]) != magic {
		return h, link, &Damage{What: "it is no recording, or one of a newer release"}
	}
	n := int(b[headFixed-1])
	if n == 0 || n > maxName {
		return h, link, &Damage{What: "its name has no length that a name may have"}
	}
	b = b[:headFixed+n+linkSize]
	if _, err := io.ReadFull(r, b[headFixed:]); err != nil {
		return h, link, short(err, "it is cut off")
	}
	body := b[:headFixed+n]
	link = headLink(body)
	if link != Link(b[headFixed+n:]) {
		return h, link, &Damage{What: "it is not what was written"}
	}
	at := body[len(magic):]
	h.id = [16]byte(at)
	h.began = time.UnixMilli(int64(binary.BigEndian.Uint64(at[16:])))
	if [6]byte(at[24:]) != suite {
		return h, link, &Damage{What: "its key is wrapped in a way that this release does not know"}
	}
	h.recipient = [8]byte(at[30:])
	h.wrapped = [wrapSize]byte(at[38:])
	h.name = string(body[headFixed:])
	if !ValidName(h.name) {
		return h, link, &Damage{What: "its name is not one"}
	}
	return h, link, nil
}

// short tells a recording that ends from one that cannot be read.
func short(err error, what string) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return &Damage{What: what}
	}
	return fmt.Errorf("read a recording: %w", err)
}

// ValidName says whether a recording may have that name: 1 to 64 letters, digits,
// hyphens and underscores, of ASCII. It becomes the name of a file.
func ValidName(name string) bool {
	return name != "" && len(name) <= maxName && strings.Trim(name, nameLetters) == ""
}

const nameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

// appendFrameHead begins a frame.
func appendFrameHead(b []byte, kind byte, number uint64, length int) []byte {
	b = append(b, kind)
	b = binary.BigEndian.AppendUint64(b, number)
	return binary.BigEndian.AppendUint32(b, uint32(length))
}

// appendLink ends the frame that begins at start, and says its link.
func appendLink(b []byte, start int, before Link) ([]byte, Link) {
	link := linkOf(before, b[start:])
	return append(b, link[:]...), link
}

func linkOf(before Link, parts ...[]byte) (l Link) {
	h := sha256.New()
	h.Write(before[:])
	for _, p := range parts {
		h.Write(p)
	}
	h.Sum(l[:0])
	return l
}

// nonceOf is never used twice, because a key has one recording and a number one chunk.
func nonceOf(number uint64) (n [12]byte) {
	binary.BigEndian.PutUint64(n[4:], number)
	return n
}

// boundTo is the additional data of a chunk.
func boundTo(first Link, frame []byte) []byte {
	return append(first[:len(first):len(first)], frame[:frameHead]...)
}

// appendChunk encrypts a chunk as the frame of that number, after the link before it.
func appendChunk(b []byte, aead cipher.AEAD, first, before Link, number uint64, plain []byte) ([]byte, Link) {
	start := len(b)
	b = appendFrameHead(b, frameChunk, number, len(plain)+tagSize)
	nonce := nonceOf(number)
	b = aead.Seal(b, nonce[:], plain, boundTo(first, b[start:]))
	return appendLink(b, start, before)
}

// seal is the payload of a seal frame.
type seal struct {
	state     State
	at        time.Time
	key       ed25519.PublicKey
	reason    string
	signature []byte
}

// encode is the seal before its signature.
func (s seal) encode() []byte {
	b := append(make([]byte, 0, sealFixed+len(s.reason)), byte(s.state))
	b = binary.BigEndian.AppendUint64(b, uint64(s.at.UnixMilli()))
	b = append(b, s.key...)
	b = append(b, byte(len(s.reason)))
	return append(b, s.reason...)
}

// signed is what a seal's signature is over.
func signed(id [16]byte, before Link, number uint64, body []byte) []byte {
	b := append([]byte("stint recording seal 1\n"), id[:]...)
	b = append(b, before[:]...)
	b = binary.BigEndian.AppendUint64(b, number)
	return append(b, body...)
}

func decodeSeal(b []byte) (s seal, body []byte, ok bool) {
	if len(b) < sealFixed {
		return s, nil, false
	}
	const fixed = sealFixed - ed25519.SignatureSize
	n := int(b[fixed-1])
	if len(b) != sealFixed+n || b[0] > byte(Broken) {
		return s, nil, false
	}
	s.state = State(b[0])
	s.at = time.UnixMilli(int64(binary.BigEndian.Uint64(b[1:])))
	s.key = ed25519.PublicKey(b[9 : 9+ed25519.PublicKeySize])
	s.reason = string(b[fixed : fixed+n])
	s.signature = b[fixed+n:]
	return s, b[:fixed+n], true
}

// appendSeal signs what stands before it.
func appendSeal(b []byte, by *Sealer, id [16]byte, before Link, number uint64, s seal) ([]byte, Link, error) {
	s.key = by.public
	if len(s.reason) > maxReason {
		s.reason = strings.ToValidUTF8(s.reason[:maxReason], "")
	}
	body := s.encode()
	signature, err := by.sign(signed(id, before, number, body))
	if err != nil {
		return b, before, fmt.Errorf("sign the seal of a recording: %w", err)
	}
	start := len(b)
	b = appendFrameHead(b, frameSeal, number, len(body)+len(signature))
	b = append(append(b, body...), signature...)
	b, link := appendLink(b, start, before)
	return b, link, nil
}

// newKEM is that of suite.
func newKEM() hpke.KEM { return hpke.DHKEM(ecdh.X25519()) }
