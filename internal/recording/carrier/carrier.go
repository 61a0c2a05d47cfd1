// Package carrier brings the frames of recordings to the control plane, over its API: for
// gateways, and for hosts that run commands. Each is known by a key of its own, and brings
// what it wrote itself. It keeps nothing and decides nothing; when to bring is for a
// recording.Courier.
package carrier

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"stint/internal/api"
	"stint/internal/recording"
)

// Carrier is the control plane, as recordings are brought to it.
type Carrier struct {
	client *api.Client
	by     api.Writer
}

// New makes a carrier for who writes recordings.
func New(c *api.Client, by api.Writer) Carrier { return Carrier{c, by} }

// Bring sends whole frames.
func (c Carrier) Bring(ctx context.Context, name string, from uint64, frames []byte) (recording.Kept, error) {
	got, err := c.client.BringFrames(ctx, c.by, name, from, frames)
	if err != nil {
		return recording.Kept{}, err
	}
	return kept(got)
}

// Have says how far a recording is there.
func (c Carrier) Have(ctx context.Context, name string) (recording.Kept, error) {
	got, err := c.client.HaveFrames(ctx, c.by, name)
	if err != nil {
		return recording.Kept{}, err
	}
	return kept(got)
}

func kept(k api.RecordingKept) (recording.Kept, error) {
	out := recording.Kept{Began: k.Began, Frames: k.Frames, Done: k.Done, Size: k.Bytes}
	if k.Done {
		sum, err := hex.DecodeString(k.SHA256)
		if err != nil || len(sum) != len(out.Digest) {
			return recording.Kept{}, errors.New("the control plane says no digest of a recording that it keeps")
		}
		out.Digest = [sha256.Size]byte(sum)
	}
	return out, nil
}
