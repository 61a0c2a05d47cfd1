package api

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
)

// maxProof bounds a proof; ours have about 700 bytes.
const maxProof = 4096

// Call is what a proof is about: one call, whole. The same value signs and
// verifies.
type Call struct {
	Method string
	URL    *url.URL          // scheme, host, path and raw query as sent
	Body   [sha256.Size]byte // digest of the body; of nothing where there is none
	Token  Secret            // empty only where the call carries none (enrolment)
}

// Proof is what a proof has proved. The caller must remember thumbprint and
// JTI until IssuedAt plus the window and refuse them the second time; and must
// check that the token belongs to the thumbprint.
type Proof struct {
	JTI        string
	Thumbprint string // the device's id
	IssuedAt   time.Time
	PublicKey  ed25519.PublicKey

	body string // digest of the body, as claimed
}

// proofHeader and proofClaims are RFC 9449 section 4.2. "stint_q" and
// "stint_b" are ours: it leaves query and body to the reader's good faith.
type proofHeader struct {
	Typ string `json:"typ"`
	Alg string `json:"alg"`
	JWK JWK    `json:"jwk"`
}

type proofClaims struct {
	JTI   string `json:"jti"` // 128 random bits, base64url
	HTM   string `json:"htm"`
	HTU   string `json:"htu"` // without query
	IAT   int64  `json:"iat"`
	ATH   string `json:"ath,omitempty"` // SHA-256 of the token, as all digests here base64url
	Query string `json:"stint_q"`       // SHA-256 of the raw query
	Body  string `json:"stint_b"`       // SHA-256 of the body
}

const (
	proofType = "dpop+jwt"
	proofAlg  = "EdDSA"
	jtiBytes  = 16
)

