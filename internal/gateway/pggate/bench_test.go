package pggate

import (
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hpke"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"stint/internal/gateway/statement"
	"stint/internal/recording"
)

// The figures of a session through the gateway, beside the same without it, in one process;
// with real programs: go run ./test/bench -parts db.
//
//	go test ./internal/gateway/pggate -run - -bench . -benchtime 2s
//
// Recordings are written as a role writes them that does not say strict.

func benchWorld(b *testing.B, change ...func(*Config, *control)) *world {
	_, private, err := ed25519.GenerateKey(nil)
	must(b, err)
	sealer, err := recording.NewSealer(private)
	must(b, err)
	key, err := hpke.DHKEM(ecdh.X25519()).GenerateKey()
	must(b, err)
	s, _, err := recording.OpenSpool(b.TempDir(), recording.Options{Sealer: sealer, Recipient: recording.NewOpener(key).Recipient()})
	must(b, err)
	b.Cleanup(func() { _ = s.Close(context.Background()) })
	return newWorld(b, append(change, func(c *Config, _ *control) { c.Recorder = Spooled(s) })...)
}

// ways are the two that are compared.
func ways(b *testing.B, run func(b *testing.B, c *pgx.Conn)) {
	w := benchWorld(b)
	ctx := context.Background()
	direct, err := pgx.Connect(ctx, w.direct())
	must(b, err)
	defer func() { _ = direct.Close(ctx) }()
	through := w.connect()
	b.Run("direct", func(b *testing.B) { run(b, direct) })
	b.Run("gateway", func(b *testing.B) { run(b, through) })
}

// statements times one statement after another.
func statements(b *testing.B, c *pgx.Conn, text string) {
	var times []time.Duration
	for b.Loop() {
		start := time.Now()
		_, err := c.PgConn().Exec(context.Background(), text).ReadAll()
		must(b, err)
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Nanoseconds())/1e6, "p50-ms")
	b.ReportMetric(float64(times[len(times)*99/100].Nanoseconds())/1e6, "p99-ms")
}

// BenchmarkStatement is one statement that does next to nothing.
func BenchmarkStatement(b *testing.B) {
	ways(b, func(b *testing.B, c *pgx.Conn) { statements(b, c, "SELECT 1") })
}

// BenchmarkGuard is a statement of a screen's width, without guards and with one that denies a
// class, a table and a function, and counts rows and bytes.
func BenchmarkGuard(b *testing.B) {
	const text = "SELECT c.oid, c.relname, n.nspname, pg_get_userbyid(c.relowner) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relname = 'pg_class' AND n.nspname = 'pg_catalog' ORDER BY 2, 3 LIMIT 1"
	b.Run("none", func(b *testing.B) { statements(b, benchWorld(b).connect(), text) })
	b.Run("guard", func(b *testing.B) {
		g, err := statement.NewGuard([]string{"ddl"}, []string{"hr.salaries"}, []string{"pg_terminate_backend"})
		must(b, err)
		statements(b, benchWorld(b, func(_ *Config, c *control) {
			c.permit.Limits.Guard, c.permit.Limits.Rows, c.permit.Limits.Bytes = g, 1<<40, 1<<40
		}).connect(), text)
	})
}

// BenchmarkCopyOut is 64 MB of rows of a kilobyte.
func BenchmarkCopyOut(b *testing.B) {
	ways(b, func(b *testing.B, c *pgx.Conn) {
		b.SetBytes(64 << 20)
		for b.Loop() {
			_, err := c.PgConn().CopyTo(context.Background(), io.Discard, "COPY (SELECT repeat('x', 1023) FROM generate_series(1, 65536)) TO STDOUT")
			must(b, err)
		}
	})
}
