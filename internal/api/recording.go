package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Recording is what is known of the recording of a session.
type Recording struct {
	Session   string   `json:"session" example:"ses_01J8ZQ5T3M8W6Y2X4V9N7K1B5C"`
	Gateway   string   `json:"gateway,omitempty" doc:"That writes it; absent of a command"`
	Host      string   `json:"host,omitempty" doc:"That ran the command and writes it; of a command only"`
	State     string   `json:"state" enum:"running,kept,broken,lost,removed" doc:"broken: it is kept, and its gateway did not live to end it; lost: it is kept as far as it came, and its gateway will not send the rest"`
	Keys      []string `json:"keys" nullable:"false" doc:"The public keys (Ed25519, base64) by which its gateway seals: they verify it"`
	BeganAt   Time     `json:"began_at" format:"date-time"`
	KeptAt    Time     `json:"kept_at,omitzero" nullable:"true" format:"date-time"`
	RemovedAt Time     `json:"removed_at,omitzero" nullable:"true" format:"date-time"`
	Frames    uint64   `json:"frames,omitempty" doc:"Of one that is kept, as the audit log has it"`
	Root      string   `json:"root,omitempty" doc:"The link of the last frame, likewise"`
	Bytes     int64    `json:"bytes,omitempty"`
	SHA256    string   `json:"sha256,omitempty" doc:"Of its bytes as they are kept"`
	Reason    string   `json:"reason,omitempty" doc:"Why the session ended, as its gateway said"`
	HeldAt    Time     `json:"held_at,omitzero" nullable:"true" format:"date-time" doc:"Since when it is held, and stays whatever its age"`
	HeldBy    string   `json:"held_by,omitempty" example:"user:lea"`
	HeldWhy   string   `json:"held_why,omitempty"`
}

// RecordingSeal is one seal of a recording.
type RecordingSeal struct {
	Chunk  uint64 `json:"chunk"`
	At     Time   `json:"at" format:"date-time"`
	State  string `json:"state" enum:"open,complete,broken" doc:"open: the session goes on behind it"`
	By     string `json:"by" doc:"The key (base64)"`
	Reason string `json:"reason,omitempty"`
	Link   string `json:"link"`
}

// RecordingVerdict is what was found in a recording when it was read from its first byte to its last.
type RecordingVerdict struct {
	Recording Recording       `json:"recording"`
	Holds     bool            `json:"holds" doc:"Nothing was changed, left out, moved or put in, and it ends as the audit log says"`
	Damage    string          `json:"damage,omitempty" doc:"What is wrong, and where"`
	Live      bool            `json:"live" doc:"It is being written: that its end is missing is no damage"`
	Seals     []RecordingSeal `json:"seals" nullable:"false"`
	More      int             `json:"more,omitempty" doc:"Seals that hold and are not listed"`
	Chunks    uint64          `json:"chunks"`
	Records   uint64          `json:"records"`
	Millis    int64           `json:"millis" doc:"How long it is"`
}

// ScreenRun is text of one look. Text holds printable characters only.
type ScreenRun struct {
	Text  string `json:"t"`
	Cells int    `json:"n" doc:"How many columns it takes"`
	Fore  string `json:"f,omitempty" doc:"A colour: 0 to 255 of the palette, or #rrggbb"`
	Back  string `json:"b,omitempty"`
	Attrs string `json:"a,omitempty" doc:"Any of b bold, f faint, i italic, u underlined, k blinking, r reversed, h hidden, s struck out"`
}

// Screen is what stood on the screen of a session's terminal at a time.
type Screen struct {
	Millis  int64         `json:"millis" doc:"Since the recording began"`
	Columns int           `json:"columns"`
	Rows    int           `json:"rows"`
	Cursor  [2]int        `json:"cursor" doc:"Column and row, from 0 on; -1: not shown"`
	Lines   [][]ScreenRun `json:"lines" nullable:"false"`
	End     string        `json:"end,omitempty" doc:"Of the last of a stream: why nothing follows"`
}

// RecordingEntry is something in a recording that one goes to.
type RecordingEntry struct {
	Session string `json:"session,omitempty"`
	Millis  int64  `json:"millis"`
	Channel uint32 `json:"channel"`
	Kind    string `json:"kind" example:"command" doc:"command, line of output, or the name of a record's kind"`
	Text    string `json:"text" doc:"Printable characters only"`
}

// RecordingIndex lists what was run, and what the product did.
type RecordingIndex struct {
	Entries []RecordingEntry `json:"entries" nullable:"false"`
	More    bool             `json:"more" doc:"There is more than is listed"`
	Millis  int64            `json:"millis" doc:"How long the recording is, as far as it was read"`
	Damage  string           `json:"damage,omitempty" doc:"What of it is damaged, and where; what stands before is listed"`
}

// RecordingHits are places where something stands.
type RecordingHits struct {
	Hits     []RecordingEntry `json:"hits" nullable:"false"`
	Searched int              `json:"searched" doc:"How many recordings were looked through"`
	Skipped  []string         `json:"skipped" nullable:"false" doc:"Those that could not be read, and why"`
	Enough   bool             `json:"enough" doc:"There may be more: as much was read, or found, as one search may"`
}

// RecordingFrames are whole frames of a recording, from its writer.
type RecordingFrames struct {
	Frames []byte `json:"frames" doc:"As they stand in the recording (base64)"`
}

// RecordingKept is how far a recording is here.
type RecordingKept struct {
	Began  bool   `json:"began" doc:"Its head is here"`
	Frames uint64 `json:"frames" doc:"How many are here"`
	Done   bool   `json:"done" doc:"It ended and is kept; bytes and sha256 are of what was read back"`
	Bytes  int64  `json:"bytes,omitempty"`
	SHA256 string `json:"sha256,omitempty" doc:"Hexadecimal"`
}

