package keys

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
)

// The key file is text, one key a line, the current key first, each line
//
//	stint-seal-key-1:<32 bytes in base64, RFC 4648 section 4>
//
// and nothing else: no comments, no blank lines. Only the last line may lack its
// newline, as files made by hand or by a secret store often do.
const linePrefix = "stint-seal-key-1:"

func encodeText(ring []sealKey) []byte {
	var b bytes.Buffer
	for _, k := range ring {
		b.WriteString(linePrefix)
		b.WriteString(base64.StdEncoding.EncodeToString(k.secret()))
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// parseText names a bad line by its number only: its text may be a key.
func parseText(text []byte) ([]sealKey, error) {
	if len(text) == 0 {
		return nil, errors.New("it is empty")
	}
	var ring []sealKey
	seen := map[keyID]bool{}
	for line := range bytes.SplitSeq(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")) {
		n := len(ring) + 1
		encoded, ok := bytes.CutPrefix(line, []byte(linePrefix))
		if !ok {
			return nil, fmt.Errorf("line %d does not begin with %q", n, linePrefix)
		}
		secret, ok := decode(encoded)
		if !ok {
			return nil, fmt.Errorf("line %d does not hold %d bytes in base64", n, keySize)
		}
		k := sealKeyOf(secret)
		if seen[k.id] {
			return nil, fmt.Errorf("line %d repeats a key", n)
		}
		seen[k.id] = true
		ring = append(ring, k)
	}
	return ring, nil
}

// decode accepts the one encoding of a key. The length is checked first, because
// the decoder skips carriage returns.
func decode(encoded []byte) (secret [keySize]byte, ok bool) {
	if len(encoded) != base64.StdEncoding.EncodedLen(keySize) {
		return secret, false
	}
	var buf [keySize + 1]byte // 44 characters can also hold 33 bytes
	defer clear(buf[:])
	n, err := base64.StdEncoding.Strict().Decode(buf[:], encoded)
	copy(secret[:], buf[:])
	return secret, err == nil && n == keySize
}
