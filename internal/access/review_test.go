package access

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

const within = 72 * time.Hour

func openReview(t testing.TB, bend ...func(*Opening)) (Review, Event) {
	t.Helper()
	r, g, _, err := submit(t, glassDecision(), emergency).NewGrant("grt_1", t0)
	if err != nil {
		t.Fatal(err)
	}
	o := Opening{Owners: []Subject{"group:dba", "user:omar"}, Within: within}
	for _, f := range bend {
		f(&o)
	}
	v, ev, err := OpenReview("rev_1", r, g, o, actorOf(mira), t0)
	if err != nil {
		t.Fatal(err)
	}
	return v, ev
}

// The alarm says whom to page, why, and what has to follow.
func TestOpenReviewRaisesTheAlarm(t *testing.T) {
	v, ev := openReview(t)
	if v.State != ReviewOpen || v.Version != 1 || !v.DueAt.Equal(t0.Add(within)) || v.Overdue(v.DueAt.Add(-1)) || !v.Overdue(v.DueAt) {
		t.Errorf("got %+v", v)
	}
	if ev.Type != BreakGlassOpened || ev.Entity != "rev_1" || ev.Version != 1 || ev.Actor.Person != "mira" {
		t.Errorf("got %+v", ev)
	}
	for name, want := range map[string]string{"owners": "group:dba,user:omar", "page": "owners", "resource": "orders", "role": "writer", "principal": "user:mira",
		"person": "mira", "request": string(v.Request), "grant": "grt_1", "obligations": "recording=none,page=owners,review=other-person", "duration": "1h0m0s", "drill": "", "codes": "", "overdue_reviews": ""} {
		if ev.Facts[name] != want {
			t.Errorf("%s is %q, want %q", name, ev.Facts[name], want)
		}
	}
	for _, x := range []struct{ through, says string }{{"gateway", "recording=full,"}, {"direct", "recording=none,"}, {"", "recording=none,"}} {
		if got := Obligations(Permissions{Mechanism: Token, Options: map[string]string{"through": x.through}}); !strings.HasPrefix(got, x.says) {
			t.Errorf("through %q: %s", x.through, got)
		}
	}
	_, ev = openReview(t, func(o *Opening) { o.Overdue = 2 })
	if ev.Facts["overdue_reviews"] != "2" || ev.Facts["page"] != "owners,administrators" {
		t.Errorf("somebody with overdue reviews pages %q, with %q", ev.Facts["page"], ev.Facts["overdue_reviews"])
	}
	_, ev = openReview(t, func(o *Opening) { o.Codes, o.Openers = []string{"code_1", "code_2"}, []Person{"mira", "zoe"} })
	if ev.Facts["codes"] != "code_1,code_2" || ev.Facts["code_persons"] != "mira,zoe" || ev.Facts["page"] != "owners,administrators" {
		t.Errorf("codes in the alarm: %v", ev.Facts)
	}
}

func TestOnlyEmergenciesAreReviewed(t *testing.T) {
	r, g, _, err := submit(t, allow()).NewGrant("grt_1", t0)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = OpenReview("rev_1", r, g, Opening{Within: within}, actorOf(mira), t0)
	wantCode(t, err, Internal, "no-emergency")
	r, g, _, _ = submit(t, glassDecision(), emergency).NewGrant("grt_1", t0)
	_, _, err = OpenReview("rev_1", r, g, Opening{}, actorOf(mira), t0)
	wantCode(t, err, Internal, "no-deadline")
	g.Request = "req_other"
	_, _, err = OpenReview("rev_1", r, g, Opening{Within: within}, actorOf(mira), t0)
	wantCode(t, err, Internal, "no-emergency")
}

func TestReviewIsClosedByAnotherPerson(t *testing.T) {
	now := t0.Add(time.Hour)
	helped := func(o *Opening) { o.Codes, o.Openers = []string{"code_1"}, []Person{"zoe"} }
	for _, c := range []struct {
		name    string
		by      Principal
		finding Finding
		note    string
		bend    func(*Opening)
		kind    Kind
		code    string
	}{
		{"another person", ben, Justified, "two stuck locks", nil, 0, ""},
		{"and finds it unjustified", ben, Unjustified, "curiosity", nil, 0, ""},
		{"herself", mira, Justified, "fine", nil, Denied, "own-review"},
		{"her other login", miraAdm, Justified, "fine", nil, Denied, "own-review"},
		{"a service of another", robot, Justified, "fine", nil, Denied, "not-a-person"},
		{"a login without a person", Principal{ID: "user:x"}, Justified, "fine", nil, Denied, "not-a-person"},
		{"one whose code was used", zoe, Justified, "fine", helped, Denied, "own-review"},
		{"somebody disabled", Principal{ID: "user:ben", Person: "ben", Disabled: true}, Justified, "fine", nil, Unauthenticated, "principal-disabled"},
		{"as a drill that it was not", ben, FoundDrill, "fine", nil, Invalid, "no-drill"},
		{"without a finding", ben, "", "fine", nil, Invalid, "bad-finding"},
		{"with another word", ben, "fine", "fine", nil, Invalid, "bad-finding"},
		{"without a note", ben, Justified, " ", nil, Invalid, "no-note"},
		{"with a hidden note", ben, Justified, "fine\u202e", nil, Invalid, "bad-note"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, _ := openReview(t, func(o *Opening) {
				if c.bend != nil {
					c.bend(o)
				}
			})
			after, ev, err := v.Close(c.by, actorOf(c.by), c.finding, c.note, now)
			if c.code != "" {
				wantCode(t, err, c.kind, c.code)
				if !reflect.DeepEqual(after, v) {
					t.Error("a refusal changed the review")
				}
				return
			}
			if err != nil || after.State != ReviewClosed || after.Finding != c.finding || after.CloserPerson != c.by.Person || after.Version != 2 || !after.RemindAt.IsZero() {
				t.Fatalf("got %+v, %v", after, err)
			}
			if ev.Type != ReviewDone || ev.Version != 2 || ev.Facts["finding"] != string(c.finding) || ev.Facts["note"] != c.note {
				t.Errorf("got %+v", ev)
			}
			_, _, err = after.Close(zoe, actorOf(zoe), Justified, "again", now)
			wantCode(t, err, Conflict, "already-closed")
			if after.Overdue(now.Add(1000 * time.Hour)) {
				t.Error("a closed review is overdue")
			}
		})
	}
}

func TestReviewIsCalledToMindOnceADay(t *testing.T) {
	v, _ := openReview(t)
	_, _, err := v.Remind(v.DueAt.Add(-time.Millisecond))
	wantCode(t, err, Conflict, "not-due")
	for day := range 3 {
		now := v.DueAt.Add(time.Duration(day) * ReviewAgain)
		next, ev, err := v.Remind(now)
		if err != nil || ev.Type != ReviewOverdue || ev.Version != int64(day)+2 || ev.Facts["times"] != itoa(int64(day)+1) {
			t.Fatalf("day %d: %+v, %v", day, ev, err)
		}
		_, _, err = next.Remind(now.Add(ReviewAgain - time.Millisecond))
		wantCode(t, err, Conflict, "not-due")
		v = next
	}
	v, _, err = v.Close(ben, actorOf(ben), Justified, "late", v.RemindAt)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = v.Remind(t0.Add(1000 * time.Hour))
	wantCode(t, err, Conflict, "not-due")
}
