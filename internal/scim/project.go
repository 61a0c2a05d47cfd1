package scim

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// etag is the weak ETag of a resource's version, RFC 7644 section 3.14.
func (r Resource) etag() string { return `W/"` + strconv.FormatInt(r.Version, 10) + `"` }

// full is a resource with everything that the protocol adds, as filters see it.
func (r Resource) full(base string) Object {
	o := clone(r.Attributes).(Object)
	schemas := []any{r.Kind.urn()}
	if _, ok := o[enterpriseURN]; ok {
		schemas = append(schemas, enterpriseURN)
	}
	o["schemas"], o["id"] = schemas, r.ID
	location := base + r.Kind.endpoint() + "/" + r.ID
	o["meta"] = Object{"resourceType": string(r.Kind), "created": r.Created.UTC().Format(time.RFC3339), "lastModified": r.Changed.UTC().Format(time.RFC3339),
		"location": location, "version": r.etag()}
	refs := map[Kind]string{User: "groups", Group: "members"}
	other := map[Kind]Kind{User: Group, Group: User}[r.Kind]
	list, _ := o[refs[r.Kind]].([]any)
	for _, e := range list {
		if m, ok := e.(Object); ok && m.Text("value") != "" {
			m["$ref"] = base + other.endpoint() + "/" + m.Text("value")
			if r.Kind == Group {
				m["type"] = string(User)
			}
		}
	}
	if m, ok := o[enterpriseURN].(Object); ok {
		if boss, ok := m["manager"].(Object); ok && boss.Text("value") != "" {
			boss["$ref"] = base + User.endpoint() + "/" + boss.Text("value")
		}
	}
	return o
}

// projection is which attributes are wanted, RFC 7644 section 3.9.
type projection struct {
	only, without []attrPath
}

// parseProjection reads the parameters attributes and excludedAttributes.
func parseProjection(attrs []attribute, only, without []string) (p projection, err error) {
	if len(only) > 0 && len(without) > 0 {
		return p, refuse(invalidValue, "attributes and excludedAttributes exclude each other")
	}
	read := func(names []string) (paths []attrPath, err error) {
		for _, n := range names {
			path, err := parsePath(attrs, strings.TrimSpace(n))
			if err != nil {
				continue // RFC 7644 section 3.9 has no error for it: what is unknown is not there
			}
			if path.only != nil {
				return nil, refuse(invalidValue, "%s is no name of an attribute", quote(n))
			}
			paths = append(paths, path)
		}
		return paths, nil
	}
	if p.only, err = read(only); err != nil {
		return p, err
	}
	p.without, err = read(without)
	if len(only) > 0 && p.only == nil {
		p.only = []attrPath{} // nothing that is known
	}
	return p, err
}

// wants reports whether an attribute is shown at all.
func (p projection) wants(name string) bool {
	if p.only != nil {
		return slices.ContainsFunc(p.only, func(a attrPath) bool { return a.attr.name == name })
	}
	return !slices.ContainsFunc(p.without, func(a attrPath) bool { return a.attr.name == name && a.sub.name == "" })
}

// of cuts a full resource down.
func (p projection) of(attrs []attribute, o Object) Object {
	if p.only == nil && len(p.without) == 0 {
		return o
	}
	out := Object{}
	for _, a := range attrs {
		v, ok := o[a.name]
		if !ok {
			continue
		}
		if a.always {
			out[a.name] = v
			continue
		}
		if !p.wants(a.name) {
			continue
		}
		if keep := p.part(a, v); keep != nil {
			out[a.name] = keep
		}
	}
	return out
}

// part is a value with those of its sub-attributes that are wanted.
func (p projection) part(a attribute, v any) any {
	names := func(paths []attrPath) (subs []string, whole bool) {
		for _, path := range paths {
			if path.attr.name == a.name {
				subs = append(subs, path.sub.name)
				whole = whole || path.sub.name == ""
			}
		}
		return subs, whole
	}
	keep := func(string) bool { return true }
	if subs, whole := names(p.only); len(subs) > 0 && !whole {
		keep = func(name string) bool { return slices.Contains(subs, name) }
	} else if subs, _ := names(p.without); len(subs) > 0 {
		keep = func(name string) bool { return !slices.Contains(subs, name) }
	}
	cut := func(v any) any {
		o, ok := v.(Object)
		if !ok {
			return v
		}
		out := Object{}
		for name, e := range o {
			if keep(name) {
				out[name] = e
			}
		}
		if len(out) == 0 {
			return nil
		}
		return out
	}
	list, ok := v.([]any)
	if !ok {
		return cut(v)
	}
	out := []any{}
	for _, e := range list {
		if c := cut(e); c != nil {
			out = append(out, c)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}
