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
