package access

import (
	"reflect"
	"slices"
	"testing"
	"time"
)

// From when the duration counts, at each point of a grant that is asked for at
// t0, approved ten minutes later and to start at start.
func TestClocks(t *testing.T) {
	const min = time.Minute
	approved := t0.Add(10 * min)
	for _, tt := range []struct {
		clock  StartClock
		start  time.Duration // after t0; 0: at once
		intent time.Duration // provisional end, after t0
		active time.Duration // end, activated 20 s after the start of set-up
	}{
		{"", 0, 71 * min, 70*min + 20*time.Second},
		{FromEffective, 0, 71 * min, 70*min + 20*time.Second},
		{FromApproval, 0, 70 * min, 70 * min},
		{FromRequest, 0, 60 * min, 60 * min},
		{FromEffective, 30 * min, 91 * min, 90*min + 20*time.Second},
		{FromApproval, 30 * min, 90 * min, 90 * min},
		{FromRequest, 30 * min, 90 * min, 90 * min},
		{FromApproval, 5 * min, 70 * min, 70 * min}, // the start is over when it is approved
		{FromRequest, 5 * min, 65 * min, 65 * min},
	} {
		r := submit(t, needs(oneDBA), func(r *Request) {
			r.Clock = tt.clock
			if tt.start != 0 {
				r.Start = t0.Add(tt.start)
			}
		})
		r, _, err := r.Vote(ben, actorOf(ben), Vote{Approve: true, Seen: r.Digest}, approved)
		if err != nil {
			t.Fatal(err)
		}
		_, g, _, err := r.NewGrant("grt_1", approved)
		if err != nil {
			t.Fatal(err)
		}
		if tt.start > 10*min {
			if g.State != Scheduled || !g.DueAt().Equal(t0.Add(tt.start)) {
				t.Errorf("%+v: %s, due at %v", tt, g.State, g.DueAt())
			}
			if g, _, err = g.Begin(g.StartsAt); err != nil {
				t.Fatal(err)
			}
		}
		if got := g.ExpiresAt.Sub(t0); got != tt.intent || g.State != Provisioning || !g.SetupBy.Equal(g.StartsAt.Add(SetupWithin)) {
			t.Errorf("%+v: %s until %s, set up by %v", tt, g.State, got, g.SetupBy)
		}
		g, _, err = g.Activate(g.StartsAt.Add(20 * time.Second))
		if got := g.ExpiresAt.Sub(t0); err != nil || got != tt.active {
			t.Errorf("%+v: active until %s, %v", tt, got, err)
		}
	}
}

func TestNothingLeftOfTheDuration(t *testing.T) {
	for _, off := range []time.Duration{-time.Millisecond, 0, 2 * time.Second} {
		r := submit(t, needs(oneDBA), func(r *Request) { r.Clock = FromRequest })
		now := t0.Add(time.Hour + off)
		r, _, err := r.Vote(ben, actorOf(ben), Vote{Approve: true, Seen: r.Digest}, now)
		if err != nil {
			t.Fatal(err)
		}
		after, g, _, err := r.NewGrant("grt_1", now)
		if off < 0 {
			if err != nil || !g.ExpiresAt.Equal(t0.Add(time.Hour)) || !g.DueAt().Equal(g.ExpiresAt) {
				t.Errorf("%s before the end: %+v, %v", off, g, err)
			}
			continue
		}
		if wantCode(t, err, Expired, "used-up"); after.Grant != "" || !reflect.DeepEqual(g, Grant{}) {
			t.Errorf("a grant in spite of it: %+v", g)
		}
	}
	g := grantIn(t, Scheduled, func(r *Request) { r.Clock = FromApproval })
	_, _, err := g.Begin(g.ExpiresAt)
	wantCode(t, err, Expired, "used-up")
	g = grantIn(t, Provisioning, func(r *Request) { r.Clock, r.Duration = FromApproval, time.Second })
	if _, _, err := g.Activate(g.ExpiresAt.Add(-1)); err != nil {
		t.Error(err)
	}
	_, _, err = g.Activate(g.ExpiresAt)
	wantCode(t, err, Expired, "set-up-too-late")
}

