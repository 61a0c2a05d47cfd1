package broker_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
)

// two is a second resource that guests reach at once.
const two = `kind: Resource
name: db2
type: fake
criticality: low
owners: [user:omar]
connection: {address: "127.0.0.1:1", credential: login}
---
kind: Policy
name: guests-at-once
subjects: [group:guests]
roles: [reader]
resources: {names: [db2]}
`

func bundle(parts ...broker.BundlePart) broker.BundleAsk {
	return broker.BundleAsk{Parts: parts, Reason: "order 4711 was paid twice"}
}

func part(resource, role string) broker.BundlePart {
	return broker.BundlePart{Resource: access.ResourceName(resource), Role: access.RoleName(role), Duration: time.Minute}
}

// Each part is a request with a path and an end of its own; the digest of each covers all.
func TestBundle(t *testing.T) {
	in := newInstallation(t)
	in.apply(two)
	gus := in.as("gus")
	a := bundle(part("db", "reader"), part("db2", "reader"))
	a.Key = "once"
	vs, left, err := in.SubmitBundle(t.Context(), gus, a)
	must(t, err)
	if len(vs) != 2 || len(left) != 0 || vs[0].Request.State != access.RequestPending || vs[1].Request.State != access.RequestIsGranted {
		t.Fatalf("%+v, %v", vs, left)
	}
	first, second := vs[0].Request, vs[1].Request
	if first.Bundle == (access.Digest{}) || first.Bundle != second.Bundle || first.Bundle != access.BundleDigest([]access.Request{first, second}) {
		t.Error("the parts are not bound to each other")
	}
	again, _, err := in.SubmitBundle(t.Context(), gus, a)
	must(t, err)
	if len(again) != 2 || again[0].Request.ID != first.ID || again[1].Request.ID != second.ID {
		t.Errorf("the same call made %v", again)
	}
	in.until("gus", string(second.ID), access.Active)
	// What the log says of the part that waits is what its approval binds to.
	read, err := access.DecodeAsk(access.EncodeAsk(first))
	if err != nil || read.Digest != first.Digest || read.Bundle != first.Bundle {
		t.Errorf("%v: %s and %s", err, read.Digest, first.Digest)
	}
	v, err := in.yes("omar", vs[0])
	must(t, err)
	in.until("gus", string(v.Request.ID), access.Active)
	_, err = in.End(t.Context(), gus, string(first.ID), "")
	must(t, err)
	in.until("gus", string(first.ID), access.Ended)
	if now, err := in.View(t.Context(), gus, string(second.ID)); err != nil || now.Grant.State != access.Active {
		t.Errorf("the other part is %s, %v", now.Grant.State, err)
	}
}

// All or nothing, or what is possible; and what a bundle may not be.
func TestBundleRefused(t *testing.T) {
	in := newInstallation(t)
	in.apply(two)
	ctx, gus := t.Context(), in.as("gus")
	none := func() {
		t.Helper()
		if rs, err := in.Requests(ctx, gus, access.RequestQuery{}); err != nil || len(rs) != 0 {
			t.Errorf("there are %d requests, %v", len(rs), err)
		}
	}
	_, _, err := in.SubmitBundle(ctx, gus, bundle(part("db2", "reader"), part("db", "owner")))
	wantCode(t, err, "part-refused")
	if err == nil || !strings.Contains(err.Error(), "1 of 2 parts would be refused") || !strings.Contains(err.Error(), "owner on db: no policy lets user:gus have owner on db") {
		t.Error(err)
	}
	none()
	for _, x := range []struct {
		code  string
		parts []broker.BundlePart
	}{
		{"bad-bundle", []broker.BundlePart{part("db", "reader")}},
		{"bad-bundle", []broker.BundlePart{part("db", "reader"), part("db", "reader")}},
		{"bad-bundle", []broker.BundlePart{part("db", "reader"), part("db2", "reader"), part("db", "owner")}},
		{"bad-bundle", make([]broker.BundlePart, access.MaxParts+1)},
		{"part-refused", []broker.BundlePart{part("db", "owner"), part("db2", "admin2")}},
	} {
		a := bundle(x.parts...)
		a.Possible = true
		_, _, err := in.SubmitBundle(ctx, gus, a)
		if x.code == "part-refused" { // a role that is not there is no part at all
			if access.KindOf(err) != access.NotFound {
				t.Error(err)
			}
			continue
		}
		wantCode(t, err, x.code)
	}
	none()
	a := bundle(part("db2", "reader"), part("db", "owner"), part("db", "reader"))
	a.Parts = a.Parts[:2]
	a.Possible = true
	vs, left, err := in.SubmitBundle(ctx, gus, a)
	must(t, err)
	if len(vs) != 1 || len(left) != 1 || left[0].Part.Role != "owner" || vs[0].Request.Bundle != (access.Digest{}) {
		t.Errorf("sent %d, left %v", len(vs), left)
	}
	xs, err := in.PreviewBundle(ctx, gus, bundle(part("db2", "reader"), part("db", "owner")))
	if err != nil || len(xs) != 2 || xs[0].Decision.Effect != access.Allow || xs[1].Decision.Effect != access.Deny {
		t.Errorf("%v, %v", xs, err)
	}
}

