package httpgate

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"time"

	"stint/internal/access"
)

// assertFor is how long the word of who a request is is good: as long as the request is on
// its way.
const assertFor = 30 * time.Second

// voice signs who requests are (RFC 7519, RFC 8037).
type voice struct {
	key  ed25519.PrivateKey
	head string // encoded: it is always the same
	jwks []byte
}

type jwk struct {
	Kty string `json:"kty"`
	Crv string `json:"crv"`
	X   string `json:"x"`
	Kid string `json:"kid,omitempty"`
	Alg string `json:"alg,omitempty"`
	Use string `json:"use,omitempty"`
}

var b64 = base64.RawURLEncoding

func newVoice(key ed25519.PrivateKey) (*voice, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, access.Fail(access.Internal, "gateway-incomplete", "a web gateway needs an Ed25519 key to sign with")
	}
	x := b64.EncodeToString(key.Public().(ed25519.PublicKey))
	print1 := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + x + `"}`)) // RFC 7638, RFC 8037 appendix A.3
	kid := b64.EncodeToString(print1[:])
	set, err := json.Marshal(map[string][]jwk{"keys": {{Kty: "OKP", Crv: "Ed25519", X: x, Kid: kid, Alg: "EdDSA", Use: "sig"}}})
	if err != nil {
		return nil, err
	}
	head, err := json.Marshal(map[string]string{"alg": "EdDSA", "typ": "JWT", "kid": kid})
	if err != nil {
		return nil, err
	}
	return &voice{key: key, head: b64.EncodeToString(head), jwks: set}, nil
}

type claims struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	Issued   int64  `json:"iat"`
	Before   int64  `json:"nbf"`
	Expires  int64  `json:"exp"`
	ID       string `json:"jti"`
	Session  string `json:"sid"`
	Grant    string `json:"grant"`
}

// assert says who a request of a session is, to its resource alone, for no longer than the
// grant lasts.
func (v *voice) assert(s *session, host string, now time.Time) (string, error) {
	left := min(assertFor, s.Remaining())
	body, err := json.Marshal(claims{Issuer: "https://" + host, Subject: s.Person, Audience: string(s.Resource), Issued: now.Unix(), Before: now.Add(-5 * time.Second).Unix(),
		Expires: now.Add(left).Unix(), ID: rand.Text(), Session: string(s.ID), Grant: string(s.Grant)})
	if err != nil {
		return "", err
	}
	said := v.head + "." + b64.EncodeToString(body)
	return said + "." + b64.EncodeToString(ed25519.Sign(v.key, []byte(said))), nil
}
