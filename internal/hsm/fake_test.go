package hsm

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/asn1"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stint/internal/hsm/wire"
)

// TestMain lets this program be stint-hsm: what it is told in its environment, it does.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[0] == "stint-hsm" && os.Args[1] == "serve" {
		env := map[string]string{}
		for _, v := range os.Environ() {
			name, value, _ := strings.Cut(v, "=")
			env[name] = value
		}
		pretend(env)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// pretend answers as a token that may be ill.
func pretend(env map[string]string) {
	dir := env["DIR"]
	note := func(name, text string) {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err == nil {
			_, _ = f.WriteString(text + "\n")
			_ = f.Close()
		}
	}
	is := func(what string) bool { _, err := os.Stat(filepath.Join(dir, what)); return err == nil }
	hang := func() { time.Sleep(time.Hour) }
	note("started", strings.Join(os.Args, " ")+" "+strings.Join(os.Environ(), " "))
	seed := bytes.Repeat([]byte{1}, ed25519.SeedSize)
	edwards := ed25519.NewKeyFromSeed(seed)
	curve, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed)
	if err != nil {
		return
	}
	for {
		m, err := wire.Read(os.Stdin)
		if err != nil {
			return
		}
		a := wire.Message{Kind: wire.Done, Number: m.Number}
		fail := func(code string) {
			a.Kind, a.Fields = wire.Failed, [][]byte{[]byte(code), []byte("as the test wants")}
		}
		switch m.Kind {
		case wire.Open:
			note("opened", string(m.Fields[0])+" "+string(m.Fields[1]))
			switch {
			case is("hang-open"):
				hang()
			case is("away"):
				fail(wire.NoToken)
			case string(m.Fields[2]) != "5678":
				note("refused", "")
				fail(wire.BadPIN)
			}
		case wire.Generate, wire.Keys:
			k := wire.Key{Label: string(m.Fields[0]), ID: []byte{1}, Algorithm: wire.Ed25519, Public: edwards.Public().(ed25519.PublicKey)}
			if m.Kind == wire.Generate && string(m.Fields[1]) == string(wire.P256) {
				k.Algorithm = wire.P256
				k.Public, _ = curve.PublicKey.Bytes()
			}
			if m.Kind == wire.Keys {
				k.Label = "stint-ssh-users-1"
			}
			if is("other-label") {
				k.Label = "another"
			}
			a.Fields = [][]byte{k.Marshal()}
			if is("no-key-text") {
				a.Fields = [][]byte{[]byte("no key")}
			}
		case wire.Secret:
			note("secret", string(m.Fields[0]))
		case wire.Encrypt, wire.Decrypt:
			switch {
			case is("die"):
				return
			case !is("secret"):
				fail(wire.NoKey)
			case is("empty"):
			default:
				out := bytes.Clone(m.Fields[2])
				for i := range out {
					out[i] ^= 0x5a ^ m.Fields[1][i%len(m.Fields[1])]
				}
				a.Fields = [][]byte{out}
			}
		case wire.Sign:
			k, err := wire.ParseKey(m.Fields[0])
			if err != nil {
				fail(wire.Question)
				break
			}
			switch {
			case is("hang"):
				hang()
			case is("die"):
				return
			case is("trouble"):
				fail(wire.Trouble)
			case is("no-key"):
				fail(wire.NoKey)
			case is("garbage"):
				_, _ = os.Stdout.WriteString("Segmentation fault\n")
				hang()
			case is("other-number"):
				a.Number++
			case is("other-key"):
				edwards = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, ed25519.SeedSize))
				curve, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			case is("other-message"):
				m.Fields[1] = append([]byte{1}, m.Fields[1][1:]...)
			}
			if a.Kind == wire.Failed {
				break
			}
			sig := ed25519.Sign(edwards, m.Fields[1])
			if k.Algorithm == wire.P256 {
				der, _ := curve.Sign(rand.Reader, m.Fields[1], crypto.SHA256)
				var rs struct{ R, S *big.Int }
				_, _ = asn1.Unmarshal(der, &rs)
				sig = append(rs.R.FillBytes(make([]byte, 32)), rs.S.FillBytes(make([]byte, 32))...)
			}
			if is("short") {
				sig = sig[:63]
			}
			a.Fields = [][]byte{sig}
			if is("empty") {
				a.Fields = nil
			}
		}
		if err := wire.Write(os.Stdout, a); err != nil {
			return
		}
	}
}
