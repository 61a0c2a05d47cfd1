package provision

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"slices"
	"strings"

	"stint/internal/access"
	"stint/internal/ident"
	"stint/internal/scim"
)

// Store is the memory that provisioning needs: one serializable transaction, whose
// function may run more than once.
type Store interface {
	Update(ctx context.Context, fn func(Tx) error) error
	View(ctx context.Context, fn func(Tx) error) error
}

// Tx is one transaction: ident's, and what services provisioned.
type Tx interface {
	ident.Tx
	SignalTx

	// Provisioned lists by id; CountProvisioned counts without offset and limit.
	Provisioned(q access.ProvisionedQuery) ([]access.Provisioned, error)
	CountProvisioned(q access.ProvisionedQuery) (int, error)
	// SaveProvisioned inserts at version 1, else replaces exactly the version before.
	SaveProvisioned(p access.Provisioned) error
	// DropProvisioned forgets one of this version, and its memberships.
	DropProvisioned(p access.Provisioned) error
	Members(provider, group string) ([]string, error)
	GroupsOf(provider, member string) ([]access.Provisioned, error)
	SetMember(provider, group, member string, in bool) error

	Setting(name string) ([]byte, error)
	SaveSetting(name string, value []byte) error
}

// Ender ends access. It is the broker.
type Ender interface {
	// Leave disables a user and ends all that it holds; nothing if it is disabled.
	Leave(ctx context.Context, actor access.Actor, id access.PrincipalID, provider, why string) error
	// Reconsider has what is held decided again, at once.
	Reconsider()
}

// Directory is what one integration provisioned. It is a scim.Directory.
type Directory struct {
	Store Store
	Ender Ender
	// Provider is the integration.
	Provider string
	// SignIn is the integration by which its users sign in, whose subject is what the
	// service calls externalId; empty if they are not the same.
	SignIn string
	// Prefix begins the names of its groups in Stint; empty for none.
	Prefix string
}

var _ scim.Directory = Directory{}

func (d Directory) actor() access.Actor { return ident.ProviderActor(d.Provider) }

// maxMembers bounds a group. A change of its name changes that many principals at once.
const maxMembers = 20_000

// userName is the name in Stint of who signs in as s: what is before the @, in lower
// case. A domain is left out because one installation is one organisation's, and two
// users that differ only by it collide and are refused.
func userName(s string) (string, error) {
	local, _, _ := strings.Cut(s, "@")
	name := strings.ToLower(local)
	if !access.ValidName(name) || name == access.System.Principal.Name() {
		return "", access.Fail(access.Invalid, "bad-name", "the userName cannot become a name in Stint").
			Because("what is before the @, in lower case, has to be 1 to 63 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit").
			Try("map another attribute to userName")
	}
	return name, nil
}

// groupName is the name in Stint of a group: the prefix and its name in lower case,
// with - for each run of spaces.
func (d Directory) groupName(display string) (access.Group, error) {
	name := d.Prefix + strings.Join(strings.Fields(strings.ToLower(display)), "-")
	if !access.ValidName(name) {
		return "", access.Fail(access.Invalid, "bad-group", "the displayName cannot become the name of a group in Stint").
			Because("in lower case and with - for spaces it has to be 1 to 63 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit").
			Try("push only the groups that policies name, or rename it there")
	}
	return access.Group(name), nil
}

var kinds = map[scim.Kind]access.ProvisionedKind{scim.User: access.ProvisionedUser, scim.Group: access.ProvisionedGroup}

