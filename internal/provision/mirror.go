package provision

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/directory"
	"stint/internal/ident"
	"stint/internal/policy"
	"stint/internal/scim"
)

// The events of directories. Stored: only append.
const (
	DirectoryStale     access.EventType = "directory.stale"     // it cannot be read; nobody loses anything by it
	DirectoryRead      access.EventType = "directory.read"      // it can be read again
	DirectoryHeld      access.EventType = "directory.held"      // more people would leave than believed
	DirectoryConfirmed access.EventType = "directory.confirmed" // an administrator says that they left
)

// ForDirectory is the directory of an integration of that type.
func ForDirectory(i policy.Integration, store Store, ender Ender) Directory {
	return Directory{Store: store, Ender: ender, Provider: i.Name, SignIn: i.Options[optionSignIn], Prefix: i.Options[optionPrefix]}
}

// Trust is what is believed of a picture that says that people are gone.
type Trust struct {
	// Leavers is how many may leave in an hour; 0: a fifth of those there were, and
	// at least three.
	Leavers int
	// Recent are those who left in the last hour.
	Recent int
	// Confirmed is the digest of those who may leave whatever their number.
	Confirmed string
}

const leastLeavers = 3

func (t Trust) limit(known int) int {
	if t.Leavers > 0 {
		return t.Leavers
	}
	return max(leastLeavers, (known+t.Recent)/5)
}

// Outcome is what was done about a picture.
type Outcome struct {
	Users, Groups int // as they are in Stint now
	Made, Changed int
	// Left lost everything, Lost some group. Only those of whom it was silence that
	// said so count: not those whom the directory calls disabled.
	Left, Lost int
	Problems   []directory.Problem
	// Held, if set, is that nothing was done but to disable whom the directory calls so.
	Held *Held
}

// Held is a picture that is not believed.
type Held struct {
	Digest string // names exactly those who would leave or lose a group
	Gone   int
	Known  int
	Sample []string // the first ones, by name
}

// known is what is kept of a directory, to compare a picture with.
type known struct {
	users   map[string]access.Provisioned // by subject
	active  map[string]bool               // by subject
	display map[string]string
	groups  map[string]access.Provisioned
	members map[string][]string // by subject of the group; ids of users
	subject map[string]string   // of a user by id
}

func (d Directory) known(ctx context.Context) (k known, err error) {
	err = d.Store.View(ctx, func(tx Tx) error {
		k = known{map[string]access.Provisioned{}, map[string]bool{}, map[string]string{}, map[string]access.Provisioned{}, map[string][]string{}, map[string]string{}}
		users, err := tx.Provisioned(access.ProvisionedQuery{Provider: d.Provider, Kind: access.ProvisionedUser, Limit: -1})
		if err != nil {
			return err
		}
		for _, row := range users {
			attrs, err := scim.Decode(scim.User, row.Body)
			if err != nil {
				return access.Fail(access.Internal, "unreadable-row", "what was provisioned cannot be read").Because(row.ID).Wrap(err)
			}
			k.users[row.External], k.active[row.External], k.subject[row.ID] = row, attrs.Active(), row.External
			k.display[row.External] = attrs.Text("displayName")
		}
		groups, err := tx.Provisioned(access.ProvisionedQuery{Provider: d.Provider, Kind: access.ProvisionedGroup, Limit: -1})
		if err != nil {
			return err
		}
		for _, row := range groups {
			k.groups[row.External] = row
			if k.members[row.External], err = tx.Members(d.Provider, row.ID); err != nil {
				return err
			}
		}
		return nil
	})
	return k, err
}

// Mirror makes what is kept of a directory what the picture says. Whom the directory
// calls disabled has left first of all and whatever follows. Who is gone without a word
// leaves too, unless they are more than trust allows: then nothing else is done, and
// Held says who. An error is that it is not done; it does no harm to do it again.
func (d Directory) Mirror(ctx context.Context, p directory.Picture, trust Trust) (out Outcome, err error) {
	k, err := d.known(ctx)
	if err != nil {
		return out, err
	}
	out.Problems = p.Problems
	now := map[string]directory.User{}
	for _, u := range p.Users {
		now[u.Subject] = u
	}
	for _, subject := range slices.Sorted(maps.Keys(k.users)) {
		if u, there := now[subject]; there && !u.Active && k.active[subject] {
			row := k.users[subject]
			if err := d.put(ctx, &out, row.ID, func() error { return d.user(ctx, row, u) }); err != nil {
				return out, err
			}
			k.active[subject] = false
			out.Changed++
		}
	}
	gone, lost := k.missing(p, now)
	if held := k.believe(gone, lost, now, trust); held != nil {
		out.Held = held
		out.Users, out.Groups = len(k.users), len(k.groups)
		return out, nil
	}
	return out, d.reflect(ctx, k, p, now, gone, lost, &out)
}

