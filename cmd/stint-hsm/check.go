package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/ssh"

	"stint/internal/hsm"
	"stint/internal/hsm/module"
	"stint/internal/hsm/wire"
	"stint/internal/program"
)

// examination is what stint-hsm check looks at.
type examination struct{ module, token, pinFile, label string }

func (x examination) run(out io.Writer) error {
	for _, f := range [][2]string{{"--module", x.module}, {"--token", x.token}, {"--pin-file", x.pinFile}} {
		if f[1] == "" {
			return program.Wrong(f[0] + " is missing")
		}
	}
	if err := shield(); err != nil {
		return err
	}
	say := func(format string, a ...any) { _, _ = fmt.Fprintf(out, format+"\n", a...) } // a closed terminal changes nothing
	path, err := module.Library(x.module)
	if err != nil {
		return fmt.Errorf("the module is not to be trusted, or not there: %w", err)
	}
	say("ok    module   %s; only root can exchange it", x.module)
	pin, err := hsm.ReadPIN(x.pinFile)
	if err != nil {
		return fmt.Errorf("the file with the PIN cannot be used: %w", err)
	}
	t, err := open(path, x.token, pin)
	clear(pin)
	if err != nil {
		return err
	}
	for _, line := range t.About() {
		say("ok    %s", line)
	}
	ks, err := t.Keys(x.label)
	if err != nil {
		return err
	}
	bad := 0
	for _, k := range ks {
		public, err := sshKey(k)
		if err == nil {
			probe := sha256.Sum256([]byte("stint-hsm check"))
			_, err = t.Sign(k, probe[:])
		}
		if err != nil {
			bad++
			say("FAIL  key      %s: %v", k.Label, err)
			continue
		}
		say("ok    key      %s %s %s; it signs, and was never outside", k.Label, k.Algorithm, ssh.FingerprintSHA256(public))
	}
	if len(ks) == 0 {
		say("ok    key      none begins with %s yet: stintd makes them", x.label)
	}
	if bad > 0 {
		return errors.New("a key cannot be used")
	}
	return nil
}

func sshKey(k wire.Key) (ssh.PublicKey, error) {
	public, err := k.PublicKey()
	if err != nil {
		return nil, err
	}
	return ssh.NewPublicKey(public)
}