// List implements scim.Directory.
func (d Directory) List(ctx context.Context, q scim.Query) (found []scim.Resource, total int, err error) {
	aq := access.ProvisionedQuery{Provider: d.Provider, Kind: kinds[q.Kind], Offset: q.Offset, Limit: q.Limit}
	if q.Attr != "" {
		if q.Value == "" {
			return nil, 0, nil
		}
		switch q.Attr {
		case "id":
			aq.ID = q.Value
		case "externalId":
			aq.External = q.Value
		case "userName":
			aq.Name = strings.ToLower(q.Value)
		case "displayName":
			name, err := d.groupName(q.Value)
			if err != nil {
				return nil, 0, nil // no group is called so
			}
			aq.Name = string(name)
		}
	}
	err = d.Store.View(ctx, func(tx Tx) (err error) {
		found = nil
		if total, err = tx.CountProvisioned(aq); err != nil || q.Limit == 0 {
			return err
		}
		rows, err := tx.Provisioned(aq)
		if err != nil {
			return err
		}
		groupsOf := func(id string) ([]access.Provisioned, error) { return tx.GroupsOf(d.Provider, id) }
		if q.Kind == scim.User && len(rows) > manyUsers {
			if groupsOf, err = d.allGroups(tx); err != nil {
				return err
			}
		}
		for _, row := range rows {
			r, err := d.resourceWith(tx, row, q.Members, groupsOf)
			if err != nil {
				return err
			}
			found = append(found, r)
		}
		return nil
	})
	return found, total, err
}

// manyUsers is of how many users it is faster to read every group once than each user's.
const manyUsers = 200

// allGroups reads who is in which group, once for all users.
func (d Directory) allGroups(tx Tx) (func(id string) ([]access.Provisioned, error), error) {
	groups, err := tx.Provisioned(access.ProvisionedQuery{Provider: d.Provider, Kind: access.ProvisionedGroup, Limit: -1})
	if err != nil {
		return nil, err
	}
	of := map[string][]access.Provisioned{}
	for _, g := range groups { // by id, as GroupsOf answers
		members, err := tx.Members(d.Provider, g.ID)
		if err != nil {
			return nil, err
		}
		for _, id := range members {
			of[id] = append(of[id], g)
		}
	}
	return func(id string) ([]access.Provisioned, error) { return of[id], nil }, nil
}

// resource is a row with what the protocol shows of it.
func (d Directory) resource(tx Tx, row access.Provisioned, members bool) (scim.Resource, error) {
	return d.resourceWith(tx, row, members, func(id string) ([]access.Provisioned, error) { return tx.GroupsOf(d.Provider, id) })
}

func (d Directory) resourceWith(tx Tx, row access.Provisioned, members bool, groupsOf func(id string) ([]access.Provisioned, error)) (scim.Resource, error) {
	r := scim.Resource{Kind: scim.User, ID: row.ID, Version: row.Version, Created: row.Created, Changed: row.Changed}
	if row.Kind == access.ProvisionedGroup {
		r.Kind = scim.Group
	}
	var err error
	if r.Attributes, err = scim.Decode(r.Kind, row.Body); err != nil {
		return r, access.Fail(access.Internal, "unreadable-row", "what was provisioned cannot be read").Because(row.ID).Wrap(err)
	}
	var list []any
	switch {
	case r.Kind == scim.User:
		groups, err := groupsOf(row.ID)
		if err != nil {
			return r, err
		}
		for _, g := range groups {
			list = append(list, scim.Object{"value": g.ID, "display": g.Name, "type": "direct"})
		}
		if list != nil {
			r.Attributes["groups"] = list
		}
	case members:
		ids, err := tx.Members(d.Provider, row.ID)
		if err != nil {
			return r, err
		}
		for _, id := range ids {
			list = append(list, scim.Object{"value": id})
		}
		if list != nil {
			r.Attributes["members"] = list
		}
	}
	return r, nil
}