// missing are the subjects of active users of whom the picture says nothing, and of
// those who are in a group no more.
func (k known) missing(p directory.Picture, now map[string]directory.User) (gone, lost []string) {
	for subject := range k.users {
		if _, there := now[subject]; !there && k.active[subject] {
			gone = append(gone, subject)
		}
	}
	groups := map[string]directory.Group{}
	for _, g := range p.Groups {
		groups[g.Subject] = g
	}
	out := map[string]bool{}
	for group, members := range k.members {
		for _, id := range members {
			subject := k.subject[id]
			if _, there := now[subject]; !there || !k.active[subject] {
				continue // counted with those who are gone, or left already
			}
			if _, in := slices.BinarySearch(groups[group].Members, subject); !in {
				out[subject] = true
			}
		}
	}
	slices.Sort(gone)
	return gone, slices.Sorted(maps.Keys(out))
}

// believe says whether so many may be gone; nil if they may.
func (k known) believe(gone, lost []string, now map[string]directory.User, trust Trust) *Held {
	all := append(slices.Clone(gone), lost...)
	if len(all) == 0 {
		return nil
	}
	active, here := 0, 0
	for subject := range k.users {
		if k.active[subject] {
			active++
		}
	}
	for _, u := range now {
		if u.Active {
			here++
		}
	}
	// A directory without anybody is a wrong base, a right that was taken, an empty
	// disk: never that everybody left.
	if len(all)+trust.Recent <= trust.limit(active) && (here > 0 || len(gone) == 0) {
		return nil
	}
	h := sha256.New()
	for _, subject := range gone {
		h.Write([]byte("gone " + subject + "\n"))
	}
	for _, subject := range lost {
		h.Write([]byte("lost " + subject + "\n"))
	}
	held := &Held{Digest: hex.EncodeToString(h.Sum(nil)[:8]), Gone: len(all), Known: active}
	if trust.Confirmed == held.Digest {
		return nil
	}
	for _, subject := range all {
		if len(held.Sample) < 10 {
			held.Sample = append(held.Sample, k.users[subject].ID)
		}
	}
	return held
}

// reflect does what the picture says: first what takes away.
func (d Directory) reflect(ctx context.Context, k known, p directory.Picture, now map[string]directory.User, gone, lost []string, out *Outcome) error {
	for _, subject := range slices.Sorted(maps.Keys(k.users)) {
		if _, there := now[subject]; there {
			continue
		}
		row := k.users[subject]
		if err := d.put(ctx, out, row.ID, func() error { return d.Delete(ctx, resourceOf(scim.User, row)) }); err != nil {
			return err
		}
		delete(k.users, subject)
	}
	out.Left, out.Lost = len(gone), len(lost)
	groups := map[string]directory.Group{}
	for _, g := range p.Groups {
		groups[g.Subject] = g
	}
	for _, subject := range slices.Sorted(maps.Keys(k.groups)) {
		row := k.groups[subject]
		g, there := groups[subject]
		if !there {
			if err := d.put(ctx, out, row.Name, func() error { return d.Delete(ctx, resourceOf(scim.Group, row)) }); err != nil {
				return err
			}
			delete(k.groups, subject)
			continue
		}
		stay := slices.DeleteFunc(slices.Clone(k.members[subject]), func(id string) bool {
			_, in := slices.BinarySearch(g.Members, k.subject[id])
			return !in
		})
		if len(stay) == len(k.members[subject]) {
			continue
		}
		// By itself and under the old name, so that nothing else in the group keeps
		// somebody in it.
		if err := d.put(ctx, out, row.Name, func() error { return d.members(ctx, &row, strings.TrimPrefix(row.Name, d.Prefix), stay) }); err != nil {
			return err
		}
		k.groups[subject], k.members[subject] = row, stay
		out.Changed++
	}
	if err := d.people(ctx, k, p, out); err != nil {
		return err
	}
	for _, g := range p.Groups {
		if err := d.fill(ctx, k, g, out); err != nil {
			return err
		}
	}
	out.Users, out.Groups = len(k.users), len(k.groups)
	return nil
}

