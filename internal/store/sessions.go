package store

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"stint/internal/access"
)

var sessionTable = table{
	name: "sessions", noun: "session", keys: 1, versioned: true,
	columns: []column{{"id", text}, {"version", integer}, {"gateway", text}, {"grant_id", text}, {"person", text}, {"resource", text},
		{"keeps", boolean}, {"opened_at", integer}, {"renewed_at", integer}, {"closed_at", integer}, {"body", text}},
	fixed: []string{"gateway", "grant_id", "person", "resource", "keeps", "opened_at"},
	// When it was named last is written beside the versions, and never goes back.
	derived: map[string]string{"renewed_at": "CASE WHEN t.renewed_at > {renewed_at} THEN t.renewed_at ELSE {renewed_at} END"},
}.build()

type sessionBody struct {
	Protocol  string         `json:"protocol"`
	Request   string         `json:"request"`
	Principal string         `json:"principal"`
	Role      string         `json:"role"`
	Address   string         `json:"address"`
	Account   string         `json:"account"`
	Held      string         `json:"held"`
	Source    netip.AddrPort `json:"source,omitzero"`
	Key       string         `json:"key"`
	Strict    bool           `json:"strict,omitempty"`
	OverAt    stamp          `json:"over_at"`
	EndingAt  stamp          `json:"ending_at,omitempty"`
	EndingBy  string         `json:"ending_by,omitempty"`
	EndNote   string         `json:"end_note,omitempty"`
	PausedAt  stamp          `json:"paused_at,omitempty"`
	PausedBy  string         `json:"paused_by,omitempty"`
	Reason    string         `json:"reason,omitempty"`
	Text      string         `json:"text,omitempty"`
	Certified string         `json:"certified,omitempty"`
	Alarms    int64          `json:"alarms,omitempty"`
	Command   *commandBody   `json:"command,omitempty"`
}

// commandBody is of sessions of commands.
type commandBody struct {
	Line     string `json:"line"`
	RunAs    string `json:"run_as"`
	Terminal bool   `json:"terminal,omitempty"`
	AfterEnd bool   `json:"after_end,omitempty"`
	Status   int    `json:"status,omitempty"`
	Signal   string `json:"signal,omitempty"`
}

type tapeBody struct {
	ID       string `json:"id,omitempty"`
	State    string `json:"state,omitempty"`
	Bytes    int64  `json:"bytes,omitempty"`
	Commands int64  `json:"commands,omitempty"`
}

func sessionRow(s access.Session) (write, error) {
	var ran *commandBody
	if c := s.Command; c != (access.Command{}) {
		ran = &commandBody{c.Line, c.RunAs, c.Terminal, c.AfterEnd, c.Status, c.Signal}
	}
	body, err := encode(sessionBody{Protocol: string(s.Protocol), Request: string(s.Request), Principal: string(s.Principal), Role: string(s.Role), Address: s.Address,
		Account: s.Account, Held: string(s.Held), Source: s.Source, Key: s.Key, Strict: s.Strict, OverAt: stampOf(s.OverAt), EndingAt: stampOf(s.EndingAt),
		EndingBy: string(s.EndingBy), EndNote: s.EndNote, PausedAt: stampOf(s.PausedAt), PausedBy: string(s.PausedBy), Reason: s.Reason, Text: s.Text, Certified: s.Certified, Alarms: s.Alarms, Command: ran})
	return write{string(s.ID), s.Version, s.Gateway, string(s.Grant), string(s.Person), string(s.Resource), s.Keeps,
		millis(s.OpenedAt), millis(s.RenewedAt), millis(s.ClosedAt), body}, err
}

const sessionFields = "s.id, s.version, s.gateway, s.grant_id, s.person, s.resource, s.keeps, s.opened_at, s.renewed_at, s.closed_at, s.body, s.tape"

const sessionColumns = "SELECT " + sessionFields + " FROM sessions s"

func scanSession(row row) (access.Session, error) {
	s, to := sessionTo()
	if err := row.Scan(to.fields()...); err != nil {
		return *s, err
	}
	return *s, to.fill(s)
}

// sessionScan is where the columns of a session go before they are one.
type sessionScan struct {
	s               *access.Session
	opened, renewed int64
	closed          *int64
	body, tape      string
}

func sessionTo() (*access.Session, *sessionScan) {
	s := &access.Session{}
	return s, &sessionScan{s: s}
}

func (c *sessionScan) fields() []any {
	return []any{&c.s.ID, &c.s.Version, &c.s.Gateway, &c.s.Grant, &c.s.Person, &c.s.Resource, &c.s.Keeps, &c.opened, &c.renewed, &c.closed, &c.body, &c.tape}
}

