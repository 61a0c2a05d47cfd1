package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"stint/internal/access"
	"stint/internal/connector"
)

// The claim is the comment on the role stint_claim: "installation/epoch". The
// role's name is unique in the cluster, so whichever database and login two
// installations use, only one of them makes it. Its proof, and the beat, are the
// comment on a second role: versions that know of none go on reading the first.

// claimSQL reads both comments: the claim, a newline, the proof.
const claimSQL = `SELECT coalesce(shobj_description(to_regrole('stint_claim')::oid, 'pg_authid'), '') || chr(10) ||
	coalesce(shobj_description(to_regrole('stint_claim_proof')::oid, 'pg_authid'), '')`

// held is what the target says about who holds it.
type held struct {
	text  string // the claim as it stands; empty: nobody's
	proof proof
}

// proof is the comment on the second role. It is stored on the target: fields are
// only added.
type proof struct {
	Epoch int64  `json:"epoch,omitempty"` // that it is a proof of
	Proof string `json:"proof,omitempty"`
	Of    string `json:"of,omitempty"`
	Beat  string `json:"beat,omitempty"`
	Rival string `json:"rival,omitempty"`
}

func (p proof) String() string {
	b, _ := json.Marshal(p) // strings and a number
	return string(b)
}

// readClaim reads what claimSQL gave. Anybody may have written it: what is not in
// our form is nobody's proof.
func readClaim(s string) (h held) {
	i := strings.LastIndexByte(s, '\n')
	if i < 0 {
		return held{text: s}
	}
	h.text = s[:i]
	if i+1 < len(s) && json.Unmarshal([]byte(s[i+1:]), &h.proof) != nil {
		h.proof = proof{Proof: "damaged"}
		h.proof.Epoch = h.claim().Epoch
	}
	return h
}

func claimText(c connector.Claim) string {
	return c.Installation + "/" + strconv.FormatInt(c.Epoch, 10)
}

// claim understands the text; it is zero where that is not in our form. A proof
// of another epoch is none: a version that wrote no proofs has claimed since.
func (h held) claim() connector.Claim {
	i := strings.LastIndexByte(h.text, '/')
	if i <= 0 {
		return connector.Claim{}
	}
	epoch, err := strconv.ParseInt(h.text[i+1:], 10, 64)
	if err != nil || epoch < 0 {
		return connector.Claim{}
	}
	c := connector.Claim{Installation: h.text[:i], Epoch: epoch}
	if h.proof.Epoch == epoch {
		c.Proof = h.proof.Proof
	}
	return c
}

func genuine(c connector.Claim, t connector.Target) bool {
	return c.Proof != "" && t.Genuine != nil && t.Genuine(c)
}

// checkClaim compares what the target says with what we rely on. A target that
// nobody holds is no obstacle, and an empty want is not a check. A claim of this
// installation without a proof is of a version that wrote none, unless it says to
// be later than we are.
func checkClaim(h held, t connector.Target) error {
	if h.text == "" || t.Claim.Installation == "" {
		return nil
	}
	c := h.claim()
	switch later := c.Epoch > t.Claim.Epoch; {
	case c.Installation != t.Claim.Installation:
		return claimConflict(h.text)
	case !later && (c.Proof == "" || genuine(c, t)):
		return nil
	case later && genuine(c, t):
		return claimConflict(h.text)
	}
	return claimForged(h.text)
}

// unclaimed gives the subjects whose end no claim stops, and refuses the others.
//
// What the catalogue itself shows to be of an order ends whoever holds the target: an
// account, whose name carries the order's tag and whose oid is the recorded one; a
// group, whose membership our own login granted; an enabled account with the order's
// mark. A proof of a later life is worth planting, and a rehearsal of a restore makes
// a genuine one; whoever is that later life has ended all of these itself.
//
// An account that can log in and has no mark any more is different: the later life
// may have ended our order, and somebody enabled the account since.
func (v *scene) unclaimed(t connector.Target, ss []*subject) []*subject {
	h := readClaim(v.claim)
	if c := h.claim(); c.Installation != t.Claim.Installation || c.Epoch <= t.Claim.Epoch || !genuine(c, t) {
		return ss
	}
	free := make([]*subject, 0, len(ss))
	for _, s := range ss {
		r, _ := v.account(s)
		if s.order.Mechanism.Common() && !v.marked(s, r) {
			s.result = result(claimConflict(h.text))
			continue
		}
		free = append(free, s)
	}
	return free
}

func claimConflict(text string) error {
	return access.Fail(access.Conflict, "target-claimed", "this target belongs to another Stint or to a later life of this one").
		Because("it is held by " + strconv.Quote(text)).
		Try("stop the other one, or, when it is gone for good, let an administrator of the target run: DROP ROLE " + claimRole)
}

