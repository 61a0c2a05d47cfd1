package trial

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"stint/internal/api"
)

// journal is what the audit log says, read from its export.
type journal struct {
	entities map[string]map[string]int // entity -> type -> how often
	// accounts are the entitlements that were made for a grant alone, by the tag
	// that ends the account's name.
	accounts map[string]made
	perGrant map[string]int // grant -> how many of them
	ending   map[string]time.Time
	// merged is when a revocation of the grant without the store came into the log.
	// On the target it was done before.
	merged map[string]time.Time
}

type made struct{ entitlement, grant string }

// record is what is read of a record.
type record struct {
	Record struct {
		Type   string            `json:"type"`
		At     time.Time         `json:"at"`
		Entity string            `json:"entity"`
		Facts  map[string]string `json:"facts"`
	} `json:"record"`
}

// readLog verifies the log in both ways that there are, and reads it. What does
// not verify is a violation, not an error.
func (w *World) readLog(ctx context.Context) (j *journal, violations []string, err error) {
	j = &journal{entities: map[string]map[string]int{}, accounts: map[string]made{}, perGrant: map[string]int{}, ending: map[string]time.Time{}, merged: map[string]time.Time{}}
	const export, key = "log.jsonl", "log.pub"
	root := w.Stage.As("root")
	if r := root.Run(ctx, "audit", "verify"); r.Failed() != nil {
		violations = append(violations, "the log does not verify: "+r.Failed().Error())
	}
	if r := root.Run(ctx, "audit", "export", "--out", export); r.Failed() != nil {
		return j, violations, r.Failed()
	}
	if err := os.WriteFile(filepath.Join(w.Stage.Dir, key), []byte(w.logKey), 0o600); err != nil {
		return j, violations, err
	}
	if r := root.Run(ctx, "audit", "verify", "--export", export, "--key", key); r.Failed() != nil {
		violations = append(violations, "the export does not verify: "+r.Failed().Error())
	}
	f, err := os.Open(filepath.Join(w.Stage.Dir, export))
	if err != nil {
		return j, violations, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 2<<20)
	for lines.Scan() {
		var r record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return j, violations, fmt.Errorf("read the export: %w", err)
		}
		j.note(r)
	}
	return j, violations, lines.Err()
}

func (j *journal) note(r record) {
	e := r.Record
	if e.Entity == "" {
		return // the header, or a checkpoint
	}
	if j.entities[e.Entity] == nil {
		j.entities[e.Entity] = map[string]int{}
	}
	j.entities[e.Entity][e.Type]++
	switch {
	case e.Type == "entitlement.intended" && e.Facts["mechanism"] == "account":
		j.accounts[e.Facts["tag"]] = made{e.Entity, e.Facts["grant"]}
		j.perGrant[e.Facts["grant"]]++
	case e.Type == "grant.ending":
		j.ending[e.Entity] = e.At
	case e.Type == "access.revoked" && e.Facts["journal"] != "":
		for grant := range strings.SplitSeq(e.Facts["grants"], ",") {
			j.merged[grant] = e.At
		}
	}
}

// has reports whether the log has a record of the type about the entity.
func (j *journal) has(entity, kind string) bool { return j.entities[entity][kind] > 0 }

// missing says what was acknowledged and is not in the log, or is there twice.
func (j *journal) missing(l *ledger, now map[string]api.Request) (faults []string) {
	wrong := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	for id, r := range now {
		if !j.has(id, "request.submitted") {
			wrong("the log has no record of the submission of %s", id)
		}
		// What policy alone decided was decided in the submission.
		if len(r.Votes) > 0 && r.State != api.RequestPending && !j.has(id, "request."+string(r.State)) {
			wrong("%s is %s, and the log does not say so", id, r.State)
		}
		g := r.Grant
		if g == nil {
			continue
		}
		for what, is := range map[string]bool{"grant.created": true, "grant.active": !g.ActiveAt.IsZero(), "grant.ended": !g.VerifiedGoneAt.IsZero()} {
			if is && !j.has(g.ID, what) {
				wrong("the log has no record %s of %s", what, g.ID)
			}
		}
		for _, once := range []string{"grant.created", "grant.active", "grant.ending", "grant.ended"} {
			if n := j.entities[g.ID][once]; n > 1 {
				wrong("the log has %d records %s of %s", n, once, g.ID)
			}
		}
	}
	for grant, n := range l.shown {
		if got := j.entities[grant]["credential.shown"]; got < n {
			wrong("%d credentials of %s arrived, and the log has %d showings", n, grant, got)
		}
	}
	return faults
}
