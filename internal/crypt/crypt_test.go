package crypt

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
)

// vectors are the answers of the crypt(3) of glibc and libxcrypt.
var vectors = []struct{ password, settings, want string }{
	{"Hello world!", "$6$saltstring$", "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"},
	{"Hello world!", "$6$rounds=10000$saltstringsaltst$", "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v."},
	{"", "$6$a$", "$6$a$Z6IPkDduHdwavesVY2NFMpOHkigshxPYdhfLg0D3A7/XFQcso9RV2E8qczyJ2su.dj6RRLaTpvgwN1rZfK0I9."},
	{strings.Repeat("x", 64), "$6$./09AZaz$", "$6$./09AZaz$4fFzCQNv9K8uT6.amPAK9CYt8zhZPZw6YWQitNptQitI3OXX5LwV9LVxEq6gEhPru.NTzVfYj2gezzM/NskS91"},
	{strings.Repeat("p", 65) + strings.Repeat("q", 80), "$6$rounds=1000$0123456789abcdef$", "$6$rounds=1000$0123456789abcdef$DSuX3/3SJIYpIUJ37.IiQJ6o91RCwFLMD2.RoH6r9M.wt2CNP23jSwODd.ZgIpgivS9NiI/GkoxdNRpx.WqoQ/"},
	{"grün", "$6$rounds=1500$z$", "$6$rounds=1500$z$iNdNk7HFt7hLcWLPNyypsSuH81lPbD/uJEpSYjH1bWSHS0n8ZzJyFDnKCOsfS/nKo6shQ.HIeShrkd582d/Oc."},
}

func TestLike(t *testing.T) {
	for _, v := range vectors {
		got, err := Like([]byte(v.password), v.settings)
		if err != nil || got != v.want {
			t.Errorf("%q with %q: %s, %v", v.password, v.settings, got, err)
		}
		if s := Settings(v.want); s != v.settings {
			t.Errorf("the settings of %s are %q", v.want, s)
		}
	}
}

// What a host says of its passwords keeps nobody busy, and nothing else is computed.
func TestLikeRefuses(t *testing.T) {
	for _, s := range []string{"", "$6$", "$6$$", "$y$j9T$abc$", "$1$abc$", "$5$abc$", "$2b$12$abc", "$6$rounds=999$a$", "$6$rounds=200001$a$", "$6$rounds=999999999$a$",
		"$6$rounds=05000$a$", "$6$rounds=-5000$a$", "$6$seventeen17171717$", "$6$a:b$", "$6$a\n$", "$6$a$x$", "$6$a", " $6$a$", "$6$a$ "} {
		if got, err := Like([]byte("x"), s); !errors.Is(err, ErrUnknown) {
			t.Errorf("%q: %s, %v", s, got, err)
		}
	}
	if _, err := Like(make([]byte, maxPassword+1), "$6$a$"); err == nil {
		t.Error("a password without end is hashed")
	}
}

func TestSettings(t *testing.T) {
	for field, want := range map[string]string{"": "", "!": "", "*": "", "x": "", "$": "", "!$6$a$b": "", "$6$a$b": "$6$a$", "$y$j9T$s$h": "$y$j9T$s$", "$" + strings.Repeat("a", 200) + "$": ""} {
		if got := Settings(field); got != want {
			t.Errorf("%q: %q, want %q", field, got, want)
		}
	}
}

func TestFresh(t *testing.T) {
	one, err := Fresh([]byte("secret"), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	two, _ := Fresh([]byte("secret"), rand.Reader)
	if one == two {
		t.Error("a salt comes twice")
	}
	same, err := Like([]byte("secret"), Settings(one))
	if err != nil || same != one {
		t.Errorf("it is %s, and again %s, %v", one, same, err)
	}
	if _, err := Fresh(nil, strings.NewReader("short")); err == nil {
		t.Error("without randomness there is a salt")
	}
}

func TestVerifier(t *testing.T) {
	a, b := vectors[0].want, vectors[1].want
	v, err := Parse(a + " " + b)
	if err != nil || v.Set() != a || !v.Fits(a) || !v.Fits(b) {
		t.Fatalf("%+v, %v", v, err)
	}
	for _, field := range []string{"", "!" + a, a[:len(a)-1], a + "x", "!", vectors[2].want} {
		if v.Fits(field) || (Verifier{}).Fits(field) {
			t.Errorf("it fits %q", field)
		}
	}
	for _, bad := range []string{"", " ", a + " ", " " + a, a + "  " + b, a + " " + b + " " + a, a + "\n", a + "\nroot:" + b, "root:" + a, a[:len(a)-1], a + ":", "!", "*", "$6$a$", "$y$j9T$s$h",
		strings.Replace(a, "saltstring", "salt:tring", 1)} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, v := range vectors {
		f.Add(v.want + " " + vectors[0].want)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := Parse(text)
		if err != nil {
			return
		}
		if strings.Join(v.fields, " ") != text || bytes.ContainsAny([]byte(v.Set()), ":\n! ") || !v.Fits(v.Set()) {
			t.Errorf("%q is taken", text)
		}
	})
}

func FuzzLike(f *testing.F) {
	f.Add("$6$a$")
	f.Add("$6$rounds=1000$abc$")
	f.Fuzz(func(t *testing.T, settings string) {
		got, err := Like([]byte("x"), settings)
		if err != nil {
			return
		}
		if _, err := Parse(got); err != nil || Settings(got) != settings {
			t.Errorf("%q makes %q: %v", settings, got, err)
		}
	})
}
