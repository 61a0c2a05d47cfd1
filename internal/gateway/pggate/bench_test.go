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

	"stint/internal/recording"
)

// The figures of a session through the gateway, beside the same without it, in one process;
// with real programs: go run ./test/bench -parts db.
//
//	go test ./internal/gateway/pggate -run - -bench . -benchtime 2s
//
// Recordings are written as a role writes them that does not say strict.

func benchWorld(b *testing.B) *world {
	_, private, err := ed25519.GenerateKey(nil)
	must(b, err)
	sealer, err := recording.NewSealer(private)
	must(b, err)
	key, err := hpke.DHKEM(ecdh.X25519()).GenerateKey()
	must(b, err)
	s, _, err := recording.OpenSpool(b.TempDir(), recording.Options{Sealer: sealer, Recipient: recording.NewOpener(key).Recipient()})
	must(b, err)
	b.Cleanup(func() { _ = s.Close(context.Background()) })
	return newWorld(b, func(c *Config, _ *control) { c.Recorder = Spooled(s) })
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

// BenchmarkStatement is one statement that does next to nothing.
func BenchmarkStatement(b *testing.B) {
	ways(b, func(b *testing.B, c *pgx.Conn) {
		var times []time.Duration
		for b.Loop() {
			start := time.Now()
			_, err := c.PgConn().Exec(context.Background(), "SELECT 1").ReadAll()
			must(b, err)
			times = append(times, time.Since(start))
		}
		slices.Sort(times)
		b.ReportMetric(float64(times[len(times)/2].Nanoseconds())/1e6, "p50-ms")
		b.ReportMetric(float64(times[len(times)*99/100].Nanoseconds())/1e6, "p99-ms")
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
