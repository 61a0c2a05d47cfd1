package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"github.com/jackc/pgx/v5"

	"stint/internal/access"
	"stint/internal/connector"
)

// fingerprint is what carries power in a cluster, beside the roles that Stint
// makes. It is stored: fields are only added.
type fingerprint struct {
	Major int                  `json:"major"`
	Roles map[string]foundRank `json:"roles"` // but accounts and marks of ours
	// Owners are those of the databases; whoever is one is pg_database_owner there.
	Owners map[string]string `json:"owners"`
	Lines  []line            `json:"lines"` // sorted by database, kind, key
	Gaps   []gap             `json:"gaps,omitempty"`
}

// foundRank is what a role is by itself.
type foundRank struct {
	Powers []string `json:"powers,omitempty"` // superuser, createrole, replication
	In     []string `json:"in,omitempty"`     // the roles that it is a direct member of
}

// line is one thing that carries power. Two with the same database, kind and key
// are the same; whatever makes a difference is part of the key.
type line struct {
	Database string `json:"db,omitempty"` // empty for what the cluster has in common
	Kind     string `json:"kind"`
	Key      string `json:"key"`
	What     string `json:"what"`
	// By are the roles that can have made it; "*" is anybody, and power names
	// (superuser, createrole, replication) everybody who has the power.
	By   []string `json:"by,omitempty"`
	Undo string   `json:"undo,omitempty"`
	// Lost is said when the line is not there any more; empty where that takes no
	// protection away.
	Lost string `json:"lost,omitempty"`
	// Object and Owner let a new owner be told from a new object.
	Object string `json:"object,omitempty"`

	by []uint32 // roles, before their names are known
}

func (l line) id() [3]string { return [3]string{l.Database, l.Kind, l.Key} }

// gap is something that could not be read, and who may have been at work there.
type gap struct {
	What string   `json:"what"`
	By   []string `json:"by"`
}

const (
	anybody     = "*"
	superuser   = "superuser"
	createrole  = "createrole"
	replication = "replication"
)

// maxLines and maxBytes bound a fingerprint: what is larger is not compared at all.
// Whoever has an account on the target writes what is read, and must not be able to
// fill the memory of what is to end it.
const (
	maxLines = 200_000
	maxBytes = 64 << 20
)

var _ connector.Examiner = (*Connector)(nil)

// Fingerprint reads every database of the cluster, one after the other.
func (c *Connector) Fingerprint(ctx context.Context, t connector.Target) ([]byte, error) {
	f := fingerprint{Roles: map[string]foundRank{}, Owners: map[string]string{}}
	r := reader{f: &f, names: map[uint32]string{}}
	var dbs []foundDatabase
	err := c.pools.again(ctx, t, reading, func(conn *pgx.Conn) (err error) {
		f.Lines, r.count, r.bytes = nil, 0, 0 // it may run again
		f.Major = major(conn)
		dbs, err = r.cluster(ctx, conn)
		return err
	})
	if err != nil {
		return nil, failure(err)
	}
	for _, d := range dbs {
		if d.closed {
			continue // nobody gets in, and who opens it needs to be its owner: that is a line
		}
		err := c.inDatabase(ctx, t, d.name, func(conn *pgx.Conn) error { return r.database(ctx, conn, d.name) })
		switch {
		case err == nil:
		case shutOut(err) || hasCode(err, codeNoPrivilege):
			r.gapped("database "+d.name+" cannot be read by the connector's login", d.may)
		default:
			return nil, failure(err)
		}
		if err := r.tooMuch(); err != nil {
			return nil, err
		}
	}
	if err := c.pools.again(ctx, t, reading, func(conn *pgx.Conn) error { return r.name(ctx, conn) }); err != nil {
		return nil, failure(err)
	}
	slices.SortFunc(f.Lines, func(a, b line) int {
		return cmp.Or(cmp.Compare(a.Database, b.Database), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Key, b.Key))
	})
	f.Lines = slices.CompactFunc(f.Lines, func(a, b line) bool { return a.id() == b.id() })
	return json.Marshal(f)
}

// Residue compares two fingerprints.
func (*Connector) Residue(before, after []byte, os []connector.Order) ([]connector.Residue, error) {
	var b, a fingerprint
	if err := json.Unmarshal(before, &b); err != nil {
		return nil, access.Fail(access.Internal, "bad-fingerprint", "the fingerprint from before cannot be read").Wrap(err)
	}
	if err := json.Unmarshal(after, &a); err != nil {
		return nil, access.Fail(access.Internal, "bad-fingerprint", "the fingerprint from after cannot be read").Wrap(err)
	}
	d := compare(b, a)
	rs := make([]connector.Residue, len(os))
	for i, o := range os {
		rs[i] = d.residue(o)
	}
	return rs, nil
}

// difference is what changed between two fingerprints, whoever did it.
type difference struct {
	before, after fingerprint
	made          []line               // there now, and not before
	lost          []line               // the other way round, where that matters
	was           map[[3]string][]line // before, by object: what is made may be a change
}

