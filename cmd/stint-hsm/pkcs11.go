//go:build cgo

package main

import (
	"bytes"
	"crypto/rand"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/pkcs11"

	"stint/internal/hsm/wire"
)

const builtWith = "with PKCS#11"

// What version 3.0 of the standard has and the library does not name yet.
const (
	ckmEdwardsKeyPairGen = 0x1055
	ckmEdDSA             = 0x1057
	ckkEdwards           = 0x40
)

// means is how a token makes and uses keys of one algorithm.
type means struct {
	algorithm      wire.Algorithm
	generate, sign uint
	keyType        uint
	params         [][]byte // CKA_EC_PARAMS; the first that a token takes
	point          int      // bytes of a public key
}

// all are in the order of preference. Tokens name the curve of Ed25519 by its OID (RFC
// 8410), or, as PKCS#11 3.0 has it, by name.
var all = []means{
	{wire.Ed25519, ckmEdwardsKeyPairGen, ckmEdDSA, ckkEdwards, [][]byte{
		{0x06, 0x03, 0x2b, 0x65, 0x70},
		append([]byte{0x13, 0x0c}, "edwards25519"...),
	}, 32},
	{wire.P256, pkcs11.CKM_EC_KEY_PAIR_GEN, pkcs11.CKM_ECDSA, pkcs11.CKK_EC, [][]byte{
		{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07},
	}, 65},
}

func meansOf(a wire.Algorithm) (means, bool) {
	i := slices.IndexFunc(all, func(m means) bool { return m.algorithm == a })
	if i < 0 {
		return means{}, false
	}
	return all[i], true
}

// held is a token of a loaded module, with one session that is logged in.
type held struct {
	ctx     *pkcs11.Ctx
	session pkcs11.SessionHandle
	about   []string
	can     []wire.Algorithm
	found   map[string]pkcs11.ObjectHandle // private keys that were found sound, by their stored form
}

func open(module, label string, pin []byte) (_ token, err error) {
	t := &held{ctx: pkcs11.New(module), found: map[string]pkcs11.ObjectHandle{}}
	if t.ctx == nil {
		return nil, wire.Fail(wire.Module, "%s cannot be loaded as a PKCS#11 module", module)
	}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	if err := t.ctx.Initialize(); err != nil {
		return nil, wire.Fail(wire.Module, "C_Initialize: %s", said(err))
	}
	slot, info, err := t.slot(label)
	if err != nil {
		return nil, err
	}
	switch {
	case info.Flags&pkcs11.CKF_USER_PIN_LOCKED != 0:
		return nil, wire.Fail(wire.Locked, "the PIN of the token is locked")
	case info.Flags&pkcs11.CKF_USER_PIN_FINAL_TRY != 0:
		return nil, wire.Fail(wire.Locked, "one try of the PIN is left, and is not taken")
	}
	if t.session, err = t.ctx.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION); err != nil {
		return nil, wire.Fail(wire.NoToken, "C_OpenSession: %s", said(err))
	}
	// The library of Go copies it into a string, which cannot be wiped: it ends with us.
	switch err := t.ctx.Login(t.session, pkcs11.CKU_USER, string(pin)); {
	case is(err, pkcs11.CKR_PIN_INCORRECT, pkcs11.CKR_PIN_INVALID, pkcs11.CKR_PIN_LEN_RANGE, pkcs11.CKR_PIN_EXPIRED):
		return nil, wire.Fail(wire.BadPIN, "C_Login: %s", said(err))
	case is(err, pkcs11.CKR_PIN_LOCKED):
		return nil, wire.Fail(wire.Locked, "C_Login: %s", said(err))
	case err != nil && !is(err, pkcs11.CKR_USER_ALREADY_LOGGED_IN):
		return nil, wire.Fail(wire.Trouble, "C_Login: %s", said(err))
	}
	return t, t.describe(slot, info)
}

// slot finds the token. Two with one label are none: which is meant nobody can say.
func (t *held) slot(label string) (uint, pkcs11.TokenInfo, error) {
	slots, err := t.ctx.GetSlotList(true)
	if err != nil {
		return 0, pkcs11.TokenInfo{}, wire.Fail(wire.Trouble, "C_GetSlotList: %s", said(err))
	}
	var at uint
	var found pkcs11.TokenInfo
	n := 0
	for _, s := range slots {
		info, err := t.ctx.GetTokenInfo(s)
		if err == nil && strings.TrimRight(info.Label, " \x00") == label && info.Flags&pkcs11.CKF_TOKEN_INITIALIZED != 0 {
			at, found = s, info
			n++
		}
	}
	if n != 1 {
		return 0, found, wire.Fail(wire.NoToken, "%d tokens have the label %s", n, label)
	}
	return at, found, nil
}

