package passkey

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"

	"github.com/fxamacker/cbor/v2"

	"stint/internal/access"
)

// Bounds of what is read, in bytes. What authenticators and browsers write is well
// within them.
const (
	maxClientData  = 8 << 10
	maxAssertion   = 4 << 10 // authenticator data
	maxSignature   = 1 << 10
	maxAttestation = 64 << 10
	maxCredential  = 1023 // WebAuthn Level 3, section 4: credential ID
	maxKey         = 2 << 10
)

// Expect is what a passkey was asked for.
type Expect struct {
	Challenge []byte
	RPID      string // the site's name, to which the authenticator scopes the key
	Origin    string // of the page that asked; access.ClientOrigin: on any port
}

// Registration is what a browser gives of a passkey that it had made.
type Registration struct {
	ClientData  []byte
	Attestation []byte // the attestation object, CBOR
}

// Credential is what an authenticator made.
type Credential struct {
	ID      []byte
	Key     []byte // COSE_Key, as the authenticator wrote it
	Counter uint32
	// Synced says that the private half can be on several devices.
	Synced bool
}

// Register reads what a browser made of a new passkey (section 7.1). Attestation
// statements are not looked at, of whatever format: who made the authenticator is not
// asked, and whose it is others vouch for.
func Register(r Registration, e Expect) (Credential, error) {
	c, err := parseClientData(r.ClientData)
	if err == nil {
		err = c.check(typeCreate, e)
	}
	if err != nil {
		return Credential{}, err
	}
	if len(r.Attestation) > maxAttestation {
		return Credential{}, bad("bad-attestation", "the new passkey's data is too long")
	}
	var object struct {
		Format    string          `cbor:"fmt"`
		Statement cbor.RawMessage `cbor:"attStmt"`
		Data      []byte          `cbor:"authData"`
	}
	if err := strict.Unmarshal(r.Attestation, &object); err != nil || object.Format == "" || object.Statement == nil {
		return Credential{}, bad("bad-attestation", "the new passkey's data cannot be read").Wrap(err)
	}
	d, err := parseData(object.Data)
	if err != nil {
		return Credential{}, err
	}
	if err := d.check(e.RPID); err != nil {
		return Credential{}, err
	}
	if d.credential == nil {
		return Credential{}, bad("bad-attestation", "the new passkey's data has no key")
	}
	if _, err := ParseKey(d.key); err != nil {
		return Credential{}, err
	}
	return Credential{ID: d.credential, Key: d.key, Counter: d.counter, Synced: d.flags&flagBackupEligible != 0}, nil
}

// Verify checks that the key signed what was expected, with the person present and
// verified (section 7.2), and returns the authenticator's counter. Whose the key is,
// and whether the counter went on, is the caller's to know.
func Verify(a access.Assertion, key []byte, e Expect) (counter uint32, err error) {
	c, err := parseClientData(a.ClientData)
	if err == nil {
		err = c.check(typeGet, e)
	}
	if err != nil {
		return 0, err
	}
	if len(a.AuthenticatorData) > maxAssertion || len(a.Signature) > maxSignature {
		return 0, bad("bad-assertion", "the passkey's signature is too long")
	}
	d, err := parseData(a.AuthenticatorData)
	if err != nil {
		return 0, err
	}
	if err := d.check(e.RPID); err != nil {
		return 0, err
	}
	if d.credential != nil {
		return 0, bad("bad-assertion", "the passkey's signature comes with a new key")
	}
	k, err := ParseKey(key)
	if err != nil {
		return 0, err
	}
	hash := sha256.Sum256(a.ClientData)
	if !k.verify(append(bytes.Clone(a.AuthenticatorData), hash[:]...), a.Signature) {
		return 0, bad("bad-signature", "the passkey's signature does not verify")
	}
	return d.counter, nil
}

// Synced reports whether the private half of the key that made an assertion can be on
// several devices, as the authenticator says. The assertion was verified before.
func Synced(a access.Assertion) bool {
	d, err := parseData(a.AuthenticatorData)
	return err == nil && d.flags&flagBackupEligible != 0
}

// The flags of authenticator data (section 6.1).
const (
	flagPresent        = 1 << 0
	flagVerified       = 1 << 2
	flagBackupEligible = 1 << 3
	flagBackedUp       = 1 << 4
	flagCredential     = 1 << 6
	flagExtensions     = 1 << 7
)

// authenticatorData is what the authenticator says about one ceremony.
type authenticatorData struct {
	site       [sha256.Size]byte // SHA-256 of the RP ID
	flags      byte
	counter    uint32
	credential []byte // of a registration
	key        []byte
}

// parseData reads authenticator data, all of it (section 6.1).
func parseData(b []byte) (d authenticatorData, err error) {
	refuse := func(why string) (authenticatorData, error) {
		return authenticatorData{}, bad("bad-authenticator-data", "what the authenticator says cannot be read").Because(why)
	}
	const head = sha256.Size + 1 + 4
	if len(b) < head {
		return refuse("it is cut short")
	}
	copy(d.site[:], b)
	d.flags, d.counter = b[sha256.Size], binary.BigEndian.Uint32(b[sha256.Size+1:])
	rest := b[head:]
	if d.flags&flagCredential != 0 {
		const id = 16 + 2 // the AAGUID, of which nothing is made, and the length
		if len(rest) < id {
			return refuse("it is cut short")
		}
		n := int(binary.BigEndian.Uint16(rest[16:]))
		if n == 0 || n > maxCredential || len(rest) < id+n {
			return refuse("the length of the credential's name cannot be")
		}
		d.credential, rest = bytes.Clone(rest[id:id+n]), rest[id+n:]
		if d.key, rest, err = firstItem(rest); err != nil {
			return refuse("the key cannot be read")
		}
	}
	if d.flags&flagExtensions != 0 {
		var item []byte
		if item, rest, err = firstItem(rest); err != nil || item[0]>>5 != 5 { // a map
			return refuse("the extensions cannot be read")
		}
	}
	if len(rest) > 0 {
		return refuse("something follows it")
	}
	return d, nil
}

// firstItem cuts the first item of CBOR off.
func firstItem(b []byte) (item, rest []byte, err error) {
	var raw cbor.RawMessage
	if rest, err = strict.UnmarshalFirst(b, &raw); err != nil {
		return nil, nil, err
	}
	return bytes.Clone(raw), rest, nil
}

// check compares what the authenticator says with what was expected.
func (d authenticatorData) check(rpID string) error {
	switch {
	case rpID == "" || d.site != sha256.Sum256([]byte(rpID)):
		return bad("wrong-site", "the passkey was used for another site")
	case d.flags&flagPresent == 0:
		return bad("not-present", "the passkey was used with nobody there")
	case d.flags&flagVerified == 0:
		return bad("not-verified", "the passkey was used without checking who is there").
			Try("use an authenticator that asks for a PIN, a fingerprint or a face")
	case d.flags&flagBackedUp != 0 && d.flags&flagBackupEligible == 0:
		return bad("bad-authenticator-data", "what the authenticator says contradicts itself")
	}
	return nil
}
