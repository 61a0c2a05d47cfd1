package postgres

import (
	"slices"
	"strings"
	"testing"

	"stint/internal/access"
	"stint/internal/connector"
)

// TestSurveyKinds: attributes, groups of the server's own, groups through groups and
// ownership are found under hostile names too, each with a statement that takes just it
// away; and what is no privilege, and what cannot log in, is not.
func TestSurveyKinds(t *testing.T) {
	w := newWorld(t)
	const evil = `x"; DROP ROLE y; --'é`
	roles := []string{evil, "the app", "the boss", "asleep", "plain", "ops team", "keeper"}
	w.exec("", `CREATE ROLE `+ident(evil)+` LOGIN BYPASSRLS REPLICATION`, `CREATE ROLE "the app" LOGIN`, `CREATE ROLE "the boss" LOGIN SUPERUSER CREATEROLE`,
		`CREATE ROLE "asleep" NOLOGIN SUPERUSER`, `CREATE ROLE "plain" LOGIN CREATEDB`, `CREATE ROLE "ops team"`, `CREATE ROLE "keeper" LOGIN`,
		`GRANT pg_read_all_data TO "ops team"`, `GRANT "ops team" TO "keeper" WITH ADMIN OPTION`, `GRANT `+ident(w.groups[0])+` TO "ops team"`, `GRANT "ops team" TO "asleep"`)
	w.exec(w.database, "CREATE SCHEMA "+ident(evil), "CREATE TABLE "+ident(evil)+".t ()", "ALTER TABLE "+ident(evil)+`.t OWNER TO "the app"`, "ALTER SCHEMA "+ident(evil)+` OWNER TO "the app"`,
		"ALTER DATABASE "+ident(w.database)+` OWNER TO "keeper"`)
	t.Cleanup(func() {
		w.exec("", "ALTER DATABASE "+ident(w.database)+" OWNER TO CURRENT_USER")
		w.exec(w.database, `DROP OWNED BY "the app" CASCADE`)
		for _, r := range roles {
			w.exec("", "DROP ROLE "+ident(r))
		}
	})
	// Of ours, and so nobody else's business.
	lent, _ := w.provision(w.observed(w.Order(access.Member)))
	found, cut, err := w.c.Survey(t.Context(), w.target, w.groups, 1000)
	if err != nil || cut {
		t.Fatal(err, cut)
	}
	got := map[string]connector.Stand{}
	for _, f := range found {
		if slices.Contains(roles, f.Account) || f.Account == lent.Account {
			got[f.Account+": "+f.Privilege] = f
		}
	}
	want := map[string]string{
		evil + ": bypassrls":   "ALTER ROLE " + ident(evil) + " NOBYPASSRLS",
		evil + ": replication": "ALTER ROLE " + ident(evil) + " NOREPLICATION",
		"the boss: superuser":  `ALTER ROLE "the boss" NOSUPERUSER`,
		"keeper: member of pg_read_all_data through ops team":    `REVOKE "ops team" FROM keeper`,
		"keeper: member of " + w.groups[0] + " through ops team": `REVOKE "ops team" FROM keeper`,
		"keeper: owner of database " + w.database:                "ALTER DATABASE " + w.database + " OWNER TO CURRENT_USER",
		"the app: owner of schema " + evil:                       "ALTER SCHEMA " + ident(evil) + " OWNER TO CURRENT_USER",
		"the app: owner of tables and views in schema " + evil:   `REASSIGN OWNED BY "the app" TO CURRENT_USER`,
	}
	for k, undo := range want {
		if f, ok := got[k]; !ok || strings.ReplaceAll(f.Undo, `"`, "") != strings.ReplaceAll(undo, `"`, "") {
			t.Errorf("%s: %+v, want undone by %s", k, f, undo)
		}
		delete(got, k)
	}
	if len(got) > 0 {
		t.Errorf("no privilege, or of ours: %+v", got)
	}
	if f := found[slices.IndexFunc(found, func(f connector.Stand) bool {
		return f.Account == "keeper" && strings.HasPrefix(f.Privilege, "member of pg_")
	})]; !strings.Contains(f.Note, "let others in") || !strings.Contains(f.Note, "ops team gives") {
		t.Errorf("the note: %q", f.Note)
	}
	// Each statement does what it says, and nothing is left when all have run.
	for _, f := range found {
		if slices.Contains(roles, f.Account) {
			w.exec(w.database, f.Undo)
		}
	}
	left, _, err := w.c.Survey(t.Context(), w.target, w.groups, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range left {
		// Whoever is a superuser no more may be seen to own or to make roles for themselves.
		if slices.Contains(roles, f.Account) && f.Privilege != "createrole" {
			t.Errorf("after all statements: %+v", f)
		}
	}
	if w.end(lent).Outcome != connector.Done {
		t.Error("the membership that was lent did not end")
	}
}

// TestSurveyEnabled: a dormant account is none of it, while it is lent and after.
func TestSurveyEnabled(t *testing.T) {
	w := newWorld(t)
	o := w.Order(access.Enable)
	has := func() bool {
		found, _, err := w.c.Survey(t.Context(), w.target, w.groups, 1000)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(found, func(f connector.Stand) bool { return f.Account == o.Account })
	}
	if has() {
		t.Error("what cannot log in is found")
	}
	lent, _ := w.provision(w.observed(o))
	if has() {
		t.Error("what is lent is found")
	}
	w.end(lent)
	w.exec("", "ALTER ROLE "+ident(o.Account)+" LOGIN")
	if !has() {
		t.Error("what can log in all the time is not found")
	}
}