// Create implements scim.Directory.
func (d Directory) Create(ctx context.Context, k scim.Kind, attrs scim.Object) (r scim.Resource, err error) {
	row := access.Provisioned{Provider: d.Provider, Kind: kinds[k], Version: 1, External: attrs.Text("externalId")}
	if k == scim.Group {
		row.ID = newID()
	}
	again := false
	err = d.Store.Update(ctx, func(tx Tx) (err error) {
		row.Created, row.Changed = tx.Now(), tx.Now()
		if k == scim.Group {
			again, err = d.putGroup(tx, nil, &row, attrs)
		} else {
			again, err = d.putUser(tx, nil, &row, attrs)
		}
		if err == nil {
			r, err = d.resource(tx, row, true)
		}
		return err
	})
	if err != nil {
		return r, err
	}
	if k == scim.User && !attrs.Active() {
		err = d.leave(ctx, row.ID)
	}
	if again {
		d.Ender.Reconsider()
	}
	return r, err
}

// Replace implements scim.Directory. Who leaves does so first.
func (d Directory) Replace(ctx context.Context, was scim.Resource, attrs scim.Object) (r scim.Resource, err error) {
	if was.Kind == scim.User && !attrs.Active() {
		if err := d.leave(ctx, was.ID); err != nil {
			return r, err
		}
	}
	again := false
	err = d.Store.Update(ctx, func(tx Tx) error {
		old, err := d.current(tx, was)
		if err != nil {
			return err
		}
		row := old
		row.Version, row.Changed = old.Version+1, tx.Now()
		if id := attrs.Text("externalId"); id != "" {
			row.External = id
		} else if old.External != "" { // Okta's PUT leaves it out
			attrs["externalId"] = old.External
		}
		if was.Kind == scim.Group {
			again, err = d.putGroup(tx, &old, &row, attrs)
		} else {
			again, err = d.putUser(tx, &old, &row, attrs)
		}
		if err == nil {
			r, err = d.resource(tx, row, true)
		}
		return err
	})
	if err == nil && again {
		d.Ender.Reconsider()
	}
	return r, err
}

// Delete implements scim.Directory.
func (d Directory) Delete(ctx context.Context, was scim.Resource) error {
	if was.Kind == scim.User {
		if err := d.leave(ctx, was.ID); err != nil {
			return err
		}
	}
	err := d.Store.Update(ctx, func(tx Tx) error {
		row, err := d.current(tx, was)
		if err != nil {
			return err
		}
		members := []string{was.ID}
		if was.Kind == scim.Group {
			if members, err = tx.Members(d.Provider, was.ID); err != nil {
				return err
			}
		}
		if err := tx.DropProvisioned(row); err != nil {
			return err
		}
		_, err = d.regroup(tx, members)
		return err
	})
	if err == nil {
		d.Ender.Reconsider()
	}
	return err
}

// leave ends all that a user of this integration holds.
func (d Directory) leave(ctx context.Context, name string) error {
	return d.Ender.Leave(ctx, d.actor(), access.NewPrincipalID(access.User, name), d.Provider, d.Provider+" says that they are not active")
}

// current is the row of a resource, if it is still of that version.
func (d Directory) current(tx Tx, was scim.Resource) (access.Provisioned, error) {
	rows, err := tx.Provisioned(access.ProvisionedQuery{Provider: d.Provider, Kind: kinds[was.Kind], ID: was.ID, Limit: -1})
	switch {
	case err != nil:
		return access.Provisioned{}, err
	case len(rows) == 0:
		return access.Provisioned{}, access.Fail(access.NotFound, "not-provisioned", "it is there no more")
	case rows[0].Version != was.Version:
		return access.Provisioned{}, access.Fail(access.Conflict, "changed-meanwhile", "it was changed meanwhile").Try("read it again and repeat")
	}
	return rows[0], nil
}

// free reports a name that another resource has.
func (d Directory) free(tx Tx, row access.Provisioned, what string) error {
	rows, err := tx.Provisioned(access.ProvisionedQuery{Provider: d.Provider, Kind: row.Kind, Name: row.Name, Limit: -1})
	if err != nil {
		return err
	}
	if len(rows) > 0 && rows[0].ID != row.ID {
		return access.Fail(access.Conflict, "name-taken", "another "+string(row.Kind)+" has this "+what).Because("names are compared without case, and groups as policies name them")
	}
	return nil
}

