package broker_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
)

// TestOpenSessionsOfOwners: an owner sees what is open at what they own, and nowhere else;
// who owns more than is looked at is told so.
func TestOpenSessionsOfOwners(t *testing.T) {
	in := newInstallation(t)
	in.apply(two + "---\nkind: Resource\nname: theirs\ntype: fake\ncriticality: low\nowners: [user:olga]\nconnection: {address: \"127.0.0.1:1\", credential: login}\n" +
		"---\nkind: Policy\nname: theirs-at-once\nsubjects: [group:guests]\nroles: [reader]\nresources: {names: [theirs]}\n")
	vs, _, err := in.SubmitBundle(t.Context(), in.as("gus"), bundle(part("db2", "reader"), part("theirs", "reader")))
	must(t, err)
	id := map[string]access.RequestID{}
	for _, v := range vs {
		soon, done := context.WithTimeout(t.Context(), 20*time.Second)
		v, err := in.Wait(soon, in.as("gus"), string(v.Request.ID), func(v broker.View) bool { return v.Grant != nil && v.Grant.State == access.Active })
		done()
		if err != nil || v.Grant == nil || v.Grant.State != access.Active {
			t.Fatalf("%s is %s: %s; %v", v.Request.Targets, v.Request.State, why(v), err)
		}
		id[string(v.Request.Targets[0].Resource)] = v.Request.ID
	}
	sees := func(who string) (all []string) {
		t.Helper()
		l, err := in.OpenSessions(t.Context(), in.as(who), "", 50)
		must(t, err)
		if l.Cut {
			t.Errorf("%s is told of more than there is", who)
		}
		for _, o := range l.Open {
			all = append(all, string(o.Request.Targets[0].Resource))
		}
		slices.Sort(all)
		return all
	}
	for who, want := range map[string][]string{"gus": {"db2", "theirs"}, "omar": {"db2"}, "olga": {"theirs"}, "mira": nil, "root": {"db2", "theirs"}} {
		if got := sees(who); !slices.Equal(got, want) {
			t.Errorf("%s sees %v, and not %v", who, got, want)
		}
		for resource, id := range id {
			if _, err := in.OpenSession(t.Context(), in.as(who), id); (err == nil) != slices.Contains(want, resource) {
				t.Errorf("%s looks at the session on %s: %v", who, resource, err)
			}
		}
	}
	var more strings.Builder
	for i := range 101 {
		fmt.Fprintf(&more, "---\nkind: Resource\nname: more-%03d\ntype: fake\ncriticality: low\nowners: [user:olga]\nconnection: {address: \"127.0.0.1:1\", credential: login}\n", i)
	}
	in.apply(more.String())
	if l, err := in.OpenSessions(t.Context(), in.as("olga"), "", 50); err != nil || !l.Cut {
		t.Errorf("olga owns 102 resources, and is not told that not all were looked at: %v", err)
	}
}
