package access

import (
	"fmt"
	"strings"
	"testing"
)

// TestEntryTicket: of a ticket nothing is printed, and what is kept of it is of all that it is for.
func TestEntryTicket(t *testing.T) {
	k := NewEntryTicket([32]byte{1, 2, 3})
	if back, ok := ReadEntryTicket(k.Reveal()); !ok || back.Serial() != k.Serial() || k.Serial() <= 0 {
		t.Errorf("it is not read back: %v", ok)
	}
	for _, text := range []string{"", "4711", k.Reveal() + "A", k.Reveal()[1:], strings.Repeat("=", 43), k.Reveal()[:42] + "B"} {
		if _, ok := ReadEntryTicket(text); ok {
			t.Errorf("%q is taken", text)
		}
	}
	if s := fmt.Sprintf("%v %+v %#v", k, k, k); strings.Contains(s, k.Reveal()) {
		t.Errorf("it prints %s", s)
	}
	at := Door{Domain: "apps.example", Port: 8443}
	seen := map[string]bool{}
	for _, p := range []string{
		k.Print("c", at, "wiki"), k.Print("d", at, "wiki"), k.Print("c", Door{Domain: "apps.example", Port: 443}, "wiki"), k.Print("c", Door{Domain: "other.example", Port: 8443}, "wiki"),
		k.Print("c", at, "open"), NewEntryTicket([32]byte{4}).Print("c", at, "wiki"),
	} {
		if seen[p] || strings.Contains(p, k.Serial().String()) {
			t.Errorf("%s is of another, too", p)
		}
		seen[p] = true
	}
	if !SamePrint("a", "a") || SamePrint("a", "b") || SamePrint("a", "") {
		t.Error("prints are not compared")
	}
}
