package simstore

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
)

// requestRow is a request without its votes, and how many there are. due is when time
// next does something to it, which its votes have a part in: they open stages.
type requestRow struct {
	access.Request
	count  int
	needed int // how many approvals there must at least be
	due    int64
}

type requestTable struct {
	rows      map[access.RequestID]*requestRow
	votes     map[access.RequestID][]access.Approval
	extending map[access.GrantID][]access.RequestID
	ids       *ordered[string]
	states    map[access.RequestState]*ordered[string]
	due       *ordered[moment]
}

func newRequestTable() requestTable {
	t := requestTable{
		rows: map[access.RequestID]*requestRow{}, votes: map[access.RequestID][]access.Approval{},
		extending: map[access.GrantID][]access.RequestID{},
		ids:       newIDs(), states: map[access.RequestState]*ordered[string]{}, due: newMoments(),
	}
	for _, s := range []access.RequestState{access.RequestPending, access.RequestIsGranted, access.RequestIsDenied, access.RequestWithdrawn, access.RequestTimedOut} {
		t.states[s] = newIDs()
	}
	return t
}

// set puts a row in the place of the one before; nil takes it away.
func (t *requestTable) set(id access.RequestID, row *requestRow) {
	if old := t.rows[id]; old != nil {
		t.ids.drop(string(id))
		t.states[old.State].drop(string(id))
		t.due.drop(moment{old.due, string(id)})
		if old.Extends != "" {
			t.extending[old.Extends] = slices.DeleteFunc(slices.Clone(t.extending[old.Extends]), func(x access.RequestID) bool { return x == id })
		}
	}
	if row == nil {
		delete(t.rows, id)
		return
	}
	t.rows[id] = row
	t.ids.add(string(id))
	t.states[row.State].add(string(id))
	if row.due != never {
		t.due.add(moment{row.due, string(id)})
	}
	if row.Extends != "" {
		t.extending[row.Extends] = append(slices.Clone(t.extending[row.Extends]), id)
	}
}

// complete gives a stored request with its votes.
func (tx *Tx) complete(row *requestRow) (access.Request, error) {
	r := cloneRequest(row.Request)
	if r.Approvals = cloneVotes(tx.s.requests.votes[r.ID]); len(r.Approvals) != row.count {
		return access.Request{}, tx.fail(access.Fail(access.Internal, "votes-missing", "votes of a request are missing").Because(string(r.ID)))
	}
	return r, nil
}

// RequestsOf are those of the ids that exist.
func (tx *Tx) RequestsOf(ids ...access.RequestID) (found []access.Request, err error) {
	for _, id := range once(ids) {
		if tx.s.requests.rows[id] == nil && tx.err == nil {
			continue
		}
		r, err := tx.Request(id)
		if err != nil {
			return nil, err
		}
		found = append(found, r)
	}
	return found, tx.err
}

// voted reports whether somebody voted on a request.
func (tx *Tx) voted(id access.RequestID, who access.PrincipalID) bool {
	r, err := tx.Request(id)
	return err == nil && slices.ContainsFunc(r.Approvals, func(a access.Approval) bool { return a.By == who })
}

// Request reads one request with its votes.
func (tx *Tx) Request(id access.RequestID) (access.Request, error) {
	if tx.err != nil {
		return access.Request{}, tx.err
	}
	row := tx.s.requests.rows[id]
	if row == nil {
		return access.Request{}, missing("request")
	}
	return tx.complete(row)
}