// putUser writes a user and the principal behind it.
func (d Directory) putUser(tx Tx, old, row *access.Provisioned, attrs scim.Object) (changed bool, err error) {
	row.Name = strings.ToLower(attrs.Text("userName"))
	want := ident.Provision{Provider: d.Provider, Active: attrs.Active()}
	if old == nil {
		if want.Name, err = userName(attrs.Text("userName")); err != nil {
			return false, err
		}
	} else {
		want.Name = row.ID
		if old.External != "" && old.External != row.External {
			return false, access.Fail(access.Invalid, "other-subject", "the externalId of a user never changes").
				Because("it is how " + d.Provider + " and Stint know that it is the same person").
				Try("delete the user and make another, or have an administrator unlink this one")
		}
	}
	if err := d.free(tx, *row, "userName"); err != nil {
		return false, err
	}
	if row.External != "" {
		rows, err := tx.Provisioned(access.ProvisionedQuery{Provider: d.Provider, Kind: row.Kind, External: row.External, Limit: -1})
		if err != nil {
			return false, err
		}
		if len(rows) > 0 && (old == nil || rows[0].ID != old.ID) {
			return false, access.Fail(access.Conflict, "external-taken", "another user has this externalId")
		}
	}
	if want.Identities, err = d.identities(tx, old, want.Name, row.External); err != nil {
		return false, err
	}
	if want.Manager, err = d.manager(tx, old, attrs); err != nil {
		return false, err
	}
	if old != nil {
		if want.Groups, err = d.groups(tx, row.ID); err != nil {
			return false, err
		}
	}
	p, changed, err := ident.Provide(tx, d.actor(), want)
	if err != nil {
		return false, err
	}
	if old == nil {
		row.ID = p.ID.Name()
		rows, err := tx.Provisioned(access.ProvisionedQuery{Provider: d.Provider, Kind: row.Kind, ID: row.ID, Limit: -1})
		if err != nil {
			return false, err
		}
		if len(rows) > 0 {
			return false, access.Fail(access.Conflict, "name-taken", "the user is there already").Because("another resource has this externalId, or a userName that becomes the same name")
		}
	}
	return changed, d.save(tx, row, attrs)
}

// identities are who a user is: with this provider by externalId, or where the service
// has none by the name in Stint; and by the same externalId where they sign in.
func (d Directory) identities(tx Tx, old *access.Provisioned, name, external string) ([]access.Identity, error) {
	mine := access.Identity{Provider: d.Provider, Subject: external}
	if external == "" {
		mine.Subject = name
	}
	if old != nil {
		// Whoever it was made or linked as, it is that.
		p, err := tx.Principal(access.NewPrincipalID(access.User, old.ID))
		if err != nil {
			return nil, err
		}
		if mine.Subject = p.Subject(d.Provider); mine.Subject == "" {
			return nil, access.Fail(access.Denied, "unlinked", string(p.ID)+" is not linked to "+d.Provider+" any more").
				Try("delete the user there, or have an administrator link it again")
		}
	}
	ids := []access.Identity{mine}
	if d.SignIn != "" && external != "" {
		ids = append(ids, access.Identity{Provider: d.SignIn, Subject: external})
	}
	return ids, nil
}

// manager is whom policies call a user's manager: nil where the service says nothing of
// it and never did. One who is not there, or is the user, is none.
func (d Directory) manager(tx Tx, old *access.Provisioned, attrs scim.Object) (*access.PrincipalID, error) {
	none := access.PrincipalID("")
	id := attrs.Manager()
	if id == "" {
		if old == nil {
			return nil, nil
		}
		before, err := scim.Decode(scim.User, old.Body)
		if err != nil || before.Manager() == "" {
			return nil, nil
		}
		return &none, nil
	}
	for _, q := range []access.ProvisionedQuery{{ID: id}, {External: id}} {
		q.Provider, q.Kind, q.Limit = d.Provider, access.ProvisionedUser, -1
		rows, err := tx.Provisioned(q)
		if err != nil {
			return nil, err
		}
		if len(rows) == 1 && (old == nil || rows[0].ID != old.ID) {
			m := access.NewPrincipalID(access.User, rows[0].ID)
			return &m, nil
		}
	}
	return &none, nil
}

