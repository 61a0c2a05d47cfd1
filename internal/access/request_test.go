package access

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSubmitBounds(t *testing.T) {
	targets := func(n int) func(*Request) {
		return func(r *Request) {
			one := r.Targets[0]
			r.Targets = nil
			for i := range n {
				one.Resource = ResourceName(fmt.Sprint("db", i))
				r.Targets = append(r.Targets, one)
			}
		}
	}
	lasting := func(d time.Duration) func(*Request) { return func(r *Request) { r.Duration = d } }
	starting := func(d time.Duration) func(*Request) { return func(r *Request) { r.Start = t0.Add(d) } }
	for name, tt := range map[string]struct {
		bend func(*Request)
		kind Kind
		code string
	}{
		"1 ms":                  {lasting(time.Millisecond), 0, ""},
		"the longest":           {lasting(MaxDuration), 0, ""},
		"0":                     {lasting(0), Invalid, "bad-duration"},
		"negative":              {lasting(-time.Second), Invalid, "bad-duration"},
		"most negative":         {lasting(math.MinInt64), Invalid, "bad-duration"},
		"1 ns":                  {lasting(1), Invalid, "bad-duration"},
		"1 ms and 1 ns":         {lasting(time.Millisecond + 1), Invalid, "bad-duration"},
		"too long":              {lasting(MaxDuration + time.Millisecond), Invalid, "bad-duration"},
		"huge":                  {lasting(math.MaxInt64), Invalid, "bad-duration"},
		"huge, whole":           {lasting(math.MaxInt64 / time.Millisecond * time.Millisecond), Invalid, "bad-duration"},
		"start now":             {starting(0), 0, ""},
		"start 2 s ago":         {starting(-2 * time.Second), 0, ""},
		"start a minute ago":    {starting(-time.Minute), 0, ""},
		"start before that":     {starting(-time.Minute - time.Millisecond), Invalid, "bad-start"},
		"start last year":       {starting(-366 * 24 * time.Hour), Invalid, "bad-start"},
		"start at the epoch":    {func(r *Request) { r.Start = time.Unix(0, 0) }, Invalid, "bad-start"},
		"start far ahead":       {starting(MaxAhead), 0, ""},
		"start too far ahead":   {starting(MaxAhead + time.Millisecond), Invalid, "bad-start"},
		"start at the end":      {func(r *Request) { r.Start = time.Unix(1<<40, 0) }, Invalid, "bad-start"},
		"no target":             {targets(0), Invalid, "bad-targets"},
		"the most targets":      {targets(MaxTargets), 0, ""},
		"too many targets":      {targets(MaxTargets + 1), Invalid, "bad-targets"},
		"a target twice":        {func(r *Request) { r.Targets = append(slices.Clone(r.Targets), r.Targets[0]) }, Invalid, "bad-targets"},
		"no id":                 {func(r *Request) { r.ID = "" }, Internal, "incomplete-request"},
		"another kind of id":    {func(r *Request) { r.ID = "grt_1" }, Internal, "incomplete-request"},
		"no principal":          {func(r *Request) { r.Principal = "" }, Internal, "incomplete-request"},
		"no person":             {func(r *Request) { r.Person = "" }, Internal, "incomplete-request"},
		"no role":               {func(r *Request) { r.Role = "" }, Internal, "incomplete-request"},
		"no clock":              {func(r *Request) { r.Clock = "" }, 0, ""},
		"unknown clock":         {func(r *Request) { r.Clock = "never" }, Internal, "bad-clock"},
		"idle for no time":      {func(r *Request) { r.Endings.OnIdle = 0 }, 0, ""},
		"idle, negative":        {func(r *Request) { r.Endings.OnIdle = -time.Second }, Internal, "bad-endings"},
		"idle, 1 ns":            {func(r *Request) { r.Endings.OnIdle = 1 }, Internal, "bad-endings"},
		"no reason":             {func(r *Request) { r.Reason = "" }, Invalid, "no-reason"},
		"blank reason":          {func(r *Request) { r.Reason = " \t\n\u00a0\u3000" }, Invalid, "no-reason"},
		"the longest reason":    {func(r *Request) { r.Reason = strings.Repeat("x", MaxReason) }, 0, ""},
		"too long a reason":     {func(r *Request) { r.Reason = strings.Repeat("x", MaxReason+1) }, Invalid, "long-reason"},
		"reason turned around":  {func(r *Request) { r.Reason = "drop \u202etables" }, Invalid, "bad-reason"},
		"no ticket":             {func(r *Request) { r.Ticket = "" }, 0, ""},
		"blank ticket":          {func(r *Request) { r.Ticket = " " }, Invalid, "no-ticket"},
		"the longest ticket":    {func(r *Request) { r.Ticket = strings.Repeat("x", MaxTicket) }, 0, ""},
		"too long a ticket":     {func(r *Request) { r.Ticket = strings.Repeat("x", MaxTicket+1) }, Invalid, "long-ticket"},
		"ticket of two lines":   {func(r *Request) { r.Ticket = "INC-7\nINC-8" }, Invalid, "bad-ticket"},
		"a task of a person":    {func(r *Request) { r.Task = "INC-7" }, Invalid, "not-an-agent"},
		"an agent's no task":    {func(r *Request) { r.Principal = "agent:tidy" }, Invalid, "no-task"},
		"ticket with an escape": {func(r *Request) { r.Ticket = "INC\x1b[2J" }, Invalid, "bad-ticket"},
	} {
		t.Run(name, func(t *testing.T) {
			d := allow()
			d.MaxDuration = math.MaxInt64
			r, ev, err := Submit(draft(tt.bend), actorOf(mira), d, t0)
			if tt.code != "" {
				if wantCode(t, err, tt.kind, tt.code); !reflect.DeepEqual(r, Request{}) || ev.Type != "" {
					t.Errorf("refused, and gave %+v, %+v", r, ev)
				}
				return
			}
			if err != nil || r.State != RequestIsGranted {
				t.Fatalf("%s, %v", r.State, err)
			}
			_, g, _, err := r.NewGrant("grt_1", t0)
			if err != nil || !g.ExpiresAt.After(t0) || g.ExpiresAt.After(t0.Add(MaxAhead+SetupWithin+MaxDuration)) {
				t.Errorf("a grant until %v, %v", g.ExpiresAt, err)
			}
		})
	}
}