func (t *held) describe(slot uint, info pkcs11.TokenInfo) error {
	ms, err := t.ctx.GetMechanismList(slot)
	if err != nil {
		return wire.Fail(wire.Trouble, "C_GetMechanismList: %s", said(err))
	}
	has := func(m uint) bool {
		return slices.ContainsFunc(ms, func(x *pkcs11.Mechanism) bool { return x.Mechanism == m })
	}
	var names []string
	for _, m := range all {
		if has(m.generate) && has(m.sign) {
			t.can, names = append(t.can, m.algorithm), append(names, string(m.algorithm))
		}
	}
	trim := func(s string) string { return strings.TrimSpace(strings.Trim(s, "\x00")) }
	t.about = []string{fmt.Sprintf("token    %s: %s %s, serial %s", trim(info.Label), trim(info.ManufacturerID), trim(info.Model), trim(info.SerialNumber)),
		"signs    " + strings.Join(names, ", ")}
	if len(t.can) == 0 {
		return wire.Fail(wire.NoMeans, "the token has neither Ed25519 nor ECDSA with keys that it makes itself")
	}
	return nil
}

// close leaves the module. Who ends anyway has no need of it.
func (t *held) close() {
	_ = t.ctx.Finalize() // it may not have been initialized
	t.ctx.Destroy()
}

func (t *held) About() []string { return t.about }

// find lists the handles of what has all of some attributes, few at most.
func (t *held) find(with ...*pkcs11.Attribute) (out []pkcs11.ObjectHandle, err error) {
	if err := t.ctx.FindObjectsInit(t.session, with); err != nil {
		return nil, wire.Fail(wire.Trouble, "C_FindObjectsInit: %s", said(err))
	}
	for len(out) < 4*wire.MaxKeys {
		some, _, err := t.ctx.FindObjects(t.session, wire.MaxKeys)
		if err != nil {
			_ = t.ctx.FindObjectsFinal(t.session)
			return nil, wire.Fail(wire.Trouble, "C_FindObjects: %s", said(err))
		}
		if len(some) == 0 {
			break
		}
		out = append(out, some...)
	}
	if err := t.ctx.FindObjectsFinal(t.session); err != nil {
		return nil, wire.Fail(wire.Trouble, "C_FindObjectsFinal: %s", said(err))
	}
	return out, nil
}

// Keys lists the public keys whose labels begin with the prefix, in the order of labels.
func (t *held) Keys(prefix string) ([]wire.Key, error) {
	var out []wire.Key
	for _, m := range all {
		os, err := t.find(pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PUBLIC_KEY), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, m.keyType))
		if err != nil {
			return nil, err
		}
		for _, o := range os {
			k, err := t.publicKey(o, m)
			if err != nil || !strings.HasPrefix(k.Label, prefix) {
				continue // others' keys, of curves and labels that we have not
			}
			if out = append(out, k); len(out) > wire.MaxKeys {
				return nil, wire.Fail(wire.Question, "the token has more than %d keys whose labels begin with %s", wire.MaxKeys, prefix)
			}
		}
	}
	slices.SortFunc(out, func(a, b wire.Key) int { return strings.Compare(a.Label, b.Label) })
	return out, nil
}

func (t *held) publicKey(o pkcs11.ObjectHandle, m means) (wire.Key, error) {
	as, err := t.ctx.GetAttributeValue(t.session, o, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, nil), pkcs11.NewAttribute(pkcs11.CKA_ID, nil),
		pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, nil), pkcs11.NewAttribute(pkcs11.CKA_EC_POINT, nil),
	})
	if err != nil {
		return wire.Key{}, wire.Fail(wire.Trouble, "C_GetAttributeValue: %s", said(err))
	}
	if !slices.ContainsFunc(m.params, func(p []byte) bool { return bytes.Equal(p, as[2].Value) }) {
		return wire.Key{}, wire.Fail(wire.NoMeans, "a key is of another curve")
	}
	point := as[3].Value
	var inner []byte // an OCTET STRING by the standard; some tokens leave it out
	if rest, err := asn1.Unmarshal(point, &inner); err == nil && len(rest) == 0 && len(inner) == m.point {
		point = inner
	}
	k := wire.Key{Label: string(as[0].Value), ID: as[1].Value, Algorithm: m.algorithm, Public: point}
	return k, k.Check()
}

