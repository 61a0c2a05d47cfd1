package access

import (
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestIdentityCheck(t *testing.T) {
	for _, i := range []Identity{
		{"corp-sso", "a"}, {"corp-sso", strings.Repeat("x", 255)}, {"x", "CN=Mira, OU=Orders"}, {"x", "мира"}, {"x", "248289761001|auth0"},
	} {
		if err := i.Check(); err != nil {
			t.Errorf("%v: %v", i, err)
		}
	}
	for _, c := range []struct {
		Identity
		code string
	}{
		{Identity{"", "a"}, "bad-provider"}, {Identity{"Corp", "a"}, "bad-provider"}, {Identity{"https://idp", "a"}, "bad-provider"},
		{Identity{"x", ""}, "bad-subject"}, {Identity{"x", strings.Repeat("x", 256)}, "bad-subject"}, {Identity{"x", " a"}, "bad-subject"},
		{Identity{"x", "a\n"}, "bad-subject"}, {Identity{"x", "a\u202eb"}, "bad-subject"}, {Identity{"x", "\xff"}, "bad-subject"}, {Identity{"x", "a\x00"}, "bad-subject"},
	} {
		wantCode(t, c.Check(), Invalid, c.code)
	}
}

func TestLinkAndUnlink(t *testing.T) {
	a, b, other := Identity{"corp", "1"}, Identity{"corp", "2"}, Identity{"apps", "1"}
	p := Principal{ID: "user:mira", Groups: []Group{"dba"}}
	q := p.Link(a).Link(other).Link(b).Link(a)
	if want := []Identity{other, a, b}; !reflect.DeepEqual(q.Identities, want) || len(p.Identities) != 0 {
		t.Errorf("linked %v, want %v; before %v", q.Identities, want, p.Identities)
	}
	if q.Subject("corp") != "1" || q.Subject("none") != "" {
		t.Error("the subject is not the provider's")
	}
	q = q.Provide("corp", []Group{"on-call"})
	if q = q.Unlink(a); !q.In("group:on-call") {
		t.Error("the groups of a provider went with one of two identities")
	}
	if q = q.Unlink(b); q.In("group:on-call") || !q.In("group:dba") || q.Provided != nil {
		t.Errorf("with the last identity its groups go and the local ones stay; got %v of %v", q.Groups, q.Provided)
	}
}

func TestProvide(t *testing.T) {
	p := Principal{Groups: []Group{"dba", "platform"}}
	p = p.Provide("corp", []Group{"web", "platform", "web"})
	want := Principal{Groups: []Group{"dba", "platform", "web"}, Provided: map[string][]Group{"": {"dba", "platform"}, "corp": {"platform", "web"}}}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("got %+v, want %+v", p, want)
	}
	p = p.Provide("", []Group{"dba"})
	if want := []Group{"dba", "platform", "web"}; !reflect.DeepEqual(p.Groups, want) {
		t.Errorf("what two gave and one took away stays; got %v", p.Groups)
	}
	p = p.Provide("corp", nil)
	if want := (Principal{Groups: []Group{"dba"}}); !reflect.DeepEqual(p, want) {
		t.Errorf("got %+v, want %+v", p, want)
	}
	// A version that knows of no sources replaced the groups: that holds.
	p = Principal{Groups: []Group{"new"}, Provided: map[string][]Group{"": {"dba"}, "corp": {"web"}}}
	if got := p.Provide("corp", []Group{"web"}).Groups; !reflect.DeepEqual(got, []Group{"new", "web"}) {
		t.Errorf("got %v: what was taken away came back", got)
	}
}

// Whatever sources do in whatever order, each one's groups are what it said last,
// and a source that takes its own back changes nothing of the others.
func TestProvideIsBySource(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Principal{Groups: []Group{"l1"}}
		last := map[string][]Group{"": {"l1"}}
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			source := rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "source")
			gs := rapid.SliceOfN(rapid.SampledFrom([]Group{"l1", "g2", "g3"}), 0, 3).Draw(t, "groups")
			before := p
			p = p.Provide(source, gs)
			last[source] = gs
			want := map[Group]bool{}
			for _, gs := range last {
				for _, g := range gs {
					want[g] = true
				}
			}
			if len(p.Groups) != len(want) {
				t.Fatalf("%v and %s %v give %v, want %v", before, source, gs, p.Groups, want)
			}
			for _, g := range p.Groups {
				if !want[g] {
					t.Fatalf("%s is nobody's", g)
				}
			}
		}
	})
}
