package api

import (
	"context"
	"net/http"
	"net/url"
)

// Session is one connection through a gateway under a grant, which the gateway records, or
// one command that a host ran with more privilege, and recorded.
type Session struct {
	ID        string `json:"id" example:"ses_01J8ZQ5T3M8W6Y2X4V9N7K1B5C"`
	State     string `json:"state" enum:"live,ending,closed" doc:"ending: it is being cut"`
	Gateway   string `json:"gateway,omitempty" doc:"That carries it; absent of a command" example:"edge"`
	Host      string `json:"host,omitempty" doc:"That runs the command and records it; of a command only" example:"web1:22"`
	Protocol  string `json:"protocol" enum:"ssh,postgres,http,tcp,elevate" doc:"What it speaks; elevate: it is one command, run with stint elevate"`
	Grant     string `json:"grant"`
	Request   string `json:"request"`
	Principal string `json:"principal" example:"user:mira"`
	Person    string `json:"person" example:"mira"`
	Role      string `json:"role" example:"deploy"`
	Resource  string `json:"resource" example:"web1"`
	Address   string `json:"address" doc:"The target's, host and port" example:"web1:22"`
	Account   string `json:"account" doc:"On the target" example:"deploy"`
	Source    string `json:"source,omitempty" doc:"Where the person connected from, as the gateway saw it" example:"10.0.0.7:40122"`
	Key       string `json:"key,omitempty" doc:"The fingerprint of the key that proved itself"`
	Strict    bool   `json:"strict" doc:"No byte passes before it is durably recorded"`

	OpenedAt Time `json:"opened_at" format:"date-time"`
	OverAt   Time `json:"over_at" format:"date-time" doc:"When the grant ends, or ended"`
	ClosedAt Time `json:"closed_at,omitzero" nullable:"true" format:"date-time"`
	// Reason is why it closed.
	Reason string `json:"reason,omitempty" doc:"Why it closed: expired, revoked, returned, killed, policy, partitioned, client-gone, target-gone, lost and others; of a command exited, access-ended and others"`
	Text   string `json:"text,omitempty" doc:"More of that"`
	// PausedAt is since when nothing of it passes.
	PausedAt Time   `json:"paused_at,omitzero" nullable:"true" format:"date-time"`
	PausedBy string `json:"paused_by,omitempty" doc:"Who paused it" example:"user:olga"`
	EndedBy  string `json:"ended_by,omitempty" doc:"Who ended this session" example:"user:olga"`
	EndNote  string `json:"end_note,omitempty" doc:"And why"`
	Alarms   int64  `json:"alarms" doc:"How often a command rule with an alarm matched"`

	Command *SessionCommand `json:"command,omitempty" doc:"What it runs; of a command only"`

	Recording SessionRecording `json:"recording"`
}

// SessionCommand is what a session of one command runs.
type SessionCommand struct {
	Line     string `json:"line" example:"/usr/bin/systemctl restart web" doc:"The program and its arguments"`
	RunAs    string `json:"run_as" example:"root"`
	Terminal bool   `json:"terminal" doc:"Whether it has a terminal"`
	AfterEnd bool   `json:"after_end,omitempty" doc:"It began, by its host's clock, when every access by which it may had ended"`
	Status   *int   `json:"status,omitempty" doc:"The exit code; absent while it runs"`
	Signal   string `json:"signal,omitempty" doc:"The signal that ended it"`
}

// SessionRecording is what is known of a session's recording.
type SessionRecording struct {
	ID       string `json:"id,omitempty" doc:"Empty while nothing of it is here"`
	State    string `json:"state" enum:"none,running,kept,broken,lost,removed"`
	Bytes    int64  `json:"bytes"`
	Commands int64  `json:"commands"`
}

// SessionList says which sessions to list.
type SessionList struct {
	List
	Live     bool
	Person   string
	Resource string
	Grant    string
	Since    Time
}

// SessionEnd ends a session.
type SessionEnd struct {
	Why string `json:"why" minLength:"1" maxLength:"1024" doc:"For the log and for who has the session"`
}

// Sessions lists sessions, newest first.
func (c *Client) Sessions(ctx context.Context, l SessionList) (Page[Session], error) {
	q := l.query()
	for name, v := range map[string]string{"person": l.Person, "resource": l.Resource, "grant": l.Grant} {
		if v != "" {
			q.Set(name, v)
		}
	}
	if l.Live {
		q.Set("live", "true")
	}
	if !l.Since.IsZero() {
		q.Set("since", l.Since.String())
	}
	return get[Page[Session]](ctx, c, call{method: http.MethodGet, path: []string{"sessions"}, query: q})
}

// Session reads one session, by a full or partial id.
func (c *Client) Session(ctx context.Context, id string) (Session, error) {
	return get[Session](ctx, c, call{method: http.MethodGet, path: []string{"sessions", id}, query: url.Values{}})
}

// EndSession ends one session; its grant goes on.
func (c *Client) EndSession(ctx context.Context, id, why string) (Session, error) {
	return get[Session](ctx, c, call{method: http.MethodPost, path: []string{"sessions", id, "end"}, in: SessionEnd{Why: why}})
}
