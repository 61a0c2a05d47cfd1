package access

import (
	"reflect"
	"testing"
	"time"
)

func glassDecision() Decision {
	d := allow()
	d.Emergency, d.MaxDuration = true, MaxEmergency
	return d
}

// emergency bends a draft into break-glass access.
func emergency(r *Request) {
	r.Emergency, r.Ticket, r.Extends, r.Start, r.Duration = BreakGlass, "", "", time.Time{}, MaxEmergency
}

// What a break-glass policy lets through is break-glass access, and nothing else is.
func TestEmergencyNeedsItsOwnDecision(t *testing.T) {
	for _, c := range []struct {
		name string
		bend func(*Request)
		d    Decision
		want RequestState
	}{
		{"break-glass", emergency, glassDecision(), RequestIsGranted},
		{"a drill", func(r *Request) { emergency(r); r.Emergency = Drill }, glassDecision(), RequestIsGranted},
		{"an emergency that an ordinary policy allows", emergency, allow(), RequestIsDenied},
		{"an ordinary request that a break-glass policy allows", func(*Request) {}, glassDecision(), RequestIsDenied},
		{"an emergency that waits for approvals", emergency, func() Decision { d := needs(oneDBA); d.Emergency = true; return d }(), RequestIsDenied},
		{"nothing allows it", emergency, Decision{}, RequestIsDenied},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := submit(t, c.d, c.bend)
			if r.State != c.want {
				t.Errorf("it is %s, want %s", r.State, c.want)
			}
			_, g, _, err := r.NewGrant("grt_1", t0)
			if (err == nil) != (c.want == RequestIsGranted) {
				t.Errorf("a grant of it: %v", err)
			}
			if err == nil && (g.Emergency != r.Emergency || g.ExpiresAt.Sub(g.StartsAt.Add(SetupWithin)) > MaxEmergency) {
				t.Errorf("the grant is %q until %s", g.Emergency, g.ExpiresAt)
			}
		})
	}
	r := submit(t, glassDecision(), emergency)
	r.Emergency = NoEmergency // taken off after it was granted
	if _, _, _, err := r.NewGrant("grt_1", t0); err == nil {
		t.Error("an emergency became an ordinary grant")
	}
	r = submit(t, glassDecision(), emergency)
	r.Emergency = Drill
	_, _, _, err := r.NewGrant("grt_1", t0)
	wantCode(t, err, Conflict, "digest-mismatch")
}

// An emergency is never more than one may be, whatever asks for it.
func TestEmergencyIsBounded(t *testing.T) {
	for name, c := range map[string]struct {
		bend func(*Request)
		kind Kind
		code string
	}{
		"61 minutes":    {func(r *Request) { r.Duration = 61 * time.Minute }, Invalid, "break-glass-too-long"},
		"a millisecond": {func(r *Request) { r.Duration = MaxEmergency + time.Millisecond }, Invalid, "break-glass-too-long"},
		"later":         {func(r *Request) { r.Start = t0.Add(time.Hour) }, Invalid, "break-glass-ahead"},
		"now, but said": {func(r *Request) { r.Start = t0 }, Invalid, "break-glass-ahead"},
		"an extension":  {func(r *Request) { r.Extends = "grt_0" }, Denied, "not-renewable"},
		"a service":     {func(r *Request) { r.Principal = "service:ci" }, Denied, "not-a-person"},
		"an agent":      {func(r *Request) { r.Principal = "agent:fixer" }, Denied, "not-a-person"},
		"a ticket":      {func(r *Request) { r.Ticket = "INC-1" }, Invalid, "break-glass-ticket"},
		"no reason":     {func(r *Request) { r.Reason = " " }, Invalid, "no-reason"},
		"another word":  {func(r *Request) { r.Emergency = "fire" }, Internal, "bad-emergency"},
		"two resources": {func(r *Request) { x := r.Targets[0]; x.Resource = "stock"; r.Targets = append(r.Targets, x) }, Invalid, "bad-targets"},
		"no time":       {func(r *Request) { r.Duration = 0 }, Invalid, "bad-duration"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Submit(draft(emergency, c.bend), actorOf(mira), glassDecision(), t0)
			wantCode(t, err, c.kind, c.code)
		})
	}
}

func TestOnlyPeopleOfTheHouseBreakGlass(t *testing.T) {
	for _, c := range []struct {
		p    Principal
		code string
	}{
		{mira, ""},
		{robot, "not-a-person"},
		{Principal{ID: "agent:fixer", Person: "mira"}, "not-a-person"},
		{Principal{ID: "user:vendor", Person: "vendor", Until: t0.Add(time.Hour)}, "ends-by-itself"},
	} {
		if err := c.p.MayBreakGlass(); c.code == "" && err != nil {
			t.Errorf("%s: %v", c.p.ID, err)
		} else if c.code != "" {
			wantCode(t, err, Denied, c.code)
		}
	}
}

func TestEmergencyIsNotExtended(t *testing.T) {
	_, g, _, err := submit(t, glassDecision(), emergency).NewGrant("grt_1", t0)
	if err == nil {
		g, _, err = g.Activate(t0.Add(time.Second))
	}
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, g.Renewable(), Denied, "not-renewable")
	ext := extension(t, g, allow(), func(r *Request) { r.Ticket = "" })
	after, _, _, err := g.Extend(ext, t0.Add(time.Minute))
	wantCode(t, err, Denied, "not-renewable")
	if !reflect.DeepEqual(after, g) {
		t.Error("the refused extension changed the grant")
	}
	if (Grant{}).Renewable() != nil {
		t.Error("an ordinary grant is not renewable")
	}
}

// The kind of emergency is part of what is asked; every other digest is as it was.
func TestEmergencyIsInTheDigest(t *testing.T) {
	r := full()
	seen := map[Digest]Emergency{}
	for _, e := range append([]Emergency{NoEmergency}, BreakGlass, Drill) {
		r.Emergency = e
		d := requestDigest(r)
		if before, dup := seen[d]; dup {
			t.Errorf("%q has the digest of %q", e, before)
		}
		seen[d] = e
	}
}
