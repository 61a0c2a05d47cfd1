package httpgate

import (
	"context"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"
)

// BenchmarkRequest is one small request on a connection that is there, through the gateway
// and beside it, with TLS on every leg:
//
//	go test ./internal/gateway/httpgate -run - -bench . -benchtime 2000x
//
// Recordings are written as a role writes them that does not say strict.
func BenchmarkRequest(b *testing.B) {
	s, _, _, _ := spool(b)
	w := newWorld(b, func(c *Config, p *control) { c.Recorder, p.permit.Web.Assert = Spooled(s), true })
	measure := func(b *testing.B, c *http.Client, to string) {
		var times []time.Duration
		for b.Loop() {
			start := time.Now()
			r, err := c.Get(to)
			must(b, err)
			_, _ = io.Copy(io.Discard, r.Body)
			_ = r.Body.Close()
			times = append(times, time.Since(start))
		}
		slices.Sort(times)
		b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
		b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
	}
	b.Run("direct", func(b *testing.B) { measure(b, w.app.Client(), w.app.URL+"/x") })
	b.Run("gateway", func(b *testing.B) { measure(b, w.signedIn(false), "https://"+host+"/x") })
}

// BenchmarkCut is how long sixty websockets of a session go on after their end is known.
func BenchmarkCut(b *testing.B) {
	for b.Loop() {
		w := newWorld(b)
		gone := w.app.live()
		mine := w.cookieOf(w.signedIn(false))
		ctx, done := context.WithTimeout(context.Background(), long)
		const many = mostConns - 4
		for range many {
			if _, _, got := w.websocket(mine, "/live", "https://"+host); got.StatusCode != 101 {
				b.Fatal(got.Status)
			}
		}
		start := time.Now()
		w.control.revoke()
		for range many {
			select {
			case <-gone:
			case <-ctx.Done():
				b.Fatal("it goes on")
			}
		}
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "cut-ms")
		done()
	}
}
