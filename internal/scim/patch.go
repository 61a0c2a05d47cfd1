package scim

import (
	"slices"
	"strings"
)

// maxPatch is the most operations of one PATCH.
const maxPatch = 1000

// patch applies the operations of a PATCH (RFC 7644 section 3.5.2) to a resource's
// attributes and returns the new ones; o stays as it is. id is the resource's.
func patch(k Kind, id string, o Object, in map[string]any) (Object, error) {
	list, ok := member(in, "Operations")
	ops, isList := list.([]any)
	switch {
	case !ok || !isList || len(ops) == 0:
		return nil, refuse(invalidSyntax, "a PATCH has a list of Operations")
	case len(ops) > maxPatch:
		return nil, refuse(tooMany, "a PATCH has at most %d operations", maxPatch)
	}
	p := patching{kind: k, id: id, attrs: attributesOf[k], to: clone(o).(Object)}
	for i, op := range ops {
		m, ok := op.(map[string]any)
		if !ok {
			return nil, refuse(invalidSyntax, "operation %d is not an object", i+1)
		}
		if err := p.operation(m); err != nil {
			return nil, err
		}
	}
	return p.to, complete(k, p.to)
}

type patching struct {
	kind  Kind
	id    string
	attrs []attribute
	to    Object
}

func (p *patching) operation(in map[string]any) error {
	word, _ := member(in, "op")
	op, _ := word.(string)
	op = strings.ToLower(op) // Entra writes Add, Replace and Remove
	if op != "add" && op != "replace" && op != "remove" {
		return refuse(invalidSyntax, "%s is no operation; there are add, replace and remove", quote(textOf(word)))
	}
	value, hasValue := member(in, "value")
	at, hasPath := member(in, "path")
	path, isText := at.(string)
	switch {
	case hasPath && at != nil && !isText:
		return refuse(invalidPath, "the path is not a text")
	case path == "" && op == "remove":
		return refuse(noTarget, "remove needs a path")
	case !hasValue && op != "remove":
		return refuse(invalidValue, "%s needs a value", op)
	case path == "":
		return p.whole(op, value)
	}
	target, err := parsePath(p.attrs, path)
	if err != nil {
		return err
	}
	return p.apply(op, target, value, hasValue)
}

func textOf(v any) string {
	s, _ := v.(string)
	return s
}

// whole is an operation without a path: its value has attributes, and in Entra's
// dialect also paths, for names.
func (p *patching) whole(op string, value any) error {
	m, ok := value.(map[string]any)
	if !ok {
		return refuse(invalidValue, "without a path the value is an object of attributes")
	}
	seen := map[string]bool{}
	for _, name := range sortedKeys(m) {
		if lower := strings.ToLower(name); seen[lower] {
			return refuse(invalidSyntax, "%s is there twice, in different case", quote(name))
		} else if seen[lower] = true; lower == "schemas" {
			continue
		}
		if strings.EqualFold(name, "id") && textOf(m[name]) == p.id { // Okta says whose it is
			continue
		}
		target, err := parsePath(p.attrs, name)
		if err != nil {
			return err
		}
		if target.attr.name == enterpriseURN && target.sub.name == "" {
			if err := p.extension(op, m[name]); err != nil {
				return err
			}
			continue
		}
		if err := p.apply(op, target, m[name], true); err != nil {
			return err
		}
	}
	return nil
}

// extension is an operation on several attributes of the extension.
func (p *patching) extension(op string, value any) error {
	m, ok := value.(map[string]any)
	if !ok {
		return refuse(invalidValue, "the extension is an object of attributes")
	}
	for _, name := range sortedKeys(m) {
		target, err := parsePath(p.attrs, enterpriseURN+":"+name)
		if err != nil {
			return err
		}
		if err := p.apply(op, target, m[name], true); err != nil {
			return err
		}
	}
	return nil
}

