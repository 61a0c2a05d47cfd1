package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"stint/internal/hsm"
	"stint/internal/hsm/module"
	"stint/internal/hsm/wire"
	"stint/internal/keys"
	"stint/internal/store"
)

// pkcs11Config says which authorities have their keys in a PKCS#11 token.
type pkcs11Config struct {
	Module    string `yaml:"module"`
	Token     string `yaml:"token"`
	PINFile   string `yaml:"pin_file"`
	KeyLabel  string `yaml:"key_label"`
	Algorithm string `yaml:"algorithm"`
	// Keys are those whose next key the token makes. Left out: both; empty: none.
	Keys        []string `yaml:"keys"`
	Environment []string `yaml:"environment"`
	Program     string   `yaml:"program"`
}

// tokenSettings are these settings, checked.
type tokenSettings struct {
	hsm.Settings
	label     string // what labels of keys begin with
	algorithm wire.Algorithm
	keys      []string // settings of authorities
}

func (s tokenSettings) configured() bool { return s.Module != "" }

// In loaders' variables somebody could name another library than the module.
var variable = regexp.MustCompile(`^[A-Z][A-Z0-9_]*=[^\x00\n]*$`)

func checkPKCS11(c config, s *settings) (err error) {
	p := c.PKCS11
	if p.Module == "" && p.Token == "" && p.PINFile == "" {
		if p.KeyLabel != "" || p.Algorithm != "" || p.Keys != nil || p.Environment != nil || p.Program != "" {
			return refuse("half-pkcs11", "a PKCS#11 token needs a module, a label and a PIN", "pkcs11.module, pkcs11.token or pkcs11.pin_file is missing", "docs/operations/pkcs11.md has an example")
		}
		return nil
	}
	if p.Module == "" || p.Token == "" || p.PINFile == "" {
		return refuse("half-pkcs11", "a PKCS#11 token needs a module, a label and a PIN", "pkcs11.module, pkcs11.token or pkcs11.pin_file is missing", "docs/operations/pkcs11.md has an example")
	}
	t := &s.token
	t.Label, t.label, t.algorithm = p.Token, first(p.KeyLabel, "stint"), wire.Algorithm(p.Algorithm)
	own, err := os.Executable()
	if err != nil {
		return err
	}
	for _, x := range []struct {
		to       *string
		is, name string
	}{{&t.Module, p.Module, "module"}, {&t.PINFile, p.PINFile, "pin_file"}, {&t.Program, first(p.Program, filepath.Join(filepath.Dir(own), "stint-hsm")), "program"}} {
		if *x.to, err = filepath.Abs(x.is); err != nil {
			return refuse("bad-pkcs11", "pkcs11."+x.name+" has no full path", err.Error(), "give it in full")
		}
	}
	// What is not there is no reason to end nothing: the token is away then. What others can
	// change or read is refused.
	if _, err := os.Stat(t.Module); err == nil {
		if _, err := module.Library(t.Module); err != nil {
			return refuse("open-pkcs11-module", "somebody but root can exchange the PKCS#11 module", err.Error(), "install it as root, where only root can write, as packages do")
		}
	}
	if _, err := os.Stat(t.Program); err == nil {
		if _, err := module.Program(t.Program); err != nil {
			return refuse("open-stint-hsm", "somebody else can exchange stint-hsm", err.Error(), "install it where only root, or the user of stintd, can write")
		}
	}
	if _, err := os.Stat(t.PINFile); err == nil {
		pin, err := hsm.ReadPIN(t.PINFile)
		if err != nil {
			return refuse("bad-pin-file", "the file with the PIN of the token cannot be used", err.Error(), "one line, and chmod 600")
		}
		clear(pin)
	}
	if err := wire.CheckLabel(t.label); err != nil || len(t.label) > 40 {
		return refuse("bad-key-label", "pkcs11.key_label cannot be the beginning of a label", t.label, "write up to 40 letters, digits, and between them -")
	}
	if !slices.Contains([]wire.Algorithm{"", wire.Ed25519, wire.P256}, t.algorithm) {
		return refuse("bad-pkcs11", "pkcs11.algorithm is not one that is used", p.Algorithm, "write ed25519 or ecdsa-p256, or leave it out")
	}
	if p.Keys == nil {
		p.Keys = []string{"ssh-users", "ssh-hosts"}
	}
	for _, name := range p.Keys {
		setting, known := authorityOf[name]
		if !known || slices.Contains(t.keys, setting) {
			return refuse("bad-pkcs11", "pkcs11.keys has something that is no authority, or one twice", name, "write ssh-users, ssh-hosts, or both")
		}
		t.keys = append(t.keys, setting)
	}
	for _, v := range p.Environment {
		if !variable.MatchString(v) || strings.HasPrefix(v, "LD_") || strings.HasPrefix(v, "DYLD_") {
			name, _, _ := strings.Cut(v, "=")
			return refuse("bad-pkcs11", "pkcs11.environment has something that the program is not given", name, "write NAME=VALUE, of variables that the module reads")
		}
		t.Environment = append(t.Environment, v)
	}
	return nil
}

