package hsm

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"stint/internal/hsm/wire"
)

// Wrapper wraps seal keys with a secret key of the token, for package keys. Each call
// opens the token and leaves it: it is asked as a server starts, and as keys change.
type Wrapper struct {
	Settings Settings
	Label    string // of the key in the token; it is made when it is not there
}

// Name is what key files call it.
func (w Wrapper) Name() string { return "pkcs11" }

// Words are what it is, for people.
func (w Wrapper) Words() string { return "the PKCS#11 token " + w.Settings.Label }

// What is wrapped says which key wrapped it, so that a change of labels locks nobody out.
//
//	version 1 (1 byte) ‖ length of the label (1) ‖ label ‖ what the token made
const wrapVersion = 1

var errWrapped = errors.New("it is not what a token wrapped")

func about(id string) []byte { return []byte("stint-seal-key-2:pkcs11:" + id) }

// Wrap makes what the token opens.
func (w Wrapper) Wrap(id string, key []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), openWithin+generateWithin)
	defer cancel()
	if err := wire.CheckLabel(w.Label); err != nil {
		return nil, err
	}
	t := New(w.Settings)
	defer t.Close()
	if err := t.Open(ctx); err != nil {
		return nil, err
	}
	out, err := t.crypt(ctx, wire.Encrypt, w.Label, about(id), key)
	if f := (*wire.Failure)(nil); errors.As(err, &f) && f.Code == wire.NoKey {
		if _, err = t.call(ctx, generateWithin, wire.Secret, []byte(w.Label)); err == nil {
			out, err = t.crypt(ctx, wire.Encrypt, w.Label, about(id), key)
		}
	}
	if err != nil {
		return nil, err
	}
	return slices.Concat([]byte{wrapVersion, byte(len(w.Label))}, []byte(w.Label), out), nil
}

// Unwrap opens what Wrap made.
func (w Wrapper) Unwrap(id string, wrapped []byte) ([]byte, error) {
	if len(wrapped) < 2 || wrapped[0] != wrapVersion || len(wrapped) < 2+int(wrapped[1]) {
		return nil, errWrapped
	}
	label, sealed := string(wrapped[2:2+wrapped[1]]), bytes.Clone(wrapped[2+wrapped[1]:])
	if wire.CheckLabel(label) != nil {
		return nil, errWrapped
	}
	ctx, cancel := context.WithTimeout(context.Background(), openWithin+signWithin)
	defer cancel()
	t := New(w.Settings)
	defer t.Close()
	if err := t.Open(ctx); err != nil {
		return nil, err
	}
	return t.crypt(ctx, wire.Decrypt, label, about(id), sealed)
}

func (t *Token) crypt(ctx context.Context, kind wire.Kind, label string, about, text []byte) ([]byte, error) {
	answer, err := t.call(ctx, signWithin, kind, []byte(label), about, text)
	if err != nil {
		return nil, err
	}
	if len(answer) != 1 {
		return nil, away("it does not say what came of it", nil)
	}
	return answer[0], nil
}
