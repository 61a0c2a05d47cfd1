package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"stint/internal/access"
	"stint/internal/audit"
)

// Head is the newest checkpoint of the log.
type Head struct {
	Size       int64
	Root       tlog.Hash
	At         time.Time
	Checkpoint []byte // the signed note; nil before there is one
}

// unsequenced is a record that waits for its number.
type unsequenced struct {
	id, entity string
	version    int64
	body       []byte
}

// Sequence numbers up to limit records that have none, adds them to the tree,
// signs the new head and stores it, in one transaction. Only one replica does so
// at a time; another gets n = 0. It signs nothing when the stored tree is not
// the one that was signed last.
func (s *Store) Sequence(ctx context.Context, signer note.Signer, origin string, limit int) (head Head, n int, err error) {
	if err := s.usable(ctx); err != nil {
		return Head{}, 0, err
	}
	_, err = s.engine.number(ctx, func(tx *Tx) error {
		head, n = Head{}, 0
		old, err := tx.head()
		if err != nil {
			return err
		}
		batch, err := tx.unsequenced(limit)
		if err != nil || len(batch) == 0 {
			head = old
			return err
		}
		tree, err := audit.LoadTree(old.Size, tx)
		if err != nil {
			return tx.fail(err)
		}
		if err := sameTree(old, tree, signer, origin); err != nil {
			return tx.fail(err)
		}
		head, err = tx.extend(tree, batch, signer, origin)
		n = len(batch)
		return err
	})
	if err != nil {
		return Head{}, 0, err
	}
	if n > 0 {
		s.numbers.send()
		if r := s.told.Load(); r != nil {
			r.send(notice{Numbered: true})
		}
	}
	return head, n, nil
}

// extend gives the batch its numbers after the tree's last.
func (tx *Tx) extend(tree audit.Tree, batch []unsequenced, signer note.Signer, origin string) (Head, error) {
	leaves := make([]tlog.Hash, len(batch))
	numbers := make([]write, len(batch))
	for i, r := range batch {
		leaves[i] = audit.Leaf(r.body)
		numbers[i] = write{r.id, tree.Size() + int64(i)}
	}
	next, hashes := tree.Append(leaves...)
	first := tlog.StoredHashIndex(0, tree.Size())
	rows := make([]write, len(hashes))
	for i := range hashes {
		rows[i] = write{first + int64(i), hashes[i][:]}
	}
	if err := tx.save(hashTable, rows); err != nil {
		return Head{}, err
	}
	if err := tx.number(numbers); err != nil {
		return Head{}, err
	}
	signed, err := audit.SignCheckpoint(next.Checkpoint(origin), signer)
	if err != nil {
		return Head{}, tx.fail(err)
	}
	root := next.Root()
	_, err = tx.exec("INSERT INTO audit_checkpoints (size, root, at, note) VALUES ($1, $2, $3, $4)",
		next.Size(), root[:], tx.now.UnixMilli(), signed)
	return Head{Size: next.Size(), Root: root, At: tx.now, Checkpoint: signed}, err
}

var hashTable = table{
	name: "audit_hashes", noun: "hash", keys: 1, once: true,
	columns: []column{{"idx", integer}, {"hash", binary}},
}.build()

// numberWide is for a database without arrays; SQLite names the columns of VALUES so.
var numberWide = "UPDATE audit_records SET seq = v.column2 FROM (VALUES " + tuples(wide, 2) +
	") AS v WHERE id = v.column1 AND seq IS NULL"

