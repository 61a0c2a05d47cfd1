package gateway

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"stint/internal/access"
)

// TestStrangersAtADoor: those whom nobody knows use up what they may ask for at one door, from
// however many addresses, and nothing else: not what is asked for at another door, nor by
// whoever was let in before.
func TestStrangersAtADoor(t *testing.T) {
	run(t, time.Hour, func(t *testing.T, w *world) {
		refused := access.Fail(access.Denied, "no-access", "no")
		w.permit.Web = &Web{}
		from, no := 0, true
		ask := func(protocol, key string) error {
			from++
			w.set(func() {
				w.refuse = nil
				if no {
					w.refuse = refused
				}
				if w.permit.Web = nil; protocol == "http" {
					w.permit.Web = &Web{}
				}
			})
			s, err := w.Gateway.Open(t.Context(), Facts{Protocol: protocol, Key: []byte(key), Resource: "wiki", Source: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(from >> 8), byte(from)}), 1)})
			if err == nil {
				s.End(ClientGone, "")
				s.Closed()
			}
			return err
		}
		most := int(10 * w.strangers.perSecond)
		no = false
		for range most + 10 { // who is let in costs nothing
			if err := ask("http", ""); err != nil {
				t.Fatal(err)
			}
		}
		if err := ask("http", "mira's"); err != nil {
			t.Fatal(err)
		}
		no = true
		for n := range most {
			if err := ask("http", fmt.Sprint("made up ", n)); !errors.Is(err, access.Denied) {
				t.Fatalf("stranger %d: %v", n, err)
			}
		}
		asked := w.asked
		if err := ask("http", "one more"); !errors.Is(err, access.TooMany) || w.asked != asked {
			t.Errorf("a stranger too many: %v, and the control plane was asked %d times", err, w.asked-asked)
		}
		no = false
		for protocol, key := range map[string]string{"http": "mira's", "ssh": "any", "postgres": "any"} {
			if err := ask(protocol, key); err != nil {
				t.Errorf("%s for %s: %v", protocol, key, err)
			}
		}
		time.Sleep(time.Second)
		if err := ask("http", "somebody new"); err != nil {
			t.Errorf("a second later: %v", err)
		}
		no = true
		for range most + 10 {
			_ = ask("http", "made up")
		}
		w.set(func() { w.silent = true })
		no = false
		if err := ask("http", "mira's"); errors.Is(err, access.TooMany) {
			t.Errorf("who is known: %v", err)
		}
	})
}
