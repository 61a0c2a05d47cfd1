// Package tpm wraps small secrets so that only the TPM 2.0 of this machine opens them: as
// sealed data objects under a primary key of the owner hierarchy, which the TPM makes from
// its own seed each time and nobody can take out.
//
// A wrapped secret is
//
//	version 1 (1 byte) ‖ length (2) ‖ TPM2B_PUBLIC ‖ length (2) ‖ TPM2B_PRIVATE
//
// (TPM 2.0 Library, part 2, sections 12.2.4 and 12.3.7). Between us and the chip secrets are
// encrypted (part 1, section 21), so that who only listens on the bus learns nothing. No PCR
// is asked for: an update of firmware or kernel locks nobody out, and whoever is root on
// this machine can ask the TPM as we do.
package tpm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxtpm"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"
)

// Device is a TPM: the path of its device with a resource manager, /dev/tpmrm0, or of the
// socket of one in software.
type Device string

// Name is what key files call it.
func (d Device) Name() string { return "tpm" }

// Words are what it is, for people.
func (d Device) Words() string { return "the TPM of this machine, " + string(d) }

// within is the longest that a chip is waited for: slow ones take two seconds for a key.
const within = 30 * time.Second

// ErrSilent says that the TPM did not answer in time.
var ErrSilent = errors.New("the TPM does not answer")

// ErrWrapped says that something is not what Wrap makes.
var ErrWrapped = errors.New("it is not what this TPM wrapped")

const (
	version = 1
	maxPart = 1 << 10 // either half has some hundred bytes
)

// Wrap makes what only Unwrap on this machine opens. The id is not part of it: who asks
// compares what comes back.
func (d Device) Wrap(_ string, secret []byte) ([]byte, error) {
	return d.with(tpm2.AESEncryption(128, tpm2.EncryptIn), func(t transport.TPM, parent tpm2.NamedHandle, session tpm2.Session) ([]byte, error) {
		made, err := tpm2.Create{
			ParentHandle: tpm2.AuthHandle{Handle: parent.Handle, Name: parent.Name, Auth: session},
			InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
				Data: tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: secret})}},
			InPublic: tpm2.New2B(tpm2.TPMTPublic{Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
				ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, UserWithAuth: true, NoDA: true}}),
		}.Execute(t)
		if err != nil {
			return nil, fmt.Errorf("TPM2_Create: %w", err)
		}
		return join(tpm2.Marshal(made.OutPublic), tpm2.Marshal(made.OutPrivate)), nil
	})
}

// Unwrap opens what Wrap made.
func (d Device) Unwrap(_ string, wrapped []byte) ([]byte, error) {
	public, private, err := split(wrapped)
	if err != nil {
		return nil, err
	}
	inPublic, err := tpm2.Unmarshal[tpm2.TPM2BPublic](public)
	if err != nil {
		return nil, ErrWrapped
	}
	inPrivate, err := tpm2.Unmarshal[tpm2.TPM2BPrivate](private)
	if err != nil {
		return nil, ErrWrapped
	}
	return d.with(tpm2.AESEncryption(128, tpm2.EncryptOut), func(t transport.TPM, parent tpm2.NamedHandle, session tpm2.Session) ([]byte, error) {
		object, err := tpm2.Load{
			ParentHandle: tpm2.AuthHandle{Handle: parent.Handle, Name: parent.Name, Auth: tpm2.PasswordAuth(nil)},
			InPublic:     *inPublic, InPrivate: *inPrivate,
		}.Execute(t)
		if err != nil {
			return nil, fmt.Errorf("TPM2_Load, as of another TPM, or one that was cleared: %w", err)
		}
		defer flush(t, object.ObjectHandle)
		out, err := tpm2.Unseal{ItemHandle: tpm2.AuthHandle{Handle: object.ObjectHandle, Name: object.Name, Auth: session}}.Execute(t)
		if err != nil {
			return nil, fmt.Errorf("TPM2_Unseal: %w", err)
		}
		return out.OutData.Buffer, nil
	})
}

// work is done with an open TPM, its primary key, and a session that encrypts the
// secret on its way in or out, salted to that key.
type work func(t transport.TPM, parent tpm2.NamedHandle, session tpm2.Session) ([]byte, error)

// with does some work. A TPM that hangs is left alone.
func (d Device) with(way tpm2.AuthOption, do work) ([]byte, error) {
	type result struct {
		out []byte
		err error
	}
	done := make(chan result, 1)
	go func() {
		out, err := d.use(way, do)
		done <- result{out, err}
	}()
	select {
	case r := <-done:
		return r.out, r.err
	case <-time.After(within):
		return nil, ErrSilent
	}
}

func (d Device) use(way tpm2.AuthOption, do work) (out []byte, err error) {
	t, err := d.open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	primary, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(t)
	if err != nil {
		return nil, fmt.Errorf("TPM2_CreatePrimary: %w", err)
	}
	defer flush(t, primary.ObjectHandle)
	public, err := primary.OutPublic.Contents()
	if err != nil {
		return nil, fmt.Errorf("TPM2_CreatePrimary: %w", err)
	}
	session := tpm2.HMAC(tpm2.TPMAlgSHA256, 16, way, tpm2.Salted(primary.ObjectHandle, *public))
	return do(t, tpm2.NamedHandle{Handle: primary.ObjectHandle, Name: primary.Name}, session)
}

func (d Device) open() (transport.TPMCloser, error) {
	info, err := os.Stat(string(d))
	if err != nil {
		return nil, err
	}
	if info.Mode()&fs.ModeSocket != 0 {
		return linuxudstpm.Open(string(d))
	}
	return linuxtpm.Open(string(d))
}

// flush gives room in the TPM back; with a resource manager, closing does so anyway.
func flush(t transport.TPM, h tpm2.TPMHandle) {
	_, _ = tpm2.FlushContext{FlushHandle: h}.Execute(t)
}

func join(public, private []byte) []byte {
	out := []byte{version}
	for _, part := range [][]byte{public, private} {
		out = binary.BigEndian.AppendUint16(out, uint16(len(part)))
		out = append(out, part...)
	}
	return out
}

// split reads what join makes, and nothing else.
func split(wrapped []byte) (public, private []byte, err error) {
	if len(wrapped) == 0 || wrapped[0] != version {
		return nil, nil, ErrWrapped
	}
	rest := wrapped[1:]
	for _, part := range []*[]byte{&public, &private} {
		if len(rest) < 2 {
			return nil, nil, ErrWrapped
		}
		n := int(binary.BigEndian.Uint16(rest))
		if rest = rest[2:]; n == 0 || n > maxPart || n > len(rest) {
			return nil, nil, ErrWrapped
		}
		*part, rest = rest[:n], rest[n:]
	}
	if len(rest) > 0 {
		return nil, nil, ErrWrapped
	}
	return public, private, nil
}
