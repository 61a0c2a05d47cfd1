package witness

import (
	"encoding/base64"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"stint/internal/access"
)

// Bounds of a request, C2SP tlog-witness.
const (
	maxProof   = 63
	maxRequest = 16 << 10 // 63 lines of 45 bytes, and a note with a few signatures
)

// message is the body of add-checkpoint.
type message struct {
	old        int64
	proof      []tlog.Hash
	checkpoint string // a signed note
}

func (m message) String() string {
	var b strings.Builder
	b.WriteString("old " + strconv.FormatInt(m.old, 10) + "\n")
	for _, h := range m.proof {
		b.WriteString(h.String() + "\n")
	}
	b.WriteString("\n" + m.checkpoint)
	return b.String()
}

// parseMessage accepts what String writes, and nothing else.
func parseMessage(text string) (message, error) {
	var m message
	head, note, ok := strings.Cut(text, "\n\n")
	if !ok || len(text) > maxRequest {
		return m, badMessage("it is not an old size, a proof, an empty line and a checkpoint")
	}
	lines := strings.Split(head, "\n")
	old, ok := strings.CutPrefix(lines[0], "old ")
	if !ok {
		return m, badMessage("it does not begin with the old size")
	}
	if m.old, ok = decimal(old); !ok {
		return m, badMessage("the old size is not a number in its one form")
	}
	if len(lines)-1 > maxProof {
		return m, badMessage("the proof has more than 63 lines")
	}
	for _, line := range lines[1:] {
		b, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(b) != tlog.HashSize || len(line) != 44 {
			return m, badMessage("a line of the proof is not a hash in base64")
		}
		m.proof = append(m.proof, tlog.Hash(b))
	}
	m.checkpoint = note
	return m, nil
}

// decimal reads a size without sign and leading zeroes.
func decimal(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= 0 && strconv.FormatInt(n, 10) == s
}

func badMessage(why string) *access.Error {
	return access.Fail(access.Invalid, "bad-request", "the request is not of this protocol").Because(why)
}