// Proof signs one call. A proof is good once: make a new one for each attempt.
func (d *Device) Proof(c Call, now time.Time) (string, error) {
	htu, err := target(c.URL)
	if err != nil {
		return "", fmt.Errorf("sign a call: %w", err)
	}
	var jti [jtiBytes]byte
	rand.Read(jti[:]) // never fails
	claims := proofClaims{JTI: encode(jti[:]), HTM: c.Method, HTU: htu, IAT: now.Unix(),
		ATH: tokenHash(c.Token), Query: hash(c.URL.RawQuery), Body: encode(c.Body[:])}
	head, err := json.Marshal(proofHeader{Typ: proofType, Alg: proofAlg, JWK: d.jwk})
	if err != nil {
		return "", fmt.Errorf("sign a call: %w", err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("sign a call: %w", err)
	}
	signed := encode(head) + "." + encode(payload)
	return signed + "." + encode(ed25519.Sign(d.sign, []byte(signed))), nil
}

// VerifyProof checks that the proof is by the key it names, over exactly this
// call, and was made within window of now. What is wrong comes as an *Error of
// kind Unauthenticated, with CodeClockSkew when all but the time is right.
//
// It is strict: one algorithm, one key type, no member of header or claims
// more or less or twice, no other encoding of the same bytes.
func VerifyProof(proof string, c Call, now time.Time, window time.Duration) (Proof, error) {
	p, err := VerifyHead(proof, c, now, window)
	if err == nil {
		err = p.Covers(c.Body)
	}
	if err != nil {
		return Proof{}, err
	}
	return p, nil
}

// VerifyHead is VerifyProof for all but the body: for who must know whom a call
// is from before reading more of it. What it returns proves nothing about the
// body until Covers has said so.
func VerifyHead(proof string, c Call, now time.Time, window time.Duration) (Proof, error) {
	p, claims, err := openProof(proof)
	if err != nil {
		return Proof{}, badProof(err.Error())
	}
	if err := claims.match(c); err != nil {
		return Proof{}, badProof(err.Error())
	}
	if off := now.Sub(p.IssuedAt); off > window || off < -window {
		return Proof{}, &Error{Kind: Unauthenticated, Code: CodeClockSkew, Message: "the call was not made now",
			Why: "its time is " + At(p.IssuedAt).String() + ", here it is " + At(now).String(), Next: "set this machine's clock"}
	}
	p.body = claims.Body
	return p, nil
}

// Covers is nil when the proof is over a body with this digest.
func (p Proof) Covers(body [sha256.Size]byte) error {
	if p.body != encode(body[:]) {
		return badProof("it is for another body")
	}
	return nil
}

// openProof reads a proof and verifies its signature by the key inside.
func openProof(proof string) (Proof, proofClaims, error) {
	none := func(why string) (Proof, proofClaims, error) { return Proof{}, proofClaims{}, errors.New(why) }
	if len(proof) > maxProof {
		return none("it is too long")
	}
	head, rest, ok := strings.Cut(proof, ".")
	payload, sig, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 || strings.Contains(sig, ".") {
		return none("it does not have three parts")
	}
	key, err := readHeader(head)
	if err != nil {
		return none("header: " + err.Error())
	}
	signature, err := decode(sig)
	if err != nil || !ed25519.Verify(key, []byte(proof[:len(head)+1+len(payload)]), signature) {
		return none("its signature is not by the key it names")
	}
	claims, err := readClaims(payload)
	if err != nil {
		return none("claims: " + err.Error())
	}
	return Proof{JTI: claims.JTI, Thumbprint: Thumbprint(key), IssuedAt: time.Unix(claims.IAT, 0).UTC(), PublicKey: key}, claims, nil
}

func readHeader(part string) (ed25519.PublicKey, error) {
	raw, err := decode(part)
	if err != nil {
		return nil, errors.New("not base64url")
	}
	m, err := members(raw, "", "typ", "alg", "jwk")
	if err != nil {
		return nil, err
	}
	if typ, _ := text(m["typ"]); typ != proofType {
		return nil, errors.New("typ is not " + proofType)
	}
	if alg, _ := text(m["alg"]); alg != proofAlg {
		return nil, errors.New("alg is not " + proofAlg)
	}
	// Three members and no other: a private key ("d") is refused too.
	m, err = members(m["jwk"], "", "kty", "crv", "x")
	if err != nil {
		return nil, fmt.Errorf("jwk: %w", err)
	}
	var j JWK
	j.Kty, _ = text(m["kty"])
	j.Crv, _ = text(m["crv"])
	j.X, _ = text(m["x"])
	return j.key()
}

func readClaims(part string) (proofClaims, error) {
	raw, err := decode(part)
	if err != nil {
		return proofClaims{}, errors.New("not base64url")
	}
	// A call without a token has no ath; match checks that it has none.
	m, err := members(raw, "ath", "jti", "htm", "htu", "iat", "stint_q", "stint_b")
	if err != nil {
		return proofClaims{}, err
	}
	var c proofClaims
	for _, field := range []struct {
		name string
		to   *string
	}{
		{"jti", &c.JTI}, {"htm", &c.HTM}, {"htu", &c.HTU}, {"stint_q", &c.Query}, {"stint_b", &c.Body}, {"ath", &c.ATH},
	} {
		raw, there := m[field.name]
		if !there {
			continue
		}
		s, ok := text(raw)
		if !ok || s == "" {
			return proofClaims{}, errors.New(field.name + " is not a text")
		}
		*field.to = s
	}
	ok := false
	if c.IAT, ok = seconds(m["iat"]); !ok {
		return proofClaims{}, errors.New("iat is not whole seconds")
	}
	if b, err := decode(c.JTI); err != nil || len(b) != jtiBytes {
		return proofClaims{}, errors.New("jti is not 128 bits")
	}
	return c, nil
}

// match reports what of the call, but for its body, the claims do not say.
func (c proofClaims) match(call Call) error {
	htu, err := target(call.URL)
	switch {
	case err != nil:
		return err
	case c.HTM != call.Method:
		return errors.New("it is for another method")
	case c.HTU != htu:
		return errors.New("it is for another address")
	case c.Query != hash(call.URL.RawQuery):
		return errors.New("it is for another query")
	case subtle.ConstantTimeCompare([]byte(c.ATH), []byte(tokenHash(call.Token))) != 1:
		return errors.New("it is for another token")
	}
	return nil
}

// target is the htu of a URL, normalised: scheme and host in lower case, no
// default port, a path, no query (RFC 9449 section 4.3, RFC 3986 section 6.2).
func target(u *url.URL) (string, error) {
	if u == nil || u.Host == "" || u.Opaque != "" || u.User != nil {
		return "", errors.New("the address is not scheme://host/path")
	}
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Hostname())
	port := u.Port()
	switch {
	case scheme != "http" && scheme != "https":
		return "", errors.New("the address is not of http or https")
	case scheme == "http" && port == "80", scheme == "https" && port == "443":
		port = ""
	}
	if port != "" {
		host = net.JoinHostPort(host, port)
	} else if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	return scheme + "://" + host + path, nil
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return encode(sum[:])
}

// tokenHash is ath, RFC 9449 section 4.2; empty without a token.
func tokenHash(t Secret) string {
	if t == "" {
		return ""
	}
	return hash(t.Reveal())
}

func badProof(why string) *Error {
	return &Error{Kind: Unauthenticated, Code: CodeBadProof, Message: "the proof of the call does not hold", Why: why,
		Next: "sign in again with stint login"}
}
