package access

import (
	"reflect"
	"slices"
	"testing"
	"time"
)

func TestExtendCaps(t *testing.T) {
	g := grantIn(t, Active) // an hour
	now := g.ActiveAt.Add(time.Minute)
	for _, tt := range []struct {
		max, more time.Duration
		ok        bool
	}{
		{2 * time.Hour, time.Hour, true},
		{2*time.Hour - time.Millisecond, time.Hour, false},
		{90 * time.Minute, 30 * time.Minute, true},
		{MaxDuration + time.Hour, MaxDuration - time.Hour, true},
		{MaxDuration + time.Hour, MaxDuration - time.Hour + time.Millisecond, false},
		{1<<63 - 1, MaxDuration, false},
	} {
		d := allow()
		d.MaxDuration = tt.max
		longer, used, _, err := g.Extend(extension(t, g, d, func(r *Request) { r.Duration = tt.more }), now)
		if !tt.ok {
			wantCode(t, err, Denied, "duration-too-long")
			continue
		}
		if err != nil || longer.ExpiresAt.Sub(g.ExpiresAt) != tt.more || longer.Duration != g.Duration+tt.more || used.Grant != g.ID {
			t.Errorf("%+v: until %v, %v", tt, longer.ExpiresAt, err)
		}
	}
	// Many small ones add up to no more than one.
	d := allow()
	d.MaxDuration = 3 * time.Hour
	n := 0
	for {
		ext := extension(t, g, d)
		longer, used, _, err := g.Extend(ext, now)
		if err != nil {
			wantCode(t, err, Denied, "duration-too-long")
			break
		}
		if _, _, _, err := longer.Extend(used, now); err == nil {
			t.Fatal("an extension was used twice")
		}
		g = longer
		n++
	}
	if n != 4 || g.ExpiresAt.Sub(g.ActiveAt) != 3*time.Hour {
		t.Errorf("%d extensions to %s", n, g.ExpiresAt.Sub(g.ActiveAt))
	}
}

// An extension gives more time on what the grant gives, and nothing else.
func TestExtendRefusals(t *testing.T) {
	g := grantIn(t, Active)
	now := g.ActiveAt.Add(time.Minute)
	same := func(*Request) {}
	for name, tt := range map[string]struct {
		ask   func(*Request) // before it is submitted
		after func(*Request)
		code  string
	}{
		"of another grant":  {func(r *Request) { r.Extends = "grt_2" }, same, "not-an-extension"},
		"by another person": {func(r *Request) { r.Person = "ben" }, same, "not-an-extension"},
		"by another login":  {func(r *Request) { r.Principal = miraAdm.ID }, same, "not-an-extension"},
		"of another role":   {func(r *Request) { r.Role = "reader" }, same, "not-an-extension"},
		"of less rights":    {func(r *Request) { r.Permissions.Rights = []string{"orders_read"} }, same, "not-an-extension"},
		"of another way":    {func(r *Request) { r.Permissions.Mechanism = Account }, same, "not-an-extension"},
		"of another target": {func(r *Request) { r.Targets = slices.Clone(r.Targets); r.Targets[0].Resource = "stock" }, same, "not-an-extension"},
		"at another place": {func(r *Request) {
			r.Targets = slices.Clone(r.Targets)
			r.Targets[0].Connection.Address = "elsewhere:5432"
		}, same, "not-an-extension"},
		"on another account": {func(r *Request) { r.Targets = slices.Clone(r.Targets); r.Targets[0].Account = "ben" }, same, "not-an-extension"},
		"of more targets":    {func(r *Request) { r.Targets = append(slices.Clone(r.Targets), Target{Resource: "stock"}) }, same, "not-an-extension"},
		"used":               {same, func(r *Request) { r.Grant = g.ID }, "not-an-extension"},
		"not approved":       {same, func(r *Request) { r.State = RequestPending }, "not-an-extension"},
		"changed":            {same, func(r *Request) { r.Duration += time.Hour }, "digest-mismatch"},
		"denied":             {same, func(r *Request) { r.Decision.Effect = Deny }, "digest-mismatch"},
		"without votes":      {same, func(r *Request) { r.Decision = needs(oneDBA) }, "digest-mismatch"},
	} {
		t.Run(name, func(t *testing.T) {
			ext := extension(t, g, allow(), tt.ask)
			tt.after(&ext)
			after, used, ev, err := g.Extend(ext, now)
			wantCode(t, err, Conflict, tt.code)
			if !reflect.DeepEqual(after, g) || !reflect.DeepEqual(used, ext) || ev.Type != "" {
				t.Error("the grant or the extension changed")
			}
		})
	}
	// Who approves an extension can shorten it, not narrow it.
	ext := extension(t, g, needs(oneDBA))
	_, _, err := ext.Vote(ben, actorOf(ben), Vote{Approve: true, Seen: ext.Digest, Rights: []string{"orders_read"}}, now)
	wantCode(t, err, Invalid, "extension-narrowed")
	ext, _, err = ext.Vote(ben, actorOf(ben), Vote{Approve: true, Seen: ext.Digest, Duration: time.Minute, Rights: g.Permissions.Rights}, now)
	if err != nil {
		t.Fatal(err)
	}
	longer, _, _, err := g.Extend(ext, now)
	if err != nil || longer.ExpiresAt.Sub(g.ExpiresAt) != time.Minute {
		t.Errorf("extended to %v, %v", longer.ExpiresAt, err)
	}
}
