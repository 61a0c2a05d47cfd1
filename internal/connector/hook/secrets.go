package hook

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/access"
	"stint/internal/connector"
)

// What an order calls a secret is what the vault keeps: a password or a certificate itself, of
// a token or a key 256 random bits, or what somebody brought. This file makes of it what the
// account opens with, the same at every attempt:
//
//	password  itself. The hook sets it.
//	key       an Ed25519 key derived from it. The hook gets the public half, and proves the
//	          other through an agent (agent.go); the private one never leaves this process.
//	certificate
//	          itself, with its key (package vault). The hook gets the certificate, and the
//	          key to prove it.
//	token     the target makes it, and shows it once. It is sealed into a note on the target,
//	          which what the vault keeps opens. The note first says the name of the token
//	          that is about to be made: one whose making nobody heard the end of is ended,
//	          as is every token of the account but the one that is kept.

// derived makes bytes for one purpose of what the vault keeps.
func derived(s access.Secret, purpose string, n int) ([]byte, error) {
	return hkdf.Key(sha256.New, s.Reveal(), nil, "stint hook "+purpose, n)
}

// set has the account open with a secret, and with nothing else. before is what it opened
// with, or empty.
func (c *Connector) set(ctx context.Context, t connector.Target, account string, s, before access.Secret) error {
	q := question{Do: doSet, Account: account}
	switch kind(t) {
	case access.TokenSecret:
		return c.give(ctx, t, account, s, before)
	case access.KeySecret:
		k, err := keyOf(s)
		if err != nil {
			return err
		}
		q.Public = k.public
	case access.CertificateSecret:
		p, err := certificateOf(s)
		if err != nil {
			return err
		}
		q.Certificate = p.certificate
	default:
		q.Secret = string(s.Reveal())
	}
	_, err := c.call(ctx, t, q)
	return err
}

// lock has the account open with nothing. A password is replaced by the next one in the same step.
func (c *Connector) lock(ctx context.Context, t connector.Target, account string, next access.Secret) error {
	q := question{Do: doLock, Account: account}
	if kind(t) == access.PasswordSecret {
		if q.Secret = string(next.Reveal()); q.Secret == "" {
			q.Secret = newText() // nobody keeps it
		}
	}
	_, err := c.call(ctx, t, q)
	return err
}

// opens reports whether a secret opens an account. A token that the note about it is lost of
// opens nothing that anybody could try.
func (c *Connector) opens(ctx context.Context, t connector.Target, account string, s access.Secret) (bool, error) {
	q := question{Do: doProve, Account: account}
	switch kind(t) {
	case access.TokenSecret:
		k, err := c.token(ctx, t, account, s)
		if err != nil || k.value == "" {
			return false, err
		}
		q.Secret = k.value
	case access.KeySecret:
		return c.proveKey(ctx, t, account, s)
	case access.CertificateSecret:
		p, err := certificateOf(s)
		if err != nil {
			return false, err
		}
		q.Certificate, q.PrivateKey = p.certificate, p.private
	default:
		q.Secret = string(s.Reveal())
	}
	a, err := c.call(ctx, t, q)
	if err != nil {
		return false, err
	}
	return *a.Opens, nil
}

// alone reports whether nothing else opens the account than the secret. Of what is set that
// is so by being set; tokens there can be many of. Of a token that somebody brought nobody
// knows the name: it is known to be alone where it opens, and there is one.
func (c *Connector) alone(ctx context.Context, t connector.Target, account string, s access.Secret) (bool, error) {
	if kind(t) != access.TokenSecret {
		return true, nil
	}
	k, err := c.token(ctx, t, account, s)
	if err != nil || k.value == "" {
		return false, err
	}
	a, err := c.look(ctx, t, account)
	if err != nil || k.Name == "" {
		return err == nil && len(a.Tokens) == 1, err
	}
	return slices.Equal(a.Tokens, []string{k.Name}), nil
}

// fits adds to the credential that a holder gets what opens the account.
func (c *Connector) fits(ctx context.Context, t connector.Target, account string, s access.Secret, shown *credential) error {
	switch kind(t) {
	case access.TokenSecret:
		k, err := c.token(ctx, t, account, s)
		if err == nil && k.value == "" {
			err = &connector.Error{Outcome: connector.Unknown, Message: "the note with the token of " + account + " is gone"}
		}
		shown.Token = k.value
		return err
	case access.KeySecret:
		k, err := keyOf(s)
		shown.PrivateKey = k.text
		return err
	case access.CertificateSecret:
		p, err := certificateOf(s)
		shown.Certificate, shown.PrivateKey = p.certificate, p.private
		return err
	default:
		shown.Password = string(s.Reveal())
		return nil
	}
}

