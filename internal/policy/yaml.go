package policy

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// Limits of what is read as YAML. They are far above what people write and far
// below what costs memory or stack.
const (
	maxFileSize     = 1 << 20
	maxDocumentSize = 256 << 10
	maxDocuments    = 10_000
	maxDepth        = 12
)

// parseYAML reads one document into nodes whose lines count from the start of
// the file. It accepts the part of YAML that has one meaning: scalars, lists and
// mappings. Anchors, aliases, tags, merge keys and duplicate keys are refused, so
// that what a reviewer reads is what is meant and nothing can be expanded.
func parseYAML(r *report, text string, line int) (*yaml.Node, bool) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		at, msg := yamlError(err)
		r.add(line+at, "", "not valid YAML: %s", msg)
		return nil, false
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		r.add(line, "begin with: kind: Resource, Role, Policy, Integration or Workload", "a document is a mapping of names to values")
		return nil, false
	}
	n := len(r.problems)
	vet(r, doc.Content[0], line-1, 0)
	return doc.Content[0], len(r.problems) == n
}

var yamlLine = regexp.MustCompile(`^line (\d+): `)

// yamlError splits the parser's message into lines after the first, and text.
func yamlError(err error) (line int, msg string) {
	var te *yaml.TypeError
	if errors.As(err, &te) && len(te.Errors) > 0 {
		msg = te.Errors[0]
	} else {
		msg = strings.TrimPrefix(err.Error(), "yaml: ")
	}
	if m := yamlLine.FindStringSubmatch(msg); m != nil {
		line, _ = strconv.Atoi(m[1])
		line, msg = line-1, msg[len(m[0]):]
	}
	return max(line, 0), msg
}

// vet moves the lines of n and all below it by shift, and refuses what this
// package does not accept.
func vet(r *report, n *yaml.Node, shift, depth int) {
	n.Line += shift
	switch {
	case depth > maxDepth:
		r.add(n.Line, "", "nested deeper than %d levels", maxDepth)
		return
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		r.add(n.Line, "write the value again", "anchors and aliases are not accepted")
		return
	case n.Style&yaml.TaggedStyle != 0:
		r.add(n.Line, "leave the tag out", "the tag %s is not accepted", n.Tag)
		return
	}
	switch n.Kind {
	case yaml.ScalarNode:
		if i := strings.IndexFunc(n.Value, unprintable); i >= 0 {
			r.add(n.Line, "", "the text holds a character that does not print")
		}
	case yaml.SequenceNode:
		for _, c := range n.Content {
			vet(r, c, shift, depth+1)
		}
	case yaml.MappingNode:
		seen := make(map[string]int, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			vet(r, key, shift, depth+1)
			vet(r, n.Content[i+1], shift, depth+1)
			if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
				r.add(key.Line, "", "a name before the colon is plain text")
				continue
			}
			if first, dup := seen[key.Value]; dup {
				r.add(key.Line, "", "%q is given twice, first in line %d", key.Value, first)
				continue
			}
			seen[key.Value] = key.Line
		}
	}
}

// unprintable finds control characters and the invisible ones that reorder text
// on screen: an approver must see what is there.
func unprintable(c rune) bool { return c != '\n' && c != '\t' && !unicode.IsPrint(c) }
