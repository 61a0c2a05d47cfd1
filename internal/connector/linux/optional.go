package linux

import (
	"context"

	"stint/internal/connector"
	"stint/internal/envelope"
)

// Beacon is a Remote whose agents keep a beat.
type Beacon struct{ *Remote }

// ReadBeat reads what is there.
func (r Beacon) ReadBeat(ctx context.Context, t connector.Target) (connector.Beat, error) {
	a, err := r.call(ctx, t, envelope.Call{Method: envelope.ReadBeat})
	switch {
	case err != nil:
		return connector.Beat{}, unanswered(t, err)
	case a.Failure != nil:
		return connector.Beat{}, a.Failure.Err()
	}
	return a.Beat.Beaten(), nil
}

// SwapBeat puts next in the place of old.
func (r Beacon) SwapBeat(ctx context.Context, t connector.Target, old, next connector.Beat) (bool, error) {
	was, now := envelope.BeatOf(old), envelope.BeatOf(next)
	a, err := r.call(ctx, t, envelope.Call{Method: envelope.SwapBeat, Old: &was, Next: &now})
	if err != nil {
		return false, unanswered(t, err)
	}
	return a.Swapped && a.Failure == nil, a.Failure.Err()
}

// Surveyor is a Remote whose agents tell who has privileged access without Stint.
type Surveyor struct{ *Remote }

// Survey lists it.
func (r Surveyor) Survey(ctx context.Context, t connector.Target, lent []string, most int) ([]connector.Stand, bool, error) {
	a, err := r.call(ctx, t, envelope.Call{Method: envelope.Survey, Lent: lent, Most: most})
	switch {
	case err != nil:
		return nil, false, unanswered(t, err)
	case a.Failure != nil:
		return nil, false, a.Failure.Err()
	}
	found := make([]connector.Stand, len(a.Stands))
	for i, s := range a.Stands {
		found[i] = s.Stood()
	}
	return found, a.Cut, nil
}

// Print reads what carries power on the host past the removal of an account, as
// connector.Examiner has it. What two prints say of an order, package linux compares.
func (r *Remote) Print(ctx context.Context, t connector.Target) ([]byte, error) {
	a, err := r.call(ctx, t, envelope.Call{Method: envelope.Fingerprint})
	switch {
	case err != nil:
		return nil, unanswered(t, err)
	case a.Failure != nil:
		return nil, a.Failure.Err()
	}
	return a.Fingerprint, nil
}

// Agents is a Remote whose agents run package host, with all that it does.
type Agents struct{ *Remote }

// ReadBeat is Beacon's.
func (a Agents) ReadBeat(ctx context.Context, t connector.Target) (connector.Beat, error) {
	return Beacon(a).ReadBeat(ctx, t)
}

// SwapBeat is Beacon's.
func (a Agents) SwapBeat(ctx context.Context, t connector.Target, old, next connector.Beat) (bool, error) {
	return Beacon(a).SwapBeat(ctx, t, old, next)
}

// Fingerprint is Examiner's.
func (a Agents) Fingerprint(ctx context.Context, t connector.Target) ([]byte, error) {
	return Examiner(a).Fingerprint(ctx, t)
}

// Residue is Examiner's.
func (a Agents) Residue(before, after []byte, os []connector.Order) ([]connector.Residue, error) {
	return Examiner(a).Residue(before, after, os)
}

// Survey is Surveyor's.
func (a Agents) Survey(ctx context.Context, t connector.Target, lent []string, most int) ([]connector.Stand, bool, error) {
	return Surveyor(a).Survey(ctx, t, lent, most)
}
