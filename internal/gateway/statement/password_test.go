package statement

import (
	"strings"
	"testing"
)

// TestSetsPassword: a change of the session's own password is seen however it is written, and
// of nobody else's.
func TestSetsPassword(t *testing.T) {
	const me = "stint_nils_01abc"
	for _, in := range []string{
		"ALTER ROLE stint_nils_01abc PASSWORD 'x'", "alter user STINT_NILS_01ABC with encrypted password 'x'", `ALTER GROUP "stint_nils_01abc" PASSWORD NULL`,
		"ALTER ROLE current_user PASSWORD 'x'", "ALTER USER session_user LOGIN PASSWORD 'x' VALID UNTIL 'infinity'", "alter role CURRENT_ROLE password $$x$$",
		"SELECT 1; ALTER ROLE current_user PASSWORD 'x'", "/* ; */ ALTER/**/ROLE--\n\"stint_nils_01abc\"password E'\\x41'", "BEGIN; ALTER ROLE current_user INHERIT CONNECTION LIMIT 5 PASSWORD 'x'; COMMIT",
		`ALTER ROLE U&"stint\005fnils_01abc" PASSWORD 'x'`, "ALTER ROLE current_user PASSWORD U&'x'", `SELECT '\'; ALTER ROLE current_user PASSWORD 'x' --'`,
	} {
		if !Look(in).SetsPassword(me, false) {
			t.Errorf("%s passes", in)
		}
	}
	for _, in := range []string{
		"", "SELECT 1", "ALTER ROLE app PASSWORD 'x'", "CREATE ROLE stint_nils_01abc PASSWORD 'x'", "ALTER ROLE current_user SET search_path = password", "ALTER ROLE current_user RENAME TO password",
		"ALTER USER MAPPING FOR current_user SERVER s OPTIONS (SET password 'x')", "ALTER ROLE current_user VALID UNTIL 'password'", "ALTER TABLE users ADD password text", `ALTER ROLE "current_user" PASSWORD 'x'`,
		"SELECT 'ALTER ROLE current_user PASSWORD'", "ALTER ROLE \"Stint_nils_01abc\" PASSWORD 'x'", "ALTER ROLE current_user IN DATABASE d RESET ALL", "INSERT INTO t VALUES (U&'password')",
		"INSERT INTO t VALUES ('" + strings.Repeat("alter password ", 400) + `\')`,
	} {
		if Look(in).SetsPassword(me, false) {
			t.Errorf("%s is refused", in)
		}
	}
	// What stands around it hides nothing, however long.
	blanks, data := strings.Repeat(" ", MostText), "INSERT INTO t VALUES ('"+strings.Repeat("alter role ", MostText/8)+"')"
	for name, in := range map[string]string{
		"blanks":             blanks + "ALTER ROLE current_user PASSWORD 'x'",
		"blanks within":      "ALTER" + blanks + "ROLE current_user" + blanks + "PASSWORD 'x'",
		"a comment":          "ALTER/*" + blanks + "/* */ */USER--" + blanks + "\ncurrent_user PASSWORD 'x'",
		"a form":             "/*" + blanks[:8<<10] + "*/ALTER ROLE U&\"stint\\005fnils_01abc\" PASSWORD 'x'",
		"a backslash":        "SELECT '\\'; /*" + blanks[:8<<10] + "*/ ALTER GROUP current_user PASSWORD 'x' --'",
		"behind data":        data + "; ALTER ROLE current_user PASSWORD 'x'",
		"comments in others": strings.Repeat("alter/*", MostText/4),
	} {
		if !Look(in).SetsPassword(me, false) {
			t.Errorf("%s hide it", name)
		}
	}
	for name, in := range map[string]string{"data": data, "a dump": strings.Repeat("ALTER TABLE users ADD password text; ", MostText/32), "a word": strings.Repeat("alter", MostText/4), "its end": blanks + "alter"} {
		if Look(in).SetsPassword(me, false) {
			t.Errorf("%s is refused", name)
		}
	}
	long := strings.Repeat("a", 70)
	if !Look("ALTER ROLE "+long+" PASSWORD 'x'").SetsPassword(long[:63], true) {
		t.Error("a name that the server cuts hides it")
	}
	if Look(`SELECT '\', alter, password`).SetsPassword(me, true) {
		t.Error("letters count where the words are certain")
	}
}
