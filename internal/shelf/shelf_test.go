package shelf

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"stint/internal/access"
	"stint/internal/policy"
)

var schemas = map[string]access.Schema{"postgres": {
	Type: "postgres", Mechanisms: []access.Mechanism{access.Account},
	Role: map[string]access.Option{"sessions": {Values: []string{"end", "keep"}}},
}}

const role = "kind: Role\nname: any\nresources: {type: postgres}\nmechanism: account\npostgres: {memberOf: [app]}\nmaxDuration: 1h\n---\n"

// documents are a role and a policy of that name.
func documents(t *testing.T, name string) []policy.Document {
	t.Helper()
	docs, err := policy.Parse([]policy.File{{Name: "policy.yaml", Text: role +
		"kind: Policy\nname: " + name + "\nsubjects: [\"*\"]\nroles: [any]\nwhen: request.duration <= duration(\"1h\")\n"}})
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

func compile(t *testing.T, s *Shelf, docs []policy.Document, version int64) *policy.Set {
	t.Helper()
	set, err := s.Compile(docs, schemas, version)
	if err != nil {
		t.Fatal(err)
	}
	if set.Version() != version || !slices.Equal(set.Documents(), docs) {
		t.Errorf("got version %d of %v; wanted %d of %v", set.Version(), set.Documents(), version, docs)
	}
	return set
}

func TestTheSameIsCompiledOnce(t *testing.T) {
	s, docs := New(4), documents(t, "a")
	first := compile(t, s, docs, 3)
	again := compile(t, s, slices.Clone(docs), 9)
	if len(s.kept) != 1 || s.find(docs, maps.Clone(schemas)) != first {
		t.Errorf("the same documents are on the shelf %d times", len(s.kept))
	}
	if first.Version() != 3 || again.Policies()[0].Name != "a" {
		t.Errorf("the first set is version %d now, the second has %v", first.Version(), again.Policies())
	}
}

func TestWhatDiffersIsAnotherSet(t *testing.T) {
	s, docs := New(4), documents(t, "a")
	compile(t, s, docs, 3)
	for what, change := range map[string]func(*policy.Document){
		"a byte of the text": func(d *policy.Document) { d.Text += " " },
		"the line":           func(d *policy.Document) { d.Line++ },
		"the file":           func(d *policy.Document) { d.File += "x" },
		"the author":         func(d *policy.Document) { d.Author = "user:mallory" },
	} {
		other := slices.Clone(docs)
		change(&other[1])
		if s.find(other, schemas) != nil {
			t.Errorf("%s is another, and the set is that of before", what)
		}
		compile(t, s, other, 3)
	}
	others := maps.Clone(schemas)
	pg := others["postgres"]
	pg.Role = map[string]access.Option{"sessions": {Values: []string{"end"}}}
	others["postgres"] = pg
	if s.find(docs, others) != nil {
		t.Error("the connector defines something else, and the set is that of before")
	}
	if s.find(docs[:1], schemas) != nil || s.find(slices.Concat(docs, documents(t, "b")[1:]), schemas) != nil {
		t.Error("the set is that of more documents, or of fewer")
	}
}

// What callers do with their slices and maps afterwards is not what a set was made of.
func TestWhatIsKeptIsItsOwn(t *testing.T) {
	s, docs, mine := New(1), documents(t, "a"), maps.Clone(schemas)
	if _, err := s.Compile(docs, mine, 1); err != nil {
		t.Fatal(err)
	}
	delete(mine, "postgres")
	docs[1] = documents(t, "b")[1]
	if s.find(docs, schemas) != nil || s.find(documents(t, "a"), mine) != nil {
		t.Error("what was changed later is taken for what was compiled")
	}
	if set := compile(t, s, docs, 1); set.Policies()[0].Name != "b" {
		t.Errorf("got %v, from before the change", set.Policies())
	}
}

func TestItIsBounded(t *testing.T) {
	s := New(2)
	a, b := documents(t, "a"), documents(t, "b")
	compile(t, s, a, 1)
	compile(t, s, b, 1)
	compile(t, s, a, 1)
	compile(t, s, documents(t, "c"), 1) // in the place of b, which was wanted longest ago
	if len(s.kept) != 2 || s.find(a, schemas) == nil || s.find(b, schemas) != nil {
		t.Errorf("%d are kept, and not those that were wanted last", len(s.kept))
	}

	s = New(2)
	big := slices.Clone(a[:1])
	for n := 0; n <= maxText; {
		d := documents(t, fmt.Sprint("big", len(big)))[1]
		d.Text = "# " + strings.Repeat("x", 200<<10) + "\n" + d.Text
		big, n = append(big, d), n+len(d.Text)
	}
	compile(t, s, big, 1)
	if len(s.kept) != 0 {
		t.Errorf("%d bytes of documents are kept", size(big))
	}

	var none Shelf
	compile(t, &none, a, 1)
	compile(t, &none, a, 2)
	if len(none.kept) != 0 {
		t.Error("one without room keeps a set")
	}
}

func TestWhatIsWrongIsRefusedAgain(t *testing.T) {
	s, docs := New(2), documents(t, "a")[1:] // of a role that is not there
	for range 2 {
		if set, err := s.Compile(docs, schemas, 1); set != nil || err == nil {
			t.Errorf("got %v, %v for a role that is not there", set, err)
		}
	}
	if len(s.kept) != 0 {
		t.Errorf("%d are kept", len(s.kept))
	}
}

func TestAtOnce(t *testing.T) {
	s := New(3)
	var all [5][]policy.Document
	for i := range all {
		all[i] = documents(t, fmt.Sprint("p", i))
	}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 50 {
				n := (w + i) % len(all)
				set, err := s.Compile(all[n], schemas, int64(i))
				if err != nil || set.Version() != int64(i) || set.Policies()[0].Name != access.PolicyName(fmt.Sprint("p", n)) {
					t.Errorf("got %v, %v for p%d as version %d", set, err, n, i)
					return
				}
			}
		})
	}
	wg.Wait()
	if len(s.kept) > 3 {
		t.Errorf("%d are kept", len(s.kept))
	}
}
