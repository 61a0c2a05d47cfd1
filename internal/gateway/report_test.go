package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"stint/internal/access"
)

// TestAlarmsHoldNoMore: an alarm that waits holds the bytes that are told, and not the text.
func TestAlarmsHoldNoMore(t *testing.T) {
	run(t, time.Hour, func(t *testing.T, w *world) {
		s := w.open(t)
		w.set(func() { w.silent = true })
		text := strings.Repeat("x", 1<<20)
		s.Alarm("*", text)
		s.g.mu.Lock()
		defer s.g.mu.Unlock()
		for _, a := range s.g.alarms {
			if unsafe.StringData(a.Text) == unsafe.StringData(text) {
				t.Error("it holds all of the text")
			}
		}
		if len(s.g.alarms) != 1 || len(s.g.alarms[0].Text) != longestText {
			t.Errorf("alarms wait: %d", len(s.g.alarms))
		}
	})
}

// TestReportsAreBounded: however much has piled up while the control plane was away, each
// report is one that it takes, all of it arrives once and soon, and no lease is lost by it.
func TestReportsAreBounded(t *testing.T) {
	run(t, time.Hour, func(t *testing.T, w *world) {
		s, flood := w.open(t), w.open(t)
		w.set(func() { w.silent, w.reports = true, nil })
		worst := strings.Repeat("\x01", 2*longestText) // six bytes of JSON for each
		s.Alarm("*rm*", "rm -rf /")
		for range alarmsOfSession + 50 { // one of those that are told has no room in the first report
			flood.Alarm(worst, worst)
		}
		flood.End(Killed, "")
		synctest.Wait()
		const ends = 2*mostEndings + 300
		for i := range ends {
			w.reportOne(Ending{Session: SessionID(fmt.Sprintf("ses_old%d", i)), Reason: Killed, Text: worst[:1000]})
		}
		time.Sleep(5 * time.Second)
		w.set(func() { w.silent = false })
		time.Sleep(12 * time.Second)
		w.set(func() {
			alarms, left, ended := map[SessionID]int{}, map[SessionID]int{}, map[SessionID]int{}
			for i, r := range w.reports {
				text, err := json.Marshal(r)
				if err != nil || len(text) > 6<<20 || len(r.Alarms) > mostAlarms || len(r.Ended) > mostEndings {
					t.Errorf("report %d: %d bytes, %d alarms, %d endings, %v", i, len(text), len(r.Alarms), len(r.Ended), err)
				}
				named := map[SessionID]bool{}
				for _, id := range r.Live {
					named[id] = true
				}
				for _, a := range r.Alarms {
					if alarms[a.Session]++; ended[a.Session] > 0 {
						t.Error("an alarm after the ending")
					}
				}
				for _, x := range r.LeftOut {
					if left[x.Session] += x.Alarms; ended[x.Session] > 0 {
						t.Error("a number after the ending")
					}
				}
				for _, e := range r.Ended {
					ended[e.Session]++
					named[e.Session] = true
				}
				for i := range ends { // else it is taken for lost
					if id := SessionID(fmt.Sprintf("ses_old%d", i)); !named[id] && ended[id] == 0 {
						t.Fatalf("%s is not named", id)
					}
				}
			}
			if alarms[flood.ID] != alarmsOfSession || alarms[s.ID] != 1 || left[flood.ID] != 50 || left[s.ID] != 0 {
				t.Errorf("alarms %v, left out %v", alarms, left)
			}
			if len(ended) != ends+1 {
				t.Errorf("%d endings arrived", len(ended))
			}
			for id, n := range ended {
				if n != 1 {
					t.Errorf("%s ended %d times", id, n)
				}
			}
		})
		if s.Over() != nil {
			t.Errorf("a lease was lost: %v", s.Over())
		}
		flood.g.mu.Lock()
		defer flood.g.mu.Unlock()
		if s.alarms != 0 || flood.g.waiting() {
			t.Errorf("%d alarms of a session wait", s.alarms)
		}
	})
}

// TestStoppingTellsEverything: what does not fit into the last report goes with another.
func TestStoppingTellsEverything(t *testing.T) {
	run(t, time.Hour, func(t *testing.T, w *world) {
		for i := range 3*mostEndings + 1 {
			w.reportOne(Ending{Session: SessionID(fmt.Sprintf("ses_old%d", i)), Reason: Killed})
		}
		w.stop()
		<-w.done
		if len(w.control.ended) != 3*mostEndings+1 {
			t.Errorf("%d endings arrived", len(w.control.ended))
		}
	})
}

// TestStoppingWaitsForPermits: a permit that is on its way as the gateway stops is of a session
// that the control plane has written down, and is told that it never was.
func TestStoppingWaitsForPermits(t *testing.T) {
	run(t, time.Hour, func(t *testing.T, w *world) {
		w.late = time.Second
		opened := make(chan error, 1)
		go func() { _, err := w.Gateway.Open(t.Context(), Facts{}); opened <- err }()
		synctest.Wait()
		w.stop()
		<-w.done
		if err := <-opened; !errors.Is(err, access.Unavailable) {
			t.Errorf("a stopped gateway opens: %v", err)
		}
		if e := w.control.ended; len(e) != 1 || e[0].Session != "ses_1" || e[0].Reason != Refused {
			t.Errorf("the control plane was told %v", e)
		}
	})
}

// TestOneAddressAsksSoOften: who has used up what one address may ask for has nothing asked
// for them, and is in nobody else's way.
func TestOneAddressAsksSoOften(t *testing.T) {
	run(t, time.Hour, func(t *testing.T, w *world) {
		ask := func(from string) error {
			s, err := w.Gateway.Open(t.Context(), Facts{Protocol: "ssh", Resource: "web1", Source: netip.MustParseAddrPort(from)})
			if err == nil {
				s.Closed()
			}
			return err
		}
		for range 10 * w.sources.perSecond {
			if err := ask("192.0.2.7:1"); err != nil {
				t.Fatal(err)
			}
		}
		asked := w.opened
		if err := ask("[::ffff:192.0.2.7]:2"); !errors.Is(err, access.TooMany) || w.opened != asked {
			t.Errorf("%v, and it asked %d times", err, w.opened-asked)
		}
		if err := ask("192.0.2.8:1"); err != nil {
			t.Errorf("another address: %v", err)
		}
		for range 10 * w.sources.perSecond {
			_ = ask("[2001:db8::1]:1")
		}
		if err := ask("[2001:db8::2]:1"); !errors.Is(err, access.TooMany) {
			t.Errorf("the next of its addresses: %v", err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if err := ask("192.0.2.7:1"); err != nil {
			t.Errorf("a second later: %v", err)
		}
	})
}

// TestStoppingTellsTheLastEnding: a gateway that stops waits for its sessions, and tells the
// control plane for the last time when the last of them is closed. By then its ending is kept.
func TestStoppingTellsTheLastEnding(t *testing.T) {
	for range 30 {
		run(t, time.Hour, func(t *testing.T, w *world) {
			first, last := w.open(t), w.open(t)
			for range 4 { // who wants the lock makes room between what is done under it
				go func() {
					for {
						select {
						case <-w.done:
							return
						default:
							w.Count()
						}
					}
				}()
			}
			w.stop()
			<-w.done
			ended := map[SessionID]Reason{}
			for _, e := range w.control.ended {
				ended[e.Session] = e.Reason
			}
			if len(ended) != 2 || ended[first.ID] != Stopping || ended[last.ID] != Stopping {
				t.Fatalf("the control plane was told %v", ended)
			}
		})
	}
}
