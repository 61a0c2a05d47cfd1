package access

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPrincipalIn(t *testing.T) {
	for s, want := range map[Subject]bool{
		"*": true, "user:zoe": true, "group:dba": true, "group:security": true,
		"user:ben": false, "group:owners": false, "dba": false, "group:": false, "group:user:zoe": false, "": false, "service:zoe": false, "owner": false,
	} {
		if got := zoe.In(s); got != want {
			t.Errorf("In(%q) = %v", s, got)
		}
	}
}

func TestPrincipalUsable(t *testing.T) {
	p := Principal{ID: "service:ci", Until: t0}
	for off, ok := range map[time.Duration]bool{-2 * time.Second: true, -1: true, 0: false, 1: false, 2 * time.Second: false} {
		if err := p.Usable(t0.Add(off)); (err == nil) != ok {
			t.Errorf("%s around its end: %v", off, err)
		}
	}
	if err := mira.Usable(t0.AddDate(1000, 0, 0)); err != nil {
		t.Error(err)
	}
	p.Disabled = true
	wantCode(t, p.Usable(t0.Add(-time.Hour)), Unauthenticated, "principal-disabled")
}

func TestPrincipalID(t *testing.T) {
	for id, want := range map[PrincipalID][2]string{
		"user:mira": {"user", "mira"}, "agent:a:b": {"agent", "a:b"}, "": {"", ""}, "user": {"user", ""}, ":x": {"", "x"},
	} {
		if string(id.Kind()) != want[0] || id.Name() != want[1] {
			t.Errorf("%q: %q, %q", id, id.Kind(), id.Name())
		}
	}
}

// Identifiers sort by time, then by nothing; and times that cannot be do no harm.
func TestIDs(t *testing.T) {
	var ids []string
	for _, ms := range []int64{0, 1, 1000, t0.UnixMilli(), t0.UnixMilli() + 1, 1<<48 - 1} {
		ids = append(ids, string(NewGrantID(ms, Entropy{9})))
	}
	if !slices.IsSorted(ids) {
		t.Errorf("not in order: %v", ids)
	}
	if NewGrantID(1, Entropy{1}) == NewGrantID(1, Entropy{2}) {
		t.Error("entropy does not matter")
	}
	for _, ms := range []int64{-1, math.MinInt64, math.MaxInt64} {
		if id := string(NewRequestID(ms, Entropy{1})); len(id) != 30 || !strings.HasPrefix(id, "req_") {
			t.Errorf("at %d: %s", ms, id)
		}
	}
}

func TestParseDigest(t *testing.T) {
	good := Digest{1, 2, 3}.String()
	if d, err := ParseDigest(good); err != nil || d != (Digest{1, 2, 3}) {
		t.Errorf("%v, %v", d, err)
	}
	for _, s := range []string{
		"", "sha256:", good[7:], good + "0", good[:70], strings.ToUpper(good), "sha256:" + strings.ToUpper(Digest{0xab}.String()[7:]), "sha512:" + good[7:], " " + good, good + "\n",
		"sha256:" + strings.Repeat("g", 64), "sha256:" + strings.Repeat("é", 32), "sha256:sha256:" + good[7:64],
	} {
		d, err := ParseDigest(s)
		if wantCode(t, err, Invalid, "bad-digest"); d != (Digest{}) {
			t.Errorf("%q gave %v", s, d)
		}
	}
}

// What is accepted is written back as it was.
func FuzzParseDigest(f *testing.F) {
	f.Add(Digest{1}.String())
	f.Add("sha256:" + strings.Repeat("f", 64))
	f.Add("sha256:" + strings.Repeat("F", 64))
	f.Add("sha256:")
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := ParseDigest(s); err == nil && d.String() != s {
			t.Fatalf("%q became %s", s, d)
		} else if err != nil && (d != Digest{} || KindOf(err) != Invalid) {
			t.Fatalf("%q: %v, %v", s, d, err)
		}
	})
}

func TestValidMail(t *testing.T) {
	for s, want := range map[string]bool{
		"mira@example.com": true, "m.i+r_a%x-1@a-b.example": true, "root@localhost": true,
		"": false, "mira": false, "@example.com": false, "mira@": false, "mira@example..com": false, "mira@.com": false, "mira @example.com": false,
		"mira@example.com\r\nBcc: x@y.z": false, "mira@example.com,x@y.z": false, "\"mira\"@example.com": false, "<mira@example.com>": false,
		strings.Repeat("a", 65) + "@b.c": false, "a@" + strings.Repeat("b.", 130) + "c": false,
	} {
		if got := ValidMail(s); got != want {
			t.Errorf("ValidMail(%q) = %v", s, got)
		}
	}
}

func TestWith(t *testing.T) {
	p := Principal{Attributes: map[string]string{"team": "orders"}}
	with := p.With("mail", "a@b.c")
	if len(p.Attributes) != 1 || with.Attributes["mail"] != "a@b.c" || with.Attributes["team"] != "orders" {
		t.Errorf("%v, %v", p.Attributes, with.Attributes)
	}
	if without := with.With("mail", "").With("team", ""); without.Attributes != nil {
		t.Errorf("%v", without.Attributes)
	}
}
