//go:build e2e

package e2e

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// scramOracle knows by the verifier on a server whether a text is the password, as the
// server does (RFC 5802 section 3), so that a test finds a password that it does not know.
type scramOracle struct {
	salt, stored []byte
	iterations   int
}

func newScramOracle(verifier string) (o scramOracle, err error) {
	rest, ok := strings.CutPrefix(verifier, "SCRAM-SHA-256$")
	head, keys, ok2 := strings.Cut(rest, "$")
	n, salt, ok3 := strings.Cut(head, ":")
	stored, _, ok4 := strings.Cut(keys, ":")
	if !ok || !ok2 || !ok3 || !ok4 {
		return o, fmt.Errorf("no verifier")
	}
	if o.iterations, err = strconv.Atoi(n); err != nil {
		return o, err
	}
	if o.salt, err = base64.StdEncoding.DecodeString(salt); err != nil {
		return o, err
	}
	o.stored, err = base64.StdEncoding.DecodeString(stored)
	return o, err
}

func storedKey(password string, salt []byte, iterations int) []byte {
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		panic(err)
	}
	h := hmac.New(sha256.New, salted)
	h.Write([]byte("Client Key"))
	sum := sha256.Sum256(h.Sum(nil))
	return sum[:]
}

func verifierOf(password string, iterations int) string {
	b64, salt := base64.StdEncoding.EncodeToString, []byte("0123456789abcdef")
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:", iterations, b64(salt), b64(storedKey(password, salt, iterations)))
}

// passwordLen is how long Stint's passwords are: 256 bits in base64url.
const passwordLen = 43

// search tries every text of that length in a file, or in all files of a folder.
func (o scramOracle) search(root string) (found []string, looked int) {
	tried := map[string]bool{}
	_ = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		for start := 0; start < len(b); {
			end := start
			for end < len(b) && base64url(b[end]) {
				end++
			}
			// A longer run is no password, but for one with something in front or behind it.
			if n := end - start; n >= passwordLen && n <= 4*passwordLen {
				for i := start; i+passwordLen <= end; i++ {
					text := string(b[i : i+passwordLen])
					if tried[text] {
						continue
					}
					tried[text] = true
					if string(storedKey(text, o.salt, o.iterations)) == string(o.stored) {
						found = append(found, path)
					}
				}
			}
			start = end + 1
		}
		return nil
	})
	return found, len(tried)
}

func base64url(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}