// SaveRequests writes requests, and the votes that are new. A vote is checked
// against the pending request, and the request's approval against the votes:
// votes come between.
func (tx *Tx) SaveRequests(rs ...access.Request) error {
	if err := tx.writes(); err != nil {
		return err
	}
	for _, fresh := range []bool{true, false} {
		for _, r := range rs {
			if fresh == (r.Version == 1) {
				if err := tx.saveRequest(r); err != nil {
					return err
				}
			}
		}
		for _, r := range rs {
			if fresh {
				if err := tx.saveVotes(r); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (tx *Tx) saveRequest(r access.Request) error {
	t := &tx.s.requests
	row := &requestRow{Request: cloneRequest(r), count: len(r.Approvals), needed: neededBy(r.Decision), due: millis(r.DueAt())}
	old := t.rows[r.ID]
	if r.Version == 1 {
		if err := newRequestRule(row); err != nil {
			return tx.fail(err)
		}
		if err := requestChecks(row); err != nil {
			return tx.fail(err)
		}
	}
	if old == nil && r.Version != 1 || old != nil && !(follows(r.Version, old.Version) && row.fixed(old)) {
		return tx.fail(changed("request", r.ID, r.Version))
	}
	if old != nil {
		if err := requestRule(old, row, t.votes[r.ID]); err != nil {
			return tx.fail(err)
		}
	}
	if err := requestChecks(row); err != nil {
		return tx.fail(err)
	}
	t.set(r.ID, row)
	tx.undone(func() { t.set(r.ID, old) })
	return nil
}

// follows reports whether a save of a version may replace a stored one: the
// version before, or for bookkeeping the same.
func follows(version, stored int64) bool {
	return stored == version || stored == version-1 && version != 1
}

func neededBy(d access.Decision) (n int) {
	if d.Effect == access.Approve {
		for _, r := range d.Approvals {
			n += r.Count
		}
	}
	return n
}

// saveVotes keeps the votes that may be new: a request gains at most one with
// each version.
func (tx *Tx) saveVotes(r access.Request) error {
	t := &tx.s.requests
	for i, a := range r.Approvals {
		if i < len(r.Approvals)-1 && r.Version > 1 {
			continue
		}
		votes := t.votes[r.ID]
		if i < len(votes) {
			continue // saved again, nothing happens
		}
		if err := voteRule(t.rows[r.ID], a); err != nil {
			return tx.fail(err)
		}
		if slices.ContainsFunc(votes, func(v access.Approval) bool { return v.Person == a.Person }) {
			return tx.fail(taken("the vote of " + string(a.Person)))
		}
		if err := delegatedRule(t.rows[r.ID], votes, a); err != nil {
			return tx.fail(err)
		}
		if i > len(votes) { // the real store has a gap then, and the request cannot be read any more
			return tx.fail(access.Fail(access.Internal, "votes-missing", "votes of a request are missing").Because(string(r.ID)))
		}
		t.votes[r.ID] = append(votes[:len(votes):len(votes)], cloneVote(a))
		tx.undone(func() { t.votes[r.ID] = votes })
	}
	return nil
}

// Requests lists requests, newest first, or the oldest first.
func (tx *Tx) Requests(q access.RequestQuery) ([]access.Request, error) {
	if tx.err != nil {
		return nil, tx.err
	}
	t := &tx.s.requests
	limit := limited(q.Limit, 100, 1000)
	sets := []*ordered[string]{t.ids}
	if len(q.States) > 0 {
		sets = sets[:0]
		for _, s := range uniq(q.States) {
			sets = append(sets, t.states[s])
		}
	}
	before, most := string(q.Before), limit
	if q.Oldest {
		before, most = "", math.MaxInt
	}
	ids := newest(sets, before, most, func(id string) bool {
		r := t.rows[access.RequestID(id)]
		return (!q.Oldest || id > string(q.After)) && (q.Principal == "" || r.Principal == q.Principal) && (q.Person == "" || r.Person == q.Person) &&
			(q.Role == "" || r.Role == q.Role) && (q.Extends == "" || r.Extends == q.Extends) && (q.Resource == "" || on(r.Targets, q.Resource)) &&
			(q.Voter == "" || tx.voted(access.RequestID(id), q.Voter))
	})
	if q.Oldest {
		slices.Reverse(ids)
		ids = ids[:min(limit, len(ids))]
	}
	var found []access.Request
	for _, id := range ids {
		r, err := tx.complete(t.rows[access.RequestID(id)])
		if err != nil {
			return nil, err
		}
		found = append(found, r)
	}
	return found, nil
}

func uniq[S cmp.Ordered](states []S) []S { return slices.Compact(slices.Sorted(slices.Values(states))) }

func on(ts []access.Target, name access.ResourceName) bool {
	return slices.ContainsFunc(ts, func(t access.Target) bool { return t.Resource == name })
}

// newest merges sets of ids, which do not overlap, from the newest down.
func newest(sets []*ordered[string], before string, limit int, fits func(string) bool) (ids []string) {
	for _, set := range sets {
		down := set.down()
		if before != "" {
			down = set.below(before)
		}
		n := 0
		for id := range down {
			if !fits(id) {
				continue
			}
			ids = append(ids, id)
			if n++; n == limit {
				break
			}
		}
	}
	if len(sets) > 1 {
		slices.SortFunc(ids, func(a, b string) int { return cmp.Compare(b, a) })
	}
	return ids[:min(len(ids), limit)]
}

// DueRequests are pending ones whose DueAt has come, the longest due first.
func (tx *Tx) DueRequests(limit int) (found []access.Request, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	now := tx.now.UnixMilli()
	if m, ok := tx.s.requests.due.first(); !ok || m.at > now {
		return nil, nil // as nearly always
	}
	for m := range tx.s.requests.due.all() {
		if m.at > now || len(found) >= limit {
			break
		}
		r, err := tx.complete(tx.s.requests.rows[access.RequestID(m.id)])
		if err != nil {
			return nil, err
		}
		found = append(found, r)
	}
	return found, nil
}

// FindRequest resolves a full or partial id of a request or of its grant.
func (tx *Tx) FindRequest(prefix string) (access.RequestID, error) {
	if tx.err != nil {
		return "", tx.err
	}
	notFound := access.Fail(access.NotFound, "no-such-request", "there is no such request or grant")
	kinds := []string{"req_", "grt_"}
	id := strings.ToUpper(prefix)
	switch {
	case strings.HasPrefix(id, "REQ_"):
		kinds, id = kinds[:1], id[4:]
	case strings.HasPrefix(id, "GRT_"):
		kinds, id = kinds[1:], id[4:]
	}
	if prefix == "" || len(id) > 26 || strings.Trim(id, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") != "" {
		return "", notFound
	}
	var found []access.RequestID
	add := func(r access.RequestID) {
		if !slices.Contains(found, r) {
			found = append(found, r)
		}
	}
	for _, kind := range kinds {
		set := tx.s.requests.ids
		if kind == "grt_" {
			set = tx.s.grants.ids
		}
		n := 0
		for full := range set.from(kind + id) {
			if !strings.HasPrefix(full, kind+id) || n == 2 {
				break
			}
			n++
			if kind == "grt_" {
				add(tx.s.grants.rows[access.GrantID(full)].Request)
			} else {
				add(access.RequestID(full))
			}
		}
	}
	switch len(found) {
	case 0:
		return "", notFound
	case 1:
		return found[0], nil
	}
	return "", access.Fail(access.Conflict, "ambiguous-id", "more than one request begins like this").Try("give more of the id")
}

// callKey names an idempotent call.
type callKey struct {
	principal access.PrincipalID
	key       string
}

// rememberFor is how long the answer to an idempotent call is kept.
const rememberFor = 24 * time.Hour

// Recall reads the answer to an idempotent call of the last day.
func (tx *Tx) Recall(p access.PrincipalID, key string) (access.Remembered, error) {
	if tx.err != nil {
		return access.Remembered{}, tx.err
	}
	m, ok := tx.s.remembered[callKey{p, key}]
	if !ok || !m.At.After(tx.now.Add(-rememberFor)) {
		return access.Remembered{}, missing("call")
	}
	return m, nil
}

// Remember keeps the answer to an idempotent call.
func (tx *Tx) Remember(m access.Remembered) error {
	if err := tx.writes(); err != nil {
		return err
	}
	all, k := tx.s.remembered, callKey{m.Principal, m.Key}
	old, there := all[k]
	if there && old.At.After(tx.now.Add(-rememberFor)) {
		return tx.fail(access.Fail(access.Conflict, "key-used", "the call was made already"))
	}
	m.At = instant(m.At)
	putKey(tx, all, k, m)
	return nil
}

// putKey sets a key of a map, and takes it back if the transaction is undone.
func putKey[K comparable, V any](tx *Tx, m map[K]V, k K, v V) {
	old, there := m[k]
	m[k] = v
	tx.undone(func() {
		if there {
			m[k] = old
		} else {
			delete(m, k)
		}
	})
}

// dropKey takes a key out of a map.
func dropKey[K comparable, V any](tx *Tx, m map[K]V, k K) {
	if old, there := m[k]; there {
		delete(m, k)
		tx.undone(func() { m[k] = old })
	}
}
