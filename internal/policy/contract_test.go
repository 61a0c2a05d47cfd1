package policy

import (
	"testing"
	"time"
)

// TestContract runs the documents that the product promises to understand.
func TestContract(t *testing.T) {
	docs, err := Parse([]File{readFile(t, "contract.yaml")})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Compile(docs, schemas, 1)
	if err != nil {
		t.Fatal(err)
	}
	if w := s.Warnings(); len(w) != 2 {
		t.Errorf("got warnings %v, want two: roles that no policy allows", w)
	}
	a := ask()
	t.Log(said(s.Decide(a, AtRequest, noon)))
	t.Log(said(s.Decide(a, AtRequest, noon.Add(24*time.Hour))))
	a.Duration = 3 * time.Hour
	x := s.Explain(a, noon)
	t.Log(said(x.Decision), x.Trials, x.Suggestions)
}
