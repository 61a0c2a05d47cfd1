package envelope

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"io"
	"strings"

	"stint/internal/access"
)

// Sizes of what is taken: texts, as they go over the wire.
const (
	MaxCall   = 1 << 20
	MaxAnswer = 4 << 20
)

// version is that of both forms. Another form gets another number, and this one is
// read for as long as an agent may speak it.
const (
	version    = 1
	callHead   = "stint-call-1"
	answerHead = "stint-answer-1"
	rollHead   = "stint-orders-key-1"
	trustHead  = "stint-trust-1"
	wordHead   = "stint-word-1"
)

// Signer holds a private key.
type Signer interface {
	Sign(message []byte) []byte
	Public() ed25519.PublicKey
}

// Sealed is a signed text: a call, an answer or the roll of a key.
type Sealed string

func seal(head string, content any, s Signer, most int) (Sealed, error) {
	payload, err := json.Marshal(content)
	if err != nil {
		return "", access.Fail(access.Internal, "unwritable-envelope", "a call cannot be encoded").Wrap(err)
	}
	signed := head + "." + base64.RawURLEncoding.EncodeToString(payload)
	text := Sealed(signed + "." + base64.RawURLEncoding.EncodeToString(s.Sign([]byte(signed))))
	if len(text) > most {
		return "", access.Fail(access.Invalid, "envelope-too-large", "a call or its answer is too large for the wire")
	}
	return text, nil
}

// open checks the form and the signature, and reads the content into it, a pointer.
func open(head string, text Sealed, most int, into any, trusted ...ed25519.PublicKey) error {
	if len(text) > most {
		return malformed("it is too large")
	}
	of, rest, ok := strings.Cut(string(text), ".")
	payload, sig, ok2 := strings.Cut(rest, ".")
	switch {
	case !ok || !ok2 || strings.Contains(sig, "."):
		return malformed("it does not have three parts")
	case of != head:
		return malformed("it is none of these, or of another version")
	}
	signature, err := decode(sig)
	if err != nil || len(signature) != ed25519.SignatureSize {
		return malformed("its signature is none")
	}
	signed, good := []byte(text[:len(of)+1+len(payload)]), false
	for _, key := range trusted {
		if len(key) == ed25519.PublicKeySize && ed25519.Verify(key, signed, signature) {
			good = true
		}
	}
	if !good {
		return access.Fail(access.Denied, "bad-signature", "the signature is by none of the keys that are trusted here")
	}
	content, err := decode(payload)
	if err != nil {
		return malformed("its content is not base64url")
	}
	return strictly(content, into)
}

// strictly reads JSON that is, byte for byte, what encoding it again gives.
func strictly(content []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	if d.Decode(into) != nil {
		return malformed("its content is not understood")
	}
	if _, err := d.Token(); err != io.EOF {
		return malformed("something follows its content")
	}
	again, err := json.Marshal(into)
	if err != nil || !bytes.Equal(again, content) {
		return malformed("its content is not in the one form that it has")
	}
	return nil
}

// decode reads base64url without padding, exactly as it is written.
func decode(s string) ([]byte, error) {
	if i := strings.IndexAny(s, "\r\n"); i >= 0 {
		return nil, base64.CorruptInputError(i)
	}
	return base64.RawURLEncoding.Strict().DecodeString(s)
}

func malformed(why string) error {
	return access.Fail(access.Invalid, "bad-envelope", "what came is not in the form of a signed call").Because(why)
}
