package agent

import (
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/envelope"
)

// TestSooner: an end that was fixed after the order counts while the control plane is away,
// never later than the order says, and after a restart too; and what ended alone is told
// until it was heard.
func TestSooner(t *testing.T) {
	r := newRig(t)
	told := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	order := func(c *envelope.Call) { c.Orders[0].ExpiresAt = told }
	say := func(told, end time.Time, tags ...string) {
		t.Helper()
		var x envelope.Trust
		for _, tag := range tags {
			x.Ends = append(x.Ends, envelope.End{Tag: tag, Told: told, End: end})
		}
		if err := r.agent.Heed(x); err != nil {
			t.Fatal(err)
		}
	}
	for _, tag := range []access.Tag{"tag1", "tag2", "tag3"} {
		if a := r.ask(envelope.Provision, tag, order); a.Failure != nil {
			t.Fatalf("%+v", a)
		}
	}
	soon := time.Now().Add(300 * time.Millisecond)
	say(told, soon, "tag1", "none")
	say(told.Add(-time.Minute), soon, "tag2") // of an order before this one
	say(told, told.Add(time.Hour), "tag3")    // never later
	for _, h := range r.ledger.Held() {
		if want := map[access.Tag]bool{"tag1": true}[h.Tag]; h.Until.Before(told) != want || h.Until.After(told) {
			t.Errorf("%s ends at %s, and was told %s", h.Tag, h.Until, told)
		}
	}
	// While the control plane is there, it is its business: its end may be put off yet.
	for time.Now().Before(soon.Add(100 * time.Millisecond)) {
		if !r.host.has("tag1") {
			t.Fatal("it was ended with the control plane there")
		}
		time.Sleep(10 * time.Millisecond)
	}
	say(told, time.Now().Add(10*time.Minute), "tag1")
	r.plane.set(func() { r.plane.down = true })
	select {
	case <-time.After(300 * time.Millisecond):
	case <-t.Context().Done():
	}
	if !r.host.has("tag1") {
		t.Fatal("it was put off, and ended all the same")
	}
	r.plane.set(func() { r.plane.down = false })
	say(told, time.Now().Add(200*time.Millisecond), "tag1")
	r.stop()
	r.plane.set(func() { r.plane.down = true })
	r.start() // it has not heard of anybody since
	r.goneWithin("tag1", 60*time.Second)
	if !r.host.has("tag2") || !r.host.has("tag3") {
		t.Error("others ended with it")
	}
	for deadline := time.Now().Add(60 * time.Second); ; {
		ended, heard := r.agent.Untold()
		if len(ended) == 1 && ended[0].Tag == "tag1" && !ended[0].At.IsZero() {
			if err := heard(); err != nil {
				t.Error(err)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it is not told that it ended alone: %+v", ended)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if ended, _ := r.agent.Untold(); len(ended) != 0 {
		t.Errorf("told twice: %+v", ended)
	}
}

// TestSoonerWhileAtWork: what is at work on a tag is neither written over nor waited for.
func TestSoonerWhileAtWork(t *testing.T) {
	r := newRig(t)
	told := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	for _, tag := range []access.Tag{"tag1", "tag2"} {
		if a := r.ask(envelope.Provision, tag, func(c *envelope.Call) { c.Orders[0].ExpiresAt = told }); a.Failure != nil {
			t.Fatalf("%+v", a)
		}
	}
	soon := told.Add(-time.Minute)
	ends := envelope.Trust{Ends: []envelope.End{{Tag: "tag1", Told: told, End: soon}, {Tag: "tag2", Told: told, End: soon}}}
	until := func() map[access.Tag]bool {
		out := map[access.Tag]bool{}
		for _, h := range r.ledger.Held() {
			out[h.Tag] = h.Until.Equal(soon)
		}
		return out
	}
	unlock := r.agent.tags.lock("tag1")
	if err := r.agent.Heed(ends); err != nil { // and comes back
		t.Fatal(err)
	}
	if got := until(); got["tag1"] || !got["tag2"] {
		t.Errorf("while something is at work on tag1: %v", got)
	}
	unlock()
	if err := r.agent.Heed(ends); err != nil {
		t.Fatal(err)
	}
	if got := until(); !got["tag1"] || !got["tag2"] {
		t.Errorf("afterwards: %v", got)
	}
}