func claimForged(text string) error {
	return access.Fail(access.Conflict, "claim-forged", "the claim on this target names this Stint, and this Stint did not write it").
		Because("it says " + strconv.Quote(text) + " without the proof; access still ends there, and nothing new is made").
		Try("find out who on the target wrote it, then let an administrator there run: DROP ROLE IF EXISTS " + claimRole + ", " + proofRole)
}

// Claim marks the target as ours. The first statement of the transaction locks
// the claim's row, so that of two who try at once the second sees the first.
func (c *Connector) Claim(ctx context.Context, t connector.Target, want connector.Claim) error {
	if want.Installation == "" || want.Epoch < 0 {
		return access.Fail(access.Invalid, "bad-claim", "a claim has an installation and an epoch")
	}
	t.Claim = want
	err := c.pools.again(ctx, t, ending, func(conn *pgx.Conn) error { return claim(ctx, conn, t) })
	if err == nil || access.KindOf(err) == access.Conflict {
		return err
	}
	return claimFailure(err)
}

func claimFailure(err error) error {
	f := failure(err)
	return access.Fail(access.Unavailable, "claim-failed", "the target could not be claimed").Because(f.Message).Try(f.Next).Wrap(f)
}

func claim(ctx context.Context, conn *pgx.Conn, t connector.Target) error {
	h, err := seeClaim(ctx, conn)
	if err != nil {
		return err
	}
	if h.claim() == t.Claim && checkClaim(h, t) == nil {
		return nil
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := holdRole(ctx, tx, claimRole, h.text != ""); err != nil {
			return err
		}
		h, err := seeClaim(ctx, tx)
		if err != nil {
			return err
		}
		if err := checkClaim(h, t); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "COMMENT ON ROLE "+claimRole+" IS "+literal(claimText(t.Claim))); err != nil || t.Claim.Proof == "" {
			return err
		}
		if err := holdRole(ctx, tx, proofRole, false); err != nil {
			return err
		}
		p := proof{Epoch: t.Claim.Epoch, Proof: t.Claim.Proof, Of: h.proof.Of, Beat: h.proof.Beat, Rival: h.proof.Rival}
		if h.claim().Epoch < t.Claim.Epoch { // a new life begins with a beat of its own
			p.Beat, p.Rival = "", ""
		}
		_, err = tx.Exec(ctx, "COMMENT ON ROLE "+proofRole+" IS "+literal(p.String()))
		return err
	})
}

func seeClaim(ctx context.Context, q interface {
	QueryRow(context.Context, string, ...any) pgx.Row
}) (held, error) {
	var text string
	err := q.QueryRow(ctx, claimSQL).Scan(&text)
	return readClaim(text), err
}

// ReadBeat reads the beat that stands beside the claim.
func (c *Connector) ReadBeat(ctx context.Context, t connector.Target) (b connector.Beat, err error) {
	err = c.pools.again(ctx, t, reading, func(conn *pgx.Conn) error {
		h, err := seeClaim(ctx, conn)
		b = h.beat()
		return err
	})
	if err != nil {
		return b, claimFailure(err)
	}
	return b, nil
}

func (h held) beat() connector.Beat {
	return connector.Beat{Of: h.proof.Of, Last: h.proof.Beat, Rival: h.proof.Rival}
}

// SwapBeat replaces the beat that stands beside our claim. It takes no connection
// from what ends access.
func (c *Connector) SwapBeat(ctx context.Context, t connector.Target, old, next connector.Beat) (done bool, err error) {
	err = c.pools.again(ctx, t, reading, func(conn *pgx.Conn) error {
		done = false
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if err := holdRole(ctx, tx, proofRole, true); err != nil {
				return err
			}
			h, err := seeClaim(ctx, tx)
			if err != nil || h.claim() != t.Claim || h.beat() != old {
				return err
			}
			h.proof.Of, h.proof.Beat, h.proof.Rival = next.Of, next.Last, next.Rival
			done = true
			_, err = tx.Exec(ctx, "COMMENT ON ROLE "+proofRole+" IS "+literal(h.proof.String()))
			return err
		})
	})
	if err != nil {
		return false, claimFailure(err)
	}
	return done, nil
}

// holdRole locks the row of a role of ours until the transaction ends, so that
// of two who write its comment the second sees the first's. Without a role that
// is known to be there, it makes it.
//
// Whoever may change roles can lock it and stay: the wait is short, so that it keeps
// no connection from ends.
func holdRole(ctx context.Context, tx pgx.Tx, name string, known bool) error {
	if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '1s'"); err != nil {
		return err
	}
	lock := "ALTER ROLE " + name + " NOLOGIN"
	if !known {
		lock = fmt.Sprintf(`DO $$ BEGIN CREATE ROLE %[1]s NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN ALTER ROLE %[1]s NOLOGIN; END $$`, name)
	}
	_, err := tx.Exec(ctx, lock)
	return err
}
