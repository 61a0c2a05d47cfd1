package store

import (
	"context"

	"stint/internal/access"
)

// SaveCosignature keeps what a witness said about the checkpoint of a size: one
// line of a note. Of each witness the first word about a checkpoint stays.
func (s *Store) SaveCosignature(ctx context.Context, size int64, witness, line string) error {
	return s.Update(ctx, func(tx *Tx) error {
		_, err := tx.exec("INSERT INTO audit_cosignatures (size, witness, line, at) VALUES ($1, $2, $3, $4) ON CONFLICT (size, witness) DO NOTHING",
			size, witness, line, tx.now.UnixMilli())
		return err
	})
}

// Cosigned is the size of the newest checkpoint that the witness has signed; 0
// when there is none.
func (s *Store) Cosigned(ctx context.Context, witness string) (size int64, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		return tx.each("SELECT COALESCE(MAX(size), 0) FROM audit_cosignatures WHERE witness = $1", []any{witness}, func(row row) error { return row.Scan(&size) })
	})
	return size, err
}

// Witnessed is the newest checkpoint that any witness has signed, as a note with
// all cosignatures on it; nil when there is none.
func (s *Store) Witnessed(ctx context.Context) (size int64, signed []byte, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		size, signed = 0, nil
		if err := tx.each("SELECT COALESCE(MAX(size), -1) FROM audit_cosignatures", nil, func(row row) error { return row.Scan(&size) }); err != nil {
			return err
		}
		if size < 0 {
			size = 0
			return nil
		}
		if err := tx.each("SELECT note FROM audit_checkpoints WHERE size = $1", []any{size}, func(row row) error { return row.Scan(&signed) }); err != nil {
			return err
		}
		if signed == nil {
			return tx.fail(access.Fail(access.Internal, "audit-tree-damaged", "a checkpoint that a witness has signed is missing"))
		}
		return tx.each("SELECT line FROM audit_cosignatures WHERE size = $1 ORDER BY witness", []any{size}, func(row row) error {
			var line string
			err := row.Scan(&line)
			signed = append(signed, line...)
			return err
		})
	})
	return size, signed, err
}
