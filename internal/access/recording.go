package access

import (
	"strconv"
	"time"
)

// Events of recordings. Stored: only append.
const (
	RecordingBegun   EventType = "recording.begun"   // its gateway has sent the first of it, or seals with another key
	RecordingKept    EventType = "recording.kept"    // it ended, and was read back from where it stays; facts have its anchor
	RecordingOpened  EventType = "recording.opened"  // somebody reads it, or watches
	RecordingClosed  EventType = "recording.closed"  // they have stopped to, with what they saw
	RecordingRemoved EventType = "recording.removed" // its time is over, and it goes
	RecordingHeld    EventType = "recording.held"    // it stays, whatever its age
	RecordingFreed   EventType = "recording.freed"   // and no longer
)

// RecordingState is what became of a recording. Stored: only append.
type RecordingState string

// The states of a recording.
const (
	RecordingRunning RecordingState = "running" // it comes as it is made, or its gateway is silent
	RecordingWhole   RecordingState = "kept"    // it ended, and its writer said so
	RecordingBroken  RecordingState = "broken"  // it is kept; its writer did not live to end it
	RecordingGone    RecordingState = "removed"
	// RecordingLost is kept as far as it came: its writer is gone, and will not send the rest.
	RecordingLost RecordingState = "lost"
)

// Recording is what is known of the recording of a session. Its bytes are elsewhere.
type Recording struct {
	Session string // its name, which is that of its session
	Version int64
	Gateway string
	Keys    [][]byte // Ed25519, by which its gateway may have sealed it
	State   RecordingState
	BeganAt time.Time // when the first of it came
	EndedAt time.Time // when it was kept
	GoneAt  time.Time

	// Of one that is kept: its anchor, and what its file is.
	Frames uint64
	Root   Digest
	Bytes  int64
	Sum    Digest
	Reason string // why its session ended, as its writer says

	// Held says that it stays, whatever its age; zero: it does not.
	HeldAt  time.Time
	HeldBy  PrincipalID
	HeldWhy string
}

// Begin makes the first version.
func (r Recording) Begin(now time.Time) (Recording, Event) {
	r.Version, r.State, r.BeganAt = 1, RecordingRunning, now
	return r, r.event(RecordingBegun, System, now, "key", Digest(r.Keys[0]).String())
}

// Reseal notes that its gateway has another key.
func (r Recording) Reseal(key []byte, now time.Time) (Recording, Event) {
	r.Version++
	r.Keys = append(r.Keys[:len(r.Keys):len(r.Keys)], key)
	return r, r.event(RecordingBegun, System, now, "key", Digest(key).String())
}

// Kept notes that it stays where it is.
func (r Recording) Kept(now time.Time) (Recording, Event) {
	r.Version++
	r.EndedAt = now
	return r, r.event(RecordingKept, System, now, "state", string(r.State), "frames", strconv.FormatUint(r.Frames, 10), "root", r.Root.String(),
		"bytes", strconv.FormatInt(r.Bytes, 10), "sum", r.Sum.String(), "reason", r.Reason)
}

// Open notes that somebody reads it, and for what.
func (r Recording) Open(by Actor, what string, now time.Time) (Recording, Event) {
	r.Version++
	return r, r.event(RecordingOpened, by, now, "what", what)
}

// Close notes what somebody saw of it, since when.
func (r Recording) Close(by Actor, what string, from, to time.Duration, since, now time.Time) (Recording, Event) {
	r.Version++
	return r, r.event(RecordingClosed, by, now, "what", what, "from", from.Round(time.Millisecond).String(), "to", to.Round(time.Millisecond).String(), "opened_at", stamp(since))
}

// Hold notes that it stays until somebody frees it.
func (r Recording) Hold(by Actor, why string, now time.Time) (Recording, Event, error) {
	switch {
	case r.State == RecordingGone:
		return r, Event{}, Fail(Conflict, "recording-removed", "the recording is not kept any more").Because("it was removed at " + stamp(r.GoneAt))
	case !r.HeldAt.IsZero():
		return r, Event{}, Fail(Conflict, "recording-held", "the recording is held already").Because("by " + string(r.HeldBy) + " since " + stamp(r.HeldAt) + ": " + r.HeldWhy)
	}
	r.Version++
	r.HeldAt, r.HeldBy, r.HeldWhy = now, by.Principal, why
	return r, r.event(RecordingHeld, by, now, "why", why), nil
}

// Free notes that its age counts again.
func (r Recording) Free(by Actor, why string, now time.Time) (Recording, Event, error) {
	if r.HeldAt.IsZero() {
		return r, Event{}, Fail(Conflict, "recording-not-held", "nobody holds the recording")
	}
	r.Version++
	since, who := r.HeldAt, r.HeldBy
	r.HeldAt, r.HeldBy, r.HeldWhy = time.Time{}, "", ""
	return r, r.event(RecordingFreed, by, now, "why", why, "held_at", stamp(since), "held_by", string(who)), nil
}

// Remove notes that it goes.
func (r Recording) Remove(by Actor, why string, now time.Time) (Recording, Event) {
	was := r.State
	r.Version++
	r.State, r.GoneAt = RecordingGone, now
	return r, r.event(RecordingRemoved, by, now, "why", why, "was", string(was), "frames", strconv.FormatUint(r.Frames, 10), "root", r.Root.String())
}

func (r Recording) event(t EventType, by Actor, now time.Time, kv ...string) Event {
	return Event{Type: t, At: now, Entity: "recording:" + r.Session, Version: r.Version, Actor: by, Facts: fact(append([]string{"session", r.Session, "gateway", r.Gateway}, kv...)...)}
}

// RecordingQuery selects recordings, the newest first.
type RecordingQuery struct {
	State  RecordingState
	Begun  time.Time // before, and neither removed nor held
	Before string    // cursor: only those with a smaller name
	Limit  int
}
