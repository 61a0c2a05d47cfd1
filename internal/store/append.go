package store

import (
	"strings"

	"stint/internal/access"
	"stint/internal/audit"
)

var recordTable = table{
	name: "audit_records", noun: "audit record", keys: 1, once: true,
	columns: []column{{"id", text}, {"type", text}, {"entity", text}, {"version", integer}, {"at", integer}, {"person", text},
		{"actor", text}, {"resource", text}, {"body", binary}},
}.build()

var recordTargetTable = table{
	name: "audit_targets", noun: "audit record", keys: 3,
	columns: []column{{"resource", text}, {"entity", text}, {"version", integer}},
}.build()

// Append writes events to the audit log, in the same transaction, without a
// number yet. A second record for one version of an entity is access.Conflict.
func (tx *Tx) Append(evs ...access.Event) error {
	rows := make([]write, 0, len(evs))
	var targets []write
	for _, ev := range evs {
		id, err := tx.ids.next(tx.now.UnixMilli())
		if err != nil {
			return tx.fail(access.Fail(access.Internal, "no-id", "no identifier could be made").Wrap(err))
		}
		id = "rec_" + id
		body, err := audit.Encode(audit.Record{ID: id, Event: ev})
		if err != nil {
			return tx.fail(err)
		}
		subject, actor := ev.Facts["person"], string(ev.Actor.Person)
		if subject == "" {
			subject = actor
		}
		if subject == actor {
			actor = ""
		}
		rows = append(rows, write{id, string(ev.Type), ev.Entity, ev.Version, ev.At.UnixMilli(), subject, actor, ev.Facts["resource"], body})
		if names := ev.Facts["resource"]; strings.Contains(names, ",") {
			for name := range strings.SplitSeq(names, ",") {
				targets = append(targets, write{name, ev.Entity, ev.Version})
			}
		}
	}
	if err := tx.save(recordTable, rows); err != nil {
		return err
	}
	if err := tx.save(recordTargetTable, targets); err != nil {
		return err
	}
	tx.records += len(rows)
	return nil
}
