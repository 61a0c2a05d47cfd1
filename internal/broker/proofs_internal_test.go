package broker

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"stint/internal/access"
)

// TestLatestProofs: of many, a host is shown what was decided last, and what that extends.
func TestLatestProofs(t *testing.T) {
	at := func(n int) time.Time { return time.Date(2026, 1, 2, 3, n, 0, 0, time.UTC) }
	proof := func(g, n int, extension bool) shown {
		return shown{access.Proof{Grant: access.GrantID(fmt.Sprint("grt_", g)), Ask: fmt.Sprint(n)}, at(n), extension}
	}
	var twenty []shown
	for n := range 20 {
		twenty = append(twenty, proof(n, n, false))
	}
	var long []shown // one grant, and many extensions of it
	for n := range 20 {
		long = append(long, proof(1, n, n > 0))
	}
	for name, c := range map[string]struct {
		all  []shown
		want []string
		not  string
	}{
		"the newest grant":                    {twenty, []string{"19", "18", "4"}, "3"},
		"an extension of the oldest grant":    {append(slices.Clone(twenty), proof(0, 30, true)), []string{"30", "0", "19", "6"}, "5"},
		"the last extensions, and their base": {long, []string{"19", "5", "0"}, "4"},
		"a base that nobody signed":           {[]shown{proof(1, 5, true)}, []string{"5"}, "0"},
		"as many as there is room for":        {twenty[:16], []string{"0", "15"}, "16"},
	} {
		c.all = slices.Clone(c.all)
		slices.Reverse(c.all) // their order says nothing
		var got []string
		for _, p := range lastShown(c.all) {
			got = append(got, p.Ask)
		}
		for _, w := range c.want {
			if !slices.Contains(got, w) {
				t.Errorf("%s: %s is not shown, but %v", name, w, got)
			}
		}
		if slices.Contains(got, c.not) || len(got) > access.MaxProofs || len(slices.Compact(slices.Sorted(slices.Values(got)))) != len(got) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if lastShown(nil) != nil {
		t.Error("something of nothing")
	}
}
