//go:build unix

package store_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/store"
)

// TestRules tries by raw SQL what a buggy program might do. Each statement is
// legal but for the rule it breaks.
func TestRules(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		s := opened(t, d)
		var pending, denied, voted access.Request
		var sched bundle
		update(t, s, func(tx *store.Tx) (err error) {
			two := approve
			two.Approvals = []access.Requirement{{From: []access.Subject{"group:dba"}, Count: 2}}
			if pending, err = submit(tx, two); err != nil {
				return err
			}
			if denied, err = submit(tx, access.Decision{}); err != nil {
				return err
			}
			if voted, err = submit(tx, two); err != nil {
				return err
			}
			r, ev, err := voted.Vote(dba, asker, access.Vote{Approve: true, Seen: voted.Digest}, tx.Now())
			if err != nil {
				return err
			}
			voted = r
			b, evs, err := newBundle(tx.Now(), func(r *access.Request) { r.Start = tx.Now().Add(time.Hour) })
			sched = b
			sched.Entitlements, sched.Holds = nil, nil
			return errors.Join(err, tx.SaveRequests(r), tx.Append(ev), saveBundle(tx, "", []bundle{sched}, evs[:2]),
				tx.SaveDocuments(1, []byte("one")), tx.SavePrincipals(dba))
		})
		live, ended, fresh := active(t, s), active(t, s), grant(t, s, "w")
		update(t, s, func(tx *store.Tx) (err error) { ended, err = end(tx, ended, access.ByPerson); return err })
		update(t, s, func(tx *store.Tx) (err error) { ended, err = vanish(tx, ended); return err })
		update(t, s, func(tx *store.Tx) error {
			g, ev, err := ended.Grant.Finish(tx.Now())
			return errors.Join(err, tx.SaveGrants(g), tx.Append(ev))
		})
		key := newLogKey(t)
		key.sequence(t, s)
		update(t, s, func(tx *store.Tx) error { _, err := submit(tx, approve); return err }) // a record without a number

		r, g, e := string(pending.ID), string(live.Grant.ID), string(live.Entitlements[0].ID)
		over, gone, young := string(ended.Grant.ID), string(ended.Entitlements[0].ID), string(fresh.Entitlements[0].ID)
		for _, c := range []struct{ name, q string }{
			{"approve without the approvals", "UPDATE requests SET state = 'approved', version = version + 1 WHERE id = '" + r + "'"},
			{"approve with too few", "UPDATE requests SET state = 'approved', version = version + 1 WHERE id = '" + string(voted.ID) + "'"},
			{"lower what is needed", "UPDATE requests SET needed = 0 WHERE id = '" + r + "'"},
			{"longer after it was asked", "UPDATE requests SET duration = duration + 1 WHERE id = '" + r + "'"},
			{"another digest", "UPDATE requests SET digest = (SELECT digest FROM requests WHERE id = '" + string(denied.ID) + "') WHERE id = '" + r + "'"},
			{"another person", "UPDATE requests SET person = 'ben' WHERE id = '" + r + "'"},
			{"revive a denied request", "UPDATE requests SET state = 'pending', version = version + 1 WHERE id = '" + string(denied.ID) + "'"},
			{"approve a denied request", "UPDATE requests SET state = 'approved', version = version + 1 WHERE id = '" + string(denied.ID) + "'"},
			{"a second grant for a request", "UPDATE requests SET grant_id = 'grt_2', version = version + 1 WHERE id = '" + string(live.Request.ID) + "'"},
			{"skip a version", "UPDATE requests SET version = version + 2 WHERE id = '" + r + "'"},
			{"go back a version", "UPDATE grants SET version = version - 1 WHERE id = '" + g + "'"},
			{"unknown state", "UPDATE requests SET state = 'maybe' WHERE id = '" + r + "'"},
			{"delete a request", "DELETE FROM requests WHERE id = '" + r + "'"},
			{"one's own vote", vote("mira", "user:mira", r)},
			{"a vote after the decision", vote("ben", "user:ben", string(denied.ID))},
			{"a vote on something else", strings.Replace(vote("ben", "user:ben", r), "r.digest", "(SELECT digest FROM requests WHERE id = '"+string(denied.ID)+"')", 1)},
			{"a longer vote", strings.Replace(vote("ben", "user:ben", r), "r.duration", "r.duration + 1", 1)},
			{"vote twice", strings.Replace(vote("olga", "user:olga", string(voted.ID)), ", 0,", ", 1,", 1)},
			{"change a vote", "UPDATE votes SET approve = NOT approve"},
			{"delete a vote", "DELETE FROM votes"},

			{"end without an end", "UPDATE grants SET expires_at = NULL WHERE id = '" + g + "'"},
			{"end before the beginning", "UPDATE grants SET expires_at = created_at WHERE id = '" + g + "'"},
			{"a later end", "UPDATE grants SET expires_at = expires_at + 1000 WHERE id = '" + g + "'"},
			{"a later end with a longer duration", "UPDATE grants SET expires_at = expires_at + 1000, duration = duration + 1000000000 WHERE id = '" + g + "'"},
			{"endless", "UPDATE grants SET expires_at = 9000000000000000 WHERE id = '" + g + "'"},
			{"back to provisioning", "UPDATE grants SET state = 'provisioning', version = version + 1 WHERE id = '" + g + "'"},
			{"ended without ending", "UPDATE grants SET state = 'ended', due_at = NULL, version = version + 1 WHERE id = '" + g + "'"},
			{"revive an ended grant", "UPDATE grants SET state = 'active', due_at = 1, version = version + 1 WHERE id = '" + over + "'"},
			{"touch an ended grant", "UPDATE grants SET body = '{}' WHERE id = '" + over + "'"},
			{"active and never due", "UPDATE grants SET due_at = NULL WHERE id = '" + g + "'"},
			{"another holder", "UPDATE grants SET principal = 'user:ben' WHERE id = '" + g + "'"},
			{"delete a grant", "DELETE FROM grants WHERE id = '" + over + "'"},
			{"a grant of a request that is pending", copyGrant(string(sched.Grant.ID), "request_id", "'"+r+"'")},
			{"a grant that begins active", copyGrant(string(sched.Grant.ID), "state", "'active'")},

			{"gone without removing", "UPDATE entitlements SET state = 'gone', due_at = NULL, version = version + 1 WHERE id = '" + e + "'"},
			{"back from removal", "UPDATE entitlements SET state = 'present', due_at = NULL, version = version + 1 WHERE id = '" + gone + "'"},
			{"wanted and never due", "UPDATE entitlements SET due_at = NULL WHERE id = '" + young + "'"},
			{"another key", "UPDATE entitlements SET key = 'account:other' WHERE id = '" + e + "'"},
			{"another place", "UPDATE entitlements SET place = 'postgres://db2:5432' WHERE id = '" + e + "'"},
			{"never expiring", "UPDATE entitlements SET expires_at = NULL WHERE id = '" + e + "'"},
			{"a second live one of a key", "INSERT INTO entitlements (id, version, state, place, key, removing, resource, created_at, expires_at, next_at, due_at, body) " +
				"SELECT 'ent_x', 1, 'intended', place, key, removing, resource, created_at, expires_at, 1, 1, body FROM entitlements WHERE id = '" + e + "'"},
			{"delete an entitlement", "DELETE FROM entitlements WHERE id = '" + gone + "'"},
			{"take a release back", "UPDATE holds SET released_at = NULL, settled = FALSE WHERE grant_id = '" + over + "'"},
			{"settled and not released", "UPDATE holds SET settled = TRUE WHERE grant_id = '" + g + "'"},
			{"a hold of nobody", "INSERT INTO holds (grant_id, entitlement_id, needs, settles, settled) VALUES ('grt_none', '" + e + "', 1, 0, FALSE)"},
			{"delete a hold", "DELETE FROM holds WHERE grant_id = '" + over + "'"},

			{"change the documents", "UPDATE documents SET body = (SELECT digest FROM requests LIMIT 1)"},
			{"delete the documents", "DELETE FROM documents"},
			{"principal without a person", "UPDATE principals SET person = ''"},

			{"change a record", "UPDATE audit_records SET body = (SELECT digest FROM requests LIMIT 1) WHERE seq = 0"},
			{"change a record that waits", "UPDATE audit_records SET entity = 'x' WHERE seq IS NULL"},
			{"number a record again", "UPDATE audit_records SET seq = 100 WHERE seq = 0"},
			{"take a number away", "UPDATE audit_records SET seq = NULL WHERE seq = 0"},
			{"a number twice", "UPDATE audit_records SET seq = 0 WHERE seq IS NULL"},
			{"change while numbering", "UPDATE audit_records SET seq = 100, person = 'x' WHERE seq IS NULL"},
			{"insert a numbered record", "INSERT INTO audit_records (id, type, entity, version, at, person, actor, resource, body, seq) " +
				"SELECT 'rec_x', type, 'x', 1, at, person, actor, resource, body, 100 FROM audit_records WHERE seq = 0"},
			{"a version twice", "INSERT INTO audit_records (id, type, entity, version, at, person, actor, resource, body) " +
				"SELECT 'rec_x', type, entity, version, at, person, actor, resource, body FROM audit_records WHERE seq = 0"},
			{"delete a record", "DELETE FROM audit_records WHERE seq = 0"},
			{"delete a record that waits", "DELETE FROM audit_records WHERE seq IS NULL"},
			{"change a hash", "UPDATE audit_hashes SET hash = (SELECT root FROM audit_checkpoints LIMIT 1)"},
			{"delete a hash", "DELETE FROM audit_hashes WHERE idx = 0"},
			{"change a checkpoint", "UPDATE audit_checkpoints SET size = 1"},
			{"delete a checkpoint", "DELETE FROM audit_checkpoints"},
		} {
			err := d.raw(c.q)
			switch {
			case err == nil:
				t.Errorf("%s: was stored", c.name)
			case !refusal(err):
				t.Errorf("%s: not refused by a rule: %v", c.name, err)
			}
		}
		if d.name == "sqlite" { // there, REPLACE deletes in silence unless triggers are asked
			if err := d.raw("INSERT OR REPLACE INTO audit_records (id, type, entity, version, at, person, actor, resource, body) " +
				"SELECT 'rec_x', type, entity, version, at, person, actor, resource, body FROM audit_records WHERE seq = 0"); err == nil {
				t.Error("a record was replaced")
			}
		} else {
			for _, table := range []string{"audit_records", "audit_hashes", "audit_checkpoints", "votes", "grants, sealed, grant_targets, holds"} {
				if err := d.raw("TRUNCATE " + table); err == nil || !refusal(err) {
					t.Errorf("truncate %s: %v", table, err)
				}
			}
		}
		// All of it is still as it was.
		diff(t, read(t, s, func(tx *store.Tx) (access.Request, error) { return tx.Request(pending.ID) }), pending)
		diff(t, read(t, s, func(tx *store.Tx) (access.Request, error) { return tx.Request(voted.ID) }), voted)
		diff(t, read(t, s, func(tx *store.Tx) (access.Grant, error) { return tx.Grant(live.Grant.ID) }), live.Grant)
	})
}

// refusal reports whether a rule or a privilege refused, and not a mistake in the SQL.
func refusal(err error) bool {
	for _, s := range []string{"constraint", "rule:", "permission denied", "must be owner"} {
		if strings.Contains(err.Error(), s) {
			return true
		}
	}
	return false
}

func vote(person, by, request string) string {
	return "INSERT INTO votes (request_id, n, voter, person, approve, duration, at, request, digest, body) " +
		"SELECT r.id, 0, '" + by + "', '" + person + "', TRUE, r.duration, 1, r.digest, r.digest, '{}' FROM requests r WHERE r.id = '" + request + "'"
}

func copyGrant(id, column, value string) string {
	columns := []string{"version", "state", "request_id", "principal", "person", "resource", "role", "duration", "conditional", "watched", "created_at", "setup_by", "expires_at", "due_at", "body"}
	values := append([]string(nil), columns...)
	for i := range values {
		if values[i] == column {
			values[i] = value
		}
	}
	return "INSERT INTO grants (id, " + strings.Join(columns, ", ") + ") SELECT 'grt_x', " + strings.Join(values, ", ") + " FROM grants WHERE id = '" + id + "'"
}
