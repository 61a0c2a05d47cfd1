package passkey

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"math/big"

	"github.com/fxamacker/cbor/v2"

	"stint/internal/access"
)

// strict reads CBOR in the form of CTAP 2 (section 8) only.
var strict = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		MaxNestedLevels: 8, MaxArrayElements: 64, MaxMapPairs: 64, IntDec: cbor.IntDecConvertSignedOrFail,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField, FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
	}.DecMode()
	if err != nil {
		panic("passkey: " + err.Error()) // the options are constant
	}
	return mode
}()

// canonical writes CBOR in that form.
var canonical = func() cbor.EncMode {
	mode, err := cbor.CTAP2EncOptions().EncMode()
	if err != nil {
		panic("passkey: " + err.Error())
	}
	return mode
}()

// Labels and values of COSE keys (RFC 9053, section 7; RFC 8230, section 4).
const (
	labelType, labelAlgorithm = 1, 3
	labelCurve, labelX        = -1, -2
	labelY                    = -3
	labelN, labelE            = -1, -2

	typeOKP, typeEC2, typeRSA = 1, 2, 3
	curveP256, curveEd25519   = 1, 6
)

// The algorithms, by their numbers in COSE.
const (
	ES256 = -7
	EdDSA = -8
	RS256 = -257
)

// Algorithms lists them in the order in which they are asked for.
var Algorithms = []int{EdDSA, ES256, RS256}

// Key is a public key that verifies assertions, with the one algorithm it is for.
type Key struct {
	Algorithm int
	public    crypto.PublicKey
}

// ParseKey reads a COSE_Key of one of the Algorithms, with exactly the members that
// its kind has, in the canonical form.
func ParseKey(cose []byte) (Key, error) {
	var m map[int64]any
	if len(cose) > maxKey {
		return Key{}, bad("bad-key", "the public key is too long")
	}
	if err := strict.Unmarshal(cose, &m); err != nil {
		return Key{}, bad("bad-key", "the public key cannot be read").Wrap(err)
	}
	if again, err := canonical.Marshal(m); err != nil || !bytes.Equal(again, cose) {
		return Key{}, bad("bad-key", "the public key is not in its canonical form")
	}
	var k Key
	switch {
	case is(m, 5, typeEC2, ES256) && m[labelCurve] == int64(curveP256):
		x, okX := m[labelX].([]byte)
		y, okY := m[labelY].([]byte)
		if !okX || !okY || len(x) != 32 || len(y) != 32 {
			break
		}
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
		if err != nil {
			return Key{}, bad("bad-key", "the public key is not a point of its curve")
		}
		k = Key{ES256, public}
	case is(m, 4, typeOKP, EdDSA) && m[labelCurve] == int64(curveEd25519):
		x, ok := m[labelX].([]byte)
		if !ok || len(x) != ed25519.PublicKeySize {
			break
		}
		if smallOrder[hex.EncodeToString(clearSign(x))] {
			return Key{}, bad("bad-key", "the public key is one for which anybody can sign")
		}
		k = Key{EdDSA, ed25519.PublicKey(bytes.Clone(x))}
	case is(m, 4, typeRSA, RS256):
		n, okN := m[labelN].([]byte)
		e, okE := m[labelE].([]byte)
		if !okN || !okE || len(n) == 0 || n[0] == 0 || !bytes.Equal(e, []byte{1, 0, 1}) {
			break
		}
		public := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537}
		if bits := public.N.BitLen(); bits < 2048 || bits > 4096 || public.N.Bit(0) == 0 {
			return Key{}, bad("bad-key", "an RSA key has 2048 to 4096 bits")
		}
		k = Key{RS256, public}
	}
	if k.public == nil {
		return Key{}, bad("bad-key", "the public key is of no kind that is taken").Because("taken are ES256 with P-256, EdDSA with Ed25519, and RS256")
	}
	return k, nil
}

// is reports whether a key has so many members, this type and this algorithm.
func is(m map[int64]any, members int, kty, alg int64) bool {
	return len(m) == members && m[labelType] == kty && m[labelAlgorithm] == alg
}

// verify checks a signature, by the key's own algorithm and no other.
func (k Key) verify(message, signature []byte) bool {
	sum := sha256.Sum256(message)
	switch p := k.public.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(p, sum[:], signature)
	case ed25519.PublicKey:
		return ed25519.Verify(p, message, signature)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(p, crypto.SHA256, sum[:], signature) == nil
	}
	return false
}

// smallOrder are the y coordinates of the points of Ed25519 whose order divides 8, in
// all their encodings, without the bit of the sign. With one of them as public key a
// signature can be made that verifies for many messages, by somebody with no key.
var smallOrder = map[string]bool{
	"0000000000000000000000000000000000000000000000000000000000000000": true,
	"0100000000000000000000000000000000000000000000000000000000000000": true,
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05": true,
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a": true,
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f": true,
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f": true,
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f": true,
}

func clearSign(y []byte) []byte {
	y = bytes.Clone(y)
	y[31] &= 0x7f
	return y
}

func bad(code, message string) *access.Error { return access.Fail(access.Denied, code, message) }
