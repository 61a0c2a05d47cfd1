package linux

import (
	"context"

	"stint/internal/connector"
)

// Examiner is a Remote whose agents tell what carries power on the host.
type Examiner struct{ *Remote }

// Fingerprint reads it there.
func (e Examiner) Fingerprint(ctx context.Context, t connector.Target) ([]byte, error) {
	return e.Print(ctx, t)
}

// Residue compares two of them, here.
func (Examiner) Residue(before, after []byte, os []connector.Order) ([]connector.Residue, error) {
	return Residue(before, after, os)
}