func kind(t connector.Target) access.SecretKind { return t.Connection.SecretKind() }

// private reports whether its accounts open with something that has a private half.
func private(t connector.Target) bool {
	return kind(t) == access.KeySecret || kind(t) == access.CertificateSecret
}

// pair is a key of an account.
type pair struct {
	signer ssh.Signer
	text   string // PEM, with the newline that programs want after it
	public string // a line of authorized_keys, without comment
}

// keyOf is the key that the vault keeps, or makes of what it keeps.
func keyOf(s access.Secret) (k pair, err error) {
	text := s.Reveal()
	if !bytes.HasPrefix(text, []byte("-----BEGIN ")) {
		seed, err := derived(s, "key", ed25519.SeedSize)
		if err != nil {
			return k, unread
		}
		defer clear(seed)
		block, err := ssh.MarshalPrivateKey(ed25519.NewKeyFromSeed(seed), "")
		if err != nil {
			return k, unread
		}
		text = pem.EncodeToMemory(block)
	}
	if k.signer, err = ssh.ParsePrivateKey(text); err != nil { // its words could quote the key
		return k, unread
	}
	k.text = strings.TrimRight(string(text), "\r\n") + "\n"
	k.public = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k.signer.PublicKey())))
	return k, nil
}

// certified is a certificate of an account and its key, each as PEM.
type certified struct{ certificate, private string }

// certificateOf takes apart what the vault keeps.
func certificateOf(s access.Secret) (certified, error) {
	first, rest := pem.Decode(s.Reveal())
	if first == nil || first.Type != "CERTIFICATE" {
		return certified{}, unread
	}
	second, rest := pem.Decode(rest)
	if second == nil || second.Type != "PRIVATE KEY" || len(rest) > 0 {
		return certified{}, unread
	}
	defer clear(second.Bytes)
	return certified{string(pem.EncodeToMemory(first)), string(pem.EncodeToMemory(second))}, nil
}

// unread: what the vault keeps is not what it keeps of that kind.
var unread = &connector.Error{Outcome: connector.NotDone, Permanent: true, Message: "what the vault keeps cannot be read"}

// tokenPrefix is of the notes about tokens.
const tokenPrefix = "token-"

// kept is a note about a token. It is stored on the target: members are only added.
type kept struct {
	Account string `json:"account"`
	Name    string `json:"name"`             // of the token, on the target; of no other one ever
	Sealed  []byte `json:"sealed,omitempty"` // empty: it is about to be made

	at, text string // the note
	value    string // the token; empty while it is not known
}

// place binds what is sealed to where it is.
func (k kept) place(t connector.Target) []byte {
	return []byte(t.Connection.Address + "\x00" + k.Account + "\x00" + k.Name)
}