// keyToken is where authorities get keys that are not ours.
type keyToken struct {
	*hsm.Token
	settings tokenSettings
	log      *slog.Logger
}

// newToken makes it; without a configuration it is none.
func newToken(s settings, log *slog.Logger) keyToken {
	t := keyToken{Token: hsm.None(), settings: s.token, log: log}
	if s.token.configured() {
		s.token.Log = log
		t.Token = hsm.New(s.token.Settings)
	}
	return t
}

// nameOf is what the command line calls an authority.
func nameOf(setting string) string {
	for name, s := range authorityOf {
		if s == setting {
			return name
		}
	}
	return setting
}

// fresh makes a key for an authority where its keys are to be.
func (t keyToken) fresh(ctx context.Context, vault *keys.Keys, setting string) (sealed []byte, err error) {
	if !slices.Contains(t.settings.keys, setting) {
		sealed, _, err = vault.NewAuthorityKey(setting)
		return sealed, err
	}
	if err := t.Open(ctx); err != nil {
		return nil, err
	}
	var random [6]byte
	rand.Read(random[:]) // never fails
	k, err := t.Generate(ctx, t.settings.label+"-"+nameOf(setting)+"-"+hex.EncodeToString(random[:]), t.settings.algorithm)
	if err != nil {
		return nil, err
	}
	return vault.SealAuthorityReference(setting, k.Marshal())
}

// tokenOf looks at the token, and at the keys that are in it and that should be.
func (x *examination) tokenOf(ctx context.Context, t keyToken, st *store.Store, vault *keys.Keys) {
	found := map[string]authority{}
	for setting := range authorities {
		var all [][]byte
		err := st.View(ctx, func(tx *store.Tx) (err error) { all, err = readKeys(tx, setting); return err })
		if err == nil && all != nil {
			found[setting], err = readAuthority(vault, t, setting, all)
		}
		if err != nil {
			x.broken("keys of SSH certificates", err, "no certificates are made")
			return
		}
	}
	const why = "no SSH certificates are made; what is granted goes on and ends on time"
	held := map[string]bool{} // keys that are in use, by what they are
	for _, setting := range []string{settingUserAuthority, settingHostAuthority} {
		a, made := found[setting]
		wanted, name := slices.Contains(t.settings.keys, setting), "key "+nameOf(setting)
		switch {
		case !made && wanted:
			x.warn(name, "there is none yet", "no certificates are made", "see that the token answers, and start stintd")
		case !made:
		case a.pinned == nil && wanted:
			x.warn(name, "the key that signs is on disk, and the next one is to be in the token", "whoever takes data and seal key has it", "stop stintd, then: stintd rotate-key "+nameOf(setting))
		case a.pinned != nil && !t.settings.configured():
			x.fail(name, "the key "+a.pinned.Label+" is in a token, and no token is configured", why, "configure pkcs11 again, or stintd rotate-key "+nameOf(setting))
		case a.pinned != nil:
			held[string(a.pinned.Marshal())] = true
			s, err := t.Signer(*a.pinned)
			if err == nil {
				err = s.Try(ctx)
			}
			if err != nil {
				x.broken(name, err, why)
			} else {
				x.ok(name, a.pinned.Label+" in the token signs, with "+string(a.pinned.Algorithm))
			}
		}
	}
	if !t.settings.configured() {
		return
	}
	where := t.settings.Module + ", token " + t.settings.Label
	all, err := t.Keys(ctx, t.settings.label+"-")
	if err != nil {
		x.broken("token", err, why)
		return
	}
	var spare []string
	for _, k := range all {
		if !held[string(k.Marshal())] {
			spare = append(spare, k.Label)
		}
	}
	if len(spare) > 0 {
		x.warn("token", where+" answers, and has keys that sign no more: "+strings.Join(spare, ", "), "who has the token could still sign with them, and hosts believe earlier keys until they are retired",
			"once no backup needs them: pkcs11-tool --delete-object --type privkey --label LABEL")
	} else {
		x.ok("token", where+" answers")
	}
}

// sayWhere says where the key that was made is.
func (t keyToken) sayWhere(out io.Writer, setting string) error {
	if !slices.Contains(t.settings.keys, setting) {
		return nil
	}
	_, err := fmt.Fprintf(out, "it is in the token %s, and cannot be taken out of it\n", t.settings.Label)
	return err
}
