package oidc

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"stint/internal/access"
	"stint/internal/workload"
)

const (
	// MaxMachineToken bounds a token of a program. GitHub's has about 2 kB.
	MaxMachineToken = 16 << 10
	// maxLife is how long a token may be good in all: one that is good for longer is a
	// secret that is kept somewhere.
	maxLife    = 24 * time.Hour
	maxID      = 1024 // bytes of sub and jti
	maxSPIFFE  = 2048 // bytes, SPIFFE-ID section 2.3
	maxTrustee = 255  // bytes of a trust domain
)

// Issuer vouches for programs with tokens that it signs, as its integration says.
type Issuer struct {
	Name      string
	Address   string   // iss, to the letter; of SPIFFE where its bundle is
	Domain    string   // the trust domain; only of SPIFFE
	Keys      string   // where its keys are; empty: as its discovery document says
	Audiences []string // ours; a token is for one of them, and for nobody else
	Reuse     bool     // its tokens are handed out for a time, not for one use
}

// MachineSchema is what an integration of type workload.Type may say.
func MachineSchema() access.Schema {
	return access.Schema{Type: workload.Type, Integration: map[string]access.Option{
		"audiences": audiencesOption,
		"keys":      {Doc: "where its keys are (a JWKS), where its discovery document cannot be read or says it wrong", Pattern: `https?://[^\s?#@]+`, Form: "write https://host/path"},
		"reuse":     reuseOption,
	}}
}

// SPIFFESchema is what an integration of type workload.TypeSPIFFE may say. Its address
// is that of the bundle endpoint, profile https_web.
func SPIFFESchema() access.Schema {
	return access.Schema{Type: workload.TypeSPIFFE, Integration: map[string]access.Option{
		"trustDomain": {Doc: "the trust domain, without spiffe://", Required: true, Pattern: `[a-z0-9._-]{1,255}`, Form: "write it like corp.example"},
		"audiences":   audiencesOption,
		"reuse":       reuseOption,
	}}
}

var (
	audiencesOption = access.Option{Doc: "what a token has to be for: names of this Stint, of which it says one", Required: true, Many: true, Pattern: `[!-~]+`, Form: "it is visible ASCII without spaces"}
	reuseOption     = access.Option{Doc: "a token with a jti may be shown by more than one device: its programs are handed one for a time", Values: []string{"yes", "no"}, Default: "no"}
)

// ReadIssuer makes an issuer of an integration that was checked against its schema.
func ReadIssuer(name, typ, address string, options map[string]string) Issuer {
	at := Issuer{Name: name, Address: address, Keys: options["keys"], Audiences: list(options["audiences"]), Reuse: options["reuse"] == "yes"}
	if typ == workload.TypeSPIFFE {
		at.Domain, at.Keys = options["trustDomain"], address
	}
	return at
}

// Machine is what an issuer says of a program.
type Machine struct {
	Issuer   string // iss; of SPIFFE the trust domain, as spiffe://corp.example
	Subject  string
	Audience string // the one that is ours
	IssuedAt time.Time
	Until    time.Time
	// Once tells the token from all others of the issuer; zero where it may be shown
	// more than once.
	Once   access.Digest
	Claims workload.Claims
}

// Whose reads from a token that nothing is known of yet whose it may be: its issuer, and
// the trust domain of its subject, either of which may be empty. Nothing of it is true
// before Machine says so.
func Whose(raw string) (issuer, domain string) {
	parts := strings.Split(raw, ".")
	if len(raw) > MaxMachineToken || len(parts) != 3 {
		return "", ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", ""
	}
	claims, err := workload.Object(payload)
	if err != nil {
		return "", ""
	}
	issuer, _ = claims["iss"].(string)
	sub, _ := claims["sub"].(string)
	domain, _ = trustDomain(sub)
	return issuer, domain
}

