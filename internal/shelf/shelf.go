// Package shelf keeps the policy sets that were compiled last, and gives one again where
// the same documents are compiled once more: when what was tried out is applied, when a
// proposal is looked at and agreed to, when an edit is taken back.
//
// Invariants:
//
//   - What it goes by is every byte of the documents, where they stand, who wrote them,
//     and what the connectors define. A set holds nothing else but its version, which is
//     the one that was asked for.
//   - It keeps so many sets and no more, and none of very many documents.
//   - What is wrong is not kept: it is compiled, and refused, again.
package shelf

import (
	"maps"
	"reflect"
	"slices"
	"sync"

	"stint/internal/access"
	"stint/internal/policy"
)

// Shelf is safe for concurrent use. The zero value keeps nothing.
type Shelf struct {
	room int
	mu   sync.Mutex
	kept []kept // the one that was wanted last comes last
}

type kept struct {
	docs    []policy.Document
	schemas map[string]access.Schema
	set     *policy.Set
}

// maxText bounds the documents of one set that is kept, in bytes.
const maxText = 1 << 20

// New makes one for so many sets.
func New(room int) *Shelf { return &Shelf{room: room} }

// Compile is what policy.Compile gives.
func (s *Shelf) Compile(docs []policy.Document, schemas map[string]access.Schema, version int64) (*policy.Set, error) {
	if set := s.find(docs, schemas); set != nil {
		return set.As(version), nil
	}
	k := kept{docs: slices.Clone(docs), schemas: maps.Clone(schemas)}
	var err error
	if k.set, err = policy.Compile(k.docs, k.schemas, version); err != nil {
		return nil, err
	}
	if size(docs) <= maxText {
		s.put(k)
	}
	return k.set, nil
}

func (s *Shelf) find(docs []policy.Document, schemas map[string]access.Schema) *policy.Set {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, k := range slices.Backward(s.kept) {
		if slices.Equal(k.docs, docs) && reflect.DeepEqual(k.schemas, schemas) {
			s.kept = append(slices.Delete(s.kept, i, i+1), k)
			return k.set
		}
	}
	return nil
}

func (s *Shelf) put(k kept) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) >= s.room && len(s.kept) > 0 {
		s.kept = slices.Delete(s.kept, 0, 1)
	}
	if len(s.kept) < s.room {
		s.kept = append(s.kept, k)
	}
}

func size(docs []policy.Document) (n int) {
	for _, d := range docs {
		n += len(d.Text)
	}
	return n
}
