package policy

import (
	"strings"
	"testing"

	"stint/internal/access"
)

func TestMayWrite(t *testing.T) {
	role := func(rest string) string { return "kind: Role\nname: d\nmaxDuration: 1h\n" + rest + "\n" }
	onOrders := "resources: {names: [orders-db]}\n"
	for _, tt := range []struct {
		name string
		who  string // olga owns orders-db herself, dora as a member of dba
		kind string
		doc  string
		want string // why not; empty: may
	}{
		{"administrator", "admin", KindRole, role("mechanism: enable\npostgres: {account: root}\n" + onOrders), ""},
		{"a resource", "olga", KindResource, "kind: Resource\nname: d\ntype: postgres\nowners: [user:olga]\nconnection: {address: 'a:1', database: x, credential: c}\n", "only administrators write resources"},
		{"an integration", "olga", KindIntegration, "kind: Integration\nname: d\ntype: oidc\naddress: https://a\n", "only administrators write integrations"},
		{"administrator's integration", "admin", KindIntegration, "kind: Integration\nname: d\ntype: oidc\naddress: https://a\n", ""},
		{"role in the ceiling", "olga", KindRole, role("mechanism: account\npostgres: {memberOf: [orders_read]}\n" + onOrders), ""},
		{"by label", "olga", KindRole, role("mechanism: account\npostgres: {memberOf: [orders_read]}\nresources: {labels: {team: orders}}\n"), ""},
		{"owner by group", "dora", KindRole, role("mechanism: account\npostgres: {memberOf: [orders_read]}\n" + onOrders), ""},
		{"not an owner", "mira", KindRole, role("mechanism: account\npostgres: {memberOf: [orders_read]}\n" + onOrders), "it reaches orders-db, which is not yours"},
		{"a group beyond the ceiling", "olga", KindRole, role("mechanism: account\npostgres: {memberOf: [orders_read, root]}\n" + onOrders), "does not allow memberOf root"},
		{"an account beyond the ceiling", "olga", KindRole, role("mechanism: enable\npostgres: {account: root}\n" + onOrders), "does not allow account root"},
		{"a duration beyond the ceiling", "olga", KindRole, "kind: Role\nname: d\nmaxDuration: 4h\nmechanism: account\npostgres: {memberOf: [orders_read]}\n" + onOrders, "allows no more than 3h"},
		{"a resource without a ceiling", "petra", KindRole, role("mechanism: account\npostgres: {memberOf: [orders_read]}\nresources: {names: [bare-db]}\n"), "bare-db has no ceiling for its owners"},
		{"a ceiling that leaves lists out", "petra", KindRole, role("mechanism: account\npostgres: {memberOf: [orders_read]}\nresources: {names: [open-db]}\n"), "the ceiling of open-db lists no mechanisms"},
		{"role reaches further", "olga", KindRole, role("mechanism: account\npostgres: {memberOf: [orders_read]}\nresources: {type: postgres}\n"), "no ceiling"},
		{"role reaches nothing yet", "olga", KindRole, role("mechanism: account\npostgres: {memberOf: [orders_read]}\nresources: {type: postgres, labels: {later: 'yes'}}\n"), "it reaches no resource of yours"},
		{"policy", "olga", KindPolicy, rule("d", `{subjects: ["*"], roles: [reader]}`), ""},
		{"policy narrowed", "olga", KindPolicy, rule("d", `{subjects: ["*"], roles: ["*"], resources: {names: [orders-db]}}`), ""},
		{"policy reaches further", "olga", KindPolicy, rule("d", `{subjects: ["*"], roles: [any]}`), "it reaches payments-db, which is not yours"},
		{"policy for everything", "olga", KindPolicy, rule("d", `{subjects: ["*"], roles: ["*"]}`), "which is not yours"},
		{"policy for a role that no ceiling bounds", "petra", KindPolicy, rule("d", `{subjects: ["user:petra"], roles: ["*"], resources: {names: [bare-db]}}`), "bare-db has no ceiling for its owners"},
		{"policy for a role that the ceiling leaves out", "petra", KindPolicy, rule("d", `{subjects: ["user:petra"], roles: [any], resources: {names: [open-db]}}`), "the ceiling of open-db lists no mechanisms"},
		{"a denial where no ceiling is", "petra", KindPolicy, rule("d", `{effect: deny, subjects: ["*"], roles: ["*"], resources: {names: [bare-db]}}`), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			more := "kind: Resource\nname: bare-db\ntype: postgres\nowners: [user:petra]\nconnection: {address: 'a:1', database: x, credential: c}\n---\n" +
				"kind: Resource\nname: open-db\ntype: postgres\nowners: [user:petra]\nceiling: {maxDuration: 1h}\nconnection: {address: 'a:1', database: x, credential: c}\n---\n"
			s := compile(t, shop+more+tt.doc)
			who := access.Principal{ID: access.NewPrincipalID(access.User, tt.who), Admin: tt.who == "admin"}
			if tt.who == "dora" {
				who.Groups = []access.Group{"dba"}
			}
			err := s.MayWrite(who, Document{Kind: tt.kind, Name: "d"})
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("got %v, want nil", err)
			case tt.want != "" && (access.KindOf(err) != access.Denied || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want denied: %s", err, tt.want)
			}
		})
	}
}

// TestMayChange holds that an owner cannot put a narrow document in the place of
// a wide one, nor lift a denial of somebody else.
func TestMayChange(t *testing.T) {
	olga := access.Principal{ID: "user:olga"}
	narrow := `{subjects: ["*"], roles: [reader]}`
	for _, tt := range []struct {
		name, before, after string
		author              access.PrincipalID
		who                 access.Principal
		want                string
	}{
		{"created", "", narrow, "", olga, ""},
		{"updated", narrow, `{subjects: [group:a], roles: [reader]}`, "user:olga", olga, ""},
		{"the old one was wider", `{effect: deny, subjects: ["*"], roles: ["*"]}`, narrow, "user:olga", olga, "not yours"},
		{"the new one is wider", narrow, `{subjects: ["*"], roles: ["*"]}`, "user:olga", olga, "not yours"},
		{"somebody else's denial", `{effect: deny, subjects: ["*"], roles: [reader]}`, narrow, "user:ada", olga, "it denies, and user:ada wrote it"},
		{"a denial of unknown origin", `{effect: deny, subjects: ["*"], roles: [reader]}`, narrow, "", olga, "it denies"},
		{"one's own denial", `{effect: deny, subjects: ["*"], roles: [reader]}`, narrow, "user:olga", olga, ""},
		{"deleted", narrow, "", "user:olga", olga, ""},
		{"administrator", `{effect: deny, subjects: ["*"], roles: ["*"]}`, narrow, "user:ada", access.Principal{ID: "user:adm", Admin: true}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			build := func(rest string) (*Set, []Document) {
				if rest == "" {
					return compile(t, shop), nil
				}
				docs := parse(t, shop+rule("d", rest))
				docs[len(docs)-1].Author = tt.author
				s, err := Compile(docs, schemas, 1)
				if err != nil {
					t.Fatal(err)
				}
				return s, docs[len(docs)-1:]
			}
			before, _ := build(tt.before)
			after, apply := build(tt.after)
			_, changes := Merge(before.Documents(), apply)
			if tt.after == "" {
				changes = []Change{{Deleted, KindPolicy, "d"}}
			}
			err := MayChange(before, after, tt.who, changes)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
