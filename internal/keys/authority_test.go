package keys

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"testing"
)

func TestAuthoritySigner(t *testing.T) {
	k := ringOf(1)
	sealed, public, err := k.NewAuthorityKey("user")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, public) {
		t.Error("the public key stands open in the sealed one")
	}
	s := must(k.AuthoritySigner("user", sealed))
	if !public.Equal(s.Public()) {
		t.Error("another public key than the one that was made")
	}
	sig := must(s.Sign(nil, []byte("message"), crypto.Hash(0)))
	if !ed25519.Verify(public, []byte("message"), sig) {
		t.Error("the signature does not verify")
	}
	if _, err := s.Sign(nil, make([]byte, 64), crypto.SHA512); err == nil {
		t.Error("it signs a hash as a message")
	}
	// Of the other authority, of another installation, or damaged: none.
	for name, open := range map[string]func() (crypto.Signer, error){
		"as the other authority": func() (crypto.Signer, error) { return k.AuthoritySigner("host", sealed) },
		"with another seal key":  func() (crypto.Signer, error) { return ringOf(2).AuthoritySigner("user", sealed) },
		"as another kind of key": func() (crypto.Signer, error) {
			return k.AuthoritySigner("user", must(k.Seal(checkpointPurpose, "user", make([]byte, 32))))
		},
		"too short": func() (crypto.Signer, error) {
			return k.AuthoritySigner("user", must(k.Seal(authorityPurpose, "user", make([]byte, 31))))
		},
	} {
		if _, err := open(); !errors.Is(err, ErrSealed) && !errors.Is(err, ErrUnknownKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	both := ringOf(2, 1)
	again := must(both.ResealAuthorityKey("user", sealed))
	if !both.Current(again) || !public.Equal(must(both.AuthoritySigner("user", again)).Public()) {
		t.Error("sealed anew, it is another key, or not sealed anew")
	}
}

func TestAuthoritySignerPrintsNoKey(t *testing.T) {
	k := ringOf('K')
	seed := bytes.Repeat([]byte{'K'}, 32)
	s := must(k.AuthoritySigner("user", must(k.Seal(authorityPurpose, "user", seed))))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		for _, v := range []any{s, struct{ hidden any }{s}, *s.(*authoritySigner)} {
			out := []byte(fmt.Sprintf(verb, v))
			for _, form := range []string{"KKKKKKKK", "4b4b4b4b", "75 75 75 75", "0x4b, 0x4b"} {
				if bytes.Contains(out, []byte(form)) {
					t.Errorf("%s prints the key: %s", verb, out)
				}
			}
		}
	}
}

// TestAuthorityReference: a key that something else holds, and one that we hold, are never
// taken for each other.
func TestAuthorityReference(t *testing.T) {
	k, text := ringOf(1), []byte("stint-ssh-users-1 of the token")
	sealed := must(k.SealAuthorityReference("user", text))
	got, ok, err := k.AuthorityReference("user", sealed)
	if err != nil || !ok || !bytes.Equal(got, text) {
		t.Fatalf("%q, %t, %v", got, ok, err)
	}
	if _, err := k.AuthoritySigner("user", sealed); !errors.Is(err, ErrSealed) {
		t.Errorf("a reference signs: %v", err)
	}
	if got, ok, err = ringOf(2, 1).AuthorityReference("user", must(ringOf(2, 1).ResealAuthorityKey("user", sealed))); err != nil || !ok || !bytes.Equal(got, text) {
		t.Errorf("sealed anew: %q, %t, %v", got, ok, err)
	}
	key, _, err := k.NewAuthorityKey("user")
	if err != nil {
		t.Fatal(err)
	}
	if got, ok, err := k.AuthorityReference("user", key); err != nil || ok || got != nil {
		t.Errorf("a key is a reference: %q, %t, %v", got, ok, err)
	}
	for name, sealed := range map[string][]byte{
		"of the other authority": must(k.SealAuthorityReference("host", text)),
		"of another seal key":    must(ringOf(2).SealAuthorityReference("user", text)),
		"something else":         must(k.Seal(authorityPurpose, "user", bytes.Repeat([]byte("x"), 60))),
	} {
		if _, ok, err := k.AuthorityReference("user", sealed); err == nil || ok {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, text := range []string{"", "abcd"} { // as long as a key
		if _, err := k.SealAuthorityReference("user", []byte(text)); err == nil {
			t.Errorf("%q is sealed", text)
		}
	}
}
