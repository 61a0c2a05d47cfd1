package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"stint/internal/access"
	"stint/internal/keys"
	"stint/internal/store"
	"stint/test/stage"
)

// filler makes live grants without asking stintd for each, which would take
// minutes: it repeats what the core and the store do for a request, with the
// core and the store themselves, and creates the accounts on the target. stintd
// does not run meanwhile.
type filler struct {
	store        *store.Store
	tagger       *keys.Tagger
	installation string
	target       *pgx.Conn
	like         []example
}

// example is a grant that was asked for in the ordinary way; others are made
// like it.
type example struct {
	request access.Request
	sealed  []byte
}

// fillBatch is how many grants share a transaction.
const fillBatch = 500

// fill adds n live grants like those that the requests led to.
func (s *scene) fill(ctx context.Context, requests []string, n int) (err error) {
	f, err := s.filler(ctx, requests)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.target.Close(context.Background()), f.store.Close()) }()
	for n > 0 && ctx.Err() == nil {
		some := min(n, fillBatch)
		if err := f.some(ctx, some); err != nil {
			return err
		}
		n -= some
	}
	return ctx.Err()
}

func (s *scene) filler(ctx context.Context, requests []string) (f *filler, err error) {
	where := store.Config{Path: filepath.Join(s.DataDir(), "stint.db")}
	if s.Memory != nil {
		where = store.Config{URL: s.Memory.SuperuserDSN("stint")}
	}
	f = &filler{}
	if f.store, err = store.Open(ctx, where); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.store.Close())
		}
	}()
	vault, err := keys.Open(s.DataDir() + ".key")
	if err != nil {
		return nil, err
	}
	err = f.store.View(ctx, func(tx *store.Tx) error {
		name, err := tx.Setting("installation")
		if err != nil {
			return err
		}
		f.installation = string(name)
		sealed, err := tx.Setting("keys/tags")
		if err != nil {
			return err
		}
		if f.tagger, err = vault.Tagger(sealed); err != nil {
			return err
		}
		for _, id := range requests {
			r, err := tx.Request(access.RequestID(id))
			if err != nil {
				return err
			}
			ss, err := tx.Sealed(r.Grant)
			if err != nil || len(ss) != 1 {
				return fmt.Errorf("%s has %d credentials: %w", id, len(ss), err)
			}
			f.like = append(f.like, example{r, ss[0].Blob})
		}
		return nil
	})
	if err == nil {
		f.target, err = pgx.Connect(ctx, s.Target.SuperuserDSN(stage.Database))
	}
	return f, err
}

// one is a grant on its way.
type one struct {
	example
	request     access.Request
	grant       access.Grant
	entitlement access.Entitlement
	hold        access.Hold
	events      []access.Event
}

func (f *filler) some(ctx context.Context, n int) error {
	var all []one
	err := f.store.Update(ctx, func(tx *store.Tx) error {
		all = all[:0]
		for i := range n {
			x, err := f.begin(tx, f.like[i%len(f.like)])
			if err != nil {
				return err
			}
			all = append(all, x)
		}
		return save(tx, all)
	})
	if err != nil {
		return err
	}
	oids, err := f.create(ctx, all)
	if err != nil {
		return err
	}
	return f.store.Update(ctx, func(tx *store.Tx) error {
		var sealed []access.Sealed
		for i := range all {
			x := &all[i]
			var ev access.Event
			var err error
			name := account(x.entitlement)
			if x.entitlement, ev, err = x.entitlement.Confirm(1, name, oids[name], tx.Now()); err != nil {
				return err
			}
			x.events = []access.Event{ev}
			if x.grant, ev, err = x.grant.Activate(tx.Now()); err != nil {
				return err
			}
			x.events = append(x.events, ev)
			sealed = append(sealed, access.Sealed{Grant: x.grant.ID, Entitlement: x.entitlement.ID, Resource: resource, Rev: 1, Blob: x.sealed, At: tx.Now()})
		}
		return errors.Join(save(tx, all), tx.SaveSealed(sealed...))
	})
}

// begin is what the broker does when policy allows a request at once.
func (f *filler) begin(tx *store.Tx, like example) (x one, err error) {
	ms := tx.Now().UnixMilli()
	draft := like.request
	draft.ID, draft.Grant = access.NewRequestID(ms, entropy()), ""
	_, _ = rand.Read(draft.Nonce[:]) // never fails
	actor := access.Actor{Principal: draft.Principal, Person: draft.Person, Device: draft.Device, Address: draft.Source.IP}
	x.example = like
	var asked, made access.Event
	if x.request, asked, err = access.Submit(draft, actor, draft.Decision, tx.Now()); err != nil {
		return x, err
	}
	if x.request, x.grant, made, err = x.request.NewGrant(access.NewGrantID(ms, entropy()), tx.Now()); err != nil {
		return x, err
	}
	planned := x.grant.Plan()
	id := access.NewEntitlementID(ms, entropy())
	tag := access.Tag(f.tagger.Tag(f.installation, string(planned[0].Target.Connection.Place()), 1, string(id)))
	var intended access.Event
	x.entitlement, x.hold, intended = planned[0].Intend(id, tag, 1, x.grant, tx.Now())
	x.events = []access.Event{asked, made, intended}
	return x, nil
}

func save(tx *store.Tx, all []one) error {
	var rs []access.Request
	var gs []access.Grant
	var es []access.Entitlement
	var hs []access.Hold
	var evs []access.Event
	for _, x := range all {
		gs, es, evs = append(gs, x.grant), append(es, x.entitlement), append(evs, x.events...)
		if x.grant.State == access.Provisioning {
			rs, hs = append(rs, x.request), append(hs, x.hold)
		}
	}
	if err := tx.SaveRequests(rs...); err != nil {
		return err
	}
	if err := tx.SaveGrants(gs...); err != nil {
		return err
	}
	if err := tx.SaveEntitlements(es...); err != nil {
		return err
	}
	if err := tx.SaveHolds(hs...); err != nil {
		return err
	}
	return tx.Append(evs...)
}

// create makes the accounts on the target, and gives the identity of each. They
// have no password: nobody logs in.
func (f *filler) create(ctx context.Context, all []one) (map[string]string, error) {
	var sql strings.Builder
	names := make([]string, len(all))
	for i, x := range all {
		names[i] = account(x.entitlement)
		fmt.Fprintf(&sql, `CREATE ROLE "%s" LOGIN CONNECTION LIMIT 10 VALID UNTIL '%s' IN ROLE orders_read;`, names[i], x.entitlement.ExpiresAt.Format("2006-01-02 15:04:05Z07:00"))
	}
	if _, err := f.target.PgConn().Exec(ctx, sql.String()).ReadAll(); err != nil {
		return nil, err
	}
	rows, err := f.target.Query(ctx, `SELECT rolname::text, oid::text FROM pg_authid WHERE rolname = ANY($1)`, names)
	if err != nil {
		return nil, err
	}
	oids := map[string]string{}
	var name, oid string
	_, err = pgx.ForEachRow(rows, []any{&name, &oid}, func() error { oids[name] = oid; return nil })
	return oids, err
}

// account is the name that the connector gives an account.
func account(e access.Entitlement) string { return "stint_" + string(e.Person) + "_" + string(e.Tag) }

func entropy() (e access.Entropy) {
	_, _ = rand.Read(e[:]) // never fails
	return e
}
