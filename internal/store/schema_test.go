package store

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestSchemasAgree holds the two sets of migrations against each other: tables,
// columns, whether they may be null, indexes, and names of rules.
func TestSchemasAgree(t *testing.T) {
	sqlite, postgres := outline(t, sqliteSchema), outline(t, postgresSchema)
	for _, line := range sqlite {
		if !slices.Contains(postgres, line) {
			t.Errorf("only for SQLite: %s", line)
		}
	}
	for _, line := range postgres {
		if !slices.Contains(sqlite, line) && !strings.HasSuffix(line, "_truncated") {
			t.Errorf("only for PostgreSQL: %s", line)
		}
	}
	if len(sqlite) < 150 {
		t.Errorf("only %d lines were compared", len(sqlite))
	}
}

var (
	columnLine  = regexp.MustCompile(`^    ([a-z_]+) +(TEXT|INTEGER|BIGINT|BOOLEAN|BLOB|BYTEA)( COLLATE "C")?(.*)$`)
	tableLine   = regexp.MustCompile(`^CREATE (?:UNLOGGED )?TABLE (\w+)`)
	indexLine   = regexp.MustCompile(`^CREATE (UNIQUE )?INDEX .*;$`)
	triggerLine = regexp.MustCompile(`^CREATE TRIGGER (\w+)`)
	constraint  = regexp.MustCompile(`^    (PRIMARY KEY|UNIQUE|CHECK).*$`)
)

func outline(t *testing.T, s schema) (lines []string) {
	t.Helper()
	files, err := fs.Glob(migrations, s.folder+"/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("no migrations in %s, %v", s.folder, err)
	}
	for _, name := range files {
		b, err := migrations.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		table := ""
		for line := range strings.Lines(string(b)) {
			line = strings.TrimRight(strings.TrimSpace(strings.ReplaceAll(line, "\n", "")), ",")
			full := "    " + line
			switch {
			case tableLine.MatchString(line):
				table = tableLine.FindStringSubmatch(line)[1]
			case indexLine.MatchString(line):
				lines = append(lines, line)
			case triggerLine.MatchString(line):
				lines = append(lines, "trigger "+triggerLine.FindStringSubmatch(line)[1])
			case columnLine.MatchString(full):
				m := columnLine.FindStringSubmatch(full)
				kind := map[string]string{"INTEGER": "number", "BIGINT": "number", "BOOLEAN": "number", "BLOB": "bytes", "BYTEA": "bytes", "TEXT": "text"}[m[2]]
				rest := regexp.MustCompile(`CHECK \(\w+ IN \(0, 1\)\)`).ReplaceAllString(m[4], "")
				lines = append(lines, table+"."+m[1]+" "+kind+" "+strings.Join(strings.Fields(rest), " "))
			case constraint.MatchString(full):
				lines = append(lines, table+": "+line)
			}
		}
	}
	return lines
}

// TestTablesAreMovedWhole: a migration that makes a table anew locks it before it copies the
// rows. The version before goes on writing while replicas are replaced, and what it wrote
// in between would go with the old table.
func TestTablesAreMovedWhole(t *testing.T) {
	files, err := fs.Glob(migrations, postgresSchema.folder+"/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	copied, n := regexp.MustCompile(`(?i)INSERT\s+INTO\s+\w+\s[^;]*\bSELECT\b[^;]*\bFROM\s+(\w+)\s*;`), 0
	for _, name := range files {
		b, err := migrations.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		for _, m := range copied.FindAllStringSubmatchIndex(text, -1) {
			table := text[m[2]:m[3]]
			if !strings.Contains(text[m[1]:], "DROP TABLE "+table+";") {
				continue
			}
			n++
			if !strings.Contains(text[:m[0]], "LOCK TABLE "+table+" IN ACCESS EXCLUSIVE MODE;") {
				t.Errorf("%s copies %s without a lock on it", name, table)
			}
		}
	}
	if n < 2 {
		t.Errorf("only %d copies were looked at", n)
	}
}
