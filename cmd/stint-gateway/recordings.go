package main

import (
	"context"
	"log/slog"
	"time"

	"stint/internal/api"
	"stint/internal/recording"
	"stint/internal/recording/carrier"
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
// When it is, sessions have ended, and their last frames are handed over: this gateway may
// never start again.
func bring(ctx context.Context, spool *recording.Spool, c *api.Client, log *slog.Logger) {
	courier := recording.NewCourier(spool, carrier.New(c, api.GatewayWriter), log)
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
