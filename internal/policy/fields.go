package policy

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// FieldChange is one field of a document that says something else. Lists of plain
// values say besides what came to them and what went.
type FieldChange struct {
	Field          string // "require.approvals[0].count"
	Before, After  string // as text; empty where the field is not there
	Added, Removed []string
}

// fieldValue is one field as text. Whatever a document may hold has one, also a
// field that this version of the package knows nothing of.
type fieldValue struct {
	field string
	text  string
	list  []string // the items of a list of plain values
}

// flatten lists the fields of a document in their order. A text that is no document
// is one field without a name.
func flatten(text string) []fieldValue {
	n, ok := parseYAML(&report{}, text, 1)
	if !ok {
		return []fieldValue{{text: text}}
	}
	var out []fieldValue
	flattenNode("", n, &out)
	return out
}

func flattenNode(field string, n *yaml.Node, out *[]fieldValue) {
	switch {
	case n.Kind == yaml.MappingNode && len(n.Content) > 0:
		for i := 0; i+1 < len(n.Content); i += 2 {
			name := n.Content[i].Value
			if field != "" {
				name = field + "." + name
			}
			flattenNode(name, n.Content[i+1], out)
		}
	case n.Kind == yaml.MappingNode:
		*out = append(*out, fieldValue{field: field, text: "{}"})
	case n.Kind == yaml.SequenceNode && plainList(n):
		items := make([]string, len(n.Content))
		for i, c := range n.Content {
			items[i] = c.Value
		}
		*out = append(*out, fieldValue{field: field, text: "[" + strings.Join(items, ", ") + "]", list: items})
	case n.Kind == yaml.SequenceNode:
		for i, c := range n.Content {
			flattenNode(field+"["+strconv.Itoa(i)+"]", c, out)
		}
	default:
		*out = append(*out, fieldValue{field: field, text: n.Value})
	}
}

func plainList(n *yaml.Node) bool {
	return !slices.ContainsFunc(n.Content, func(c *yaml.Node) bool { return c.Kind != yaml.ScalarNode })
}

// fieldChanges compares two texts of one document, field by field, in the order of
// the new one; what is gone comes last. An empty text is no document.
func fieldChanges(before, after string) []FieldChange {
	var was, is []fieldValue
	if before != "" {
		was = flatten(before)
	}
	if after != "" {
		is = flatten(after)
	}
	old := map[string]fieldValue{}
	for _, v := range was {
		old[v.field] = v
	}
	var out []FieldChange
	have := map[string]bool{}
	for _, v := range is {
		have[v.field] = true
		o, there := old[v.field]
		if there && same(o, v) {
			continue
		}
		c := FieldChange{Field: v.field, Before: o.text, After: v.text}
		if v.list != nil && (o.list != nil || !there) {
			c.Added, c.Removed = without(v.list, o.list), without(o.list, v.list)
		}
		out = append(out, c)
	}
	for _, v := range was {
		if !have[v.field] {
			out = append(out, FieldChange{Field: v.field, Before: v.text, Removed: slices.Clone(v.list)})
		}
	}
	return out
}

// same reports whether two fields say the same. A list is not the text that looks
// like it.
func same(a, b fieldValue) bool { return a.text == b.text && slices.Equal(a.list, b.list) }

// without lists what of the first is not in the second.
func without(list, of []string) (out []string) {
	for _, x := range list {
		if !slices.Contains(of, x) {
			out = append(out, x)
		}
	}
	return out
}
