package signals

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	issuer    = "https://idp.example.com"
	audience1 = "https://stint.example.com"
)

// signer makes tokens as a transmitter does.
type signer struct {
	t   testing.TB
	alg jose.SignatureAlgorithm
	key any
	pub jose.JSONWebKey
}

func newSigner(t testing.TB, alg jose.SignatureAlgorithm) signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch alg {
	case jose.ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.EdDSA:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return signer{t, alg, key, jose.JSONWebKey{Key: key.Public(), KeyID: "k1", Algorithm: string(alg), Use: "sig"}}
}

func (s signer) sign(typ string, claims map[string]any) string {
	s.t.Helper()
	opt := (&jose.SignerOptions{}).WithHeader("kid", "k1")
	if typ != "" {
		opt = opt.WithType(jose.ContentType(typ))
	}
	j, err := jose.NewSigner(jose.SigningKey{Algorithm: s.alg, Key: s.key}, opt)
	if err != nil {
		s.t.Fatal(err)
	}
	body, err := json.Marshal(claims)
	if err != nil {
		s.t.Fatal(err)
	}
	signed, err := j.Sign(body)
	if err != nil {
		s.t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

// good are the claims of a token that passes; bend changes them.
func good(bend ...func(map[string]any)) map[string]any {
	c := map[string]any{
		"iss": issuer, "aud": audience1, "iat": now.Unix(), "jti": "1",
		"sub_id": map[string]any{"format": "iss_sub", "iss": issuer, "sub": "mira"},
		"events": map[string]any{caep + "session-revoked": map[string]any{"event_timestamp": now.Unix()}},
	}
	for _, f := range bend {
		f(c)
	}
	return c
}

func set(name string, v any) func(map[string]any) {
	return func(c map[string]any) {
		if v == nil {
			delete(c, name)
			return
		}
		c[name] = v
	}
}

func events(of ...string) func(map[string]any) {
	all := map[string]any{}
	for _, e := range of {
		all[e] = map[string]any{}
	}
	return set("events", all)
}

func TestVerify(t *testing.T) {
	for _, alg := range []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA, jose.RS256, jose.PS256} {
		s := newSigner(t, alg)
		got, err := Verify(s.sign("secevent+jwt", good()), Expect{issuer, audience1, []jose.JSONWebKey{s.pub}, now})
		if err != nil || got.JTI != "1" || len(got.Events) != 1 || got.Events[0] != (Event{caep + "session-revoked", Doubt, issuer, "mira"}) {
			t.Errorf("%s: %+v, %v", alg, got, err)
		}
	}
}

// TestHostile: nothing but a token of the transmitter, for us, of now, passes.
func TestHostile(t *testing.T) {
	s, other := newSigner(t, jose.ES256), newSigner(t, jose.ES256)
	want := Expect{issuer, audience1, []jose.JSONWebKey{s.pub}, now}
	b64 := base64.RawURLEncoding.EncodeToString
	part := func(v any) string { b, _ := json.Marshal(v); return b64(b) }
	whole := s.sign("secevent+jwt", good())
	parts := strings.Split(whole, ".")
	der, err := x509.MarshalPKIXPublicKey(s.pub.Key)
	if err != nil {
		t.Fatal(err)
	}
	hmac := func(key []byte) string {
		j, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: key}, (&jose.SignerOptions{}).WithType("secevent+jwt").WithHeader("kid", "k1"))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := json.Marshal(good())
		signed, err := j.Sign(body)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := signed.CompactSerialize()
		return text
	}
	embedded := func() string { // a key that the token itself brings
		j, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: other.key}, (&jose.SignerOptions{EmbedJWK: true}).WithType("secevent+jwt"))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := json.Marshal(good())
		signed, _ := j.Sign(body)
		text, _ := signed.CompactSerialize()
		return text
	}
	for name, c := range map[string]struct{ raw, code string }{
		"nothing":             {"", "invalid_request"},
		"no token":            {"a.b.c", "invalid_request"},
		"alg none":            {part(map[string]any{"alg": "none", "typ": "secevent+jwt"}) + "." + part(good()) + ".", "invalid_request"},
		"the key as a secret": {hmac(der), "invalid_request"},
		"another's key":       {other.sign("secevent+jwt", good()), "invalid_key"},
		"a key of its own":    {embedded(), "invalid_key"},
		"other claims":        {parts[0] + "." + part(good(set("jti", "2"))) + "." + parts[2], "invalid_key"},
		"no signature":        {parts[0] + "." + parts[1] + ".", "invalid_key"},
		"an id token":         {s.sign("JWT", good()), "invalid_request"},
		"no type":             {s.sign("", good()), "invalid_request"},
		"too long":            {whole + strings.Repeat("x", MaxToken), "invalid_request"},

		"another issuer":      {s.sign("secevent+jwt", good(set("iss", issuer+"/"))), "invalid_issuer"},
		"no issuer":           {s.sign("secevent+jwt", good(set("iss", nil))), "invalid_issuer"},
		"another audience":    {s.sign("secevent+jwt", good(set("aud", []string{"https://other", "STINT"}))), "invalid_audience"},
		"no audience":         {s.sign("secevent+jwt", good(set("aud", nil))), "invalid_audience"},
		"no audience in it":   {s.sign("secevent+jwt", good(set("aud", []string{}))), "invalid_audience"},
		"no time":             {s.sign("secevent+jwt", good(set("iat", nil))), "invalid_request"},
		"a time of words":     {s.sign("secevent+jwt", good(set("iat", "now"))), "invalid_request"},
		"the future":          {s.sign("secevent+jwt", good(set("iat", now.Add(time.Hour).Unix()))), "invalid_request"},
		"too old":             {s.sign("secevent+jwt", good(set("iat", now.Add(-MaxAge-time.Second).Unix()))), "invalid_request"},
		"expired":             {s.sign("secevent+jwt", good(set("exp", now.Unix()))), "invalid_request"},
		"no jti":              {s.sign("secevent+jwt", good(set("jti", nil))), "invalid_request"},
		"a long jti":          {s.sign("secevent+jwt", good(set("jti", strings.Repeat("x", 256)))), "invalid_request"},
		"no events":           {s.sign("secevent+jwt", good(set("events", nil))), "invalid_request"},
		"about nobody":        {s.sign("secevent+jwt", good(set("sub_id", nil))), "invalid_request"},
		"by mail":             {s.sign("secevent+jwt", good(set("sub_id", map[string]any{"format": "email", "email": "mira@corp.example"}))), "invalid_request"},
		"opaque":              {s.sign("secevent+jwt", good(set("sub_id", map[string]any{"format": "opaque", "id": "mira"}))), "invalid_request"},
		"no subject":          {s.sign("secevent+jwt", good(set("sub_id", map[string]any{"format": "iss_sub", "iss": issuer}))), "invalid_request"},
		"no subject's issuer": {s.sign("secevent+jwt", good(set("sub_id", map[string]any{"format": "iss_sub", "sub": "mira"}))), "invalid_request"},
	} {
		_, err := Verify(c.raw, want)
		var p *Problem
		if !errors.As(err, &p) || p.Code != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	// A key for something else verifies nothing.
	enc := s.pub
	enc.Use = "enc"
	if _, err := Verify(whole, Expect{issuer, audience1, []jose.JSONWebKey{enc}, now}); !UnknownKey(err) {
		t.Errorf("a key for encryption: %v", err)
	}
	secret := jose.JSONWebKey{Key: []byte("secret-secret-secret-secret-secret"), KeyID: "k1"}
	if _, err := Verify(hmac([]byte("secret-secret-secret-secret-secret")), Expect{issuer, audience1, []jose.JSONWebKey{secret}, now}); err == nil {
		t.Error("a shared secret verifies")
	}
}

