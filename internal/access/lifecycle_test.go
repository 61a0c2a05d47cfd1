package access

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func drawRights(t *rapid.T, from []string, least int, what string) []string {
	return slices.Sorted(slices.Values(rapid.SliceOfNDistinct(rapid.SampledFrom(from), least, len(from), rapid.ID).Draw(t, what)))
}

func drawMillis(t *rapid.T, lo, hi time.Duration, what string) time.Duration {
	return time.Duration(rapid.Int64Range(lo.Milliseconds(), hi.Milliseconds()).Draw(t, what)) * time.Millisecond
}

// Granted ⊆ approved ⊆ requested ⊆ cap, in rights and in time, whatever the
// voters leave, in whichever order they come.
func TestNarrowing(t *testing.T) {
	granted := 0
	rapid.Check(t, func(t *rapid.T) {
		all := []string{"a", "b", "c", "d"}
		d := needs(Requirement{From: []Subject{"*"}, Count: rapid.IntRange(1, 3).Draw(t, "count")})
		if rapid.IntRange(0, 4).Draw(t, "allowed") == 0 {
			d.Effect, d.Approvals = Allow, nil
		}
		d.MaxDuration = drawMillis(t, 0, 4*time.Hour, "cap")
		asked := draft(func(r *Request) {
			r.Permissions.Rights = drawRights(t, all, 1, "asked")
			r.Duration = drawMillis(t, time.Millisecond, 3*time.Hour, "duration")
			r.Clock = rapid.SampledFrom([]StartClock{"", FromEffective, FromApproval, FromRequest}).Draw(t, "clock")
		})
		r, ev, err := Submit(asked, actorOf(mira), d, t0)
		if err != nil {
			t.Fatal(err)
		}
		if ev.Version != 1 || ev.Type != RequestSubmitted || ev.Facts["digest"] != r.Digest.String() || ev.Facts["state"] != string(r.State) {
			t.Fatalf("event %+v", ev)
		}
		if (r.State == RequestIsDenied) != (asked.Duration > d.MaxDuration) {
			t.Fatalf("%s asked under a cap of %s is %s", asked.Duration, d.MaxDuration, r.State)
		}
		digest, now := r.Digest, t0
		var left []Vote
		for i := range rapid.IntRange(0, 4).Draw(t, "votes") {
			now = now.Add(drawMillis(t, 0, time.Hour, "wait"))
			v := Vote{Approve: true, Seen: digest}
			if rapid.Bool().Draw(t, "shorter") {
				v.Duration = drawMillis(t, time.Millisecond, 4*time.Hour, "leaves")
			}
			if rapid.Bool().Draw(t, "narrower") {
				v.Rights = drawRights(t, all, 1, "rights")
			}
			p := Principal{ID: PrincipalID(fmt.Sprint("user:v", i)), Person: Person(fmt.Sprint("v", i))}
			was := r.State
			next, _, err := r.Vote(p, actorOf(p), v, now)
			narrower := v.Duration <= r.Duration && subset(v.Rights, r.Permissions.Rights)
			if err == nil && (was != RequestPending || !narrower) {
				t.Fatalf("%s: vote %+v on %s of %v was taken", was, v, r.Duration, r.Permissions.Rights)
			}
			if err != nil {
				if !reflect.DeepEqual(next, r) {
					t.Fatal("a refused vote changed the request")
				}
				if was == RequestPending && narrower && !errors.Is(err, Conflict) {
					t.Fatalf("vote %+v on %s of %v: %v", v, r.Duration, r.Permissions.Rights, err)
				}
				continue
			}
			if next.Version != r.Version+1 {
				t.Fatalf("version %d after %d", next.Version, r.Version)
			}
			r, left = next, append(left, v)
		}
		wasDecided := r.State
		after, g, _, err := r.NewGrant("grt_1", now)
		if err != nil {
			if wasDecided == RequestIsGranted && !errors.Is(err, Expired) {
				t.Fatalf("%s: %v", wasDecided, err)
			}
			return
		}
		granted++
		if wasDecided != RequestIsGranted || r.Digest != digest || g.Digest != digest || after.Grant != g.ID {
			t.Fatalf("a grant of a request that is %s", wasDecided)
		}
		if d.Effect == Approve && len(left) != d.Approvals[0].Count {
			t.Fatalf("granted after %d votes of %d", len(left), d.Approvals[0].Count)
		}
		if len(g.Permissions.Rights) == 0 || !subset(g.Permissions.Rights, asked.Permissions.Rights) || !g.Permissions.Within(asked.Permissions) {
			t.Fatalf("granted %v of %v", g.Permissions.Rights, asked.Permissions.Rights)
		}
		if g.Duration <= 0 || g.Duration > asked.Duration || g.Duration > d.MaxDuration || g.Duration > MaxDuration {
			t.Fatalf("granted %s of %s under %s", g.Duration, asked.Duration, d.MaxDuration)
		}
		want := asked.Duration
		for _, v := range left {
			if v.Duration != 0 {
				want = min(want, v.Duration)
			}
			if v.Rights != nil && !subset(g.Permissions.Rights, v.Rights) {
				t.Fatalf("granted %v, and %v was approved", g.Permissions.Rights, v.Rights)
			}
		}
		for _, x := range asked.Permissions.Rights {
			common := !slices.ContainsFunc(left, func(v Vote) bool { return v.Rights != nil && !slices.Contains(v.Rights, x) })
			if common != slices.Contains(g.Permissions.Rights, x) {
				t.Fatalf("granted %v after %v", g.Permissions.Rights, left)
			}
		}
		if g.Duration != want {
			t.Fatalf("granted %s, approved were %s", g.Duration, want)
		}
		if !reflect.DeepEqual(g.Targets, asked.Targets) || g.Principal != asked.Principal || g.Person != asked.Person || g.Role != asked.Role || g.Device != asked.Device {
			t.Fatalf("granted something else: %+v", g)
		}
	})
	if granted == 0 && !testing.Short() { // twenty draws may all miss, a hundred do not
		t.Error("the generator never led to a grant")
	}
}