func (c *sessionScan) fill(s *access.Session) error {
	var b sessionBody
	if err := decode(c.body, "session", string(s.ID), &b); err != nil {
		return err
	}
	if c.tape != "" {
		var t tapeBody
		if err := decode(c.tape, "session", string(s.ID), &t); err != nil {
			return err
		}
		s.Recording = access.Tape{ID: t.ID, State: access.TapeState(t.State), Bytes: t.Bytes, Commands: t.Commands}
	}
	s.OpenedAt, s.RenewedAt, s.ClosedAt = instant(c.opened), instant(c.renewed), instantOf(c.closed)
	s.Protocol, s.Request, s.Principal, s.Role = access.Protocol(b.Protocol), access.RequestID(b.Request), access.PrincipalID(b.Principal), access.RoleName(b.Role)
	s.Address, s.Account, s.Held, s.Source, s.Key, s.Strict = b.Address, b.Account, access.EntitlementID(b.Held), b.Source, b.Key, b.Strict
	s.OverAt, s.EndingAt, s.EndingBy, s.EndNote = b.OverAt.time(), b.EndingAt.time(), access.PrincipalID(b.EndingBy), b.EndNote
	s.PausedAt, s.PausedBy = b.PausedAt.time(), access.PrincipalID(b.PausedBy)
	s.Reason, s.Text, s.Certified, s.Alarms = b.Reason, b.Text, b.Certified, b.Alarms
	if c := b.Command; c != nil {
		s.Command = access.Command{Line: c.Line, RunAs: c.RunAs, Terminal: c.Terminal, AfterEnd: c.AfterEnd, Status: c.Status, Signal: c.Signal}
	}
	return nil
}

// SaveSessions writes sessions. What is known of their recordings stays.
func (tx *Tx) SaveSessions(ss ...access.Session) error {
	rows := make([]write, 0, len(ss))
	for _, s := range ss {
		w, err := sessionRow(s)
		if err != nil {
			return tx.fail(err)
		}
		rows = append(rows, w)
	}
	return tx.save(sessionTable, rows)
}

// SaveTape notes what is known of a session's recording; access.NotFound where there is
// no such session.
func (tx *Tx) SaveTape(id access.SessionID, t access.Tape) error {
	text, err := encode(tapeBody{t.ID, string(t.State), t.Bytes, t.Commands})
	if err != nil {
		return tx.fail(err)
	}
	n, err := tx.exec("UPDATE sessions SET tape = $2 WHERE id = $1", string(id), text)
	if err == nil && n == 0 {
		err = tx.fail(access.Fail(access.NotFound, "no-such-session", "there is no such session"))
	}
	return err
}

// Session reads a session by its whole id.
func (tx *Tx) Session(id access.SessionID) (access.Session, error) {
	return one(tx, "session", scanSession, sessionColumns+" WHERE s.id = $1", string(id))
}

// Sessions lists sessions, newest first.
func (tx *Tx) Sessions(q access.SessionQuery) ([]access.Session, error) {
	p := plan{conds: []string{"s.id >= 'ses_'"}}
	p.equal("s.gateway", q.Gateway)
	p.equal("s.person", string(q.Person))
	p.equal("s.resource", string(q.Resource))
	p.equal("s.grant_id", string(q.Grant))
	if q.Live {
		p.conds = append(p.conds, "s.closed_at IS NULL")
	}
	if !q.Since.IsZero() {
		p.where("s.opened_at >= $%d", q.Since.UnixMilli())
	}
	if q.Before != "" {
		p.where("s.id < $%d", string(q.Before))
	}
	if q.Prefix != "" {
		p.where("s.id >= $%d", string(q.Prefix))
		p.where("s.id < $%d", string(q.Prefix)+"~") // sorts after all letters
	}
	p.args = append(p.args, int64(limited(q.Limit, 100, 1000)))
	return list(tx, scanSession, fmt.Sprintf("%s WHERE %s ORDER BY s.id DESC LIMIT $%d", sessionColumns, strings.Join(p.conds, " AND "), len(p.args)), p.args...)
}

// LiveSessions are those of a gateway that are not closed, with what their grants say.
func (tx *Tx) LiveSessions(gateway string) ([]access.LiveSession, error) {
	return list(tx, func(row row) (access.LiveSession, error) {
		var l access.LiveSession
		var ends int64
		s, to := sessionTo()
		if err := row.Scan(append(to.fields(), &l.State, &ends)...); err != nil {
			return l, err
		}
		err := to.fill(s)
		l.Session, l.ExpiresAt = *s, instant(ends)
		return l, err
	}, "SELECT "+sessionFields+", g.state, g.expires_at FROM sessions s JOIN grants g ON g.id = s.grant_id WHERE s.gateway = $1 AND s.closed_at IS NULL ORDER BY s.id", gateway)
}

// RenewSessions notes that a gateway is heard of, and so are the sessions that it has.
func (tx *Tx) RenewSessions(gateway string) error {
	_, err := tx.exec("UPDATE sessions SET renewed_at = $2 WHERE gateway = $1 AND closed_at IS NULL AND renewed_at < $2", gateway, tx.now.UnixMilli())
	return err
}

// LostSessions are open ones that were not named since, and that do not go on without
// being named, or whose grant is over anyway.
func (tx *Tx) LostSessions(since time.Time, limit int) ([]access.Session, error) {
	return list(tx, scanSession, sessionColumns+` JOIN grants g ON g.id = s.grant_id
		WHERE s.closed_at IS NULL AND s.renewed_at < $1 AND (NOT s.keeps OR g.state <> 'active') ORDER BY s.id`+first(limit), since.UnixMilli())
}
