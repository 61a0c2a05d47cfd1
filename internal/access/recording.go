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
)

// RecordingState is what became of a recording. Stored: only append.
type RecordingState string

// The states of a recording.
const (
	RecordingRunning RecordingState = "running" // it comes as it is made, or its gateway is silent
	RecordingWhole   RecordingState = "kept"    // it ended, and its writer said so
	RecordingBroken  RecordingState = "broken"  // it is kept; its writer did not live to end it
	RecordingGone    RecordingState = "removed"
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
	Begun  time.Time // before
	Before string    // cursor: only those with a smaller name
	Limit  int
}
