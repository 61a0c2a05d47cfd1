//go:build cgo

package main

import (
	"crypto/rand"

	"github.com/miekg/pkcs11"

	"stint/internal/hsm/wire"
)

// A ciphertext is nonce (12 bytes) ‖ ciphertext ‖ tag (16), by AES-256-GCM (CKM_AES_GCM,
// PKCS#11 2.40 current mechanisms, section 2.12). Whoever uses a key so wraps a few keys
// of 32 bytes with it, so that random nonces do not meet.
const (
	nonceSize = 12
	tagSize   = 16
)

// GenerateSecret makes a key that the token does not give away, and looks whether it says so.
func (t *held) GenerateSecret(label string) error {
	same, err := t.find(pkcs11.NewAttribute(pkcs11.CKA_LABEL, label))
	if err != nil {
		return err
	}
	if len(same) > 0 {
		return wire.Fail(wire.Question, "there is something with the label %s already", label)
	}
	o, err := t.ctx.GenerateKey(t.session, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_KEY_GEN, nil)}, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES), pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, 32),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true), pkcs11.NewAttribute(pkcs11.CKA_LABEL, label),
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true), pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
		pkcs11.NewAttribute(pkcs11.CKA_ENCRYPT, true), pkcs11.NewAttribute(pkcs11.CKA_DECRYPT, true),
		pkcs11.NewAttribute(pkcs11.CKA_SIGN, false), pkcs11.NewAttribute(pkcs11.CKA_DERIVE, false), pkcs11.NewAttribute(pkcs11.CKA_WRAP, false), pkcs11.NewAttribute(pkcs11.CKA_UNWRAP, false),
	})
	if err != nil {
		return wire.Fail(wire.NoMeans, "C_GenerateKey: %s", said(err))
	}
	return t.sound(o, label)
}

// secret finds the one key with the label that encrypts.
func (t *held) secret(label string) (pkcs11.ObjectHandle, error) {
	os, err := t.find(pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES), pkcs11.NewAttribute(pkcs11.CKA_LABEL, label))
	if err != nil {
		return 0, err
	}
	if len(os) != 1 {
		return 0, wire.Fail(wire.NoKey, "the token has %d secret keys %s", len(os), label)
	}
	return os[0], t.sound(os[0], label)
}

// Encrypt seals a few bytes with the key of that label.
func (t *held) Encrypt(label string, about, plaintext []byte) ([]byte, error) {
	o, err := t.secret(label)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, nonceSize)
	_, _ = rand.Read(nonce) // never fails
	params := pkcs11.NewGCMParams(nonce, about, 8*tagSize)
	defer params.Free()
	if err := t.ctx.EncryptInit(t.session, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_GCM, params)}, o); err != nil {
		return nil, wire.Fail(wire.NoMeans, "C_EncryptInit: %s", said(err))
	}
	out, err := t.ctx.Encrypt(t.session, plaintext)
	if err != nil {
		return nil, wire.Fail(wire.Trouble, "C_Encrypt: %s", said(err))
	}
	if used := params.IV(); len(used) == nonceSize { // some tokens choose it themselves
		nonce = used
	}
	return append(nonce, out...), nil
}

// Decrypt opens what Encrypt made with the same label and the same additional data.
func (t *held) Decrypt(label string, about, ciphertext []byte) ([]byte, error) {
	if len(ciphertext) < nonceSize+tagSize {
		return nil, wire.Fail(wire.Question, "it is no ciphertext")
	}
	o, err := t.secret(label)
	if err != nil {
		return nil, err
	}
	params := pkcs11.NewGCMParams(ciphertext[:nonceSize:nonceSize], about, 8*tagSize)
	defer params.Free()
	if err := t.ctx.DecryptInit(t.session, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_GCM, params)}, o); err != nil {
		return nil, wire.Fail(wire.NoMeans, "C_DecryptInit: %s", said(err))
	}
	out, err := t.ctx.Decrypt(t.session, ciphertext[nonceSize:])
	if err != nil {
		return nil, wire.Fail(wire.Trouble, "C_Decrypt: %s", said(err))
	}
	return out, nil
}
