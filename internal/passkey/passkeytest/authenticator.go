// Package passkeytest is an authenticator in software, for tests: it makes passkeys and
// signs with them as a browser and a device would, and as ones that misbehave.
package passkeytest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"stint/internal/access"
	"stint/internal/passkey"
)

// Device is one authenticator with one passkey.
type Device struct {
	ID      []byte
	COSE    []byte
	Counter uint32

	RPID   string
	Origin string // of the page; for a client any port of localhost
	signer crypto.Signer
	alg    int
}

// Bend changes what a device says before it signs.
type Bend struct {
	Type        string
	Challenge   []byte
	Origin      string
	RPID        string
	More        string // members of client data after the usual ones: `,"crossOrigin":true`
	ClientData  func(string) string
	Flags       byte // 0: present and verified
	Counter     *uint32
	Data        func([]byte) []byte // authenticator data
	Unsigned    func(*access.Assertion)
	Attestation func(map[string]any)
}

var encode = func() cbor.EncMode {
	m, err := cbor.CTAP2EncOptions().EncMode()
	if err != nil {
		panic(err)
	}
	return m
}()

// New makes a device with a fresh key of the algorithm, for the site.
func New(alg int, rpID, origin string) *Device {
	d := &Device{ID: make([]byte, 32), RPID: rpID, Origin: origin, alg: alg}
	rand.Read(d.ID)
	var m map[int]any
	switch alg {
	case passkey.ES256:
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(err)
		public, err := k.PublicKey.Bytes()
		must(err)
		m, d.signer = map[int]any{1: 2, 3: alg, -1: 1, -2: public[1:33], -3: public[33:]}, k
	case passkey.EdDSA:
		public, k, err := ed25519.GenerateKey(rand.Reader)
		must(err)
		m, d.signer = map[int]any{1: 1, 3: alg, -1: 6, -2: []byte(public)}, k
	case passkey.RS256:
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		must(err)
		m, d.signer = map[int]any{1: 3, 3: alg, -1: k.N.Bytes(), -2: []byte{1, 0, 1}}, k
	default:
		panic("passkeytest: no such algorithm")
	}
	d.COSE = Encode(m)
	return d
}

// Client makes a device with a passkey for the person's own client.
func Client() *Device { return New(passkey.ES256, access.ClientRPID, access.ClientOrigin+":49152") }

// Passkey is what the device has, as a person's.
func (d *Device) Passkey(of access.PrincipalID, person access.Person, name string) access.Passkey {
	origin := d.Origin
	if strings.HasPrefix(origin, access.ClientOrigin+":") {
		origin = access.ClientOrigin
	}
	p := access.Passkey{Principal: of, Person: person, Name: name, RPID: d.RPID, Origin: origin, Credential: d.ID, Key: d.COSE}
	p.ID = access.IDOf(p.Digest())
	return p
}

// Sign answers a challenge.
func (d *Device) Sign(p access.PasskeyID, challenge []byte, bends ...Bend) access.Assertion {
	b := d.bent("webauthn.get", challenge, bends)
	d.Counter++
	a := access.Assertion{Passkey: p, ClientData: b.clientData(), AuthenticatorData: d.data(b, nil)}
	hash := sha256.Sum256(a.ClientData)
	message := append(append([]byte{}, a.AuthenticatorData...), hash[:]...)
	sum, opts := message, crypto.SignerOpts(crypto.Hash(0))
	if d.alg != passkey.EdDSA {
		s := sha256.Sum256(message)
		sum, opts = s[:], crypto.SHA256
	}
	var err error
	a.Signature, err = d.signer.Sign(rand.Reader, sum, opts)
	must(err)
	if b.Unsigned != nil {
		b.Unsigned(&a)
	}
	return a
}

// Register answers the request for a new passkey.
func (d *Device) Register(challenge []byte, bends ...Bend) passkey.Registration {
	b := d.bent("webauthn.create", challenge, bends)
	attested := make([]byte, 16, 64)
	attested = binary.BigEndian.AppendUint16(attested, uint16(len(d.ID)))
	attested = append(append(attested, d.ID...), d.COSE...)
	object := map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": d.data(b, attested)}
	if b.Attestation != nil {
		b.Attestation(object)
	}
	return passkey.Registration{ClientData: b.clientData(), Attestation: Encode(object)}
}

func (d *Device) bent(kind string, challenge []byte, bends []Bend) Bend {
	var b Bend
	if len(bends) > 0 {
		b = bends[0]
	}
	if b.Type == "" {
		b.Type = kind
	}
	if b.Challenge == nil {
		b.Challenge = challenge
	}
	if b.Origin == "" {
		b.Origin = d.Origin
	}
	if b.RPID == "" {
		b.RPID = d.RPID
	}
	if b.Flags == 0 {
		b.Flags = 0x05
	}
	return b
}

func (b Bend) clientData() []byte {
	text := func(s string) string { t, err := json.Marshal(s); must(err); return string(t) }
	s := `{"type":` + text(b.Type) + `,"challenge":` + text(base64.RawURLEncoding.EncodeToString(b.Challenge)) +
		`,"origin":` + text(b.Origin) + b.More + `}`
	if b.More == "" {
		s = strings.TrimSuffix(s, "}") + `,"crossOrigin":false}`
	}
	if b.ClientData != nil {
		s = b.ClientData(s)
	}
	return []byte(s)
}

func (d *Device) data(b Bend, attested []byte) []byte {
	site := sha256.Sum256([]byte(b.RPID))
	flags, counter := b.Flags, d.Counter
	if attested != nil {
		flags |= 0x40
	}
	if b.Counter != nil {
		counter = *b.Counter
	}
	out := append(site[:], flags)
	out = binary.BigEndian.AppendUint32(out, counter)
	out = append(out, attested...)
	if b.Data != nil {
		out = b.Data(out)
	}
	return out
}

// Encode writes canonical CBOR.
func Encode(v any) []byte {
	b, err := encode.Marshal(v)
	must(err)
	return b
}

func must(err error) {
	if err != nil {
		panic("passkeytest: " + err.Error())
	}
}