// number writes the numbers, all of them or none.
func (tx *Tx) number(rows []write) error {
	if !tx.d.arrays {
		for len(rows) >= wide {
			if n, err := tx.exec(numberWide, slices.Concat(rows[:wide]...)...); err != nil || n != wide {
				return tx.fail(cmp.Or(err, error(errNumbered)))
			}
			rows = rows[wide:]
		}
		for _, w := range rows {
			if n, err := tx.exec("UPDATE audit_records SET seq = $2 WHERE id = $1 AND seq IS NULL", w...); err != nil || n != 1 {
				return tx.fail(cmp.Or(err, error(errNumbered)))
			}
		}
		return nil
	}
	// The bounds are for the planner, which else reads all that has no number for
	// each batch.
	ids := make([]string, len(rows))
	for i, w := range rows {
		ids[i] = w[0].(string)
	}
	return tx.later(func(n int64) error {
		if n != int64(len(rows)) {
			return errNumbered
		}
		return nil
	}, `UPDATE audit_records AS t SET seq = v.seq FROM unnest($1::text[], $2::bigint[]) AS v(id, seq)
		WHERE t.id = v.id AND t.id >= $3 AND t.id <= $4 AND t.seq IS NULL`,
		append(arrays([]column{{"id", text}, {"seq", integer}}, rows), slices.Min(ids), slices.Max(ids))...)
}

var errNumbered = access.Fail(access.Conflict, "already-numbered", "audit records were numbered meanwhile")

// unsequenced reads the next batch. Records are taken in the order of their ids,
// which is that of writing but for clocks of replicas that differ a little; the
// records of one entity always stand in the order of its versions.
func (tx *Tx) unsequenced(limit int) ([]unsequenced, error) {
	const columns = "SELECT id, entity, version, body FROM audit_records WHERE seq IS NULL "
	scan := func(row row) (unsequenced, error) {
		var r unsequenced
		err := row.Scan(&r.id, &r.entity, &r.version, &r.body)
		return r, err
	}
	found, err := list(tx, scan, columns+"ORDER BY id"+first(limit))
	if err != nil {
		return nil, err
	}
	if len(found) == limit && tx.d.arrays && limit > 0 {
		// The cut may part a later version that got a smaller id from an earlier
		// one. What is earlier than anything taken is taken too.
		entities, versions := gaps(found)
		rest, err := list(tx, scan, earlier, entities, versions, found[len(found)-1].id)
		if err != nil {
			return nil, err
		}
		found = append(found, rest...)
	}
	orderVersions(found)
	return found, nil
}

// earlier goes down from each version given to those before, as long as they have
// no number, and gives those that are behind the cut. What is before one that has a
// number has one too. It looks at one row for each step: to look at all that has no
// number was slow in a storm, for each batch of it.
const earlier = `WITH RECURSIVE before (entity, version, id, body, seq) AS (
		SELECT p.* FROM unnest($1::text[], $2::bigint[]) AS b (entity, version), LATERAL (
			SELECT r.entity, r.version, r.id, r.body, r.seq FROM audit_records AS r
			WHERE r.entity = b.entity AND r.version < b.version ORDER BY r.version DESC LIMIT 1) AS p
		UNION
		SELECT p.* FROM before AS b, LATERAL (
			SELECT r.entity, r.version, r.id, r.body, r.seq FROM audit_records AS r
			WHERE r.entity = b.entity AND r.version < b.version ORDER BY r.version DESC LIMIT 1) AS p
		WHERE b.seq IS NULL
	)
	SELECT id, entity, version, body FROM before WHERE seq IS NULL AND id > $3 ORDER BY id`

// gaps lists the versions of a batch before which another one may be missing in it.
func gaps(rs []unsequenced) (entities []string, versions []int64) {
	type one struct {
		entity  string
		version int64
	}
	there := make(map[one]bool, len(rs))
	for _, r := range rs {
		there[one{r.entity, r.version}] = true
	}
	for _, r := range rs {
		if r.version > 1 && !there[one{r.entity, r.version - 1}] {
			entities, versions = append(entities, r.entity), append(versions, r.version)
		}
	}
	return entities, versions
}

// orderVersions lets the records of each entity trade places until their
// versions ascend.
func orderVersions(rs []unsequenced) {
	places := map[string][]int{}
	for i, r := range rs {
		places[r.entity] = append(places[r.entity], i)
	}
	for _, at := range places {
		if slices.IsSortedFunc(at, func(a, b int) int { return cmp.Compare(rs[a].version, rs[b].version) }) {
			continue
		}
		of := make([]unsequenced, len(at))
		for n, i := range at {
			of[n] = rs[i]
		}
		slices.SortFunc(of, func(a, b unsequenced) int { return cmp.Compare(a.version, b.version) })
		for n, i := range at {
			rs[i] = of[n]
		}
	}
}