func TestMeanings(t *testing.T) {
	s := newSigner(t, jose.EdDSA)
	want := Expect{issuer, audience1, []jose.JSONWebKey{s.pub}, now}
	user := map[string]any{"format": "iss_sub", "iss": issuer, "sub": "mira"}
	for name, c := range map[string]struct {
		bend func(map[string]any)
		want Meaning
	}{
		"session revoked":   {events(caep + "session-revoked"), Doubt},
		"credential change": {events(caep + "credential-change"), Doubt},
		"not compliant":     {set("events", map[string]any{caep + "device-compliance-change": map[string]any{"current_status": "not-compliant"}}), Doubt},
		"of unknown status": {events(caep + "device-compliance-change"), Doubt},
		"compliant":         {set("events", map[string]any{caep + "device-compliance-change": map[string]any{"current_status": "compliant"}}), Nothing},
		"disabled":          {events(risc + "account-disabled"), Gone},
		"purged":            {events(risc + "account-purged"), Gone},
		"enabled":           {events(risc + "account-enabled"), Back},
		"verification":      {func(c map[string]any) { events(ssf + "verification")(c); delete(c, "sub_id") }, Nothing},
		"unknown":           {func(c map[string]any) { events("https://example.com/other")(c); delete(c, "sub_id") }, Unwelcome},
		"a complex subject": {set("sub_id", map[string]any{"format": "complex", "user": user, "session": map[string]any{"format": "opaque", "id": "s"}}), Doubt},
		"an older subject": {func(c map[string]any) {
			delete(c, "sub_id")
			c["events"] = map[string]any{risc + "account-disabled": map[string]any{"subject": map[string]any{"subject_type": "iss-sub", "iss": issuer, "sub": "mira"}}}
		}, Gone},
		"several audiences": {set("aud", []string{"https://other", audience1}), Doubt},
	} {
		got, err := Verify(s.sign("application/secevent+jwt", good(c.bend)), want)
		if err != nil || len(got.Events) != 1 || got.Events[0].Meaning != c.want {
			t.Errorf("%s: %+v, %v, want %d", name, got, err, c.want)
			continue
		}
		if e := got.Events[0]; c.want != Unwelcome && c.want != Nothing && (e.Subject != "mira" || e.Issuer != issuer) {
			t.Errorf("%s is about %q of %q", name, e.Subject, e.Issuer)
		}
	}
}

// FuzzClaims: no claims do more than be refused.
func FuzzClaims(f *testing.F) {
	for _, c := range []map[string]any{good(), good(set("aud", []string{audience1})), good(set("sub_id", map[string]any{"user": map[string]any{"format": "iss_sub"}}))} {
		b, err := json.Marshal(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		got, err := read(payload, Expect{issuer, audience1, nil, now})
		if err == nil && (got.JTI == "" || len(got.Events) == 0) {
			t.Fatalf("%s is read as %+v", payload, got)
		}
	})
}
