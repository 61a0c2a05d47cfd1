package envelope

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"

	"stint/internal/access"
)

// Roll is the word of an orders key that another one follows it: what an agent that
// trusts the one needs to trust the other.
type Roll struct {
	Version      int    `json:"v"`
	Installation string `json:"installation"`
	Next         []byte `json:"next"`
}

// MaxRolls is how many rotations an agent may have missed.
const MaxRolls = 64

// SealRoll signs, with the key that was in use, the one that follows it.
func SealRoll(installation string, next ed25519.PublicKey, by Signer) (Sealed, error) {
	return seal(rollHead, Roll{version, installation, next}, by, maxRoll)
}

const maxRoll = 4096

// Follow goes from the key that is trusted as far as the rolls lead, in whatever
// order they come. Rolls of other keys are left aside; a chain that goes in a circle
// ends.
func Follow(installation string, trusted ed25519.PublicKey, rolls []Sealed) (ed25519.PublicKey, error) {
	if len(rolls) > MaxRolls {
		return nil, access.Fail(access.Invalid, "too-many-rolls", "there are more rotations than an agent follows").Try("enrol the host anew")
	}
	seen := map[string]bool{string(trusted): true}
	for {
		next := ed25519.PublicKey(nil)
		for _, text := range rolls {
			var r Roll
			if open(rollHead, text, maxRoll, &r, trusted) == nil && r.Version == version && r.Installation == installation &&
				len(r.Next) == ed25519.PublicKeySize && !seen[string(r.Next)] {
				next = r.Next
			}
		}
		if next == nil {
			return trusted, nil
		}
		seen[string(next)], trusted = true, next
	}
}

// Pin is a short name of an orders key, for a code that people carry: whoever can find
// another key with this name can find one with any.
func Pin(key ed25519.PublicKey) string {
	sum := sha256.Sum256(append([]byte("stint orders key "), key...))
	return base64.RawURLEncoding.EncodeToString(sum[:18])
}
