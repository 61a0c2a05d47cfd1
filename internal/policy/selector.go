package policy

import (
	"maps"
	"regexp"
	"slices"

	"stint/internal/access"
)

// Selector picks resources: all that is given must hold, and what is left out
// holds for every resource.
type Selector struct {
	Names       []access.ResourceName
	Type        string
	Labels      map[string]string
	Criticality []access.Criticality
}

// Empty reports whether the selector picks every resource.
func (s Selector) Empty() bool {
	return len(s.Names) == 0 && s.Type == "" && len(s.Labels) == 0 && len(s.Criticality) == 0
}

// Matches reports whether the selector picks r.
func (s Selector) Matches(r *Resource) bool {
	if s.Type != "" && s.Type != r.Type {
		return false
	}
	if len(s.Names) > 0 && !slices.Contains(s.Names, r.Name) {
		return false
	}
	for k, v := range s.Labels {
		if got, ok := r.Labels[k]; !ok || got != v {
			return false
		}
	}
	return len(s.Criticality) == 0 || slices.Contains(s.Criticality, r.Criticality)
}

func readSelector(f *form, schemas map[string]access.Schema) (sel Selector, refs []item) {
	for _, it := range f.texts("names") {
		sel.Names = append(sel.Names, access.ResourceName(it.text))
		refs = append(refs, it)
	}
	if it, ok := f.scalar("type"); ok {
		sel.Type = it.text
		checkType(f, it, schemas)
	}
	sel.Labels = readLabels(f)
	if f.has("criticality") {
		sel.Criticality = readCriticalities(f)
	}
	if sel.Empty() {
		f.r.add(f.line, "say names, type, labels or criticality", "%s selects nothing in particular", f.what)
	}
	f.close()
	return sel, refs
}

// readCriticalities accepts one and several.
func readCriticalities(f *form) []access.Criticality {
	var out []access.Criticality
	for _, it := range f.oneOrMore("criticality") {
		if c := oneOf(f.r, "criticality", it, "", access.Criticalities); c != "" {
			out = append(out, c)
		}
	}
	return out
}

var labelKey = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_./-]{0,62}$`)

func readLabels(f *form) map[string]string {
	keys, values := f.pairs("labels")
	if len(keys) == 0 {
		return nil
	}
	labels := make(map[string]string, len(keys))
	for i, k := range keys {
		if !labelKey.MatchString(k.text) {
			f.r.add(k.line, "", "%q cannot be the name of a label", k.text)
			continue
		}
		if len(values[i].text) > 255 {
			f.r.add(k.line, "", "label %s is longer than 255 bytes", k.text)
			continue
		}
		labels[k.text] = values[i].text
	}
	return labels
}

// sortedKeys gives maps a stable order in messages.
func sortedKeys[K ~string, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
