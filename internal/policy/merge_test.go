package policy

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"stint/internal/access"
)

func TestMerge(t *testing.T) {
	a := Document{Kind: KindPolicy, Name: "a", File: "f", Line: 1, Text: "A", Author: "user:ann"}
	b := Document{Kind: KindPolicy, Name: "b", File: "f", Line: 3, Text: "B", Author: "user:ann"}
	roleB := Document{Kind: KindRole, Name: "b", File: "f", Line: 9, Text: "role"}
	b2 := Document{Kind: KindPolicy, Name: "b", File: "g", Line: 1, Text: "B2", Author: "user:bob"}
	aMoved := Document{Kind: KindPolicy, Name: "a", File: "g", Line: 5, Text: "A", Author: "user:bob"}
	c := Document{Kind: KindPolicy, Name: "c", File: "g", Line: 7, Text: "C", Author: "user:bob"}

	have := []Document{b, a, roleB}
	merged, changes := Merge(have, []Document{c, aMoved, b2})
	moved := a
	moved.File, moved.Line = "g", 5
	if diff := cmp.Diff(merged, []Document{b2, moved, roleB, c}); diff != "" {
		t.Errorf("documents, got -, want +:\n%s", diff)
	}
	if diff := cmp.Diff(changes, []Change{{Created, KindPolicy, "c"}, {Unchanged, KindPolicy, "a"}, {Updated, KindPolicy, "b"}}); diff != "" {
		t.Errorf("changes, got -, want +:\n%s", diff)
	}
	if diff := cmp.Diff(have, []Document{b, a, roleB}); diff != "" {
		t.Errorf("Merge changed what it was given:\n%s", diff)
	}
}

func TestRemove(t *testing.T) {
	docs := parse(t, shop+rule("p", `{subjects: ["*"], roles: [reader, "*"], resources: {names: [payments-db]}}`))
	for _, tt := range []struct {
		kind, name string
		want       access.Kind
		text, next string
	}{
		{"Rolle", "x", access.Invalid, `there is no kind "Rolle"`, `did you mean "Role"?`},
		{"Role", "raeder", access.NotFound, `there is no Role "raeder"`, `did you mean "reader"?`},
		{"Role", "orders-db", access.NotFound, `there is no Role "orders-db"`, `stint get lists what there is of each kind`},
		{"Role", "reader", access.Conflict, `Role reader is named by Policy p: policy.yaml:41`, `change or delete that first`},
		{"Resource", "payments-db", access.Conflict, `Resource payments-db is named by Policy p: policy.yaml:41`, `change or delete that first`},
		{"Resource", "orders-db", access.Conflict, `Resource orders-db is named by Role owner: policy.yaml:29`, `change or delete that first`},
	} {
		_, err := Remove(docs, tt.kind, tt.name)
		e, ok := err.(*access.Error)
		if !ok || e.Kind != tt.want || e.Error() != tt.text || e.Next != tt.next {
			t.Errorf("%s %s: got %v, want %s; %s", tt.kind, tt.name, err, tt.text, tt.next)
		}
	}
	rest, err := Remove(docs, "Role", "any") // "*" does not name it
	if err != nil || len(rest) != len(docs)-1 {
		t.Fatalf("got %d documents, %v", len(rest), err)
	}
	for _, d := range rest {
		if d.Name == "any" {
			t.Error("the document is still there")
		}
	}
	if _, err := Compile(rest, schemas, 2); err != nil {
		t.Error(err)
	}
}