// The limits are promises; a change of one is a change of the reference.
func TestLimits(t *testing.T) {
	for name, got := range map[string][2]int64{
		"MaxDuration": {int64(MaxDuration), int64(720 * time.Hour)}, "MaxAhead": {int64(MaxAhead), int64(2160 * time.Hour)},
		"PendingFor": {int64(PendingFor), int64(1440 * time.Minute)}, "SetupWithin": {int64(SetupWithin), int64(time.Minute)},
		"OverdueAfter": {int64(OverdueAfter), int64(time.Second)}, "MaxReason": {MaxReason, 2000}, "MaxTicket": {MaxTicket, 200}, "MaxTargets": {MaxTargets, 50},
	} {
		if got[0] != got[1] {
			t.Errorf("%s is %d, want %d", name, got[0], got[1])
		}
	}
}

// The cap is compared, never applied: a longer request is denied.
func TestSubmitDecides(t *testing.T) {
	for name, tt := range map[string]struct {
		d    Decision
		want RequestState
	}{
		"allowed":             {allow(), RequestIsGranted},
		"to be approved":      {needs(oneDBA), RequestPending},
		"no decision":         {Decision{}, RequestIsDenied},
		"denied":              {Decision{Effect: Deny, MaxDuration: time.Hour}, RequestIsDenied},
		"unknown effect":      {Decision{Effect: 3, MaxDuration: time.Hour}, RequestIsDenied},
		"unknown, of some":    {Decision{Effect: 3, Approvals: []Requirement{oneDBA}, MaxDuration: time.Hour}, RequestIsDenied},
		"denied, of some":     {Decision{Approvals: []Requirement{oneDBA}, MaxDuration: time.Hour}, RequestIsDenied},
		"allowed, at the cap": {Decision{Effect: Allow, MaxDuration: time.Hour}, RequestIsGranted},
		"allowed, over it":    {Decision{Effect: Allow, MaxDuration: time.Hour - time.Millisecond}, RequestIsDenied},
		"allowed, no cap":     {Decision{Effect: Allow}, RequestIsDenied},
		"asked, over the cap": {Decision{Effect: Approve, Approvals: []Requirement{oneDBA}, MaxDuration: time.Hour - 1}, RequestIsDenied},
		"asked, of nobody":    {Decision{Effect: Approve, MaxDuration: time.Hour}, RequestIsDenied},
	} {
		r := submit(t, tt.d, func(r *Request) { // what a draft claims about its own fate is ignored
			r.State, r.Version, r.Grant, r.Digest = RequestIsGranted, 7, "grt_9", Digest{1}
			r.Approvals, r.Decision, r.DecidedAt = []Approval{{By: "user:ben", Approve: true}}, allow(), t0.Add(-time.Hour)
			r.Escalated, r.Reminders, r.RemindedAt, r.Remarks = []int{1}, 3, t0, []Remark{{}}
		})
		if r.State != tt.want {
			t.Errorf("%s: %s, want %s", name, r.State, tt.want)
		}
		decided := t0
		if tt.want == RequestPending {
			decided = time.Time{}
		}
		if r.Version != 1 || r.Escalated != nil || r.Reminders != 0 || !r.RemindedAt.IsZero() || r.Remarks != nil || r.Grant != "" || r.Approvals != nil || r.Digest != requestDigest(r) || !r.DecidedAt.Equal(decided) ||
			!r.CreatedAt.Equal(t0) || !r.ExpiresAt.Equal(t0.Add(PendingFor)) || !reflect.DeepEqual(r.Decision, tt.d) {
			t.Errorf("%s: %+v", name, r)
		}
		if due := r.DueAt(); due.IsZero() == (tt.want == RequestPending) {
			t.Errorf("%s: due at %v", name, due)
		}
	}
}

