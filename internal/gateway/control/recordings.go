package control

import (
	"context"
	"encoding/hex"
	"errors"

	"stint/internal/api"
	"stint/internal/recording"
)

// Plane is the Carrier of a recording.Courier: it brings recordings to where they are kept.
var _ recording.Carrier = Plane{}

// Bring sends frames of a recording.
func (p Plane) Bring(ctx context.Context, session string, from uint64, frames []byte) (recording.Kept, error) {
	k, err := p.Client.BringFrames(ctx, session, from, frames)
	if err != nil {
		return recording.Kept{}, err
	}
	return kept(k)
}

// Have says how far a recording is kept.
func (p Plane) Have(ctx context.Context, session string) (recording.Kept, error) {
	k, err := p.Client.HaveFrames(ctx, session)
	if err != nil {
		return recording.Kept{}, err
	}
	return kept(k)
}

func kept(k api.RecordingKept) (recording.Kept, error) {
	out := recording.Kept{Began: k.Began, Frames: k.Frames, Done: k.Done, Size: k.Bytes}
	if !k.Done {
		return out, nil
	}
	sum, err := hex.DecodeString(k.SHA256)
	if err != nil || len(sum) != len(out.Digest) {
		return recording.Kept{}, errors.New("the control plane says of a recording that it is kept, and not what")
	}
	copy(out.Digest[:], sum)
	return out, nil
}

// Recipient is whom recordings are sealed to.
func (p Plane) Recipient(ctx context.Context) (recording.Recipient, error) {
	k, err := p.Client.RecordingsKey(ctx)
	if err != nil {
		return recording.Recipient{}, err
	}
	return recording.NewRecipient(k.Key)
}