// save writes a row with its attributes, but for those that are kept elsewhere.
func (d Directory) save(tx Tx, row *access.Provisioned, attrs scim.Object) error {
	keep := scim.Object{}
	for name, v := range attrs {
		if name != "members" && name != "groups" {
			keep[name] = v
		}
	}
	var err error
	if row.Body, err = scim.Encode(keep); err != nil {
		return access.Fail(access.Internal, "unwritable-row", "a value cannot be stored").Wrap(err)
	}
	return tx.SaveProvisioned(*row)
}

// putGroup writes a group and its members, and what that makes of the principals.
func (d Directory) putGroup(tx Tx, old, row *access.Provisioned, attrs scim.Object) (changed bool, err error) {
	name, err := d.groupName(attrs.Text("displayName"))
	if err != nil {
		return false, err
	}
	row.Name = string(name)
	if err := d.free(tx, *row, "displayName"); err != nil {
		return false, err
	}
	now := attrs.Members()
	if len(now) > maxMembers {
		return false, access.Fail(access.Invalid, "too-many-members", "a group has at most 20000 members")
	}
	var before []string
	if old != nil {
		if before, err = tx.Members(d.Provider, row.ID); err != nil {
			return false, err
		}
	}
	if err := d.save(tx, row, attrs); err != nil {
		return false, err
	}
	var touched []string
	for _, id := range before {
		if _, stays := slices.BinarySearch(now, id); stays && old.Name == row.Name {
			continue
		} else if !stays {
			if err := tx.SetMember(d.Provider, row.ID, id, false); err != nil {
				return false, err
			}
		}
		touched = append(touched, id)
	}
	for _, id := range now {
		if _, was := slices.BinarySearch(before, id); was {
			continue
		}
		rows, err := tx.Provisioned(access.ProvisionedQuery{Provider: d.Provider, Kind: access.ProvisionedUser, ID: id, Limit: -1})
		if err != nil {
			return false, err
		}
		if len(rows) == 0 { // a group within a group is none of ours either
			return false, access.Fail(access.Invalid, "no-such-member", "a member is no user that this service provisioned").Because("members are ids of users").
				Try("provision the user first; groups in groups are to be flattened")
		}
		if err := tx.SetMember(d.Provider, row.ID, id, true); err != nil {
			return false, err
		}
		touched = append(touched, id)
	}
	return d.regroup(tx, touched)
}

// groups are the names of the groups that a user is in.
func (d Directory) groups(tx Tx, member string) ([]access.Group, error) {
	rows, err := tx.GroupsOf(d.Provider, member)
	var out []access.Group
	for _, g := range rows {
		out = append(out, access.Group(g.Name))
	}
	return out, err
}

// regroup gives users the groups that they are in now.
func (d Directory) regroup(tx Tx, members []string) (changed bool, err error) {
	for _, id := range members {
		p, err := tx.Principal(access.NewPrincipalID(access.User, id))
		if err != nil {
			return false, err
		}
		subject := p.Subject(d.Provider)
		if subject == "" {
			continue // an administrator unlinked it
		}
		want := ident.Provision{Provider: d.Provider, Name: id, Identities: []access.Identity{{Provider: d.Provider, Subject: subject}}}
		if want.Groups, err = d.groups(tx, id); err != nil {
			return false, err
		}
		_, did, err := ident.Provide(tx, d.actor(), want)
		if err != nil {
			return false, err
		}
		changed = changed || did
	}
	return changed, nil
}

// newID is an id that says nothing: 80 random bits.
func newID() string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // never fails
	return "g" + strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
}
