package words

import (
	"strconv"
	"time"
)

// The pages of sessions through gateways, and of their recordings.
const (
	TapedLive     = "live"
	TapedPaused   = "paused"
	TapedAfterEnd = "began after the end"
	TapedWatch    = "Watch"
	TapedReplay   = "Replay"
	TapedDetails  = "Details"
	TapedMore     = "Older ones: stint session ls"

	ReplayRecording = "Recording"
	ReplayScreen    = "The session's screen"
	ReplayDamaged   = "This recording is not what was written"
	ReplayLiveNote  = "You see what they see, within a second or two. You cannot type. That you watch is in the log."
	ReplayPlay      = "Play"
	ReplayStop      = "Stop"
	ReplayBefore    = "Command before"
	ReplayBack      = "−10 s"
	ReplayOn        = "+10 s"
	ReplayAfter     = "Next command"
	ReplaySeek      = "Moment of the recording"
	ReplaySpeed     = "Speed"
	ReplayIdle      = "Skip idle time"
	ReplayKeys      = "Keys: space plays and stops, comma and full stop go 5 s back and on, n and N to the next command and the one before."
	ReplayPause     = "Pause"
	ReplayResume    = "Let it go on"
	ReplayEnd       = "End the session"
	ReplayKeep      = "Do not end it"
	ReplaySure      = "End this session? Its access goes on, so that they may connect again."
	ReplayWhy       = "Why, for the log and for them"
	ReplayIndex     = "What was run"
	ReplaySearch    = "Look for commands and output"
	ReplayFind      = "Find"
	ReplayNothing   = "Nothing was run that can be listed here, or nothing has that text."
	ReplayFacts     = "The session"
	ReplayState     = "State"
	ReplaySince     = "From"
	ReplayUntil     = "To"
	ReplayEnded     = "Ended by"
	ReplaySource    = "Connected from"
	ReplayGateway   = "Gateway"
	ReplayHost      = "Run and recorded by"
	ReplayCommand   = "Command"
	ReplayRunAs     = "Run as"
	ReplayExit      = "Exit code"
	ReplayID        = "Its id"
	ReplayEmpty     = "Nothing was shown yet."
	ReplayChannels  = "Channels"
)

// TapedClosed says that a session is closed, and why.
func TapedClosed(reason string) string {
	if reason == "exited" { // a command, by itself
		return "ended"
	}
	if reason == "" {
		return "closed"
	}
	return "closed: " + reason
}

// TapedTook is how long a session was.
func TapedTook(d time.Duration) string { return Span(d.Truncate(time.Second)) }

// TapedAlarms is how often a command rule set off an alarm.
func TapedAlarms(n int64) string { return Count(int(n), "alarm", "alarms") }

// ReplayFound is how many entries there are.
func ReplayFound(n int, more bool) string {
	if more {
		return strconv.Itoa(n) + " and more"
	}
	return strconv.Itoa(n)
}

// ReplayChannel names one of a session's channels by what was run in it.
func ReplayChannel(id uint32, what string) string {
	n := strconv.FormatUint(uint64(id), 10)
	if r := []rune(what); len(r) > 40 {
		what = string(r[:40]) + "…"
	}
	if what == "" {
		return n
	}
	return n + ": " + what
}

// ReplayScreenOf names a picture of a terminal.
func ReplayScreenOf(columns, rows int) string {
	return "A terminal of " + strconv.Itoa(columns) + " columns and " + strconv.Itoa(rows) + " rows"
}

// ReplayNot says why no recording is shown.
func ReplayNot(state string, may bool) string {
	switch {
	case state == "removed":
		return "The recording is gone."
	case !may:
		return "The recording is not yours to see."
	}
	return "There is no recording yet."
}

// ReplayNotNote says more of it.
func ReplayNotNote(state string, may bool) string {
	switch {
	case state == "removed":
		return "Its time was over. The log keeps the hash that proves what it was."
	case !may:
		return "Recordings are for whom a policy with effect watch names, whatever office one has."
	}
	return "Its gateway has sent nothing of it so far."
}