// Set-up is due by its deadline, or by the end if that comes first; and it may
// not be late even when the end is far.
func TestSetupDeadline(t *testing.T) {
	for clock, short := range map[StartClock]time.Duration{FromEffective: time.Second, "": time.Second, FromApproval: time.Hour, FromRequest: time.Hour} {
		g := grantIn(t, Provisioning, func(r *Request) { r.Clock, r.Duration = clock, short })
		if !g.DueAt().Equal(g.SetupBy) {
			t.Errorf("%q: due at %v, want %v", clock, g.DueAt(), g.SetupBy)
		}
		if _, _, err := g.Activate(g.SetupBy); err != nil {
			t.Errorf("%q: %v", clock, err)
		}
		_, _, err := g.Activate(g.SetupBy.Add(1))
		wantCode(t, err, Expired, "set-up-too-late")
	}
	g := grantIn(t, Provisioning, func(r *Request) { r.Clock, r.Duration = FromRequest, time.Second })
	if !g.DueAt().Equal(g.StartsAt.Add(time.Second)) {
		t.Errorf("due at %v", g.DueAt())
	}
}

// A grant that begins late gets its whole set-up time and keeps its end; one that
// waits for something to be removed keeps its deadline.
func TestBeginLateAndDeferred(t *testing.T) {
	g := grantIn(t, Scheduled)
	late := g.StartsAt.Add(50 * time.Minute)
	for _, g.Clock = range []StartClock{"", FromEffective} {
		began, ev, err := g.Begin(late)
		if err != nil || !began.SetupBy.Equal(late.Add(SetupWithin)) || !began.ExpiresAt.Equal(g.ExpiresAt) || ev.Facts["expires_at"] != stamp(began.ExpiresAt) {
			t.Errorf("began late: %+v, %v", began, err)
		}
		active, _, err := began.Activate(late)
		if err != nil || !active.ExpiresAt.Equal(g.ExpiresAt) {
			t.Errorf("a late start moved the end to %s from %s, %v", active.ExpiresAt, g.ExpiresAt, err)
		}
		if ev.Facts["resource"] != "orders" || ev.Facts["role"] != "writer" || ev.Facts["person"] != "mira" {
			t.Errorf("facts %v", ev.Facts)
		}
	}
	g.Clock = FromEffective
	at := g.StartsAt
	for range 4 {
		began, _, err := g.Begin(at)
		if err != nil || !began.SetupBy.Equal(g.SetupBy) || !began.ExpiresAt.Equal(g.ExpiresAt) {
			t.Fatalf("deferred and begun: set-up by %v, want %v; %v", began.SetupBy, g.SetupBy, err)
		}
		g = g.Defer(at)
		if !g.StartsAt.Equal(at.Add(250*time.Millisecond)) || !g.DueAt().Equal(g.StartsAt) {
			t.Fatalf("deferred to %v", g.StartsAt)
		}
		at = g.StartsAt
	}
	if _, _, err := g.Begin(g.SetupBy); err != nil {
		t.Error(err)
	}
	_, _, err := g.Begin(g.SetupBy.Add(1))
	wantCode(t, err, Expired, "set-up-too-late")
}

// What a grant is made of must be what was approved, by those who had to.
func TestNewGrantRefusesWhatWasNotApproved(t *testing.T) {
	for name, tt := range map[string]struct {
		bend func(*Request)
		kind Kind
		code string
	}{
		"other duration":  {func(r *Request) { r.Duration += time.Hour }, Conflict, "digest-mismatch"},
		"other target":    {func(r *Request) { r.Targets = slices.Clone(r.Targets); r.Targets[0].Resource = "prod" }, Conflict, "digest-mismatch"},
		"other digest":    {func(r *Request) { r.Digest[0]++ }, Conflict, "digest-mismatch"},
		"vote on another": {func(r *Request) { r.Approvals[0].Request[0]++ }, Conflict, "digest-mismatch"},
		"widened vote":    {func(r *Request) { r.Approvals[0].Duration = time.Hour }, Conflict, "digest-mismatch"},
		"wider vote":      {func(r *Request) { r.Approvals[0].Rights = r.Permissions.Rights }, Conflict, "digest-mismatch"},
		"no votes":        {func(r *Request) { r.Approvals = nil }, Conflict, "not-approved"},
		"more asked for":  {func(r *Request) { r.Decision.Approvals = []Requirement{{From: []Subject{"group:dba"}, Count: 2}} }, Conflict, "not-approved"},
		"nobody asked":    {func(r *Request) { r.Decision.Approvals = nil }, Conflict, "not-approved"},
		"no effect":       {func(r *Request) { r.Decision.Effect = 9 }, Conflict, "not-approved"},
		"denied":          {func(r *Request) { r.Decision.Effect = Deny }, Denied, "denied"},
		"no decision":     {func(r *Request) { r.Decision = Decision{} }, Denied, "denied"},
		"no cap":          {func(r *Request) { r.Decision.MaxDuration = 0 }, Internal, "not-narrower"},
		"an extension":    {func(r *Request) { r.Extends = "grt_1" }, Conflict, "not-approved"},
	} {
		t.Run(name, func(t *testing.T) {
			r := submit(t, needs(oneDBA))
			r, _, err := r.Vote(ben, actorOf(ben), Vote{Approve: true, Seen: r.Digest, Duration: 30 * time.Minute, Rights: []string{"orders_read"}}, t0)
			if err != nil {
				t.Fatal(err)
			}
			if _, g, _, err := r.NewGrant("grt_1", t0); err != nil || g.Duration != 30*time.Minute {
				t.Fatalf("%+v, %v", g, err)
			}
			r.Approvals = slices.Clone(r.Approvals)
			tt.bend(&r)
			_, g, ev, err := r.NewGrant("grt_1", t0)
			if wantCode(t, err, tt.kind, tt.code); g.ID != "" || ev.Type != "" {
				t.Errorf("a grant in spite of it: %+v", g)
			}
		})
	}
	r := submit(t, allow())
	r.Decision.MaxDuration = 10 * time.Minute // lowered since
	if _, g, _, err := r.NewGrant("grt_1", t0); err != nil || g.Duration != 10*time.Minute {
		t.Errorf("granted %s, %v", g.Duration, err)
	}
}

