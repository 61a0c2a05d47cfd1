package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"stint/internal/access"
	"stint/internal/hsm"
	"stint/internal/keys"
	"stint/internal/store"
	"stint/internal/tpm"
)

// tpmConfig says where the TPM of this machine is.
type tpmConfig struct {
	Device string `yaml:"device"`
}

const defaultTPM = "/dev/tpmrm0"

const wrapHelp = `Write the seal key file anew, so that it opens only with something else beside it. Stop
this machine's stintd first, and start it again afterwards. The keys stay the same.

  tpm     the TPM of this machine: the file opens on this machine only
  pkcs11  the PKCS#11 token of the configuration: the file opens where that token is
  none    nothing: the file holds the keys as they are, for a copy that you keep apart,
          or to take it to another machine

stintd asks for the key as it starts, and holds it in memory from then on. Without what
wrapped the key it does not start, nothing is granted, and what Stint would have taken
away ends by the targets' own clocks alone: keep a copy of the file that is not wrapped
in a safe place, off line. The disk may still hold what the file was before: rotate the
key after the first time (stintd rotate-key seal); the next key is wrapped like the one
before.`

func checkTPM(c config, s *settings) (err error) {
	if s.tpm, err = filepath.Abs(first(c.TPM.Device, defaultTPM)); err != nil {
		return refuse("bad-tpm", "tpm.device has no full path", err.Error(), "give it in full")
	}
	return nil
}

// wrappers are what the seal keys of this machine may be wrapped by.
func (s settings) wrappers() []keys.Wrapper {
	ws := []keys.Wrapper{tpm.Device(s.tpm)}
	if s.token.configured() {
		ws = append(ws, hsm.Wrapper{Settings: s.token.Settings, Label: s.token.label + "-seal"})
	}
	return ws
}

// openKeys opens the seal key file, with whatever wraps its keys.
func (s settings) openKeys() (*keys.Keys, error) {
	ring, err := keys.Open(s.sealKey, s.wrappers()...)
	var bad *keys.Error
	if errors.As(err, &bad) && strings.HasSuffix(bad.Message, "wrapped by pkcs11") { // of the two it is the one that has to be configured
		bad.Next = "put pkcs11 into the configuration again"
	}
	return ring, err
}

// wrappings are what wrap-key takes.
var wrappings = []string{"tpm", "pkcs11", "none"}

// wrapKey writes the seal key file anew.
func wrapKey(ctx context.Context, s settings, with string, out io.Writer) (err error) {
	st, err := store.Open(ctx, store.Config{Path: s.file(), URL: s.database})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if _, err := openExisting(ctx, st, s); err != nil { // the key fits this data
		return err
	}
	ring, err := s.openKeys()
	if err != nil {
		return err
	}
	var by keys.Wrapper
	if with != "none" {
		ws := s.wrappers()
		i := slices.IndexFunc(ws, func(w keys.Wrapper) bool { return w.Name() == with })
		if i < 0 {
			return refuse("no-token-configured", "there is no PKCS#11 token to wrap the seal key with", "pkcs11 is not in the configuration", "docs/operations/seal-key.md has an example")
		}
		by = ws[i]
	}
	// In the log first: nobody takes the keys out of their wrapping unseen.
	if err := st.Update(ctx, func(tx *store.Tx) error { return noteRotation(tx, "seal: to be wrapped by "+with) }); err != nil {
		return err
	}
	if err := ring.Wrap(by); err != nil {
		return err
	}
	said := "holds its keys as they are"
	if by != nil {
		said = "opens with " + by.Words() + " only"
	}
	_, err = fmt.Fprintf(out, "%s %s; start stintd\n", s.sealKey, said)
	return err
}

// wrappingOf says what the seal key is wrapped by, and whether the next start can open it.
func (x *examination) wrappingOf(s settings, ring *keys.Keys) {
	by, plain := ring.WrappedBy()
	if by == "" {
		return
	}
	const name = "seal key, wrapped"
	switch _, err := s.openKeys(); {
	case err != nil:
		x.broken(name, err, "stintd runs with the key in its memory, and would not start again: then nothing is granted, and access ends by the targets' own clocks alone")
	case plain > 0:
		x.warn(name, fmt.Sprintf("%d earlier keys are in %s as they are", plain, s.sealKey), "whoever has that file and a backup of then has what they sealed",
			"stop stintd, then: stintd wrap-key "+by)
	default:
		x.ok(name, "by "+by+", which opens it")
	}
}

var errNoInstallation = access.Fail(access.Invalid, "no-installation", "there is no installation in this data").Try("check --data or --database")