// A start is kept as the digest and the store know it, so that nothing is lost
// on the way there and back.
func TestSubmitNormalisesTheStart(t *testing.T) {
	at := t0.Add(time.Hour + 1234567)
	r := submit(t, allow(), func(r *Request) { r.Start = at.In(time.FixedZone("elsewhere", 3600)) })
	if want := t0.Add(time.Hour + time.Millisecond); r.Start != want {
		t.Errorf("start %v, want %v", r.Start, want)
	}
	if r := submit(t, allow()); !r.Start.IsZero() {
		t.Errorf("no start became %v", r.Start)
	}
}

func TestSubmitTellsAll(t *testing.T) {
	_, ev, err := Submit(draft(), actorOf(mira), allow(), t0)
	if err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]string{
		"state": "approved", "effect": "allow", "policy": "daily", "rule": "policy.yaml:3", "explanation": "developers may", "resource": "orders",
		"role": "writer", "mechanism": "group", "rights": "audit_read,orders_read,orders_write", "duration": "1h0m0s", "reason": "INC-7: wrong totals",
		"ticket": "INC-7", "documents": "4", "principal": "user:mira", "person": "mira",
	} {
		if ev.Facts[k] != want {
			t.Errorf("%s: %q, want %q", k, ev.Facts[k], want)
		}
	}
	signed := oneDBA
	signed.Level, signed.Count = LevelPasskey, 2
	if _, ev, err = Submit(draft(), actorOf(mira), needs(signed), t0); err != nil || ev.Facts["passkeys"] != "2" || ev.Facts["ask"] == "" {
		t.Errorf("two are to sign, and the log says %q of %q, %v", ev.Facts["passkeys"], ev.Facts["ask"], err)
	}
	if _, ev, err = Submit(draft(), actorOf(mira), Decision{}, t0); err != nil || ev.Facts["rule"] != "" || ev.Facts["effect"] != "deny" {
		t.Errorf("%v, %v", ev.Facts, err)
	}
}

