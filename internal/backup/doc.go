// Package backup is the format of a backup: one file that holds every row of a
// store as it was at one moment, and says of itself what it is.
//
//	tar: manifest.note · one part for each table, gzip over lines of JSON
//
// The manifest names the installation, its epoch, the schema, the newest
// checkpoint of the audit log, and of each part the number of rows, the size and
// the SHA-256. It is a note, signed with the key of the audit log, so that whoever
// has that key pinned can tell a backup that was altered. Rows carry no dialect:
// what was taken from SQLite can be put into PostgreSQL, and the other way.
//
// It reads and writes bytes and decides nothing: package store knows tables,
// stintd knows what a restore means.
//
// Invariants, each held by a test:
//
//  1. What Open and Next accept is what Write wrote: every byte of a part is
//     covered by its digest, every digest by the signature.
//  2. An archive that ends early, holds more, or names a part twice is refused.
//  3. Reading needs memory for one row, whatever the archive claims.
//  4. Secrets are in it as the store has them: sealed. The seal key is not.
package backup
