package api_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stint/internal/api"
)

func TestParseDuration(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"20s": 20 * time.Second, "90m": 90 * time.Minute, "1h30m": 90 * time.Minute,
		"2d": 48 * time.Hour, "1d12h": 36 * time.Hour, "1d2h3m4s": 26*time.Hour + 3*time.Minute + 4*time.Second,
		"0h5m": 5 * time.Minute, "007s": 7 * time.Second, "366d": api.MaxDuration,
		"31622400s": api.MaxDuration, "0000000000000001s": time.Second,
	} {
		got, err := api.ParseDuration(in)
		if err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
}

func TestParseDurationRefuses(t *testing.T) {
	for in, says := range map[string]string{
		"": "no duration", "0s": "zero", "0d0h0m0s": "zero", "90": "no unit",
		"-5m": "sign", "+5m": "sign", "1h-5m": "sign", "1.5h": "1h30m", "1,5h": "fraction",
		"500ms": "second", "5us": "second", "5ns": "second", "5µs": "the units are",
		"1m1h": "large to small", "1h1h": "each at most once", "h": "after a number", "5m m": "the units are",
		"1H": "the units are", "2w": "the units are", "1y": "the units are", "1e3s": "the units are",
		" 5m": "the units are", "5m ": "the units are", "5 m": "the units are", "٣m": "the units are",
		"five minutes": "the units are", "5m\x00": "the units are", "0x10s": "the units are",
		"367d": "366d", "366d1s": "366d", "31622401s": "366d", "9223372036854775807s": "366d",
		"99999999999999999999999999h": "366d", "106751d24h": "366d", "999999999d": "366d",
		strings.Repeat("9", 10_000): "no unit", strings.Repeat("x", 10_000): "the units are",
	} {
		got, err := api.ParseDuration(in)
		if got != 0 || !errors.Is(err, api.Invalid) {
			t.Errorf("ParseDuration(%.40q) = %v, %v; want an Invalid error", in, got, err)
			continue
		}
		var e *api.Error
		if !errors.As(err, &e) || e.Next == "" {
			t.Errorf("ParseDuration(%.40q): no next step in %#v", in, err)
			continue
		}
		if !strings.Contains(err.Error(), says) {
			t.Errorf("ParseDuration(%.40q) says %q; want it to say %q", in, err, says)
		}
		if len(err.Error())+len(e.Next) > 300 {
			t.Errorf("ParseDuration(%.40q): the error is %d bytes long", in, len(err.Error()))
		}
	}
}

func TestFormatDuration(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"1h": time.Hour, "1h30m": 90 * time.Minute, "1m30s": 90 * time.Second, "20s": 20 * time.Second,
		"1m": time.Minute, "10m": 10 * time.Minute, "1h0m5s": time.Hour + 5*time.Second, "48h": 48 * time.Hour,
		"10h": 10 * time.Hour, "100h10m": 100*time.Hour + 10*time.Minute, "1.5s": 1500 * time.Millisecond, "0s": 0,
	} {
		if got := api.FormatDuration(d); got != want {
			t.Errorf("FormatDuration(%d) = %q, want %q", d, got, want)
		}
	}
}

func TestDurationRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(1, int64(api.MaxDuration/time.Second)).Draw(t, "seconds")) * time.Second
		text := api.FormatDuration(d)
		if got, err := api.ParseDuration(text); err != nil || got != d {
			t.Fatalf("ParseDuration(%q) = %v, %v; want %v", text, got, err, d)
		}
		if got, err := time.ParseDuration(text); err != nil || got != d {
			t.Fatalf("time.ParseDuration(%q) = %v, %v; want %v", text, got, err, d)
		}
	})
}

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"", "20s", "1h30m", "2d", "-1s", "1h1h", "99999999999h", "1.5h", "1d1d", "٣m"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := api.ParseDuration(s)
		if err != nil {
			if d != 0 || !errors.Is(err, api.Invalid) {
				t.Fatalf("ParseDuration(%q) = %v, %v", s, d, err)
			}
			return
		}
		if d < time.Second || d > api.MaxDuration || d%time.Second != 0 {
			t.Fatalf("ParseDuration(%q) = %v, out of bounds", s, d)
		}
		again, err := api.ParseDuration(api.FormatDuration(d))
		if err != nil || again != d {
			t.Fatalf("ParseDuration(FormatDuration(%v)) = %v, %v", d, again, err)
		}
		// Where Go's parser understands it too, both must mean the same.
		if std, err := time.ParseDuration(s); err == nil && std != d {
			t.Fatalf("%q is %v here and %v to Go", s, d, std)
		}
	})
}