// Of parts that exclude each other, or that together are too many, none is sent, though
// each alone would be fine.
func TestBundleTogether(t *testing.T) {
	in := newInstallation(t)
	in.apply(two + "---\nkind: Role\nname: writer\nresources: {names: [db]}\nmechanism: account\nfake: {memberOf: [app_owner]}\nmaxDuration: 1h\nexcludes: [reader]\n---\n" +
		"kind: Policy\nname: write\nsubjects: [group:guests]\nroles: [writer]\n")
	ctx, gus := t.Context(), in.as("gus")
	_, _, err := in.SubmitBundle(ctx, gus, bundle(part("db2", "reader"), part("db", "writer")))
	wantCode(t, err, "part-refused")
	in.apply("kind: Policy\nname: guests-at-once\nsubjects: [group:guests]\nroles: [reader]\nresources: {names: [db2]}\nrequire: {approvals: [{from: [group:dba]}], limits: {pending: 1}}\n---\n" +
		guests("{approvals: [{from: [group:dba]}], limits: {pending: 1}}"))
	_, _, err = in.SubmitBundle(ctx, gus, bundle(part("db2", "reader"), part("db", "reader")))
	wantCode(t, err, "part-refused")
	if rs, err := in.Requests(ctx, gus, access.RequestQuery{}); err != nil || len(rs) != 0 {
		t.Errorf("there are %d requests, %v", len(rs), err)
	}
}

const extendable = `{approvals: [{from: [group:dba]}], maxDuration: 1h, extensions: {max: 1, by: 10m, approvals: [{from: [user:noor]}]}}`