func sortedKeys(m map[string]any) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func (p *patching) apply(op string, at attrPath, value any, hasValue bool) error {
	if at.attr.readOnly || at.sub.readOnly {
		return refuse(mutability, "%s is read-only", at)
	}
	if at.attr.writeOnly {
		return nil // taken, and thrown away
	}
	if value == nil && op == "replace" { // RFC 7643 section 2.5: null is no value
		op, hasValue = "remove", false
	}
	switch {
	case at.attr.name == enterpriseURN && at.sub.name == "" && op != "remove":
		return p.extension(op, value)
	case op == "remove":
		return p.remove(at, value, hasValue)
	case at.attr.multi:
		return p.toList(op, at, value)
	case at.sub.name == "":
		return p.set(p.to, at.attr, op, value, "")
	}
	return p.setSub(p.to, at.attr, at.sub, op, value)
}

// set gives an attribute of an object its value; a complex one that is added or
// replaced in part keeps its other sub-attributes (RFC 7644 sections 3.5.2.1 and .3).
func (p *patching) set(o Object, a attribute, op string, value any, at string) error {
	v, err := convert(a, value, at)
	if err != nil {
		return err
	}
	old, isObject := o[a.name].(Object)
	now, both := v.(Object)
	switch {
	case v == nil && op == "replace":
		delete(o, a.name)
	case v == nil:
	case isObject && both:
		for name, e := range now {
			old[name] = e
		}
	default:
		o[a.name] = v
	}
	return nil
}

// setSub gives a sub-attribute of a complex attribute its value. The name of one in an
// extension may itself have a part, as in manager.value.
func (p *patching) setSub(o Object, parent, sub attribute, op string, value any) error {
	inner, ok := o[parent.name].(Object)
	if !ok {
		inner = Object{}
	}
	if first, second, deeper := strings.Cut(sub.name, "."); deeper {
		middle, _ := known(parent.sub, first)
		leaf, _ := known(middle.sub, second)
		if err := p.setSub(inner, middle, leaf, op, value); err != nil {
			return err
		}
	} else if err := p.set(inner, sub, op, value, parent.name+"."); err != nil {
		return err
	}
	if len(inner) == 0 {
		delete(o, parent.name)
		return nil
	}
	o[parent.name] = inner
	return nil
}

// toList adds to a multi-valued attribute, or replaces it or those of its values that
// a filter chooses.
func (p *patching) toList(op string, at attrPath, value any) error {
	a := at.attr
	list, _ := p.to[a.name].([]any)
	if at.only == nil && at.sub.name == "" {
		v, err := convert(a, value, "")
		if err != nil {
			return err
		}
		added, _ := v.([]any)
		if op == "replace" {
			list = nil
		}
		return p.put(a, join(list, added))
	}
	// Of each chosen value, a sub-attribute or the whole of it.
	fresh := map[int]bool{}
	for i, e := range list {
		o, ok := e.(Object)
		if !ok || at.only != nil && !at.only.matches(o) {
			continue
		}
		if err := p.toValue(o, op, at, value); err != nil {
			return err
		}
		fresh[i] = true
	}
	if len(fresh) == 0 {
		o, ok := wanted(at.only)
		if op != "add" || !ok { // RFC 7644 section 3.5.2.3; what is added is made, as Entra expects
			return refuse(noTarget, "no value of %s is chosen by the path %s", a.name, at)
		}
		if err := p.toValue(o, op, at, value); err != nil {
			return err
		}
		fresh[len(list)] = true
		list = append(list, o)
	}
	for i, e := range list { // one value is the primary one
		for n := range fresh {
			if o, ok := e.(Object); ok && !fresh[i] && list[n].(Object)["primary"] == true {
				delete(o, "primary")
			}
		}
	}
	return p.put(a, list)
}

// toValue changes one value of a multi-valued attribute.
func (p *patching) toValue(o Object, op string, at attrPath, value any) error {
	if at.sub.name != "" {
		return p.set(o, at.sub, op, value, at.attr.name+".")
	}
	v, err := single(at.attr, value, "")
	if err != nil {
		return err
	}
	now, _ := v.(Object)
	if op == "replace" {
		clear(o)
	}
	for name, e := range now {
		o[name] = e
	}
	return nil
}

