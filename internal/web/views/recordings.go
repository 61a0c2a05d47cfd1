package views

import (
	"strconv"
	"strings"
	"time"

	"stint/internal/api"
	"stint/internal/web/ui"
	"stint/internal/web/words"
)

// Taped is a session through a gateway, or a command that a host ran.
type Taped struct {
	api.Session
	MayWatch bool // a policy lets the visitor see its recording
	MayPause bool
	MayEnd   bool
}

// TapedSessions are some of them, the newest first.
type TapedSessions struct {
	Items []Taped
	More  bool // there are older ones
}

func (x Taped) href() string { return "/sessions/" + x.ID }

func (x Taped) live() bool { return x.Session.State == "live" || x.Session.State == "ending" }

func (x Taped) paused() bool { return x.live() && !x.PausedAt.IsZero() }

func (x Taped) recorded() bool {
	switch x.Recording.State {
	case "running", "kept", "broken", "lost":
		return true
	}
	return false
}

func (x Taped) chip() (ui.Tone, string) {
	switch {
	case x.Command != nil && x.Command.AfterEnd:
		return ui.Bad, words.TapedAfterEnd
	case x.paused():
		return ui.Warn, words.TapedPaused
	case x.Session.State == "live":
		return ui.Good, words.TapedLive
	case x.Session.State == "ending":
		return ui.Warn, words.SessionsEnding
	}
	return ui.Plain, words.TapedClosed(x.Reason)
}

func (x Taped) took() string {
	if x.ClosedAt.IsZero() {
		return ""
	}
	return words.TapedTook(x.ClosedAt.Sub(x.OpenedAt.Time))
}

// exit is the exit code of a command, and the signal that ended it.
func (x Taped) exit() string {
	text := strconv.Itoa(*x.Command.Status)
	if x.Command.Signal != "" {
		text += ", " + x.Command.Signal
	}
	return text
}

// Replay is a session with what its recording has to go to.
type Replay struct {
	Taped
	At      int64   // milliseconds: what is shown at first
	Length  int64   // of the recording
	Times   []int64 // when the screen changed
	Entries []api.RecordingEntry
	More    bool   // there is more than is listed
	Damage  string // what is wrong with it
	Query   string // what is looked for among the entries
	Sure    bool   // the end was asked for, and is to be confirmed

	Channel  uint32 // that is shown; 0: the first that shows something
	Channels []ReplayChannel
}

// ReplayChannel is one of a session's that shows something.
type ReplayChannel struct {
	ID   uint32
	What string
}

func (m Replay) channel() string { return strconv.FormatUint(uint64(m.Channel), 10) }

// on reports whether a channel is the one that is shown.
func (m Replay) on(i int) bool {
	return m.Channels[i].ID == m.Channel || m.Channel == 0 && i == 0
}

func (m Replay) to(c ReplayChannel) string {
	return m.href() + "?c=" + strconv.FormatUint(uint64(c.ID), 10)
}

func (m Replay) times() string {
	var b strings.Builder
	for i, t := range m.Times {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatInt(t, 10))
	}
	return b.String()
}

func (m Replay) screen() string {
	at := strconv.FormatInt(m.At, 10)
	if m.live() {
		at = "end"
	}
	return m.href() + "/screen?c=" + m.channel() + "&at=" + at
}

func (m Replay) jump(ms int64) string {
	return m.href() + "?c=" + m.channel() + "&at=" + strconv.FormatInt(max(0, min(ms, m.Length)), 10)
}

func millis(n int64) string { return strconv.FormatInt(n, 10) }

// clock is a time within a recording.
func clock(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	text := pad(int(d.Minutes())%60) + ":" + pad(int(d.Seconds())%60)
	if h := int(d.Hours()); h > 0 {
		text = strconv.Itoa(h) + ":" + text
	}
	return text
}

func pad(n int) string {
	if n < 10 {
		return "0" + strconv.Itoa(n)
	}
	return strconv.Itoa(n)
}

// runLook is how a run looks: names of classes, which the style sheet of screens has, and
// nothing that the server sent.
func runLook(r api.ScreenRun) string {
	var names []string
	if c, ok := shade(r.Fore); ok {
		names = append(names, "f"+c)
	}
	if c, ok := shade(r.Back); ok {
		names = append(names, "b"+c)
	}
	for _, a := range r.Attrs {
		if strings.ContainsRune("bfiursh", a) {
			names = append(names, "a"+string(a))
		}
	}
	return strings.Join(names, " ")
}

// shade is the colour of the palette that is nearest.
func shade(text string) (string, bool) {
	if hex, ok := strings.CutPrefix(text, "#"); ok && len(hex) == 6 {
		n, err := strconv.ParseUint(hex, 16, 32)
		if err != nil {
			return "", false
		}
		level := func(v uint64) uint64 { // of the six of the palette's cube
			if v < 48 {
				return 0
			}
			return min(5, max(1, (v-35)/40))
		}
		return strconv.FormatUint(16+36*level(n>>16)+6*level(n>>8&255)+level(n&255), 10), true
	}
	n, err := strconv.ParseUint(text, 10, 8)
	return strconv.FormatUint(n, 10), err == nil && text != ""
}

// before and after are the entries next to what is shown.
func (m Replay) before() int64 {
	at := int64(0)
	for _, e := range m.Entries {
		if e.Millis < m.At-500 {
			at = e.Millis
		}
	}
	return at
}

func (m Replay) after() int64 {
	for _, e := range m.Entries {
		if e.Millis > m.At {
			return e.Millis
		}
	}
	return m.Length
}
