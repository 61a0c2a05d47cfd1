package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stint/internal/api"
	"stint/internal/recording"
)

func (c *cli) sessionVerifyCmd() *cobra.Command {
	var file, root string
	var keys []string
	cmd := &cobra.Command{
		Use:   "verify [ID]",
		Short: "Verify a recording, seal by seal",
		Long: "Verify a recording, seal by seal: that nothing in it was changed, left out, moved or put\n" +
			"in, and that it ends as the audit log says. The server reads it; with --file it is read\n" +
			"here, from stint session export --form raw, with nothing but the gateway's public keys\n" +
			"(--key, as the event recording.begun has them, or as verify ID -o json lists them) and, with\n" +
			"--root, the link of its last chunk, as the event recording.kept has it.",
		Example: "  stint session verify ses_01J8ZQ\n  stint session verify --file session.rec --key sha256:9b1f… --root sha256:5f0c…",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (file == "") == (len(args) == 0) {
				return wrong("what-to-verify", "verify needs the ID of a session, or --file", "", "stint session verify ID")
			}
			var v api.RecordingVerdict
			var err error
			if file != "" {
				v, err = verifyFile(cmd, file, keys, root)
			} else {
				var conn *connection
				if conn, err = c.connect(); err != nil {
					return err
				}
				v, err = conn.VerifyRecording(cmd.Context(), args[0])
			}
			if err != nil {
				return err
			}
			if err := c.show(result{value: v, names: []string{v.Recording.Session}, text: verdictText(v)}); err != nil {
				return err
			}
			if !v.Holds {
				return &api.Error{Kind: api.Conflict, Code: "recording-damaged", Message: "the recording does not hold", Why: v.Damage, Next: "keep it as it is, and look at who could write to it"}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&file, "file", "", "a recording in a file, as export --form raw writes it; nothing is asked of the server")
	f.StringArrayVar(&keys, "key", nil, "a public key of the gateway's, sha256:HEX as in the audit log, or base64; may be repeated")
	f.StringVar(&root, "root", "", "the link of the last chunk, as the audit log has it")
	return cmd
}

// verdictText is the verdict for people.
func verdictText(v api.RecordingVerdict) string {
	var b strings.Builder
	for _, s := range v.Seals {
		state := "goes on"
		if s.State != "open" {
			state = s.State + ": " + s.Reason
		}
		fmt.Fprintf(&b, "holds  up to chunk %-6d %s  by %s  %s\n", s.Chunk, s.At.UTC().Format(time.RFC3339), printable(s.By), printable(state))
	}
	if v.More > 0 {
		fmt.Fprintf(&b, "and %d seals before those, which hold\n", v.More)
	}
	switch {
	case v.Holds && v.Live:
		fmt.Fprintf(&b, "the recording of %s holds as far as it has come: %d chunks\n", printable(v.Recording.Session), v.Chunks)
	case v.Holds && v.Recording.State == "lost":
		fmt.Fprintf(&b, "the recording of %s holds as far as it came: %d chunks; its gateway is gone, and did not send the rest\n", printable(v.Recording.Session), v.Chunks)
	case v.Holds:
		fmt.Fprintf(&b, "the recording of %s holds: %d chunks, all of them\n", printable(v.Recording.Session), v.Chunks)
	default:
		fmt.Fprintf(&b, "DAMAGED: %s\n", printable(v.Damage))
	}
	return b.String()
}

// readSealKey reads a gateway's public key in either form in which Stint shows one: in
// base64, or as the audit log has it, which writes its 32 bytes as it writes a digest.
func readSealKey(text string) (ed25519.PublicKey, bool) {
	b, err := hex.DecodeString(strings.TrimPrefix(text, "sha256:"))
	if err != nil {
		b, err = base64.StdEncoding.DecodeString(text)
	}
	return b, err == nil && len(b) == ed25519.PublicKeySize
}

// verifyFile verifies a recording without anybody's help.
func verifyFile(cmd *cobra.Command, path string, keys []string, root string) (v api.RecordingVerdict, err error) {
	trust := recording.Trust{}
	for _, k := range keys {
		key, ok := readSealKey(k)
		if !ok {
			return v, wrong("bad-key", quote(k)+" is no public key of a gateway", "", "give --key as the event recording.begun has it (sha256:…), or as stint session verify ID -o json lists it (base64)")
		}
		trust.Keys = append(trust.Keys, key)
	}
	if len(trust.Keys) == 0 {
		return v, wrong("no-key", "a key is needed that is believed", "a recording says itself by which key it is sealed", "give --key")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return v, wrong("unreadable", "the recording cannot be read", err.Error(), "check --file")
	}
	if root != "" {
		link, err := hex.DecodeString(strings.TrimPrefix(root, "sha256:"))
		if err != nil || len(link) != len(recording.Link{}) {
			return v, wrong("bad-root", quote(root)+" is no link of a chunk", "", "give --root as the event recording.kept has it")
		}
		frames, err := recording.Count(bytes.NewReader(b))
		if err == nil {
			trust.Anchor = &recording.Anchor{Frames: frames, Root: recording.Link(link)}
		}
	}
	v.Seals = []api.RecordingSeal{}
	d, err := recording.NewReader(bytes.NewReader(b), trust)
	if err == nil {
		v.Recording.Session = d.Name()
		d.EachSeal(func(x recording.Sealed) {
			v.Seals = append(v.Seals, api.RecordingSeal{Chunk: x.Frame, At: api.At(x.At), State: x.State.String(), By: keyText(x.By), Reason: x.Reason, Link: x.Link.String()})
		})
		var r recording.Report
		r, err = d.Verify()
		v.Chunks = r.Anchor.Frames
	}
	if damage := (*recording.Damage)(nil); errors.As(err, &damage) {
		v.Damage = damage.Error()
		return v, nil
	}
	v.Holds = err == nil
	return v, err
}
