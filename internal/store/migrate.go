package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"

	"stint/internal/access"
)

//go:embed migrations
var migrations embed.FS

// schema is where the migrations of one database are.
type schema struct {
	dialect goose.Dialect
	folder  string
}

var (
	sqliteSchema   = schema{goose.DialectSQLite3, "migrations/sqlite"}
	postgresSchema = schema{goose.DialectPostgres, "migrations/postgres"}
)

// migrate brings the schema up to date. The caller holds the lock that keeps
// others from doing the same. A version to go to is given for a restore, 0 is the newest.
func migrate(ctx context.Context, s schema, db *sql.DB, to int64) error {
	files, err := fs.Sub(migrations, s.folder)
	if err != nil {
		return access.Fail(access.Internal, "no-migrations", "the program lacks its migrations").Wrap(err)
	}
	p, err := goose.NewProvider(s.dialect, db, files, goose.WithTableName("schema_version"), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return unavailable("store-unopened", "the store's schema cannot be read", err)
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return unavailable("store-unopened", "the store's schema cannot be read", err)
	}
	switch {
	case have > want:
		return access.Fail(access.Conflict, "schema-newer", "the store belongs to a newer version of Stint").
			Because(fmt.Sprintf("its schema has version %d, this program knows %d", have, want)).Try("run the newer version, or restore a backup from before it")
	case to > want:
		return access.Fail(access.Conflict, "schema-newer", "the backup belongs to a newer version of Stint").
			Because(fmt.Sprintf("its schema has version %d, this program knows %d", to, want)).Try("restore it with that version")
	case have == want || to != 0 && have >= to:
		return nil
	case to == 0:
		to = want
	}
	if _, err := p.UpTo(ctx, to); err != nil {
		return unavailable("migration-failed", "the store's schema could not be brought up to date", err)
	}
	return nil
}
