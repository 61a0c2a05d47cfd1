package main

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"stint/test/stage"
)

// bare is what somebody would do without Stint: the same driver, logged in as
// the same account, computes the same verifier and sends the same statement.
type bare struct {
	conns []*pgx.Conn
}

func (s *scene) bare(ctx context.Context, clients int) (*bare, error) {
	b := &bare{}
	password, err := os.ReadFile(filepath.Join(s.Dir, "connector-password"))
	if err != nil {
		return nil, err
	}
	for range clients {
		c, err := pgx.Connect(ctx, s.Target.DSN(stage.Connector, string(password), stage.Database))
		if err != nil {
			return nil, errors.Join(err, b.close())
		}
		b.conns = append(b.conns, c)
	}
	return b, nil
}

func (b *bare) close() error {
	var errs []error
	for _, c := range b.conns {
		errs = append(errs, c.Close(context.Background()))
	}
	return errors.Join(errs...)
}

// create makes one account; the password is usable when it returns.
func (b *bare) create(ctx context.Context, client int, name string, iterations int) (password string, err error) {
	password = rand.Text() + rand.Text()
	end := time.Now().Add(time.Hour).UTC().Format("2006-01-02 15:04:05.000000Z07:00")
	_, err = b.conns[client].PgConn().Exec(ctx, fmt.Sprintf(`CREATE ROLE "%s" LOGIN CONNECTION LIMIT 10 PASSWORD '%s' VALID UNTIL '%s' IN ROLE "orders_read"`,
		name, verifier(password, iterations), end)).ReadAll()
	return password, err
}

// drop removes accounts, many in a statement.
func (b *bare) drop(ctx context.Context, names []string) error {
	for len(names) > 0 {
		n := min(500, len(names))
		if _, err := b.conns[0].PgConn().Exec(ctx, `DROP ROLE "`+strings.Join(names[:n], `", "`)+`"`).ReadAll(); err != nil {
			return err
		}
		names = names[n:]
	}
	return nil
}

// verifier is what PostgreSQL stores of a password (RFC 5803).
func verifier(password string, iterations int) string {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		panic(err) // only for sizes that SHA-256 cannot give
	}
	mac := func(text string) []byte {
		h := hmac.New(sha256.New, salted)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	stored := sha256.Sum256(mac("Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, b64(salt), b64(stored[:]), b64(mac("Server Key")))
}
