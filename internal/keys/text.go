package keys

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// The key file is text, one key a line, the current key first, each line one of
//
//	stint-seal-key-1:<32 bytes in base64, RFC 4648 section 4>
//	stint-seal-key-2:<wrapper>:<key id, 16 hexadecimal digits>:<what the wrapper made, in base64>
//
// and nothing else: no comments, no blank lines. Only the last line may lack its
// newline, as files made by hand or by a secret store often do.
const (
	linePrefix    = "stint-seal-key-1:"
	wrappedPrefix = "stint-seal-key-2:"
)

// maxWrapped is far above what a wrapper makes of 32 bytes.
const maxWrapped = 4 << 10

func encodeText(ring []sealKey) []byte {
	var b bytes.Buffer
	for _, k := range ring {
		if k.by != "" {
			fmt.Fprintf(&b, "%s%s:%s:%s\n", wrappedPrefix, k.by, k.id, base64.StdEncoding.EncodeToString(k.wrapped))
			continue
		}
		b.WriteString(linePrefix)
		b.WriteString(base64.StdEncoding.EncodeToString(k.secret()))
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// parseText reads every line; those that are wrapped have no secret yet. It names a bad
// line by its number only: its text may be a key.
func parseText(text []byte) ([]sealKey, error) {
	if len(text) == 0 {
		return nil, errors.New("it is empty")
	}
	var ring []sealKey
	seen := map[keyID]bool{}
	for line := range bytes.SplitSeq(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")) {
		n := len(ring) + 1
		k, err := parseLine(line)
		if err != nil {
			return nil, fmt.Errorf("line %d %w", n, err)
		}
		if seen[k.id] {
			return nil, fmt.Errorf("line %d repeats a key", n)
		}
		seen[k.id] = true
		ring = append(ring, k)
	}
	return ring, nil
}

func parseLine(line []byte) (sealKey, error) {
	if rest, ok := bytes.CutPrefix(line, []byte(wrappedPrefix)); ok {
		return parseWrapped(string(rest))
	}
	encoded, ok := bytes.CutPrefix(line, []byte(linePrefix))
	if !ok {
		return sealKey{}, fmt.Errorf("begins neither with %q nor with %q", linePrefix, wrappedPrefix)
	}
	secret, ok := decode(encoded)
	if !ok {
		return sealKey{}, fmt.Errorf("does not hold %d bytes in base64", keySize)
	}
	return sealKeyOf(secret), nil
}

var wrapperName = regexp.MustCompile(`^[a-z][a-z0-9]{0,15}$`)

func parseWrapped(rest string) (k sealKey, err error) {
	by, rest, _ := strings.Cut(rest, ":")
	id, encoded, _ := strings.Cut(rest, ":")
	if !wrapperName.MatchString(by) {
		return k, errors.New("does not say what wrapped its key")
	}
	raw, err := hex.DecodeString(id)
	if err != nil || len(raw) != len(k.id) || hex.EncodeToString(raw) != id {
		return k, errors.New("does not have the id of its key")
	}
	wrapped, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || len(wrapped) == 0 || len(wrapped) > maxWrapped || strings.Contains(encoded, "\r") {
		return k, errors.New("does not hold a wrapped key in base64")
	}
	return sealKey{id: keyID(raw), by: by, wrapped: wrapped}, nil
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