// Machine verifies a token of an issuer: signed by a key that it publishes, by an
// asymmetric algorithm, for us alone, and good now. The errors are for the log: whoever
// shows a token learns no more than that it was not taken.
func (p *Party) Machine(ctx context.Context, at Issuer, raw string) (Machine, error) {
	no := func(why string) (Machine, error) {
		return Machine{}, access.Fail(access.Unauthenticated, "bad-workload-token", "the token is not accepted").Because(why)
	}
	if len(raw) > MaxMachineToken || strings.ContainsFunc(raw, notOfToken) { // the library passes over blanks
		return no("it is too long, or has what no token has")
	}
	algorithms := machineAlgorithms
	if at.Domain != "" {
		algorithms = svidAlgorithms
	}
	signed, err := jose.ParseSignedCompact(raw, algorithms)
	if err != nil || len(signed.Signatures) != 1 {
		return no("it is no signed token, or its algorithm is not accepted")
	}
	kid, err := header(raw, at.Domain != "")
	if err != nil {
		return no(err.Error())
	}
	var payload []byte
	for _, unknown := range []bool{false, true} {
		keys, err := p.keysOf(ctx, at, unknown)
		if err != nil {
			return Machine{}, err
		}
		fit := fitting(keys, kid, signed.Signatures[0].Protected.Algorithm)
		for _, k := range fit {
			if out, err := signed.Verify(k.Key); err == nil {
				payload = out
				break
			}
		}
		if payload != nil || len(fit) > 0 { // the key is known, and did not sign it
			break
		}
	}
	if payload == nil {
		return no("no key of the issuer has signed it")
	}
	claims, err := workload.Object(payload)
	if err != nil {
		return no(err.Error())
	}
	m, err := at.machine(claims, p.now())
	if err != nil {
		return no(err.Error())
	}
	return m, nil
}

var (
	machineAlgorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA}
	// svidAlgorithms are those of JWT-SVID section 2.1.
	svidAlgorithms = machineAlgorithms[:9]
)

// notOfToken are the characters that no compact serialisation has (RFC 7515 section 7.1).
func notOfToken(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
}

// header reads the name of the key from a token's header. What says where else a key
// would be, or asks for what we do not know, refuses the token (RFC 7515 section 4.1).
func header(raw string, svid bool) (kid string, err error) {
	first, _, _ := strings.Cut(raw, ".")
	text, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil {
		return "", errors.New("its header is not base64url")
	}
	h, err := workload.Object(text)
	if err != nil {
		return "", errors.New("its header cannot be read")
	}
	for _, name := range []string{"jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc"} {
		if _, there := h[name]; there {
			return "", errors.New("its header says " + name)
		}
	}
	if typ, there := h["typ"]; there {
		// Explicit types are other kinds of token (RFC 8725 section 3.11); JWT-SVID
		// section 2.3 knows two.
		if s, _ := typ.(string); !strings.EqualFold(s, "JWT") && !(svid && s == "JOSE") {
			return "", errors.New("its type is not JWT")
		}
	}
	if v, there := h["kid"]; there {
		if kid, _ = v.(string); kid == "" {
			return "", errors.New("its kid is no text")
		}
	}
	return kid, nil
}

// fitting are the keys that may have signed a token. Without a kid there must be one
// alone (OpenID Connect Core 1.0 section 10.1).
func fitting(keys []jose.JSONWebKey, kid, algorithm string) (fit []jose.JSONWebKey) {
	for _, k := range keys {
		if (k.Algorithm == "" || k.Algorithm == algorithm) && (kid == "" || k.KeyID == kid) {
			fit = append(fit, k)
		}
	}
	if kid == "" && len(keys) != 1 {
		return nil
	}
	return fit
}