// put keeps the values of a multi-valued attribute.
func (p *patching) put(a attribute, list []any) error {
	list = slices.DeleteFunc(list, func(v any) bool { o, ok := v.(Object); return ok && len(o) == 0 })
	switch {
	case len(list) == 0:
		delete(p.to, a.name)
	case len(list) > maxValues:
		return refuse(tooMany, "%s has more than %d values", a.name, maxValues)
	default:
		primary := 0
		for _, e := range list {
			if o, ok := e.(Object); ok && o["primary"] == true {
				primary++
			}
		}
		if primary > 1 {
			return refuse(invalidValue, "%s has more than one primary value", a.name)
		}
		p.to[a.name] = list
	}
	return nil
}

// join appends values that are not there yet. What is the same but for what only says
// how it is shown takes the place of the old one; a new primary value is the only one.
func join(list, added []any) []any {
	at := map[string]int{}
	for i, e := range list {
		at[identityOf(e)] = i
	}
	for _, e := range added {
		if o, ok := e.(Object); ok && o["primary"] == true {
			for _, other := range list {
				if o, ok := other.(Object); ok {
					delete(o, "primary")
				}
			}
		}
		id := identityOf(e)
		if i, there := at[id]; there {
			list[i] = e
			continue
		}
		at[id] = len(list)
		list = append(list, e)
	}
	return list
}

// identityOf tells the values of an attribute apart: by value and type.
func identityOf(v any) string {
	o, ok := v.(Object)
	if !ok {
		return textOf(v)
	}
	if o.Text("value") != "" {
		return o.Text("value") + "\x00" + o.Text("type")
	}
	b, _ := o.marshal() // an address
	return string(b)
}

// wanted is the value that a filter of equalities describes, such as type eq "work".
func wanted(e expression) (Object, bool) {
	switch x := e.(type) {
	case both:
		a, ok := wanted(x.a)
		b, also := wanted(x.b)
		for name, v := range b {
			a[name] = v
		}
		return a, ok && also
	case comparison:
		switch x.value.(type) {
		case string, bool:
			if x.op == "eq" && x.path.sub.name == "" && x.path.only == nil && x.path.attr.typ != complexType && !x.path.attr.readOnly {
				return Object{x.path.attr.name: x.value}, true
			}
		}
	}
	return Object{}, false
}

// remove takes away an attribute, values of it, or a sub-attribute.
func (p *patching) remove(at attrPath, value any, hasValue bool) error {
	a := at.attr
	if a.required && at.sub.name == "" && at.only == nil {
		return refuse(mutability, "%s is needed and cannot be removed", a.name)
	}
	if !a.multi {
		if at.sub.name == "" {
			delete(p.to, a.name)
			return nil
		}
		return p.setSub(p.to, a, at.sub, "replace", nil)
	}
	list, _ := p.to[a.name].([]any)
	if at.only == nil && at.sub.name == "" {
		if !hasValue || value == nil {
			return p.put(a, nil)
		}
		return p.removeListed(a, list, value)
	}
	// What is chosen and not there is gone already: removal is the same twice, and a
	// client that repeats itself is not to be stopped by it.
	list = slices.DeleteFunc(slices.Clone(list), func(e any) bool {
		o, ok := e.(Object)
		if !ok || at.only != nil && !at.only.matches(o) {
			return false
		}
		if at.sub.name != "" {
			delete(o, at.sub.name)
			return false
		}
		return true
	})
	return p.put(a, list)
}

// removeListed is Entra's and Okta's way: the values to remove are listed.
func (p *patching) removeListed(a attribute, list []any, value any) error {
	v, err := convert(a, value, "")
	if err != nil {
		return err
	}
	gone := map[string]bool{}
	listed, _ := v.([]any)
	for _, e := range listed {
		o, ok := e.(Object)
		if ok && o.Text("value") == "" {
			return refuse(invalidValue, "a value to remove from %s is named by its value", a.name)
		}
		if ok {
			gone[o.Text("value")] = true
		}
	}
	if len(gone) == 0 {
		return refuse(invalidValue, "the values to remove from %s are not named", a.name)
	}
	return p.put(a, slices.DeleteFunc(slices.Clone(list), func(e any) bool {
		o, ok := e.(Object)
		return ok && gone[o.Text("value")]
	}))
}
