package web

import (
	"fmt"
	"strings"
	"testing"

	"stint/internal/web/views"
)

// TestFreeName: what is made of long names is bounded, and never one that is taken.
func TestFreeName(t *testing.T) {
	if got := freeName(nil, "db", "reader"); got != "db-reader" {
		t.Error(got)
	}
	long := strings.Repeat("a", 61) + "."
	var have []views.Favourite
	for i := range 100 {
		name := freeName(have, long, "reader")
		if len(name) > maxNamed || keptAs([]views.Favourite{{Name: name}}, "", "") == "" {
			t.Fatalf("%d: %q", i, name)
		}
		for _, f := range have {
			if f.Name == name {
				t.Fatalf("%d: %q is taken", i, name)
			}
		}
		have = append(have, views.Favourite{Name: name, Wish: views.Wish{Resource: long, Role: fmt.Sprint(i)}})
	}
	if keptAs(have, long, "7") == "" || keptAs(have, long, "100") != "" {
		t.Error("what is kept is not found")
	}
}
