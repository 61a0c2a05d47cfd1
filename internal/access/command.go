package access

import (
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
)

// Elevation is the protocol of a session that is one command, run on a host with more
// privilege for a person. No gateway carries it: the host's own runner starts, records and
// ends it, whether the control plane is there or not, and tells of it when it is.
const Elevation Protocol = "elevate"

// The events of such a session, in the place of session.opened and session.closed.
const (
	CommandBegan EventType = "command.began" // a host is about to run it
	CommandEnded EventType = "command.ended"
)

// Command is what such a session runs. Of other sessions it is zero.
type Command struct {
	Line     string // the program and its arguments, as the role has them
	RunAs    string
	Terminal bool
	AfterEnd bool   // it began, by its host's clock, when every access by which it may had ended
	Status   int    // the exit code
	Signal   string // that ended it
}

// CommandEnd is how a command ended, as its host says.
type CommandEnd struct {
	At      time.Time // by the host's clock
	Status  int
	Signal  string
	Cut     string // why the host ended it; empty where it ended by itself
	In, Out int64
	Frames  int64  // of its recording
	Root    string // that recording's last link
	Began   time.Time
	Till    time.Time // as Begin was told
	Grants  string
}

// CommandExited is the reason of a session whose command ended by itself.
const CommandExited = "exited"

// hostCarrier begins what stands in the place of a gateway's name where a host carries the
// session itself. No gateway's name has a slash.
const hostCarrier = "host/"

// HostCarrier is in the place of a gateway's name where a host carries a session itself.
func HostCarrier(host string) string { return hostCarrier + host }

// CarriedByHost is the host that carries what has this in the place of a gateway; is says whether one does.
func CarriedByHost(gateway string) (host string, is bool) {
	return strings.CutPrefix(gateway, hostCarrier)
}

// Host is the host that carries the session itself; is says whether one does.
func (s Session) Host() (host string, is bool) { return CarriedByHost(s.Gateway) }

// ValidSessionID reports whether an id is one that NewSessionID could have made until then.
// Hosts make those of their commands themselves: they have to begin with nobody to ask.
func ValidSessionID(id SessionID, until time.Time) bool {
	text, ok := strings.CutPrefix(string(id), "ses_")
	u, err := ulid.ParseStrict(text)
	return ok && err == nil && u.String() == text && u.Time() <= uint64(until.UnixMilli())
}

// Begin makes the session of a command that a host is about to run, and its event. grants
// are all by which it may run, where a standing account is lent to several persons, and till is
// when the last of them ends.
func (s Session) Begin(by Actor, began, till time.Time, grants string, now time.Time) (Session, Event) {
	s.Version, s.OpenedAt, s.RenewedAt = 1, now, now
	s.Command.AfterEnd = began.After(till)
	return s, s.commandEvent(CommandBegan, by, now, began, till, grants)
}

// Exit notes how the command ended. What was taken for lost is put right by it.
func (s Session) Exit(by Actor, e CommandEnd, now time.Time) (Session, Event, error) {
	if !s.ClosedAt.IsZero() && s.Reason != SessionLost {
		return s, Event{}, Fail(Conflict, "session-closed", "the command has ended already").Because("since " + stamp(s.ClosedAt))
	}
	s.Version++
	s.ClosedAt, s.Reason, s.Text = now, e.Cut, ""
	s.Command.Status, s.Command.Signal = e.Status, e.Signal
	if s.Reason == "" {
		s.Reason = CommandExited
	}
	switch {
	case e.Signal != "":
		s.Text = "signal " + e.Signal
	case e.Cut == "":
		s.Text = "with " + strconv.Itoa(e.Status)
	}
	ev := s.commandEvent(CommandEnded, by, now, e.Began, e.Till, e.Grants)
	for name, value := range fact("ended_at", stamp(e.At), "status", strconv.Itoa(e.Status), "signal", e.Signal, "cut", e.Cut, "bytes_in", strconv.FormatInt(e.In, 10),
		"bytes_out", strconv.FormatInt(e.Out, 10), "frames", strconv.FormatInt(e.Frames, 10), "root", e.Root) {
		ev.Facts[name] = value
	}
	return s, ev, nil
}

func (s Session) commandEvent(t EventType, by Actor, now, began, till time.Time, grants string) Event {
	terminal := ""
	if s.Command.Terminal {
		terminal = "true"
	}
	late := ""
	if began.After(till) {
		late = "true"
	}
	return s.event(t, by, now, "entitlement", string(s.Held), "grant", grants, "run_as", s.Command.RunAs, "command", s.Command.Line, "terminal", terminal, "began_at", stamp(began), "after_end", late)
}