// people makes those who are new, and changes those who are different.
func (d Directory) people(ctx context.Context, k known, p directory.Picture, out *Outcome) error {
	called := map[string]int{}
	for _, u := range p.Users {
		called[local(u.Name)]++
	}
	for _, u := range p.Users {
		row, there := k.users[u.Subject]
		switch {
		case !there && !u.Active:
			continue // somebody who left long ago
		case there && k.active[u.Subject] == u.Active && row.Name == strings.ToLower(u.Name) && k.display[u.Subject] == u.Display:
			continue
		case !there && called[local(u.Name)] > 1:
			out.trouble(u.Name, access.Fail(access.Conflict, "name-twice", "two people there would be one here").Because("their names are the same"))
			continue
		}
		err := d.put(ctx, out, u.Name, func() (err error) {
			if there {
				return d.user(ctx, row, u)
			}
			made, err := d.Create(ctx, scim.User, userAttributes(u))
			if err == nil {
				k.users[u.Subject] = access.Provisioned{Provider: d.Provider, Kind: access.ProvisionedUser, ID: made.ID, External: u.Subject, Version: made.Version}
				k.active[u.Subject], k.subject[made.ID] = true, u.Subject
				out.Made++
			}
			return err
		})
		if err != nil {
			return err
		}
		if there {
			out.Changed++
		}
	}
	return nil
}

// local is what two names may not have in common, which is more than it becomes here.
func local(name string) string {
	before, _, _ := strings.Cut(name, "@")
	return strings.ToLower(before)
}

// fill gives a group its name and all of its members.
func (d Directory) fill(ctx context.Context, k known, g directory.Group, out *Outcome) error {
	var ids []string
	for _, subject := range g.Members {
		if row, there := k.users[subject]; there {
			ids = append(ids, row.ID)
		}
	}
	slices.Sort(ids)
	row, there := k.groups[g.Subject]
	name, err := d.groupName(g.Name)
	if err != nil {
		out.trouble(g.Name, err)
		return nil
	}
	if there && row.Name == string(name) && slices.Equal(ids, k.members[g.Subject]) || !there && len(ids) == 0 {
		return nil
	}
	row.External = g.Subject
	err = d.put(ctx, out, g.Name, func() error { return d.members(ctx, &row, g.Name, ids) })
	if err == nil && row.ID != "" {
		k.groups[g.Subject] = row
		if there {
			out.Changed++
		} else {
			out.Made++
		}
	}
	return err
}

// members makes or replaces a group; row is what it is then.
func (d Directory) members(ctx context.Context, row *access.Provisioned, name string, ids []string) (err error) {
	list := make([]any, len(ids))
	for i, id := range ids {
		list[i] = scim.Object{"value": id}
	}
	attrs := scim.Object{"displayName": name, "externalId": row.External, "members": list}
	var r scim.Resource
	if row.ID == "" {
		r, err = d.Create(ctx, scim.Group, attrs)
	} else {
		r, err = d.Replace(ctx, resourceOf(scim.Group, *row), attrs)
	}
	if err == nil {
		row.ID, row.Version = r.ID, r.Version
	}
	return err
}

func userAttributes(u directory.User) scim.Object {
	o := scim.Object{"userName": u.Name, "externalId": u.Subject, "active": u.Active}
	if u.Display != "" {
		o["displayName"] = u.Display
	}
	return o
}

func (d Directory) user(ctx context.Context, row access.Provisioned, u directory.User) error {
	_, err := d.Replace(ctx, resourceOf(scim.User, row), userAttributes(u))
	return err
}

func resourceOf(k scim.Kind, row access.Provisioned) scim.Resource {
	return scim.Resource{Kind: k, ID: row.ID, Version: row.Version, Created: row.Created, Changed: row.Changed}
}

// put does something about one entry. What is wrong with the entry is a problem and
// stops no other one; what is wrong with the store is an error.
func (d Directory) put(ctx context.Context, out *Outcome, entry string, do func() error) error {
	err := do()
	switch access.KindOf(err) {
	case access.Conflict, access.Invalid, access.Denied, access.NotFound:
		if err != nil && ctx.Err() == nil {
			out.trouble(entry, err)
			return nil
		}
	}
	return err
}

func (o *Outcome) trouble(entry string, err error) {
	o.Problems = append(o.Problems, directory.Problem{Entry: access.Label(entry), Why: visible(err.Error())})
}

// DirectoryEvent is the record of what happens to a directory.
func DirectoryEvent(t access.EventType, provider string, by access.Actor, at time.Time, kv ...string) access.Event {
	if by.Principal == "" {
		by = ident.ProviderActor(provider)
	}
	facts := map[string]string{"integration": provider}
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i+1] != "" {
			facts[kv[i]] = strings.ToValidUTF8(kv[i+1], "\uFFFD")
		}
	}
	return access.Event{Type: t, At: at, Entity: noteID(at), Version: 1, Actor: by, Facts: facts}
}
