package store

import (
	"fmt"
	"strings"
	"time"

	"stint/internal/access"
)

var requestTable = table{
	name: "requests", noun: "request", keys: 1, versioned: true,
	columns: []column{{"id", text}, {"version", integer}, {"state", text}, {"principal", text}, {"person", text}, {"resource", text},
		{"role", text}, {"duration", integer}, {"extends", text}, {"digest", binary}, {"needed", integer}, {"grant_id", text},
		{"created_at", integer}, {"expires_at", integer}, {"next_at", integer}, {"body", text}, {"auth", text}, {"task", text}},
	fixed: []string{"principal", "person", "resource", "role", "duration", "extends", "digest", "needed", "created_at", "expires_at", "auth", "task"},
}.build()

var requestTargetTable = table{name: "request_targets", noun: "target", keys: 2,
	columns: []column{{"resource", text}, {"id", text}}}.build()

type requestBody struct {
	Device      string          `json:"device,omitempty"`
	SealKey     []byte          `json:"seal_key,omitempty"`
	Source      sourceBody      `json:"source,omitzero"`
	Targets     []targetBody    `json:"targets"`
	Permissions permissionsBody `json:"permissions"`
	Endings     endingsBody     `json:"endings,omitzero"`
	Clock       string          `json:"clock,omitempty"`
	Start       stamp           `json:"start,omitempty"`
	Reason      string          `json:"reason"`
	Ticket      string          `json:"ticket,omitempty"`
	Emergency   string          `json:"emergency,omitempty"`
	Bundle      []byte          `json:"bundle,omitempty"`
	Documents   int64           `json:"documents,omitempty"`
	Nonce       []byte          `json:"nonce"`
	Decision    decisionBody    `json:"decision"`
	DecidedAt   stamp           `json:"decided_at,omitempty"`
	Votes       int             `json:"votes,omitempty"` // in their own table
	Escalated   []int           `json:"escalated,omitempty"`
	Reminders   int             `json:"reminders,omitempty"`
	RemindedAt  stamp           `json:"reminded_at,omitempty"`
	Remarks     []remarkBody    `json:"remarks,omitempty"`
}

type remarkBody struct {
	By     string `json:"by"`
	Person string `json:"person"`
	Answer bool   `json:"answer,omitempty"`
	Text   string `json:"text"`
	At     stamp  `json:"at"`
}

func requestRow(r access.Request) (write, error) {
	body, err := encode(requestBody{
		Device: string(r.Device), SealKey: r.SealKey, Source: sourceOf(r.Source), Targets: targetsOf(r.Targets),
		Permissions: permissionsOf(r.Permissions), Endings: endingsBody(r.Endings), Clock: string(r.Clock), Start: stampOf(r.Start),
		Reason: r.Reason, Ticket: r.Ticket, Emergency: string(r.Emergency), Bundle: bundleOf(r.Bundle), Documents: r.Documents, Nonce: r.Nonce[:], Decision: decisionOf(r.Decision),
		DecidedAt: stampOf(r.DecidedAt), Votes: len(r.Approvals),
		Escalated: r.Escalated, Reminders: r.Reminders, RemindedAt: stampOf(r.RemindedAt), Remarks: remarksOf(r.Remarks),
	})
	if err != nil {
		return nil, err
	}
	auth, err := authText(r.Source.Auth)
	if err != nil {
		return nil, err
	}
	return write{string(r.ID), r.Version, string(r.State), string(r.Principal), string(r.Person), firstResource(r.Targets),
		string(r.Role), int64(r.Duration), string(r.Extends), r.Digest[:], needed(r.Decision), string(r.Grant),
		millis(r.CreatedAt), millis(r.ExpiresAt), millis(r.ChaseAt()), body, auth, string(r.Task)}, nil
}

// bundleOf is nil for what is no part of a bundle.
func bundleOf(d access.Digest) []byte {
	if d == (access.Digest{}) {
		return nil
	}
	return d[:]
}

func remarksOf(ms []access.Remark) (bs []remarkBody) {
	for _, m := range ms {
		bs = append(bs, remarkBody{string(m.By), string(m.Person), m.Answer, m.Text, stampOf(m.At)})
	}
	return bs
}

