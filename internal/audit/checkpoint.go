package audit

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"stint/internal/access"
)

// Checkpoint says that a log of this origin has this size and this root. Its
// text is that of C2SP tlog-checkpoint without extension lines, signed as a
// note whose key has the origin as its name.
type Checkpoint struct {
	Origin string
	Size   int64
	Root   tlog.Hash
}

// Origin names the log of an installation, and with it the key that signs it.
func Origin(installation string) string { return "stint/" + installation }

// Checkpoint is what there is to sign of the tree.
func (t Tree) Checkpoint(origin string) Checkpoint {
	return Checkpoint{Origin: origin, Size: t.size, Root: t.Root()}
}

// of reports whether c can be a checkpoint of that log.
func (c Checkpoint) of(origin string) bool {
	return c.Origin == origin && (c.Size > 0 || c.Size == 0 && c.Root == (Tree{}).Root())
}

// text is what the signature covers.
func (c Checkpoint) text() string {
	return c.Origin + "\n" + strconv.FormatInt(c.Size, 10) + "\n" + c.Root.String() + "\n"
}

// SignCheckpoint returns the signed note. The signer's name must be the origin:
// a key signs one log only.
func SignCheckpoint(c Checkpoint, signer note.Signer) ([]byte, error) {
	if c.Origin != signer.Name() {
		return nil, access.Fail(access.Internal, "wrong-log-key", "the key signs another log").
			Because("the log is " + strconv.Quote(c.Origin) + ", the key is of " + strconv.Quote(signer.Name()))
	}
	if !c.of(c.Origin) {
		return nil, access.Fail(access.Internal, "bad-checkpoint", "no tree has this size and root")
	}
	signed, err := note.Sign(&note.Note{Text: c.text()}, signer)
	if err != nil {
		return nil, access.Fail(access.Internal, "checkpoint-unsigned", "the checkpoint could not be signed").Wrap(err)
	}
	return signed, nil
}

// OpenCheckpoint returns what a signed note says if the key signed it, and if
// the note is what SignCheckpoint writes, byte for byte: no other signature, no
// other line, so that nothing in it is unproven.
//
// The verifier key is that of golang.org/x/mod/sumdb/note. After a change of
// keys there may be several, in one text, separated by white space; each must be
// of the same log.
func OpenCheckpoint(signed []byte, verifierKey string) (Checkpoint, error) {
	k, err := parseKeys(verifierKey)
	if err != nil {
		return Checkpoint{}, err
	}
	return k.open(signed)
}

// keys are the keys that may sign one log.
type keys struct {
	origin string
	known  note.Verifiers
}

func parseKeys(text string) (keys, error) {
	var list []note.Verifier
	have := map[uint32]bool{}
	for field := range strings.FieldsSeq(text) {
		v, err := note.NewVerifier(field)
		if err != nil {
			return keys{}, badKey("the key of the log cannot be read").Wrap(err)
		}
		if len(list) > 0 && v.Name() != list[0].Name() {
			return keys{}, badKey("the keys are of different logs")
		}
		if !have[v.KeyHash()] {
			have[v.KeyHash()] = true
			list = append(list, v)
		}
	}
	if len(list) == 0 {
		return keys{}, badKey("there is no key of the log")
	}
	return keys{origin: list[0].Name(), known: note.VerifierList(list...)}, nil
}

func badKey(message string) *access.Error {
	return access.Fail(access.Invalid, "bad-log-key", message).
		Try("give the public key as the server shows it: name+hash+base64")
}

// open is OpenCheckpoint with keys already read.
func (k keys) open(signed []byte) (Checkpoint, error) {
	n, err := note.Open(signed, k.known)
	var unknown *note.UnverifiedNoteError
	switch {
	case errors.As(err, &unknown):
		return Checkpoint{}, badCheckpoint("it is not signed by the key of this log").Wrap(err)
	case err != nil:
		return Checkpoint{}, badCheckpoint("its signature is not valid").Wrap(err)
	}
	c, ok := scanCheckpoint(n.Text)
	if !ok {
		return Checkpoint{}, badCheckpoint("its text is not origin, size and root")
	}
	if c.Origin != k.origin {
		return Checkpoint{}, badCheckpoint("it is of another log")
	}
	// note.Open passes over other signatures, repeated ones and spare bits of
	// base64.
	sig := n.Sigs[0]
	if _, err := base64.StdEncoding.Strict().DecodeString(sig.Base64); err != nil ||
		c.text()+"\n— "+sig.Name+" "+sig.Base64+"\n" != string(signed) {
		return Checkpoint{}, badCheckpoint("it is not in its canonical form")
	}
	return c, nil
}

func badCheckpoint(why string) *access.Error {
	return access.Fail(access.Invalid, "bad-checkpoint", "the checkpoint does not verify").Because(why)
}

// scanCheckpoint reads leniently; its caller compares.
func scanCheckpoint(text string) (c Checkpoint, ok bool) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return Checkpoint{}, false
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 {
		return Checkpoint{}, false
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return Checkpoint{}, false
	}
	return Checkpoint{Origin: lines[0], Size: size, Root: root}, true
}