// Extensions have a path of their own, and are counted when they are carried out: of two
// that wait, the second is one too many.
func TestExtensionsAreCounted(t *testing.T) {
	in := newInstallation(t)
	in.apply(guests(extendable))
	ctx, gus := t.Context(), in.as("gus")
	v, err := in.Submit(ctx, gus, ask("reader", 20*time.Minute))
	must(t, err)
	_, err = in.yes("omar", v)
	must(t, err)
	v = in.until("gus", string(v.Request.ID), access.Active)
	more := func(d time.Duration) broker.View {
		t.Helper()
		e, err := in.Extend(ctx, gus, string(v.Request.ID), broker.Ask{Duration: d, Reason: "it takes longer"})
		must(t, err)
		return e
	}
	if e := more(11 * time.Minute); e.Request.State != access.RequestIsDenied {
		t.Errorf("11m more is %s", e.Request.State)
	}
	x, err := in.PreviewExtension(ctx, gus, *v.Grant, broker.Ask{Duration: 11 * time.Minute, Reason: "it takes longer"})
	if err != nil || x.Decision.Effect != access.Deny {
		t.Errorf("the preview says %s, %v", x.Decision.Effect, err)
	}
	first, second := more(10*time.Minute), more(5*time.Minute)
	if first.Request.Digest == v.Request.Digest || first.Request.Digest == second.Request.Digest {
		t.Error("an extension has no digest of its own")
	}
	_, err = in.yes("omar", first)
	wantCode(t, err, "not-an-approver")
	if now, err := in.View(ctx, gus, string(v.Request.ID)); err != nil || !now.Grant.ExpiresAt.Equal(v.Grant.ExpiresAt) {
		t.Errorf("the end moved before anybody said yes: %v", err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	done := 0
	for _, e := range []broker.View{first, second} {
		wg.Go(func() {
			_, err := in.yes("noor", e)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				done++
			} else if access.KindOf(err) != access.Denied {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	now, err := in.View(ctx, gus, string(v.Request.ID))
	must(t, err)
	if longer := now.Grant.ExpiresAt.Sub(v.Grant.ExpiresAt); done != 1 || longer != 10*time.Minute && longer != 5*time.Minute {
		t.Errorf("%d extensions were carried out, it is longer by %s", done, longer)
	}
	if e := more(time.Minute); e.Request.State != access.RequestIsDenied {
		t.Errorf("one more is %s", e.Request.State)
	}
}

// An extension that is approved when the grant has ended changes nothing, nor does one
// that was used; and a grant that ends meanwhile is not brought back.
func TestExtensionTooLate(t *testing.T) {
	in := newInstallation(t)
	in.apply(guests(`{approvals: [{from: [group:dba]}], maxDuration: 1h}`))
	ctx, gus := t.Context(), in.as("gus")
	hold := func(d time.Duration) (broker.View, broker.View) {
		t.Helper()
		v, err := in.Submit(ctx, gus, ask("reader", d))
		must(t, err)
		_, err = in.yes("omar", v)
		must(t, err)
		v = in.until("gus", string(v.Request.ID), access.Active)
		e, err := in.Extend(ctx, gus, string(v.Request.ID), broker.Ask{Duration: 10 * time.Minute, Reason: "it takes longer"})
		must(t, err)
		return v, e
	}
	v, e := hold(5 * time.Second)
	in.until("gus", string(v.Request.ID), access.Ended)
	_, err := in.yes("omar", e)
	if err == nil {
		t.Error("an extension of what has ended was carried out")
	}
	if now, err := in.View(ctx, gus, string(v.Request.ID)); err != nil || now.Grant.State != access.Ended || !now.Grant.ExpiresAt.Equal(v.Grant.ExpiresAt) {
		t.Errorf("it is %s, %v", now.Grant.State, err)
	}
	for range 8 { // the end and the yes at the same time: whichever is first, there is no access beyond the end
		v, e := hold(20 * time.Minute)
		var wg sync.WaitGroup
		var yes, end error
		wg.Go(func() { _, yes = in.yes("omar", e) })
		wg.Go(func() { _, end = in.End(ctx, gus, string(v.Request.ID), "") })
		wg.Wait()
		if end != nil {
			t.Errorf("it was not given back: %v", end)
		}
		if yes != nil && !errors.Is(yes, access.Conflict) && !errors.Is(yes, access.Expired) {
			t.Error(yes)
		}
		in.until("gus", string(v.Request.ID), access.Ended)
		if yes == nil {
			_, err := in.yes("olga", e)
			wantCode(t, err, "already-decided")
		}
	}
	in.clean()
}

// What somebody keeps is theirs alone, and no right to anything.
func TestFavourites(t *testing.T) {
	in := newInstallation(t)
	ctx := t.Context()
	f := access.Favourite{Name: "nightly", Resource: "db", Role: "reader", Duration: time.Hour}
	for range 2 {
		_, err := in.SaveFavourite(ctx, in.as("gus"), f)
		must(t, err)
	}
	fs, err := in.Favourites(ctx, in.as("gus"))
	if err != nil || len(fs) != 1 || fs[0].Person != "gus" || fs[0].Duration != time.Hour {
		t.Errorf("%v, %v", fs, err)
	}
	if fs, err := in.Favourites(ctx, in.as("mira")); err != nil || len(fs) != 0 {
		t.Errorf("mira sees %v, %v", fs, err)
	}
	wantCode(t, in.DropFavourite(ctx, in.as("mira"), "nightly"), "no-such-favourite")
	for code, bad := range map[string]access.Favourite{
		"bad-name":         {Name: "../x", Resource: "db", Role: "reader", Duration: time.Hour},
		"bad-duration":     {Name: "x", Resource: "db", Role: "reader"},
		"no-such-resource": {Name: "x", Resource: "nowhere", Role: "reader", Duration: time.Hour},
	} {
		_, err := in.SaveFavourite(ctx, in.as("gus"), bad)
		wantCode(t, err, code)
	}
	// A program that acts for a person changes nothing that they keep.
	program := in.as("gus")
	program.Principal.ID, program.Principal.Responsible = "agent:fixer", "user:gus"
	_, err = in.SaveFavourite(ctx, program, f)
	wantCode(t, err, "not-a-person")
	wantCode(t, in.DropFavourite(ctx, program, "nightly"), "not-a-person")
	must(t, in.DropFavourite(ctx, in.as("gus"), "nightly"))
	wantCode(t, in.DropFavourite(ctx, in.as("gus"), "nightly"), "no-such-favourite")
}