func remarks(bs []remarkBody) (ms []access.Remark) {
	for _, b := range bs {
		ms = append(ms, access.Remark{By: access.PrincipalID(b.By), Person: access.Person(b.Person), Answer: b.Answer, Text: b.Text, At: b.At.time()})
	}
	return ms
}

// needed is how many approvals there must at least be.
func needed(d access.Decision) (n int64) {
	if d.Effect == access.Approve {
		for _, r := range d.Approvals {
			n += int64(r.Count)
		}
	}
	return n
}

const requestColumns = "SELECT id, version, state, principal, person, role, duration, extends, digest, grant_id, created_at, expires_at, body, auth, task FROM requests"

// storedRequest is a request without its votes, and how many there are.
type storedRequest struct {
	access.Request
	votes int
}

func scanRequest(row row) (storedRequest, error) {
	var r storedRequest
	var digest []byte
	var duration, created, expires int64
	var text, auth string
	if err := row.Scan(&r.ID, &r.Version, &r.State, &r.Principal, &r.Person, &r.Role, &duration, &r.Extends, &digest, &r.Grant,
		&created, &expires, &text, &auth, &r.Task); err != nil {
		return r, err
	}
	var b requestBody
	if err := decode(text, "request", string(r.ID), &b); err != nil {
		return r, err
	}
	r.Duration, r.Digest = time.Duration(duration), digestOf(digest)
	r.CreatedAt, r.ExpiresAt, r.DecidedAt = instant(created), instant(expires), b.DecidedAt.time()
	r.Device, r.SealKey, r.Source, r.Targets = access.DeviceID(b.Device), b.SealKey, b.Source.source(), targets(b.Targets)
	var err error
	if r.Source.Auth, err = authOf(auth, "request", string(r.ID)); err != nil {
		return r, err
	}
	r.Permissions, r.Endings, r.Clock = b.Permissions.permissions(), access.Endings(b.Endings), access.StartClock(b.Clock)
	r.Start, r.Reason, r.Ticket, r.Documents = b.Start.time(), b.Reason, b.Ticket, b.Documents
	r.Emergency = access.Emergency(b.Emergency)
	copy(r.Bundle[:], b.Bundle)
	r.Decision, r.votes = b.Decision.decision(), b.Votes
	r.Escalated, r.Reminders, r.RemindedAt, r.Remarks = b.Escalated, b.Reminders, b.RemindedAt.time(), remarks(b.Remarks)
	copy(r.Nonce[:], b.Nonce)
	return r, nil
}

// Request reads one request with its votes.
func (tx *Tx) Request(id access.RequestID) (access.Request, error) {
	r, err := one(tx, "request", scanRequest, requestColumns+" WHERE id = $1", string(id))
	if err != nil {
		return access.Request{}, err
	}
	all, err := tx.withVotes([]storedRequest{r})
	if err != nil {
		return access.Request{}, err
	}
	return all[0], nil
}

var requestsOf = byIDs(requestColumns + " WHERE id {ids}")

// RequestsOf are those of the ids that exist.
func (tx *Tx) RequestsOf(ids ...access.RequestID) ([]access.Request, error) {
	found, err := listByIDs(tx, scanRequest, requestsOf, ids)
	if err != nil {
		return nil, err
	}
	return tx.withVotes(found)
}

// SaveRequests writes requests, and the votes that are new.
func (tx *Tx) SaveRequests(rs ...access.Request) error {
	var rows, fresh, others, votes []write
	for _, r := range rs {
		w, err := requestRow(r)
		if err != nil {
			return tx.fail(err)
		}
		// A vote is checked against the pending request, and the request's
		// approval against the votes: votes come between.
		if r.Version == 1 {
			fresh, others = append(fresh, w), append(others, otherTargets(string(r.ID), r.Targets)...)
		} else {
			rows = append(rows, w)
		}
		if votes, err = appendVotes(votes, r); err != nil {
			return tx.fail(err)
		}
	}
	if err := tx.save(requestTable, fresh); err != nil {
		return err
	}
	if err := tx.save(requestTargetTable, others); err != nil {
		return err
	}
	if err := tx.save(voteTable, votes); err != nil {
		return err
	}
	return tx.save(requestTable, rows)
}