// Writer is which writer of recordings calls: they are known by keys of their own.
type Writer string

// The writers of recordings.
const (
	GatewayWriter Writer = "gateway"
	HostWriter    Writer = "host"
)

// BringFrames sends frames of a recording; its writer only.
func (c *Client) BringFrames(ctx context.Context, by Writer, session string, from uint64, frames []byte) (out RecordingKept, err error) {
	return out, c.do(ctx, call{method: http.MethodPost, path: []string{string(by), "recordings", session, "frames"}, query: url.Values{"from": {strconv.FormatUint(from, 10)}},
		in: RecordingFrames{frames}, out: &out, noToken: true})
}

// HaveFrames says how far a recording is kept; its writer only.
func (c *Client) HaveFrames(ctx context.Context, by Writer, session string) (out RecordingKept, err error) {
	return out, c.do(ctx, call{method: http.MethodGet, path: []string{string(by), "recordings", session}, out: &out, noToken: true})
}

// Recording says what is known of a session's recording.
func (c *Client) Recording(ctx context.Context, session string) (Recording, error) {
	return get[Recording](ctx, c, call{method: http.MethodGet, path: []string{"sessions", session, "recording"}})
}

// HoldRecording keeps a recording, whatever its age.
func (c *Client) HoldRecording(ctx context.Context, session, why string) (Recording, error) {
	return get[Recording](ctx, c, call{method: http.MethodPost, path: []string{"sessions", session, "recording", "hold"}, in: SessionEnd{Why: why}})
}

// ReleaseRecording lets its age count again.
func (c *Client) ReleaseRecording(ctx context.Context, session, why string) (Recording, error) {
	return get[Recording](ctx, c, call{method: http.MethodPost, path: []string{"sessions", session, "recording", "release"}, in: SessionEnd{Why: why}})
}

// VerifyRecording has the server read a recording to its end.
func (c *Client) VerifyRecording(ctx context.Context, session string) (RecordingVerdict, error) {
	return get[RecordingVerdict](ctx, c, call{method: http.MethodGet, path: []string{"sessions", session, "recording", "verify"}, wait: 10 * time.Minute})
}

// RecordingIndex lists what is in a recording to go to.
func (c *Client) RecordingIndex(ctx context.Context, session string) (RecordingIndex, error) {
	return get[RecordingIndex](ctx, c, call{method: http.MethodGet, path: []string{"sessions", session, "recording", "index"}, wait: time.Minute})
}

// Play says which screens of a recording are wanted.
type Play struct {
	From, Step time.Duration
	Channel    uint32
	Follow     bool // and those that come, until the session ends
}

// Screens plays a recording: each is called for what stood on the screen whenever it changed.
func (c *Client) Screens(ctx context.Context, session string, p Play, each func(Screen) error) error {
	q := url.Values{}
	if p.From > 0 {
		q.Set("from", strconv.FormatInt(p.From.Milliseconds(), 10))
	}
	if p.Step > 0 {
		q.Set("step", strconv.FormatInt(p.Step.Milliseconds(), 10))
	}
	if p.Channel > 0 {
		q.Set("channel", strconv.FormatUint(uint64(p.Channel), 10))
	}
	if p.Follow {
		q.Set("follow", "true")
	}
	ended := false
	err := c.follow(ctx, []string{"sessions", session, "recording", "screens"}, q, func(s *stream) error {
		return s.lines(func(line []byte) error {
			var x Screen
			if err := json.Unmarshal(line, &x); err != nil {
				return &Error{Kind: Internal, Code: "not-stint", Message: "the answer is not a screen from a Stint server"}
			}
			ended = ended || x.End != ""
			return each(x)
		})
	})
	if err == nil && !ended {
		err = &Error{Kind: Unavailable, Code: "cut-off", Message: "the recording broke off before its end", Next: "play it again from there with --from"}
	}
	return err
}

// ExportRecording writes a recording in a form: asciicast, text, lines, or raw as it is kept.
func (c *Client) ExportRecording(ctx context.Context, session, form string, w io.Writer) error {
	return c.follow(ctx, []string{"sessions", session, "recording", "export"}, url.Values{"form": {form}}, func(s *stream) error {
		_, err := io.Copy(w, s)
		return err
	})
}

// Search is what to look for in recordings.
type Search struct {
	Text    string
	Output  bool   // in what was shown, too
	Session string // only in this one
	Person  string
	Since   Time
}

// SearchRecordings looks for a text in the recordings that the caller may see.
func (c *Client) SearchRecordings(ctx context.Context, s Search) (RecordingHits, error) {
	if s.Text == "" {
		return RecordingHits{}, errors.New("a search needs a text")
	}
	q := url.Values{"text": {s.Text}}
	set(q, "session", s.Session)
	set(q, "person", s.Person)
	if s.Output {
		q.Set("output", "true")
	}
	if !s.Since.IsZero() {
		q.Set("since", s.Since.String())
	}
	return get[RecordingHits](ctx, c, call{method: http.MethodGet, path: []string{"recordings", "search"}, query: q, wait: time.Minute})
}

// PauseSession stops what passes in a live session; ResumeSession lets it go on.
func (c *Client) PauseSession(ctx context.Context, id, why string) (Session, error) {
	return get[Session](ctx, c, call{method: http.MethodPost, path: []string{"sessions", id, "pause"}, in: SessionEnd{Why: why}})
}

// ResumeSession lets a session go on that was paused.
func (c *Client) ResumeSession(ctx context.Context, id string) (Session, error) {
	return get[Session](ctx, c, call{method: http.MethodPost, path: []string{"sessions", id, "resume"}, in: struct{}{}})
}
