package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"

	"stint/internal/api"
	"stint/internal/recording"
)

// openSpool opens the folder of recordings, and tells of those that an earlier run did
// not live to end. It waits for the key to seal them to.
func (f flags) openSpool(ctx context.Context, c *api.Client, device *api.Device, log *slog.Logger) (*recording.Spool, error) {
	sealer, err := recording.NewSealer(device.RecordingSigner())
	if err != nil {
		return nil, err
	}
	var to recording.Recipient
	for {
		known, err := c.GatewaySettings(ctx)
		if err == nil {
			if to, err = recording.NewRecipient(known.Recordings); err != nil {
				return nil, err
			}
			break
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		log.Warn("there is no key yet to seal recordings to; nobody is let in before", "error", err)
		wait(ctx, tryAgain)
	}
	spool, recovered, err := recording.OpenSpool(f.path(spoolDir), recording.Options{Sealer: sealer, Recipient: to})
	if err != nil {
		return nil, err
	}
	for _, r := range recovered {
		log.Warn("a recording was not ended and is sealed now as broken", "recording", r.Name, "frames", r.Anchor.Frames, "cut", r.Cut, "error", r.Err)
	}
	return spool, nil
}

// bring sends recordings to the control plane as they are made, until ctx is done. What is
// kept there, read back and the same, is removed here.
func bring(ctx context.Context, spool *recording.Spool, c *api.Client, log *slog.Logger) {
	if err := recording.NewCourier(spool, carrier{c}, log).Run(ctx); err != nil && ctx.Err() == nil {
		log.Error("recordings are not brought to the control plane any more", "error", err)
	}
}

// carrier is the control plane as recordings are brought to it.
type carrier struct{ client *api.Client }

// Bring sends whole frames.
func (c carrier) Bring(ctx context.Context, name string, from uint64, frames []byte) (recording.Kept, error) {
	got, err := c.client.BringFrames(ctx, name, from, frames)
	if err != nil {
		return recording.Kept{}, err
	}
	return kept(got)
}

// Have says how far a recording is there.
func (c carrier) Have(ctx context.Context, name string) (recording.Kept, error) {
	got, err := c.client.HaveFrames(ctx, name)
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