func sealer(s access.Secret) (cipher.AEAD, error) {
	key, err := derived(s, "token", 32)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// token is the token of what the vault keeps, as far as it is known.
func (c *Connector) token(ctx context.Context, t connector.Target, account string, s access.Secret) (kept, error) {
	if given, ok := bytes.CutPrefix(s.Reveal(), []byte(access.GivenToken)); ok {
		return kept{Account: account, value: string(given)}, nil
	}
	name, err := derived(s, "note", 16)
	if err != nil {
		return kept{}, &callError{"what the vault keeps of a token could not be used", nil}
	}
	a, err := c.call(ctx, t, question{Do: doNotes})
	if err != nil {
		return kept{}, err
	}
	at := tokenPrefix + hex.EncodeToString(name)
	k := kept{at: at, text: a.Notes[at]}
	if json.Unmarshal([]byte(k.text), &k) != nil || k.Account != account {
		return kept{Account: account, at: at, text: k.text}, nil
	}
	aead, err := sealer(s)
	if err != nil {
		return kept{}, &callError{"what the vault keeps of a token could not be used", nil}
	}
	if plain, err := aead.Open(nil, nil, k.Sealed, k.place(t)); err == nil && validToken(string(plain)) {
		k.value = string(plain)
	}
	return k, nil
}

// give has the target make the token of what the vault keeps, where it has not; and ends all
// others of the account. A repeat finds what the one before it made. At no time does more
// than one live that is not seen to open: before another is made, and where the new one does
// not open, all that the account has are ended. Where that fails the note still has the name,
// and the next attempt begins with it.
func (c *Connector) give(ctx context.Context, t connector.Target, account string, s, before access.Secret) error {
	if bytes.HasPrefix(s.Reveal(), []byte(access.GivenToken)) {
		return refuse("a token that somebody brought cannot be set: the target makes its own", "")
	}
	ours := false
	for range 5 { // others may come between
		k, err := c.token(ctx, t, account, s)
		if err != nil {
			return err
		}
		if k.value != "" {
			opens, err := c.comes(ctx, t, account, k.value)
			if err != nil {
				return err
			}
			if opens {
				if _, err := c.call(ctx, t, question{Do: doKeep, Account: account, Name: k.Name}); err != nil {
					return err
				}
				return c.tidy(ctx, t, account, s, before)
			}
		}
		if k.Name != "" {
			if _, err := c.call(ctx, t, question{Do: doLock, Account: account}); err != nil {
				return err
			}
			if ours {
				return &connector.Error{Outcome: connector.Unknown, Message: "a token of " + account + " was made, did not open it, and was ended again"}
			}
		}
		next := kept{Account: account, Name: "stint-" + strings.ToLower(rand.Text())}
		if err := c.made(ctx, t, s, k, next); err != nil {
			return err
		}
		ours = true
	}
	return &connector.Error{Outcome: connector.Unknown, Message: "the note about the token of " + account + " was changed again and again"}
}

// A new token is shown to the target so many times, with a pause before each but the first:
// some have to tell all of their parts of it first.
const (
	tokenTries = 5
	tokenPause = 200 * time.Millisecond
)

// comes reports whether a token opens the account, now or in a moment.
func (c *Connector) comes(ctx context.Context, t connector.Target, account, token string) (bool, error) {
	for n := range tokenTries {
		if n > 0 {
			select {
			case <-ctx.Done():
				return false, &callError{"there was no time to try whether the token opens the account", ctx.Err()}
			case <-time.After(tokenPause):
			}
		}
		a, err := c.call(ctx, t, question{Do: doProve, Account: account, Secret: token})
		if err != nil || *a.Opens {
			return err == nil, err
		}
	}
	return false, nil
}

// made has one token made: its name is on the target before it is, and what it is before
// anybody relies on it. Whoever comes between leaves the note to the other.
func (c *Connector) made(ctx context.Context, t connector.Target, s access.Secret, was, next kept) error {
	intent, err := json.Marshal(next)
	if err != nil {
		return err
	}
	done, err := c.swap(ctx, t, was.at, was.text, string(intent))
	if err != nil || !done {
		return err // and looks again
	}
	a, err := c.call(ctx, t, question{Do: doMake, Account: next.Account, Name: next.Name})
	if err != nil {
		return err
	}
	aead, err := sealer(s)
	if err != nil {
		return err
	}
	next.Sealed = aead.Seal(nil, nil, []byte(a.Token), next.place(t))
	text, err := json.Marshal(next)
	if err != nil {
		return err
	}
	_, err = c.swap(ctx, t, was.at, string(intent), string(text))
	return err
}

// tidy takes away the notes about tokens of an account that nobody needs any more.
func (c *Connector) tidy(ctx context.Context, t connector.Target, account string, needed ...access.Secret) error {
	keep := map[string]bool{}
	for _, s := range needed {
		if name, err := derived(s, "note", 16); err == nil && !s.Empty() {
			keep[tokenPrefix+hex.EncodeToString(name)] = true
		}
	}
	a, err := c.call(ctx, t, question{Do: doNotes})
	if err != nil {
		return err
	}
	for at, text := range a.Notes {
		var k kept
		if !strings.HasPrefix(at, tokenPrefix) || keep[at] || json.Unmarshal([]byte(text), &k) != nil || k.Account != account {
			continue
		}
		if _, err := c.swap(ctx, t, at, text, ""); err != nil {
			return err
		}
	}
	return nil
}

// maxToken bounds what is taken for a token.
const maxToken = 4096

// validToken: what can stand in a header, and nothing else.
func validToken(s string) bool {
	return s != "" && len(s) <= maxToken && strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}