// machine checks the claims of a token whose signature is good.
func (at Issuer) machine(c map[string]any, now time.Time) (m Machine, err error) {
	m.Subject, _ = c["sub"].(string)
	if m.Subject == "" || len(m.Subject) > maxID && at.Domain == "" {
		return m, errors.New("it does not say of whom it is")
	}
	if at.Domain != "" {
		domain, err := trustDomain(m.Subject)
		if err != nil {
			return m, err
		}
		if domain != at.Domain {
			return m, errors.New("its subject is of another trust domain")
		}
		m.Issuer = "spiffe://" + domain
	} else if m.Issuer, _ = c["iss"].(string); m.Issuer != at.Address {
		return m, errors.New("its issuer is another one")
	}
	if m.Audience, err = at.audience(c["aud"]); err != nil {
		return m, err
	}
	if m.Until, err = numericDate(c, "exp", true); err != nil {
		return m, err
	}
	if m.IssuedAt, err = numericDate(c, "iat", at.Domain == ""); err != nil {
		return m, err
	}
	from, err := numericDate(c, "nbf", false)
	if err != nil {
		return m, err
	}
	began := m.IssuedAt
	if began.IsZero() {
		began = now
	}
	switch {
	case !now.Before(m.Until):
		return m, errors.New("it has expired")
	case m.IssuedAt.After(now.Add(leeway)), from.After(now.Add(leeway)):
		return m, errors.New("it is of a time that has not come")
	case m.Until.Sub(began) > maxLife:
		return m, errors.New("it is good for longer than " + maxLife.String() + ", like a secret that is kept")
	}
	if v, there := c["jti"]; there {
		jti, _ := v.(string)
		if jti == "" || len(jti) > maxID {
			return m, errors.New("its jti is no text, or a long one")
		}
		if !at.Reuse {
			m.Once = sha256.Sum256([]byte("stint exchange\n" + m.Issuer + "\n" + jti))
		}
	}
	m.Claims = workload.Flat(c)
	return m, nil
}

// audience is the one of ours that a token is for. One that is for others too could be
// shown to us by them.
func (at Issuer) audience(v any) (string, error) {
	var all []string
	switch v := v.(type) {
	case string:
		all = []string{v}
	case []any:
		for _, x := range v {
			s, ok := x.(string)
			if !ok {
				return "", errors.New("its audience is no text")
			}
			all = append(all, s)
		}
	}
	if len(all) == 0 {
		return "", errors.New("it is for nobody")
	}
	for _, a := range all {
		if a == "" || !slices.Contains(at.Audiences, a) {
			return "", errors.New("it is for somebody else, or for somebody else as well")
		}
	}
	return all[0], nil
}

// numericDate reads a NumericDate, RFC 7519 section 2; zero when it is not there.
func numericDate(c map[string]any, name string, required bool) (time.Time, error) {
	v, there := c[name]
	if !there {
		if required {
			return time.Time{}, errors.New("it has no " + name)
		}
		return time.Time{}, nil
	}
	n, ok := v.(json.Number)
	if !ok {
		return time.Time{}, errors.New("its " + name + " is no time")
	}
	f, err := n.Float64()
	if err != nil || f <= 0 || f > 1<<40 || math.IsNaN(f) {
		return time.Time{}, errors.New("its " + name + " is out of all bounds")
	}
	return time.Unix(int64(f), 0).UTC(), nil
}

// trustDomain is that of a SPIFFE ID of a workload, SPIFFE-ID section 2: in its one form.
func trustDomain(id string) (string, error) {
	bad := errors.New("its subject is no SPIFFE ID of a workload")
	rest, ok := strings.CutPrefix(id, "spiffe://")
	domain, path, hasPath := strings.Cut(rest, "/")
	if !ok || !hasPath || len(id) > maxSPIFFE || domain == "" || len(domain) > maxTrustee || strings.Trim(domain, "abcdefghijklmnopqrstuvwxyz0123456789._-") != "" {
		return "", bad
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." || strings.ContainsFunc(segment, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-')
		}) {
			return "", bad
		}
	}
	return domain, nil
}
