package store

import (
	"strconv"
	"strings"

	"stint/internal/access"
)

var reviewTable = table{
	name: "reviews", noun: "review", keys: 1, versioned: true,
	columns: []column{{"id", text}, {"version", integer}, {"state", text}, {"request_id", text}, {"grant_id", text}, {"person", text},
		{"resource", text}, {"closer", text}, {"finding", text}, {"opened_at", integer}, {"remind_at", integer}, {"body", text}},
	fixed: []string{"request_id", "grant_id", "person", "resource", "opened_at"},
}.build()

type reviewBody struct {
	Principal string   `json:"principal"`
	Openers   []string `json:"openers,omitempty"`
	Codes     []string `json:"codes,omitempty"`
	Role      string   `json:"role"`
	Reason    string   `json:"reason"`
	Drill     bool     `json:"drill,omitempty"`
	DueAt     stamp    `json:"due_at"`
	Reminded  int64    `json:"reminded,omitempty"`
	ClosedAt  stamp    `json:"closed_at,omitempty"`
	Closer    string   `json:"closer,omitempty"` // the principal
	Note      string   `json:"note,omitempty"`
}

func reviewRow(v access.Review) (write, error) {
	body, err := encode(reviewBody{
		Principal: string(v.Principal), Openers: textsOf(v.Openers), Codes: v.Codes, Role: string(v.Role), Reason: v.Reason, Drill: v.Drill,
		DueAt: stampOf(v.DueAt), Reminded: v.Reminded, ClosedAt: stampOf(v.ClosedAt), Closer: string(v.Closer), Note: v.Note,
	})
	return write{string(v.ID), v.Version, string(v.State), string(v.Request), string(v.Grant), string(v.Person), string(v.Resource),
		string(v.CloserPerson), string(v.Finding), millis(v.OpenedAt), millis(v.RemindAt), body}, err
}

const reviewColumns = "SELECT id, version, state, request_id, grant_id, person, resource, closer, finding, opened_at, remind_at, body FROM reviews"

func scanReview(row row) (access.Review, error) {
	var v access.Review
	var opened int64
	var remind *int64
	var text string
	if err := row.Scan(&v.ID, &v.Version, &v.State, &v.Request, &v.Grant, &v.Person, &v.Resource, &v.CloserPerson, &v.Finding, &opened, &remind, &text); err != nil {
		return v, err
	}
	var b reviewBody
	if err := decode(text, "review", string(v.ID), &b); err != nil {
		return v, err
	}
	v.OpenedAt, v.RemindAt, v.DueAt, v.ClosedAt = instant(opened), instantOf(remind), b.DueAt.time(), b.ClosedAt.time()
	v.Principal, v.Openers, v.Codes, v.Role = access.PrincipalID(b.Principal), as[access.Person](b.Openers), b.Codes, access.RoleName(b.Role)
	v.Reason, v.Drill, v.Reminded, v.Closer, v.Note = b.Reason, b.Drill, b.Reminded, access.PrincipalID(b.Closer), b.Note
	return v, nil
}

// textsOf and as turn lists of names into lists of texts, and back; none stays none.
func textsOf[S ~string](in []S) (out []string) {
	for _, s := range in {
		out = append(out, string(s))
	}
	return out
}

func as[S ~string](in []string) (out []S) {
	for _, s := range in {
		out = append(out, S(s))
	}
	return out
}

// SaveReviews writes reviews. The grant of a new one must be saved before.
func (tx *Tx) SaveReviews(vs ...access.Review) error {
	rows := make([]write, 0, len(vs))
	for _, v := range vs {
		w, err := reviewRow(v)
		if err != nil {
			return tx.fail(err)
		}
		rows = append(rows, w)
	}
	return tx.save(reviewTable, rows)
}

// Reviews lists reviews, newest first.
func (tx *Tx) Reviews(q access.ReviewQuery) ([]access.Review, error) {
	where, args := []string{"TRUE"}, []any{}
	equal := func(column, op, value string) {
		if value != "" {
			args = append(args, value)
			where = append(where, column+" "+op+" $"+strconv.Itoa(len(args)))
		}
	}
	equal("state", "=", string(q.State))
	equal("person", "=", string(q.Person))
	equal("resource", "=", string(q.Resource))
	equal("id", "<", string(q.Before))
	return list(tx, scanReview, reviewColumns+" WHERE "+strings.Join(where, " AND ")+" ORDER BY id DESC"+first(limited(q.Limit, 100, 1000)), args...)
}

// DueReviews are open ones whose RemindAt has come, the longest due first.
func (tx *Tx) DueReviews(limit int) ([]access.Review, error) {
	return listGood(tx, scanReview, reviewColumns+" WHERE remind_at <= $1 ORDER BY remind_at, id"+first(limit), tx.now.UnixMilli())
}

// FindReview resolves a full or partial id. The "rev_" may be left out, and case does
// not matter.
func (tx *Tx) FindReview(prefix string) (access.Review, error) {
	id := strings.TrimPrefix(strings.ToUpper(prefix), "REV_")
	if id == "" || len(id) > 26 || strings.Trim(id, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") != "" {
		return access.Review{}, access.Fail(access.NotFound, "no-such-review", "there is no such review")
	}
	found, err := list(tx, scanReview, reviewColumns+" WHERE id >= $1 AND id < $2 ORDER BY id"+first(2), "rev_"+id, "rev_"+id+"~") // "~" sorts after all letters
	switch {
	case err != nil:
		return access.Review{}, err
	case len(found) == 0:
		return access.Review{}, access.Fail(access.NotFound, "no-such-review", "there is no such review")
	case len(found) > 1:
		return access.Review{}, access.Fail(access.Conflict, "ambiguous-id", "more than one review begins like this").Try("give more of the id")
	}
	return found[0], nil
}