// head reads the newest checkpoint.
func (tx *Tx) head() (h Head, err error) {
	h.Root = audit.Tree{}.Root()
	err = tx.each("SELECT size, root, at, note FROM audit_checkpoints ORDER BY size DESC LIMIT 1", nil, func(row row) error {
		var root []byte
		var at int64
		err := row.Scan(&h.Size, &root, &at, &h.Checkpoint)
		copy(h.Root[:], root)
		h.At = instant(at)
		return err
	})
	return h, err
}

// sameTree holds that the stored tree is the one of the last checkpoint, and
// that this signer has signed it. An older key's signature cannot be checked
// here; that the note says what the row says can.
func sameTree(h Head, tree audit.Tree, signer note.Signer, origin string) error {
	damaged := access.Fail(access.Internal, "audit-tree-damaged", "the stored audit log is not the one that was signed").
		Because(fmt.Sprintf("at size %d", h.Size)).Try("export it and verify the export; nothing more is signed")
	if tree.Root() != h.Root {
		return damaged
	}
	if h.Size == 0 {
		return nil
	}
	again, err := audit.SignCheckpoint(tree.Checkpoint(origin), signer)
	if err != nil {
		return err
	}
	text, signature := splitNote(string(h.Checkpoint))
	ourText, ours := splitNote(string(again))
	sameKey := len(signature) >= 5 && len(ours) >= 5 && signature[:5] == ours[:5] // 4 bytes name the key; 5 characters fall within them
	if text != ourText || sameKey && signature != ours {
		return damaged
	}
	return nil
}

// splitNote parts a signed note into its text and the last word, which is the
// signature with the key's hash before it, in base64.
func splitNote(signed string) (text, signature string) {
	text, rest, _ := strings.Cut(signed, "\n\n")
	rest = strings.TrimSuffix(rest, "\n")
	return text, rest[strings.LastIndexByte(rest, ' ')+1:]
}

// ReadHashes makes a transaction the tree's hash storage.
func (tx *Tx) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	// There are about log₂(size) of them; a way to the database for each is long.
	q, list := "SELECT idx, hash FROM audit_hashes WHERE idx = ANY($1)", any(indexes)
	if !tx.d.arrays {
		text, err := json.Marshal(indexes)
		if err != nil {
			return nil, tx.fail(err)
		}
		q, list = "SELECT idx, hash FROM audit_hashes WHERE idx IN (SELECT value FROM json_each($1))", string(text)
	}
	stored := make(map[int64][]byte, len(indexes))
	if err := tx.each(q, []any{list}, func(row row) error {
		var idx int64
		var hash []byte
		err := row.Scan(&idx, &hash)
		stored[idx] = hash
		return err
	}); err != nil {
		return nil, err
	}
	hashes := make([]tlog.Hash, len(indexes))
	for i, idx := range indexes {
		if copy(hashes[i][:], stored[idx]) != len(hashes[i]) {
			return nil, access.Fail(access.Internal, "audit-tree-damaged", "a hash of the audit log is missing").Because(fmt.Sprintf("index %d", idx))
		}
	}
	return hashes, nil
}

// sequenceLimit is the size of a batch: few enough not to keep others waiting.
const sequenceLimit = 500

// gather is how long commits are collected before they are numbered.
const gather = 100 * time.Millisecond

// RunSequencer numbers records until the context ends: soon after they were
// committed here, and at the latest every so often those of other replicas. It
// returns nil when the context is done, and otherwise only when the log cannot
// be continued, because it was damaged or the key is not its own. Anything else,
// like a database that is away, is tried again.
func (s *Store) RunSequencer(ctx context.Context, signer note.Signer, origin string, every time.Duration) error {
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		wake := s.records.next()
		n, err := 0, error(nil)
		for {
			if _, n, err = s.Sequence(ctx, signer, origin, sequenceLimit); err != nil || n < sequenceLimit {
				break
			}
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, access.Internal) || errors.Is(err, access.Invalid) || errors.Is(err, errClosed):
			return err
		}
		again.Reset(every)
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
			continue
		case <-wake:
		}
		again.Reset(gather) // more will come with it
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
		}
	}
}
