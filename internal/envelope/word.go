package envelope

import (
	"crypto/ed25519"
	"encoding/json"
	"time"

	"stint/internal/access"
)

// About is what a word is about: none is taken for one about something else.
type About string

// What is said to gateways.
const (
	AboutTrust    About = "trust"    // whom to believe
	AboutPermit   About = "permit"   // the right to one session
	AboutRenewals About = "renewals" // which sessions go on
	AboutLogin    About = "login"    // the login for the target of one session
)

// Word is what the control plane says to a gateway in answer to one question, which its
// nonce names: nobody between them can answer instead, or once more what was true before.
// The content is JSON of whoever asks and answers.
type Word struct {
	Version      int       `json:"v"`
	Installation string    `json:"installation"`
	Gateway      string    `json:"gateway"`
	Nonce        string    `json:"nonce"` // of the question
	About        About     `json:"about"`
	IssuedAt     time.Time `json:"issued_at"`
	Content      []byte    `json:"content"`
}

// maxWord is what an answer of the API may be.
const maxWord = 8 << 20

// Seal signs it.
func (w Word) Seal(s Signer) (Sealed, error) {
	w.Version, w.IssuedAt = version, w.IssuedAt.UTC()
	if err := w.check(); err != nil {
		return "", err
	}
	return seal(wordHead, w, s, maxWord)
}

// OpenWord reads what one of the keys has signed for a gateway as the answer to the
// question with this nonce.
func OpenWord(text Sealed, installation, gateway, nonce string, about About, trusted ...ed25519.PublicKey) (Word, error) {
	var w Word
	if text == "" {
		return Word{}, access.Fail(access.Denied, "no-word", "the control plane signed nothing of what it answered")
	}
	if err := open(wordHead, text, maxWord, &w, trusted...); err != nil {
		return Word{}, err
	}
	if err := w.check(); err != nil {
		return Word{}, err
	}
	switch {
	case w.Installation != installation || w.Gateway != gateway:
		return Word{}, access.Fail(access.Denied, "other-gateway", "this was said to another gateway")
	case w.Nonce != nonce || w.About != about:
		return Word{}, access.Fail(access.Denied, "other-answer", "this answers another question than was asked").
			Because("somebody may be giving out again what was true before")
	}
	return w, nil
}

func (w Word) check() error {
	switch {
	case w.Version != version:
		return malformed("it is of another version")
	case !validID(w.Nonce):
		return malformed("its nonce is not 128 bits in hex")
	case w.Installation == "" || w.Gateway == "" || len(w.Installation) > maxName || len(w.Gateway) > maxName:
		return malformed("it does not say whom it is from and for")
	case w.About != AboutTrust && w.About != AboutPermit && w.About != AboutRenewals && w.About != AboutLogin:
		return malformed("it is about nothing that is known")
	case !inUTC(w.IssuedAt):
		return malformed("its time is not in UTC")
	case !json.Valid(w.Content):
		return malformed("its content is no JSON")
	}
	return nil
}