func TestOverdue(t *testing.T) {
	active := grantIn(t, Active)
	expired, _, _, err := active.End(ByTime, "", System, active.ExpiresAt.Add(3*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	returned := grantIn(t, Ending)
	for name, tt := range map[string]struct {
		g    Grant
		from time.Time
	}{
		"active": {active, active.ExpiresAt}, "expired": {expired, active.ExpiresAt}, "returned": {returned, returned.EndingAt},
	} {
		for off, want := range map[time.Duration]bool{-2 * time.Second: false, 0: false, time.Second: false, time.Second + 1: true, 2 * time.Second: true} {
			if got := tt.g.Overdue(tt.from.Add(off)); got != want {
				t.Errorf("%s, %s after its end: Overdue() = %v", name, off, got)
			}
		}
	}
	for _, s := range []GrantState{Scheduled, Provisioning, Ended, Failed} {
		if grantIn(t, s).Overdue(t0.Add(1000 * time.Hour)) {
			t.Errorf("%s: overdue", s)
		}
	}
	late, _, _, err := active.End(ByPerson, "", System, active.ExpiresAt.Add(3*time.Second))
	if err != nil || late.Overdue(active.ExpiresAt.Add(4*time.Second)) || !late.Overdue(active.ExpiresAt.Add(4*time.Second+1)) {
		t.Errorf("revoked after its end it is overdue from its revocation on (%v)", err)
	}
	_, ev, err := expired.Finish(active.ExpiresAt.Add(4 * time.Second))
	if err != nil || ev.Facts["lag"] != "4s" || ev.Facts["end_reason"] != string(ByTime) {
		t.Errorf("facts %v, %v", ev.Facts, err)
	}
}

func TestSetupThatFailsSaysWhy(t *testing.T) {
	g := grantIn(t, Provisioning)
	for _, why := range []EndReason{ByTime, BySetup} {
		e, ev, did, err := g.End(why, "no route", System, g.DueAt())
		if err != nil || !did || e.EndReason != BySetup || e.SetupError != "no route" || ev.Facts["end_reason"] != "failed" {
			t.Errorf("%s: %+v, %v", why, e, err)
		}
		if e, _, err = e.Finish(g.DueAt()); err != nil || e.State != Failed {
			t.Errorf("%s: %s, %v", why, e.State, err)
		}
	}
	if e, _, _, _ := g.End(ByPerson, "panic", System, g.StartsAt); e.SetupError != "" || e.EndNote != "panic" || e.final() != Ended {
		t.Errorf("revoked in set-up: %+v", e)
	}
	if e, _, _, _ := grantIn(t, Active).End(BySetup, "lost", System, g.StartsAt); e.final() != Ended {
		t.Errorf("what was active has not failed to be set up: %s", e.final())
	}
	g.SetupError = "said before"
	if e, _, _, _ := g.End(BySetup, "no route", System, g.StartsAt); e.SetupError != "said before" {
		t.Errorf("set-up error %q", e.SetupError)
	}
}

func TestLeft(t *testing.T) {
	g := grantIn(t, Active) // ends on logout, and after 15 idle minutes
	now := g.ActiveAt.Add(20 * time.Minute)
	idle := g.Endings.OnIdle
	never, onlyIdle := g, g
	never.Endings, onlyIdle.Endings.OnLogout = Endings{}, false
	for name, tt := range map[string]struct {
		g        Grant
		sessions int
		last     time.Time
		want     bool
	}{
		"not seen yet":      {g, 0, now, false},
		"seen and open":     {g.Seen(now), 1, now, false},
		"seen and closed":   {g.Seen(now), 0, now, true},
		"idle":              {g.Seen(now.Add(-idle)), 1, now.Add(-idle), true},
		"nearly idle":       {g.Seen(g.ActiveAt), 1, now.Add(-idle + 1), false},
		"closed just now":   {onlyIdle.Seen(now), 0, time.Time{}, false},
		"closed long ago":   {onlyIdle.Seen(now.Add(-idle)), 0, time.Time{}, true},
		"never did a thing": {g, 0, time.Time{}, true},
		"no such endings":   {never.Seen(now), 0, time.Time{}, false},
		"ending":            {grantIn(t, Ending).Seen(now), 0, time.Time{}, false},
	} {
		if got := tt.g.Left(tt.sessions, tt.last, now) != ""; got != tt.want {
			t.Errorf("%s: left %v", name, got)
		}
	}
	if said := g.Left(1, time.Time{}, g.ActiveAt.Add(idle-1)); said != "" {
		t.Errorf("idle from before it was active: %s", said)
	}
	for name, tt := range map[string]struct {
		g    Grant
		last time.Time
		want bool
	}{
		"the first":          {never, now, true},
		"no use for it":      {never.Seen(now), now.Add(time.Hour), false},
		"a moment later":     {g.Seen(now), now.Add(idle/10 - 1), false},
		"later":              {g.Seen(now), now.Add(idle / 10), true},
		"nothing done since": {g.Seen(now), now, false},
	} {
		if got := tt.g.WorthNoting(tt.last); got != tt.want {
			t.Errorf("%s: worth noting %v", name, got)
		}
	}
}

func TestPlan(t *testing.T) {
	twins := func(m Mechanism, rights ...string) func(*Request) {
		return func(r *Request) {
			r.Permissions = Permissions{Mechanism: m, Rights: rights, Options: map[string]string{"sessions": "keep"}}
			stock := r.Targets[0]
			stock.Resource = "stock"
			r.Targets = append(slices.Clone(r.Targets), stock)
		}
	}
	elsewhere := func(r *Request) {
		twins(Enable)(r)
		r.Targets[1].Connection.Address = "other:5432"
	}
	for name, tt := range map[string]struct {
		bend     func(*Request)
		keys     []string
		observed bool
	}{
		"a right each, once a place": {twins(Member, "a", "b"), []string{"group:mira:a", "group:mira:b"}, false},
		"an account, once a place":   {twins(Enable), []string{"enable:mira"}, false},
		"an account at each place":   {elsewhere, []string{"enable:mira", "enable:mira"}, false},
		"an account for each target": {twins(Account, "a", "b"), []string{"account:grt_1:orders", "account:grt_1:stock"}, true},
		"a token for each target":    {twins(Token), []string{"token:grt_1:orders", "token:grt_1:stock"}, false},
	} {
		g := grantIn(t, Provisioning, tt.bend)
		var keys []string
		for _, e := range g.Plan() {
			keys = append(keys, e.Key)
			switch {
			case e.State != Intended || !e.ExpiresAt.Equal(g.ExpiresAt) || e.Person != g.Person || e.Account != "mira" || e.Observed != tt.observed:
				t.Errorf("%s: %+v", name, e)
			case e.Mechanism != g.Permissions.Mechanism || !reflect.DeepEqual(e.Options, g.Permissions.Options) || !subset(e.Rights, g.Permissions.Rights):
				t.Errorf("%s: %+v", name, e)
			case e.Mechanism == Member && e.Key != "group:mira:"+e.Rights[0]:
				t.Errorf("%s: %s gives %v", name, e.Key, e.Rights)
			case e.Mechanism == Account && len(e.Rights) != 2:
				t.Errorf("%s: %v", name, e.Rights)
			}
		}
		if !slices.Equal(keys, tt.keys) {
			t.Errorf("%s: planned %v, want %v", name, keys, tt.keys)
		}
	}
}