// Generate makes a key that the token does not give away, and looks whether it says so.
func (t *held) Generate(label string, alg wire.Algorithm) (wire.Key, error) {
	if alg == "" {
		alg = t.can[0]
	}
	m, known := meansOf(alg)
	if !known || !slices.Contains(t.can, alg) {
		return wire.Key{}, wire.Fail(wire.NoMeans, "the token does not make keys of the algorithm %s", alg)
	}
	if same, err := t.find(pkcs11.NewAttribute(pkcs11.CKA_LABEL, label)); err != nil || len(same) > 0 {
		if err == nil {
			err = wire.Fail(wire.Question, "there is something with the label %s already", label)
		}
		return wire.Key{}, err
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	var failure error
	for _, params := range m.params {
		public := []*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PUBLIC_KEY), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, m.keyType),
			pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_LABEL, label), pkcs11.NewAttribute(pkcs11.CKA_ID, id),
			pkcs11.NewAttribute(pkcs11.CKA_VERIFY, true), pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, params),
		}
		private := []*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, m.keyType),
			pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true), pkcs11.NewAttribute(pkcs11.CKA_LABEL, label), pkcs11.NewAttribute(pkcs11.CKA_ID, id),
			pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true), pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
			pkcs11.NewAttribute(pkcs11.CKA_SIGN, true), pkcs11.NewAttribute(pkcs11.CKA_DERIVE, false), pkcs11.NewAttribute(pkcs11.CKA_UNWRAP, false), pkcs11.NewAttribute(pkcs11.CKA_DECRYPT, false),
		}
		o, _, err := t.ctx.GenerateKeyPair(t.session, []*pkcs11.Mechanism{pkcs11.NewMechanism(m.generate, nil)}, public, private)
		if err != nil {
			failure = err
			continue
		}
		k, err := t.publicKey(o, m)
		if err != nil {
			return wire.Key{}, err
		}
		_, err = t.private(k)
		return k, err
	}
	return wire.Key{}, wire.Fail(wire.Trouble, "C_GenerateKeyPair: %s", said(failure))
}

// private finds the private key, and looks whether the token vouches that it was made in
// it and never left it. That a key of the same names is not another one, who asked sees
// by the signature.
func (t *held) private(k wire.Key) (pkcs11.ObjectHandle, error) {
	if o, known := t.found[string(k.Marshal())]; known {
		return o, nil
	}
	m, known := meansOf(k.Algorithm)
	if !known {
		return 0, wire.Fail(wire.NoMeans, "there is no algorithm %s", k.Algorithm)
	}
	os, err := t.find(pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, m.keyType),
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, k.Label), pkcs11.NewAttribute(pkcs11.CKA_ID, k.ID))
	if err != nil {
		return 0, err
	}
	if len(os) != 1 {
		return 0, wire.Fail(wire.NoKey, "the token has %d private keys %s with its id", len(os), k.Label)
	}
	if err := t.sound(os[0], k.Label); err != nil {
		return 0, err
	}
	t.found[string(k.Marshal())] = os[0]
	return os[0], nil
}

// sound looks whether the token vouches that a key was made in it and never left it.
func (t *held) sound(o pkcs11.ObjectHandle, label string) error {
	for _, want := range []struct {
		attribute uint
		is        byte
		text      string
	}{
		{pkcs11.CKA_SENSITIVE, 1, "it is sensitive"}, {pkcs11.CKA_EXTRACTABLE, 0, "it cannot be taken out"}, {pkcs11.CKA_LOCAL, 1, "it was made in it"},
		{pkcs11.CKA_ALWAYS_SENSITIVE, 1, "it was always sensitive"}, {pkcs11.CKA_NEVER_EXTRACTABLE, 1, "it could never be taken out"},
	} {
		as, err := t.ctx.GetAttributeValue(t.session, o, []*pkcs11.Attribute{pkcs11.NewAttribute(want.attribute, nil)})
		if err != nil || len(as) != 1 || !bytes.Equal(as[0].Value, []byte{want.is}) {
			return wire.Fail(wire.Unsound, "the token does not say of the key %s that %s", label, want.text)
		}
	}
	return nil
}

// Sign signs. After a failure a session may be in any state: whoever asked starts anew.
func (t *held) Sign(k wire.Key, message []byte) ([]byte, error) {
	o, err := t.private(k)
	if err != nil {
		return nil, err
	}
	m, _ := meansOf(k.Algorithm)
	if err := t.ctx.SignInit(t.session, []*pkcs11.Mechanism{pkcs11.NewMechanism(m.sign, nil)}, o); err != nil {
		return nil, wire.Fail(wire.Trouble, "C_SignInit: %s", said(err))
	}
	sig, err := t.ctx.Sign(t.session, message)
	if err != nil {
		return nil, wire.Fail(wire.Trouble, "C_Sign: %s", said(err))
	}
	return sig, nil
}

// is reports whether an error is one of some codes.
func is(err error, codes ...uint) bool {
	var c pkcs11.Error
	return errors.As(err, &c) && slices.Contains(codes, uint(c))
}

// said is the code of an error, which has no words of the library in it.
func said(err error) string {
	if err == nil {
		return "nothing"
	}
	return strings.TrimPrefix(err.Error(), "pkcs11: ")
}
