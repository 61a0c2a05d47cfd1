package postgres

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"stint/internal/access"
)

var tags = rapid.Custom(func(t *rapid.T) access.Tag {
	return access.Tag(rapid.StringMatching(`[a-z0-9]{26}_[a-z0-9]{16}`).Draw(t, "tag"))
})

// TestAccountName: a tag goes through any account name unharmed, the name is
// never cut, and no person's name makes it look like another thing of ours.
func TestAccountName(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tag, person := tags.Draw(t, "tag"), access.Person(rapid.String().Draw(t, "person"))
		name := accountName(person, tag)
		if got, ok := accountTag(name); !ok || got != tag {
			t.Fatalf("accountTag(%q) = %q, %v", name, got, ok)
		}
		if len(name) > maxName || checkName("account", name) != nil {
			t.Fatalf("%q is no name for a role", name)
		}
		if _, _, mark := markTag(name); mark || strings.HasPrefix(name, quarantinePrefix) || name == claimRole {
			t.Fatalf("%q could be something else", name)
		}
	})
	for _, person := range []access.Person{"group", "enable", "quarantine", "claim", "mark_group"} {
		name := accountName(person, "0123456789abcdefghijklmnop_0123456789abcdef")
		if _, ok := accountTag(name); !ok {
			t.Errorf("%q is not an account", name)
		}
	}
}

func TestMarkName(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tag := tags.Draw(t, "tag")
		for _, m := range []access.Mechanism{access.Member, access.Enable} {
			name := markName(m, tag)
			if gotM, gotTag, ok := markTag(name); !ok || gotM != m || gotTag != tag || len(name) > maxName {
				t.Fatalf("markTag(%q) = %q %q %v", name, gotM, gotTag, ok)
			}
			if _, account := accountTag(name); account || !reserved(name) {
				t.Fatalf("%q could be an account", name)
			}
		}
		if heir := quarantinePrefix + string(tag); len(heir) > maxName || !reserved(heir) {
			t.Fatalf("%q", heir)
		}
	})
}

// FuzzAccountTag: what is accepted has exactly one form.
func FuzzAccountTag(f *testing.F) {
	f.Add("stint_mira_0123456789abcdefghijklmnop_0123456789abcdef")
	f.Add("stint__0123456789abcdefghijklmnop_0123456789abcdef")
	f.Add("stint_0123456789abcdefghijklmnop_0123456789abcdef")
	f.Add("stintmark_group_0123456789abcdefghijklmnop_0123456789abcdef")
	f.Fuzz(func(t *testing.T, name string) {
		tag, ok := accountTag(name)
		if !ok {
			return
		}
		slug := strings.TrimSuffix(strings.TrimPrefix(name, prefix), "_"+string(tag))
		if accountName(access.Person(slug), tag) != name {
			t.Errorf("%q gives slug %q and tag %q, which make %q", name, slug, tag, accountName(access.Person(slug), tag))
		}
	})
}

func TestLiteral(t *testing.T) {
	w := newWorld(t)
	conn := w.open(w.database)
	rapid.Check(t, func(rt *rapid.T) {
		want := strings.ReplaceAll(rapid.String().Draw(rt, "text"), "\x00", "")
		var got string
		if err := conn.QueryRow(t.Context(), "SELECT "+literal(want)).Scan(&got); err != nil || got != want {
			rt.Fatalf("the server reads %q as %q (%v)", want, got, err)
		}
	})
}

func TestSplitNames(t *testing.T) {
	for list, want := range map[string][]string{
		``:                            nil,
		`a`:                           {"a"},
		`"$user", public`:             {"$user", "public"},
		`"a,b", c`:                    {"a,b", "c"},
		`"say ""hi""",x`:              {`say "hi"`, "x"},
		`pg_catalog, "Mixed Case", z`: {"pg_catalog", "Mixed Case", "z"},
	} {
		if got := splitNames(list); strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("splitNames(%q) = %q, want %q", list, got, want)
		}
	}
}
