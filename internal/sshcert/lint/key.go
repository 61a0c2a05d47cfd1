package lint

import (
	"crypto/ecdh"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// certSuffix ends the name of every type of certificate.
const certSuffix = "-cert-v01@openssh.com"

// Sizes of RSA keys, in bits. Below 3072 is less than 128 bits of security (NIST SP
// 800-57 part 1, table 2); above 8192 verifying costs more than it adds.
const (
	minRSA = 3072
	maxRSA = 8192
)

// curves are those of ECDSA keys.
var curves = map[string]ecdh.Curve{"nistp256": ecdh.P256(), "nistp384": ecdh.P384(), "nistp521": ecdh.P521()}

// Key checks a public key in its wire form: a plain key of a type and size that is
// allowed. A certificate is none.
func Key(blob []byte) error {
	r := reader{rest: blob}
	kind := r.text()
	if r.err != nil {
		return fmt.Errorf("the key cannot be read: %w", r.err)
	}
	if isCert(kind) {
		return errors.New("it is a certificate and not a key")
	}
	if err := body(kind, &r); err != nil {
		return err
	}
	return r.end("the key")
}

func isCert(kind string) bool { return strings.Contains(kind, "-cert-v0") }

// hardware says that signatures by keys of this type need the authenticator that holds them.
func hardware(kind string) bool { return strings.HasPrefix(kind, "sk-") }

// body reads what follows the type of a key, and stops where the key ends.
func body(kind string, r *reader) error {
	switch kind {
	case "ssh-ed25519", "sk-ssh-ed25519@openssh.com":
		if k := r.bytes(); r.err == nil && len(k) != 32 {
			return fmt.Errorf("an Ed25519 key of %d bytes", len(k))
		}
	case "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "sk-ecdsa-sha2-nistp256@openssh.com":
		if err := ecdsa(kind, r); err != nil {
			return err
		}
	case "ssh-rsa":
		if err := rsa(r); err != nil {
			return err
		}
	default:
		return fmt.Errorf("keys of type %q are not allowed: ed25519, ecdsa from p256, rsa from %d bits, and sk- keys are", clip(kind), minRSA)
	}
	if hardware(kind) {
		if app := r.text(); r.err == nil && !strings.HasPrefix(app, "ssh:") {
			return errors.New("an sk- key for another application than ssh")
		}
	}
	if r.err != nil {
		return fmt.Errorf("the key cannot be read: %w", r.err)
	}
	return nil
}

func ecdsa(kind string, r *reader) error {
	name, point := r.text(), r.bytes()
	if r.err != nil {
		return fmt.Errorf("the key cannot be read: %w", r.err)
	}
	curve, ok := curves[name]
	if !ok || !strings.Contains(kind, "-"+name) {
		return errors.New("an ECDSA key that names another curve than its type")
	}
	if _, err := curve.NewPublicKey(point); err != nil { // uncompressed, and on the curve
		return errors.New("an ECDSA key that is no point of its curve")
	}
	return nil
}

func rsa(r *reader) error {
	e, errE := positive(r.bytes())
	n, errN := positive(r.bytes())
	if r.err != nil {
		return fmt.Errorf("the key cannot be read: %w", r.err)
	}
	if err := errors.Join(errE, errN); err != nil {
		return err
	}
	if bits := n.BitLen(); bits < minRSA || bits > maxRSA || n.Bit(0) == 0 {
		return fmt.Errorf("an RSA key of %d bits: from %d to %d are allowed", bits, minRSA, maxRSA)
	}
	if e.BitLen() < 17 || e.BitLen() > 24 || e.Bit(0) == 0 { // 65537 is what everything makes
		return errors.New("an RSA key with an exponent that is even, below 65537 or very large")
	}
	return nil
}

// positive reads an mpint, which has one encoding (RFC 4251 section 5).
func positive(b []byte) (*big.Int, error) {
	if len(b) == 0 || b[0]&0x80 != 0 || b[0] == 0 && (len(b) == 1 || b[1]&0x80 == 0) {
		return new(big.Int), errors.New("an RSA key with a number that is zero, negative or badly encoded")
	}
	if len(b) > maxRSA/8+1 {
		return new(big.Int), fmt.Errorf("an RSA key of more than %d bits", maxRSA)
	}
	return new(big.Int).SetBytes(b), nil
}

// clip bounds what an error repeats.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