func TestRejectAddsItsReason(t *testing.T) {
	r := requestIn(t, RequestPending)
	was := slices.Clone(r.Decision.Reasons)
	after, ev, err := r.Reject("the resource is gone", System, t0)
	if err != nil || ev.Facts["note"] != "the resource is gone" || !after.DecidedAt.Equal(t0) {
		t.Errorf("%+v, %v", ev, err)
	}
	if got := after.Decision.Reasons; len(got) != 2 || got[1].Text != "the resource is gone" || !reflect.DeepEqual(r.Decision.Reasons, was) {
		t.Errorf("reasons %v", got)
	}
}

func TestDecidedWhen(t *testing.T) {
	for _, s := range constants[RequestState](t) {
		r := requestIn(t, s)
		want := t0
		switch s {
		case RequestPending:
			want = time.Time{}
		case RequestTimedOut:
			want = r.ExpiresAt
		}
		if !r.DecidedAt.Equal(want) {
			t.Errorf("%s: decided at %v, want %v", s, r.DecidedAt, want)
		}
	}
}

func TestEffectString(t *testing.T) {
	for e, want := range map[Effect]string{Deny: "deny", Approve: "approve", Allow: "allow", 9: "deny"} {
		if got := e.String(); got != want {
			t.Errorf("%d: %s", e, got)
		}
	}
}

func TestPermissionsWithin(t *testing.T) {
	q := Permissions{Mechanism: Member, Rights: []string{"a", "b"}, Options: map[string]string{"sessions": "end"}}
	for name, tt := range map[string]struct {
		bend func(*Permissions)
		want bool
	}{
		"same":      {func(*Permissions) {}, true},
		"fewer":     {func(p *Permissions) { p.Rights = []string{"b"} }, true},
		"none":      {func(p *Permissions) { p.Rights = nil }, true},
		"more":      {func(p *Permissions) { p.Rights = []string{"a", "c"} }, false},
		"mechanism": {func(p *Permissions) { p.Mechanism = Account }, false},
		"exclusive": {func(p *Permissions) { p.Exclusive = true }, false},
		"options":   {func(p *Permissions) { p.Options = map[string]string{"sessions": "keep"} }, false},
		"no option": {func(p *Permissions) { p.Options = nil }, false},
	} {
		p := q
		tt.bend(&p)
		if got := p.Within(q); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	rights := []string{"b", "a", "b"}
	if n, err := q.Narrow(rights); err != nil || !slices.Equal(n.Rights, []string{"a", "b"}) || !slices.Equal(rights, []string{"b", "a", "b"}) {
		t.Errorf("narrowed to %v, %v, of %v", n.Rights, err, rights)
	}
	if n, err := (Permissions{Mechanism: Enable}).Narrow(nil); err != nil || n.Rights != nil {
		t.Errorf("narrowed to %v, %v", n.Rights, err)
	}
}

func TestConnectionEqual(t *testing.T) {
	c := draft().Targets[0].Connection
	if !c.Equal(c) {
		t.Error("not equal to itself")
	}
	for i, bend := range []func(*Connection){
		func(c *Connection) { c.Type = "ssh" }, func(c *Connection) { c.Address = "x:1" }, func(c *Connection) { c.Credential = "other" },
		func(c *Connection) { c.Options = map[string]string{"database": "stock"} },
	} {
		d := c
		if bend(&d); c.Equal(d) || d.Equal(c) {
			t.Errorf("change %d is not seen", i)
		}
	}
}