// about names the object that a line is about.
func (l line) about() [3]string { return [3]string{l.Database, l.Kind, l.Object} }

func compare(before, after fingerprint) difference {
	d := difference{before: before, after: after, was: map[[3]string][]line{}}
	was, is, changed := map[[3]string]bool{}, map[[3]string]bool{}, map[[3]string]bool{}
	for _, l := range before.Lines {
		was[l.id()] = true
		if l.Object != "" {
			d.was[l.about()] = append(d.was[l.about()], l)
		}
	}
	for _, l := range after.Lines {
		is[l.id()] = true
		if !was[l.id()] {
			d.made = append(d.made, l)
			changed[l.about()] = l.Object != ""
		}
	}
	for _, l := range before.Lines {
		if l.Lost != "" && !is[l.id()] && !changed[l.about()] {
			d.lost = append(d.lost, l)
		}
	}
	return d
}

// trace tells of a line that was made: of a new thing, or of one that was there
// before and is not as it was.
func (d difference) trace(l line, by string) access.Trace {
	t := access.Trace{Kind: l.Kind, Database: l.Database, What: l.What, By: by, Undo: l.Undo}
	if old := d.was[l.about()]; l.Object != "" && len(old) > 0 {
		t.What += ", which was changed"
		switch {
		case l.Kind == kindOwner && len(old[0].By) > 0:
			t.Undo = "ALTER " + l.Object + " OWNER TO " + ident(old[0].By[0])
		case old[0].Lost != "":
			t.Undo = old[0].Lost
		default:
			t.Undo = "put it back as it was"
		}
	}
	return t
}

// residue says what of the difference one order can have made.
func (d difference) residue(o connector.Order) connector.Residue {
	self := map[string]bool{o.Account: true, quarantinePrefix + string(o.Tag): true}
	if o.Creation != "" {
		self[unnamed(o.Creation)] = true
	}
	all, powers := d.reach(o)
	can := func(l line) (string, bool) {
		for _, by := range l.By {
			switch {
			case by == anybody || powers[by] || powers[superuser]:
				return "", true
			case all[by] || by == "pg_database_owner" && (all[d.before.Owners[l.Database]] || all[d.after.Owners[l.Database]]):
				return by, true
			}
		}
		return "", powers[superuser]
	}
	var r connector.Residue
	for _, l := range d.made {
		by, ok := can(l)
		// A thing of a lent group carries no more power than the group has; it is
		// the account's own, and what changed hands, that is left behind.
		if ok && (l.Kind != kindOwner || self[by] || len(d.was[l.about()]) > 0) && !(l.Kind == kindRole && l.Object == o.Account) {
			r.Traces = append(r.Traces, d.trace(l, by))
		}
	}
	for _, l := range d.lost {
		if by, ok := can(l); ok {
			r.Traces = append(r.Traces, access.Trace{Kind: l.Kind, Database: l.Database, What: l.What + ", which is gone", By: by, Undo: l.Lost})
		}
	}
	r.State, r.Note = access.ResidueNone, d.unknowable(all, powers)
	switch {
	case r.Note != "" && (len(r.Traces) == 0 || d.boundless(all, powers) != ""):
		r.State = access.ResidueUnknowable
	case len(r.Traces) > 0:
		r.State = access.ResidueFound
	}
	return r
}

// reach are the roles that the order's account could act as, and the powers it
// could use, at any time between the two fingerprints.
func (d difference) reach(o connector.Order) (roles, powers map[string]bool) {
	roles, powers = map[string]bool{}, map[string]bool{}
	todo := append([]string{o.Account, quarantinePrefix + string(o.Tag)}, o.Rights...)
	if o.Creation != "" {
		todo = append(todo, unnamed(o.Creation))
	}
	for len(todo) > 0 {
		name := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if name == "" || roles[name] {
			continue
		}
		roles[name] = true
		for _, f := range []fingerprint{d.before, d.after} {
			todo = append(todo, f.Roles[name].In...)
			for _, p := range f.Roles[name].Powers {
				powers[p] = true
			}
		}
	}
	return roles, powers
}

// boundless says why nothing that is read in the catalogue can be the whole answer.
func (d difference) boundless(roles, powers map[string]bool) string {
	switch {
	case powers[superuser]:
		return "the account could act as a superuser, who can change everything unseen"
	case powers[createrole] && d.after.Major < 16:
		return "the account could act as a role with CREATEROLE, which sets passwords of others unseen"
	case roles["pg_execute_server_program"] || roles["pg_write_server_files"]:
		return "the account could run programs or write files on the server"
	}
	return ""
}

// unknowable says why the answer is not the whole one; empty when it is.
func (d difference) unknowable(roles, powers map[string]bool) string {
	if why := d.boundless(roles, powers); why != "" {
		return why
	}
	for _, f := range []fingerprint{d.before, d.after} {
		for _, g := range f.Gaps {
			for _, by := range g.By {
				if by == anybody || roles[by] {
					return g.What
				}
			}
		}
	}
	return ""
}

// unnamed stands for a role that has no name any more.
func unnamed(oid string) string { return "oid:" + oid }