// Requests lists requests, newest first, or the oldest first.
func (tx *Tx) Requests(q access.RequestQuery) ([]access.Request, error) {
	limit := limited(q.Limit, 100, 1000)
	p := plan{columns: requestColumns, targets: "request_targets", resource: string(q.Resource), down: true, cursor: string(q.Before), limit: limit}
	if q.Oldest {
		p.down, p.cursor = false, string(q.After)
	}
	for _, s := range q.States {
		p.states = append(p.states, string(s))
	}
	p.equal("principal", string(q.Principal))
	p.equal("person", string(q.Person))
	p.equal("role", string(q.Role))
	if q.Extends != "" { // by its index, which "extends = $1" alone does not lead SQLite to
		p.where("id IN (SELECT id FROM requests WHERE extends <> '' AND extends = $%d)", string(q.Extends))
	}
	if q.Voter != "" {
		p.votedOn(q)
	}
	found, err := page(tx, p, scanRequest, func(r storedRequest) string { return string(r.ID) })
	if err != nil {
		return nil, err
	}
	return tx.withVotes(found)
}

// votedOn selects what somebody voted on. Where nothing else selects, a page of their votes
// is read, and not all that they ever gave.
func (p *plan) votedOn(q access.RequestQuery) {
	bound := func(v string) string {
		p.args = append(p.args, v)
		return fmt.Sprintf("$%d", len(p.args))
	}
	votes := "SELECT request_id FROM votes WHERE voter = " + bound(string(q.Voter))
	if !q.Oldest && len(q.States) == 0 && string(q.Principal)+string(q.Person)+string(q.Resource)+string(q.Role)+string(q.Extends) == "" {
		if q.Before != "" {
			votes += " AND request_id < " + bound(string(q.Before))
		}
		votes += " ORDER BY request_id DESC" + p.atMost(p.limit)
	}
	p.conds = append(p.conds, "id IN ("+votes+")")
}

// DueRequests are pending ones whose DueAt has come: first those whose time is up,
// the longest first, then those that are to be pursued.
func (tx *Tx) DueRequests(limit int) ([]access.Request, error) {
	found, err := listGood(tx, scanRequest, requestColumns+" WHERE state = 'pending' AND expires_at <= $1 ORDER BY expires_at, id"+first(limit),
		tx.now.UnixMilli())
	if err != nil {
		return nil, err
	}
	if room := limit - len(found); room > 0 {
		chased, err := listGood(tx, scanRequest, requestColumns+" WHERE state = 'pending' AND next_at <= $1 AND expires_at > $1 ORDER BY next_at, id"+first(room),
			tx.now.UnixMilli())
		if err != nil {
			return nil, err
		}
		found = append(found, chased...)
	}
	return tx.withVotes(found)
}

// FindRequest resolves a full or partial id of a request or of its grant. The
// "req_" or "grt_" may be left out, and case does not matter.
func (tx *Tx) FindRequest(prefix string) (access.RequestID, error) {
	notFound := access.Fail(access.NotFound, "no-such-request", "there is no such request or grant")
	var kinds []string
	id := strings.ToUpper(prefix)
	switch {
	case strings.HasPrefix(id, "REQ_"):
		kinds, id = []string{"req_"}, id[4:]
	case strings.HasPrefix(id, "GRT_"):
		kinds, id = []string{"grt_"}, id[4:]
	default:
		kinds = []string{"req_", "grt_"}
	}
	if prefix == "" || len(id) > 26 || strings.Trim(id, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") != "" {
		return "", notFound
	}
	found := map[access.RequestID]bool{}
	for _, kind := range kinds {
		q := "SELECT id FROM requests WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 2"
		if kind == "grt_" {
			q = "SELECT request_id FROM grants WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 2"
		}
		ids, err := list(tx, scanText[access.RequestID], q, kind+id, kind+id+"~") // "~" sorts after all letters
		if err != nil {
			return "", err
		}
		for _, r := range ids {
			found[r] = true
		}
	}
	switch len(found) {
	case 0:
		return "", notFound
	case 1:
		for r := range found {
			return r, nil
		}
	}
	return "", access.Fail(access.Conflict, "ambiguous-id", "more than one request begins like this").Try("give more of the id")
}

func scanText[T ~string](row row) (T, error) {
	var s T
	err := row.Scan(&s)
	return s, err
}
