package main

import (
	"context"
	"log/slog"
	"time"

	"stint/internal/api"
	"stint/internal/recording"
)

// openSpool opens the folder of recordings, which are sealed to a key, and tells of those
// that an earlier run did not live to end.
func (f flags) openSpool(key []byte, device *api.Device, log *slog.Logger) (*recording.Spool, error) {
	sealer, err := recording.NewSealer(device.RecordingSigner())
	if err != nil {
		return nil, err
	}
	to, err := recording.NewRecipient(key)
	if err != nil {
		return nil, err
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
// When it is, sessions have ended, and their last frames are handed over: this gateway may
// never start again.
func bring(ctx context.Context, courier *recording.Courier, log *slog.Logger) {
	if err := courier.Run(ctx); err != nil && ctx.Err() == nil {
		log.Error("recordings are not brought to the control plane any more", "error", err)
	}
	within, done := context.WithTimeout(context.WithoutCancel(ctx), handOver)
	defer done()
	if left := courier.HandOver(within); left > 0 {
		log.Warn("recordings are brought to the control plane after the next start", "count", left)
	}
}

// handOver is how long the last frames may take to the control plane when the gateway stops.
const handOver = 10 * time.Second
