package backup

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"stint/internal/access"
	"stint/internal/audit"
)

// Format is the version of the archive's format.
const Format = 1

// Manifest says what an archive holds.
type Manifest struct {
	Format       int       `json:"format"`
	At           time.Time `json:"at"`      // the store's time of the snapshot, UTC
	Program      string    `json:"program"` // the version that wrote it
	Schema       int64     `json:"schema"`  // version of the store's schema
	Store        string    `json:"store"`   // sqlite or postgres; for information
	Installation string    `json:"installation"`
	Epoch        int64     `json:"epoch"`
	// Size and Root are the head of the audit log, Checkpoint its signed note;
	// empty before there is one.
	Size       int64  `json:"size"`
	Root       string `json:"root"` // base64
	Checkpoint string `json:"checkpoint"`
	Parts      []Part `json:"parts"`
}

// Part is one table.
type Part struct {
	Table  string `json:"table"`
	Rows   int64  `json:"rows"`
	Bytes  int64  `json:"bytes"`  // as stored, compressed
	SHA256 string `json:"sha256"` // of these, hex
}

// Head is the log's newest checkpoint at the time of the backup, checked with
// the log's public keys; size 0 when there was none.
func (m Manifest) Head(verifierKeys string) (audit.Checkpoint, error) {
	if m.Checkpoint == "" {
		return audit.Checkpoint{Origin: audit.Origin(m.Installation), Root: audit.Tree{}.Root()}, nil
	}
	c, err := audit.OpenCheckpoint([]byte(m.Checkpoint), verifierKeys)
	if err != nil {
		return audit.Checkpoint{}, damaged("its checkpoint does not verify").Wrap(err)
	}
	if c.Size != m.Size || c.Root.String() != m.Root || c.Origin != audit.Origin(m.Installation) {
		return audit.Checkpoint{}, damaged("its checkpoint is not the one that the manifest names")
	}
	return c, nil
}

// tableName is what a table of a store can be called, so that no name in an
// archive means anything but a table.
var tableName = regexp.MustCompile(`^[a-z][a-z_]{0,62}$`)

// check holds what can be said about a manifest by itself.
func (m Manifest) check() error {
	if m.Format != Format {
		return access.Fail(access.Invalid, "backup-newer", "the backup has another format").
			Because("this program reads format 1").Try("restore it with the version that wrote it, or a newer one")
	}
	if m.Schema < 1 || m.Epoch < 1 || m.Installation == "" || m.At.IsZero() || m.Size < 0 || len(m.Parts) == 0 || len(m.Parts) > maxParts {
		return damaged("its manifest lacks something")
	}
	seen := map[string]bool{}
	for _, p := range m.Parts {
		if !tableName.MatchString(p.Table) || seen[p.Table] || p.Rows < 0 || p.Bytes <= 0 || len(p.SHA256) != 64 {
			return damaged("its manifest names a part that cannot be")
		}
		seen[p.Table] = true
	}
	return nil
}

// title begins the text that is signed. A checkpoint begins with the log's
// origin, so neither can be taken for the other.
const title = "stint-backup/1\n"

func (m Manifest) sign(signer note.Signer) ([]byte, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return nil, access.Fail(access.Internal, "backup-unwritten", "the manifest could not be encoded").Wrap(err)
	}
	signed, err := note.Sign(&note.Note{Text: title + string(body) + "\n"}, signer)
	if err != nil {
		return nil, access.Fail(access.Internal, "backup-unwritten", "the manifest could not be signed").Wrap(err)
	}
	return signed, nil
}

// read takes a signed manifest apart without looking at the signature.
func read(signed []byte) (Manifest, error) {
	text, _, ok := bytes.Cut(signed, []byte("\n\n"))
	body, titled := bytes.CutPrefix(text, []byte(title))
	if !ok || !titled || bytes.IndexByte(body, '\n') >= 0 {
		return Manifest{}, damaged("it does not begin with the manifest of a backup")
	}
	var m Manifest
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil || d.More() {
		return Manifest{}, damaged("its manifest cannot be read").Wrap(err)
	}
	return m, m.check()
}

// verify checks the signature with any of the log's public keys.
func verify(signed []byte, verifierKeys string) error {
	var known []note.Verifier
	for field := range strings.FieldsSeq(verifierKeys) {
		v, err := note.NewVerifier(field)
		if err != nil {
			return access.Fail(access.Invalid, "bad-log-key", "the key of the log cannot be read").Wrap(err)
		}
		known = append(known, v)
	}
	if _, err := note.Open(signed, note.VerifierList(known...)); err != nil {
		return damaged("its manifest is not signed with the key of the audit log").Wrap(err)
	}
	return nil
}

func damaged(why string) *access.Error {
	return access.Fail(access.Invalid, "backup-damaged", "the backup cannot be used").Because(why).Try("use another backup, and find out what happened to this one")
}
