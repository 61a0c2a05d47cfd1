package api_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stint/internal/api"
)

const window = time.Minute

var proofTime = time.Unix(1772386200, 0)

func goldenCall(t testing.TB) api.Call {
	t.Helper()
	return api.Call{Method: "POST", URL: parse(t, "https://stint.example/v1/requests?wait=30s&for=ready"),
		Body: sha256.Sum256([]byte(`{"role":"reader"}`)), Token: "stl_golden"}
}

func parse(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func mustSign(t testing.TB, d *api.Device, c api.Call, now time.Time) string {
	t.Helper()
	proof, err := d.Proof(c, now)
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

// A proof made by the first version must verify for ever.
func TestVerifyProofGolden(t *testing.T) {
	p, err := api.VerifyProof(goldenProof(t), goldenCall(t), proofTime, window)
	if err != nil {
		t.Fatal(err)
	}
	if d := goldenDevice(t); p.Thumbprint != d.ID() || !p.IssuedAt.Equal(proofTime) || p.JTI != "iLKrkWKvJGslsZ3IJsqApQ" ||
		api.Thumbprint(p.PublicKey) != d.ID() {
		t.Errorf("VerifyProof = %+v", p)
	}
}

func goldenProof(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("testdata/proof.txt")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func TestProofRoundTrip(t *testing.T) {
	d := newDevice(t)
	seen := map[string]bool{}
	rapid.Check(t, func(t *rapid.T) {
		u := &url.URL{Scheme: rapid.SampledFrom([]string{"http", "https"}).Draw(t, "scheme"), Host: "stint.example:7420",
			Path: "/v1/" + rapid.String().Draw(t, "path"), RawQuery: url.Values{"q": {rapid.String().Draw(t, "query")}}.Encode()}
		c := api.Call{Method: rapid.SampledFrom([]string{"GET", "POST", "PUT", "DELETE"}).Draw(t, "method"), URL: u,
			Body: sha256.Sum256(rapid.SliceOf(rapid.Byte()).Draw(t, "body")), Token: api.Secret(rapid.StringMatching(`[a-z_]{0,20}`).Draw(t, "token"))}
		proof, err := d.Proof(c, proofTime)
		if err != nil {
			t.Fatal(err)
		}
		// The verifier sees the URL only after it went over the wire.
		c.URL, err = url.ParseRequestURI(u.String())
		if err != nil {
			t.Fatal(err)
		}
		late := time.Duration(rapid.Int64Range(-int64(window), int64(window)).Draw(t, "late"))
		p, err := api.VerifyProof(proof, c, proofTime.Add(late), window)
		if err != nil || p.Thumbprint != d.ID() {
			t.Fatalf("VerifyProof = %+v, %v", p, err)
		}
		if seen[p.JTI] {
			t.Fatalf("jti %s came twice", p.JTI)
		}
		seen[p.JTI] = true
	})
}

// Addresses that mean the same are the same; RFC 9449 section 4.3.
func TestProofNormalisesAddress(t *testing.T) {
	d := goldenDevice(t)
	for signed, seen := range map[string]string{
		"HTTPS://Stint.Example/v1/x":   "https://stint.example/v1/x",
		"https://stint.example:443/v1": "https://stint.example/v1",
		"http://stint.example:80":      "http://stint.example/",
		"http://[::1]:80/v1":           "http://[::1]/v1",
		"http://[::1]:7420/v1":         "http://[::1]:7420/v1",
		"https://stint.example/v1#x":   "https://stint.example/v1",
	} {
		c := goldenCall(t)
		c.URL = parse(t, signed)
		proof := mustSign(t, d, c, proofTime)
		c.URL = parse(t, seen)
		if _, err := api.VerifyProof(proof, c, proofTime, window); err != nil {
			t.Errorf("signed for %s, seen as %s: %v", signed, seen, err)
		}
	}
	for _, bad := range []string{"/v1/x", "ftp://stint.example/", "mailto:mira", "https://mira:pw@stint.example/v1"} {
		c := goldenCall(t)
		c.URL = parse(t, bad)
		if proof, err := d.Proof(c, proofTime); err == nil {
			t.Errorf("Proof for %s = %s, want an error", bad, proof)
		}
	}
}

// A call that is not exactly the signed one is refused.
func TestVerifyProofBindsTheCall(t *testing.T) {
	d := goldenDevice(t)
	proof := mustSign(t, d, goldenCall(t), proofTime)
	for name, bend := range map[string]func(*api.Call){
		"method":         func(c *api.Call) { c.Method = "PUT" },
		"method case":    func(c *api.Call) { c.Method = "post" },
		"scheme":         func(c *api.Call) { c.URL.Scheme = "http" },
		"host":           func(c *api.Call) { c.URL.Host = "stint.example.org" },
		"port":           func(c *api.Call) { c.URL.Host = "stint.example:8443" },
		"path":           func(c *api.Call) { c.URL.Path = "/v1/revoke" },
		"path slash":     func(c *api.Call) { c.URL.Path += "/" },
		"path case":      func(c *api.Call) { c.URL.Path = "/V1/requests" },
		"query":          func(c *api.Call) { c.URL.RawQuery = "wait=30s&for=ended" },
		"query order":    func(c *api.Call) { c.URL.RawQuery = "for=ready&wait=30s" },
		"no query":       func(c *api.Call) { c.URL.RawQuery = "" },
		"body":           func(c *api.Call) { c.Body = sha256.Sum256([]byte(`{"role":"owner"}`)) },
		"no body":        func(c *api.Call) { c.Body = sha256.Sum256(nil) },
		"zero digest":    func(c *api.Call) { c.Body = [32]byte{} },
		"token":          func(c *api.Call) { c.Token = "stl_other" },
		"no token":       func(c *api.Call) { c.Token = "" },
		"no address":     func(c *api.Call) { c.URL = nil },
		"relative":       func(c *api.Call) { c.URL.Host = "" },
		"password in it": func(c *api.Call) { c.URL.User = url.User("mira") },
	} {
		c := goldenCall(t)
		bend(&c)
		if _, err := api.VerifyProof(proof, c, proofTime, window); !isCode(err, api.CodeBadProof) {
			t.Errorf("%s: VerifyProof = %v, want code %s", name, err, api.CodeBadProof)
		}
	}
	c := goldenCall(t)
	c.Token = ""
	bare := mustSign(t, d, c, proofTime)
	if _, err := api.VerifyProof(bare, c, proofTime, window); err != nil {
		t.Errorf("a call without a token: %v", err)
	}
	if _, err := api.VerifyProof(bare, goldenCall(t), proofTime, window); !isCode(err, api.CodeBadProof) {
		t.Errorf("a proof without a token, for a call with one: %v", err)
	}
}

func TestVerifyProofWindow(t *testing.T) {
	d := goldenDevice(t)
	proof := mustSign(t, d, goldenCall(t), proofTime)
	for _, tt := range []struct {
		late, window time.Duration
		ok           bool
	}{
		{0, window, true}, {window, window, true}, {-window, window, true}, {0, 0, true},
		{window + time.Nanosecond, window, false}, {-window - time.Nanosecond, window, false},
		{time.Second, 0, false}, {0, -time.Second, false}, {100 * 365 * 24 * time.Hour, window, false},
	} {
		_, err := api.VerifyProof(proof, goldenCall(t), proofTime.Add(tt.late), tt.window)
		if tt.ok && err != nil || !tt.ok && !isCode(err, api.CodeClockSkew) {
			t.Errorf("%v late in a window of %v: %v, want ok=%v", tt.late, tt.window, err, tt.ok)
		}
	}
}

func isCode(err error, code string) bool {
	var e *api.Error
	return errors.As(err, &e) && e.Code == code && errors.Is(err, api.Unauthenticated)
}

// forge signs any header and claims with the golden key.
func forge(header, claims string) string {
	seed, _ := base64.RawURLEncoding.DecodeString("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
	signed := b64(header) + "." + b64(claims)
	return signed + "." + b64(string(ed25519.Sign(ed25519.NewKeyFromSeed(seed), []byte(signed))))
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func parts(t testing.TB, proof string) (header, claims, sig string) {
	t.Helper()
	p := strings.Split(proof, ".")
	if len(p) != 3 {
		t.Fatalf("the proof has %d parts", len(p))
	}
	h, err1 := base64.RawURLEncoding.DecodeString(p[0])
	c, err2 := base64.RawURLEncoding.DecodeString(p[1])
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return string(h), string(c), p[2]
}

// Every mutation here but those of the signature is signed properly, so that
// each is refused for what it is and not for its signature.
func TestVerifyProofMutations(t *testing.T) {
	const x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
	d := goldenDevice(t)
	proof := mustSign(t, d, goldenCall(t), proofTime)
	header, claims, sig := parts(t, proof)
	if _, err := api.VerifyProof(forge(header, claims), goldenCall(t), proofTime, window); err != nil {
		t.Fatalf("the forge itself does not work: %v", err)
	}

	inHeader := func(old, new string) string { return forge(swap(t, header, old, new), claims) }
	inClaims := func(old, new string) string { return forge(header, swap(t, claims, old, new)) }
	claim := func(name string, value any) string {
		var m map[string]any
		if err := json.Unmarshal([]byte(claims), &m); err != nil {
			t.Fatal(err)
		}
		m["iat"] = proofTime.Unix() // not as a float
		if value == nil {
			delete(m, name)
		} else {
			m[name] = value
		}
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return forge(header, string(b))
	}
	if _, err := api.VerifyProof(claim("htm", "POST"), goldenCall(t), proofTime, window); err != nil {
		t.Fatalf("claims in another order: %v", err)
	}
	hs256 := func() string { // the public key used as an HMAC secret
		key, _ := base64.RawURLEncoding.DecodeString(x)
		signed := b64(swap(t, header, "EdDSA", "HS256")) + "." + b64(claims)
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(signed))
		return signed + "." + b64(string(mac.Sum(nil)))
	}
	other := newDevice(t)

	for name, bad := range map[string]string{
		"empty":               "",
		"dots":                "..",
		"two parts":           proof[:strings.LastIndex(proof, ".")],
		"four parts":          proof + "." + sig,
		"no signature":        strings.TrimSuffix(proof, sig),
		"short signature":     proof[:len(proof)-2],
		"flipped signature":   flip(proof, len(proof)-10),
		"flipped claims":      flip(proof, strings.Index(proof, ".")+12),
		"signature tail bits": proof[:len(proof)-1] + "x",
		"padding":             proof + "=",
		"newline at end":      proof + "\n",
		"newline inside":      proof[:20] + "\n" + proof[20:],
		"space in front":      " " + proof,
		"two proofs":          proof + ", " + proof,
		"too long":            forge(header, claims+strings.Repeat(" ", 4096)),
		"another's key":       forge(swap(t, header, x, other.JWK().X), claims),
		"typ":                 inHeader("dpop+jwt", "jwt"),
		"typ case":            inHeader("dpop+jwt", "DPoP+JWT"),
		"alg none":            inHeader("EdDSA", "none"),
		"alg none unsigned":   b64(swap(t, header, "EdDSA", "none")) + "." + b64(claims) + ".",
		"alg HS256":           hs256(),
		"alg ES256":           inHeader("EdDSA", "ES256"),
		"alg Ed25519":         inHeader("EdDSA", "Ed25519"),
		"alg null":            inHeader(`"EdDSA"`, "null"),
		"alg twice":           inHeader(`"alg":"EdDSA"`, `"alg":"none","alg":"EdDSA"`),
		"alg in capitals":     inHeader(`"alg"`, `"ALG"`),
		"alg also capitals":   inHeader(`"alg":"EdDSA"`, `"alg":"EdDSA","ALG":"EdDSA"`),
		"crit":                inHeader(`"jwk"`, `"crit":["exp"],"jwk"`),
		"b64":                 inHeader(`"jwk"`, `"b64":false,"jwk"`),
		"kid":                 inHeader(`"jwk"`, `"kid":"1","jwk"`),
		"jku":                 inHeader(`"jwk"`, `"jku":"https://evil.example","jwk"`),
		"x5c":                 inHeader(`"jwk"`, `"x5c":[],"jwk"`),
		"no jwk":              forge(`{"typ":"dpop+jwt","alg":"EdDSA"}`, claims),
		"private key":         inHeader(`"kty"`, `"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","kty"`),
		"jwk kty":             inHeader("OKP", "EC"),
		"jwk crv":             inHeader(`"Ed25519"`, `"Ed448"`),
		"jwk symmetric":       forge(`{"typ":"dpop+jwt","alg":"EdDSA","jwk":{"kty":"oct","k":"AAAA"}}`, claims),
		"jwk short":           inHeader(x, x[:40]),
		"jwk text":            inHeader(`{"kty":"OKP","crv":"Ed25519","x":"`+x+`"}`, `"`+x+`"`),
		"jwk x twice":         inHeader(`"x":`, `"x":"AAAA","x":`),
		"header trailing":     forge(header+"{}", claims),
		"header array":        forge("["+header+"]", claims),
		"header not UTF-8":    forge(header+"\xff", claims),
		"claims trailing":     forge(header, claims+"x"),
		"claims not UTF-8":    inClaims(`"POST"`, "\"POST\xff\""),
		"claims a list":       forge(header, "["+claims+"]"),
		"claims null":         forge(header, "null"),
		"no jti":              claim("jti", nil),
		"jti empty":           claim("jti", ""),
		"jti short":           claim("jti", "AAAA"),
		"jti a number":        claim("jti", 7),
		"no htm":              claim("htm", nil),
		"htm twice":           inClaims(`"htm":"POST"`, `"htm":"GET","htm":"POST"`),
		"htm escaped twice":   inClaims(`"htm":"POST"`, `"h\u0074m":"GET","htm":"POST"`),
		"htm null":            inClaims(`"POST"`, "null"),
		"no htu":              claim("htu", nil),
		"htu with query":      claim("htu", "https://stint.example/v1/requests?wait=30s&for=ready"),
		"htu with fragment":   claim("htu", "https://stint.example/v1/requests#x"),
		"htu relative":        claim("htu", "/v1/requests"),
		"no iat":              claim("iat", nil),
		"iat a text":          claim("iat", "1772386200"),
		"iat a fraction":      inClaims("1772386200", "1772386200.0"),
		"iat an exponent":     inClaims("1772386200", "1772386200e0"),
		"iat negative":        inClaims("1772386200", "-1772386200"),
		"iat huge":            inClaims("1772386200", "99999999999999999999"),
		"no ath":              claim("ath", nil),
		"ath empty":           claim("ath", ""),
		"ath of another":      claim("ath", b64(strings.Repeat("x", 32))),
		"no query":            claim("stint_q", nil),
		"no body":             claim("stint_b", nil),
		"nonce":               claim("nonce", "x"),
		"exp":                 claim("exp", proofTime.Unix()+10),
	} {
		if p, err := api.VerifyProof(bad, goldenCall(t), proofTime, window); !isCode(err, api.CodeBadProof) {
			t.Errorf("%s: VerifyProof = %+v, %v; want code %s", name, p, err, api.CodeBadProof)
		}
	}
}

func swap(t testing.TB, s, old, new string) string {
	t.Helper()
	if !strings.Contains(s, old) {
		t.Fatalf("%s does not contain %s", s, old)
	}
	return strings.Replace(s, old, new, 1)
}

// flip changes the letter at i to another one of base64url.
func flip(s string, i int) string {
	c := byte('A')
	if s[i] == c {
		c = 'B'
	}
	return s[:i] + string(c) + s[i+1:]
}

// Whatever is accepted is a proof for this call, and no other spelling of it.
func FuzzVerifyProof(f *testing.F) {
	call, proof := goldenCall(f), goldenProof(f) // the same in each worker process
	header, claims, _ := parts(f, proof)
	f.Add(proof)
	f.Add(forge(swap(f, header, "EdDSA", "none"), claims))
	f.Add(forge(header, "{}"))
	f.Add("..")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := api.VerifyProof(s, call, proofTime, window)
		if err == nil {
			if s != proof {
				t.Fatalf("accepted %q", s)
			}
			return
		}
		if p.JTI != "" || p.PublicKey != nil || !errors.Is(err, api.Unauthenticated) {
			t.Fatalf("VerifyProof = %+v, %v", p, err)
		}
	})
}

// What is inside is fuzzed too, under a signature that holds.
func FuzzVerifyProofInside(f *testing.F) {
	d := goldenDevice(f)
	call := goldenCall(f)
	header, claims, _ := parts(f, mustSign(f, d, call, proofTime))
	var want map[string]any
	if err := json.Unmarshal([]byte(claims), &want); err != nil {
		f.Fatal(err)
	}
	delete(want, "jti")
	f.Add(header, claims)
	f.Add(header, `{"jti":"","htm":null}`)
	f.Add(`{"typ":"dpop+jwt","alg":"EdDSA","jwk":{}}`, claims)
	f.Fuzz(func(t *testing.T, h, c string) {
		if _, err := api.VerifyProof(forge(h, c), call, proofTime, 0); err != nil {
			return
		}
		var got map[string]any
		if err := json.Unmarshal([]byte(c), &got); err != nil {
			t.Fatalf("accepted claims that are not JSON: %q", c)
		}
		delete(got, "jti")
		if !maps.Equal(got, want) {
			t.Fatalf("accepted claims %q", c)
		}
	})
}

func TestReadProof(t *testing.T) {
	for name, h := range map[string]http.Header{"none": {}, "two": {"Dpop": {"a", "a"}}} {
		if _, err := api.ReadProof(h); !isCode(err, api.CodeBadProof) {
			t.Errorf("%s: ReadProof = %v", name, err)
		}
	}
	h := http.Header{}
	h.Set(api.HeaderProof, "a.b.c")
	if got, err := api.ReadProof(h); err != nil || got != "a.b.c" {
		t.Errorf("ReadProof = %q, %v", got, err)
	}
}

func TestReadToken(t *testing.T) {
	for value, service := range map[string]bool{"DPoP stl_x": false, "dpop stl_x": false, "Bearer stl_x": true} {
		token, svc, err := api.ReadToken(http.Header{"Authorization": {value}})
		if err != nil || token.Reveal() != "stl_x" || svc != service {
			t.Errorf("ReadToken(%q) = %q, %v, %v", value, token.Reveal(), svc, err)
		}
	}
	for name, values := range map[string][]string{
		"none": nil, "two": {"DPoP a", "DPoP a"}, "no token": {"DPoP"}, "empty": {"DPoP "}, "basic": {"Basic bWlyYTpwdw"},
		"two in one": {"DPoP a, DPoP b"}, "space": {"DPoP  a"}, "tail": {"DPoP a "}, "long": {"DPoP " + strings.Repeat("a", 600)},
		"control": {"DPoP a\x00"}, "quote": {`DPoP "a"`},
	} {
		token, _, err := api.ReadToken(http.Header{"Authorization": values})
		if token != "" || !errors.Is(err, api.Unauthenticated) {
			t.Errorf("%s: ReadToken = %q, %v", name, token.Reveal(), err)
		}
	}
}

func BenchmarkProof(b *testing.B) {
	d, call := goldenDevice(b), goldenCall(b)
	for b.Loop() {
		mustSign(b, d, call, proofTime)
	}
}

func BenchmarkVerifyProof(b *testing.B) {
	call := goldenCall(b)
	proof := mustSign(b, goldenDevice(b), call, proofTime)
	for b.Loop() {
		if _, err := api.VerifyProof(proof, call, proofTime, window); err != nil {
			b.Fatal(err)
		}
	}
}