var legal = map[GrantState][]GrantState{
	Scheduled: {Provisioning, Ended}, Provisioning: {Active, Ending}, Active: {Active, Ending}, Ending: {Ended, Failed},
}

// A grant's end is finite and never zero. It is set when set-up begins, lowered
// at activation, and raised by approved extensions alone, up to the cap.
// Terminal states absorb, and there is always a way to the end.
func TestGrantLife(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := allow()
		d.MaxDuration = 5 * time.Hour
		asked := draft(func(r *Request) {
			r.Duration = drawMillis(t, time.Millisecond, 5*time.Hour, "duration")
			r.Clock = rapid.SampledFrom([]StartClock{"", FromEffective, FromApproval, FromRequest}).Draw(t, "clock")
			if rapid.Bool().Draw(t, "scheduled") {
				r.Start = t0.Add(drawMillis(t, -time.Minute, 72*time.Hour, "start"))
			}
		})
		r, _, err := Submit(asked, actorOf(mira), d, t0)
		if err != nil {
			t.Fatal(err)
		}
		now := t0
		_, g, ev, err := r.NewGrant("grt_1", now)
		if err != nil {
			if asked.Clock != FromRequest && asked.Clock != FromApproval {
				t.Fatal(err)
			}
			return
		}
		version := ev.Version
		extended := time.Duration(0)
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			// Times near the edges find more than times anywhere.
			edges := []time.Time{now, g.StartsAt, g.SetupBy, g.ExpiresAt, now.Add(time.Minute)}
			at := rapid.SampledFrom(edges).Draw(t, "edge").Add(drawMillis(t, -2*time.Second, 2*time.Second, "off"))
			if at.After(now) {
				now = at
			}
			was, before := g, g
			var err error
			var ev Event
			did := true
			in := rapid.SampledFrom([]string{"begin", "activate", "extend", "end", "time", "finish", "show", "defer", "seen"}).Draw(t, "input")
			switch in {
			case "begin":
				g, ev, err = g.Begin(now)
			case "activate":
				g, ev, err = g.Activate(now)
			case "extend":
				ask := draft(func(r *Request) {
					r.Extends, r.Duration, r.Permissions = g.ID, drawMillis(t, time.Millisecond, 3*time.Hour, "more"), g.Permissions
				})
				ext, _, e := Submit(ask, actorOf(mira), d, now)
				if e != nil {
					t.Fatal(e)
				}
				if g, ext, ev, err = g.Extend(ext, now); err == nil {
					extended += ask.Duration
					if _, _, _, again := g.Extend(ext, now); again == nil {
						t.Fatal("an extension was used twice")
					}
				}
			case "end":
				why := rapid.SampledFrom([]EndReason{ByHolder, ByPerson, ByPolicy, BySetup}).Draw(t, "why")
				g, ev, did, err = g.End(why, "note", System, now)
				if err != nil && !was.Over() {
					t.Fatalf("a grant that is %s cannot be ended: %v", was.State, err)
				}
			case "time":
				g, ev, did, err = g.End(ByTime, "", System, now)
				if due := was.DueAt(); err == nil && did && (due.IsZero() || now.Before(due)) || err != nil && was.State == Active && !now.Before(was.ExpiresAt) {
					t.Fatalf("%s at %v, due at %v: %v", was.State, now, due, err)
				}
			case "finish":
				g, ev, err = g.Finish(now)
			case "show":
				g, ev, err = g.Show(actorOf(mira), now)
				if err == nil && !now.Before(was.ExpiresAt) {
					t.Fatal("shown after the end")
				}
			case "defer":
				if g.State == Scheduled || g.Over() {
					g, did = g.Defer(now), false
					before.StartsAt = g.StartsAt
				}
			case "seen":
				g, did = g.Seen(now), false
				before.SeenAt = g.SeenAt
			}
			if err != nil || !did || ev.Type == "" {
				if !reflect.DeepEqual(g, before) || ev.Type != "" {
					t.Fatalf("%s on %s: %v, and the grant changed: %+v", in, was.State, err, g)
				}
				continue
			}
			if version++; g.Version != version || ev.Version != version {
				t.Fatalf("version %d, event %d, want %d", g.Version, ev.Version, version)
			}
			if was.Over() || !slices.Contains(legal[was.State], g.State) {
				t.Fatalf("%s: %s became %s", in, was.State, g.State)
			}
			switch {
			case g.ExpiresAt.IsZero() || g.ExpiresAt.After(g.SetupBy.Add(g.Duration)):
				t.Fatalf("%s: end %v, set-up by %v for %s", in, g.ExpiresAt, g.SetupBy, g.Duration)
			case in == "begin" && !now.Before(g.ExpiresAt), in == "activate" && !now.Before(g.ExpiresAt):
				t.Fatalf("%s at %v of a grant that ends at %v", in, now, g.ExpiresAt)
			case g.ExpiresAt.After(was.ExpiresAt) && in != "extend" && in != "begin":
				t.Fatalf("%s raised the end", in)
			case in == "extend" && g.ExpiresAt.Sub(was.ExpiresAt) != g.Duration-was.Duration:
				t.Fatalf("extended by %s to %v from %v", g.Duration-was.Duration, g.ExpiresAt, was.ExpiresAt)
			case g.Duration != asked.Duration+extended:
				t.Fatalf("lasts %s after %s and %s", g.Duration, asked.Duration, extended)
			case !g.ActiveAt.IsZero() && g.ExpiresAt.Sub(g.ActiveAt) > min(g.Duration, d.MaxDuration):
				t.Fatalf("active for %s of %s", g.ExpiresAt.Sub(g.ActiveAt), g.Duration)
			case (g.State == Failed) != (g.Over() && g.EndReason == BySetup && g.ActiveAt.IsZero() && was.State == Ending):
				t.Fatalf("%s for %s", g.State, g.EndReason)
			case g.Over() && (g.EndedAt.IsZero() || g.VerifiedGoneAt.IsZero() || g.EndingAt.IsZero() || g.EndReason == ""):
				t.Fatalf("over without when and why: %+v", g)
			}
		}
		if g.Live() { // there is always a way to the end
			if g, _, _, err = g.End(ByPerson, "", System, now); err != nil {
				t.Fatal(err)
			}
		}
		if g.State == Ending {
			if g, _, err = g.Finish(now); err != nil {
				t.Fatal(err)
			}
		}
		if !g.Over() {
			t.Fatalf("in the end it is %s", g.State)
		}
	})
}
