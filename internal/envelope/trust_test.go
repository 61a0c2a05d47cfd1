package envelope

import (
	"crypto/sha256"
	"strings"
	"testing"

	"stint/internal/access"
)

const (
	authorityLine   = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGy users"
	certificateLine = "ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5 host"
)

func trusted(list []byte) Trust {
	sum := sha256.Sum256(list)
	return Trust{Installation: "inst", Host: "web1:22", Nonce: strings.Repeat("0a", 16), IssuedAt: noon, Users: []string{authorityLine}, Certificates: []string{certificateLine, ""}, Ends: []End{{Tag: "tag", Told: noon, End: noon.Add(-1)}}, Revoked: sum[:]}
}

// TestTrust: what a host's sshd shall believe is taken for the question that was asked,
// with the list that was meant, and signed as nothing else.
func TestTrust(t *testing.T) {
	orders, other := signerOf(1), signerOf(2)
	list := []byte("revoked")
	x := trusted(list)
	text := must(x.Seal(orders))
	got, err := OpenTrust(text, x.Nonce, list, orders.Public())
	if err != nil || got.Users[0] != authorityLine || len(got.Certificates) != 2 || got.For("inst", "web1:22") != nil {
		t.Fatalf("%+v, %v", got, err)
	}
	if got.For("inst", "web2:22") == nil || got.For("other", "web1:22") == nil {
		t.Error("another host believes it")
	}
	for name, c := range map[string]struct {
		text  Sealed
		nonce string
		list  string
		kind  access.Kind
	}{
		"an earlier answer":  {text, strings.Repeat("0b", 16), "revoked", access.Denied},
		"another list":       {text, x.Nonce, "nothing is revoked", access.Denied},
		"another key":        {must(x.Seal(other)), x.Nonce, "revoked", access.Denied},
		"signed as a call":   {forge(callHead, content(text), orders), x.Nonce, "revoked", access.Invalid},
		"one more field":     {forge(trustHead, strings.Replace(content(text), `"v":1`, `"v":1,"w":1`, 1), orders), x.Nonce, "revoked", access.Invalid},
		"an authority twice": {forge(trustHead, strings.Replace(content(text), authorityLine, authorityLine+`\ncert-authority `+authorityLine, 1), orders), x.Nonce, "revoked", access.Invalid},
		"an option before":   {forge(trustHead, strings.Replace(content(text), authorityLine, "command=x "+authorityLine, 1), orders), x.Nonce, "revoked", access.Invalid},
		"a key for a certificate": {forge(trustHead, strings.Replace(content(text), certificateLine, authorityLine, 1), orders), x.Nonce, "revoked",
			access.Invalid},
		"a call": {must(sample().Seal(orders)), x.Nonce, "revoked", access.Invalid},
	} {
		if _, err := OpenTrust(c.text, c.nonce, []byte(c.list), orders.Public()); access.KindOf(err) != c.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, bend := range map[string]func(*Trust){
		"no authority": func(x *Trust) { x.Users = nil }, "no host": func(x *Trust) { x.Host = "" }, "no nonce": func(x *Trust) { x.Nonce = "" },
		"an end that is later": func(x *Trust) { x.Ends = []End{{Tag: "t", Told: noon, End: noon.Add(1)}} }, "an end of nothing": func(x *Trust) { x.Ends = []End{{Told: noon, End: noon}} },
		"no digest": func(x *Trust) { x.Revoked = nil }, "many certificates": func(x *Trust) { x.Certificates = make([]string, MaxHostKeys+1) },
	} {
		x := trusted(list)
		bend(&x)
		if _, err := x.Seal(orders); err == nil {
			t.Errorf("%s: sealed", name)
		}
	}
}

// FuzzTrust: whatever is taken encodes again to the very text, and every line of it is one.
func FuzzTrust(f *testing.F) {
	key, list := signerOf(1), []byte("l")
	x := trusted(list)
	f.Add(content(must(x.Seal(key))))
	f.Fuzz(func(t *testing.T, text string) {
		got, err := OpenTrust(forge(trustHead, text, key), x.Nonce, list, key.Public())
		if err != nil {
			return
		}
		if again, err := got.Seal(key); err != nil || content(again) != text {
			t.Errorf("%q became %q, %v", text, content(again), err)
		}
		for _, l := range append(got.Users, got.Certificates...) {
			if strings.ContainsAny(l, "\r\n\x00") {
				t.Errorf("more than a line: %q", l)
			}
		}
	})
}
