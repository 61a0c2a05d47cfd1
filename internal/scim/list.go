package scim

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
)

// query is what a client asks of a list, RFC 7644 section 3.4.2.
type query struct {
	filter        string
	only, without []string
	start, count  int // from 1; count is at most maxResults
}

// queryOf reads the parameters of a GET. Sorting is not supported and therefore passed
// over (RFC 7644 section 3.4.2.3).
func queryOf(v url.Values) (query, error) {
	q := query{filter: v.Get("filter"), only: split(v["attributes"]), without: split(v["excludedAttributes"])}
	number := func(name string, otherwise int) (int, error) {
		if v.Get(name) == "" {
			return otherwise, nil
		}
		n, err := strconv.Atoi(v.Get(name))
		if err != nil {
			return 0, refuse(invalidValue, "%s is a whole number", name)
		}
		return n, nil
	}
	var err error
	if q.start, err = number("startIndex", 1); err != nil {
		return q, err
	}
	if q.count, err = number("count", someResult); err != nil {
		return q, err
	}
	return q.bounded(), nil
}

// bounded takes a start below 1 as 1 and a count below 0 as 0 (RFC 7644 table 6).
func (q query) bounded() query {
	q.start, q.count = max(q.start, 1), min(max(q.count, 0), maxResults)
	return q
}

// search is a query as a POST, RFC 7644 section 3.4.3.
func (s *Server) search(ctx context.Context, kinds []Kind, c call) (answer, error) {
	if c.method != http.MethodPost {
		return answer{}, wrong(c)
	}
	in, err := parseJSON(c.body)
	if err != nil {
		return answer{}, err
	}
	q := query{start: 1, count: someResult}
	for name, v := range in {
		ok := true
		switch name {
		case "schemas", "sortBy", "sortOrder":
		case "filter":
			q.filter, ok = v.(string)
		case "attributes":
			q.only, ok = texts(v)
		case "excludedAttributes":
			q.without, ok = texts(v)
		case "startIndex":
			q.start, ok = whole(v)
		case "count":
			q.count, ok = whole(v)
		default:
			return answer{}, refuse(invalidSyntax, "a search has no %s", quote(name))
		}
		if !ok {
			return answer{}, refuse(invalidValue, "%s has the wrong type", name)
		}
	}
	return s.list(ctx, kinds, q.bounded())
}

func texts(v any) (out []string, ok bool) {
	list, ok := v.([]any)
	for _, e := range list {
		s, isText := e.(string)
		if !isText {
			return nil, false
		}
		out = append(out, s)
	}
	return out, ok
}

func whole(v any) (int, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	i, err := strconv.Atoi(n.String())
	return i, err == nil
}

// list answers a query. Over several kinds, a filter is of those kinds alone that have
// its attributes.
func (s *Server) list(ctx context.Context, kinds []Kind, q query) (answer, error) {
	resources := []any{}
	total := 0
	var refused error
	for _, k := range kinds {
		p, err := parseProjection(attributesOf[k], q.only, q.without)
		if err != nil {
			return answer{}, err
		}
		var filter expression
		if q.filter != "" {
			if filter, err = parseFilter(attributesOf[k], q.filter); err != nil {
				if refused = err; len(kinds) == 1 {
					return answer{}, err
				}
				continue
			}
		}
		refused = nil
		before := total
		found, n, err := s.matching(ctx, k, filter, max(0, q.start-1-before), q.count-len(resources), p)
		if err != nil {
			return answer{}, err
		}
		total += n
		for _, o := range found {
			resources = append(resources, o)
		}
	}
	if refused != nil && total == 0 {
		return answer{}, refused
	}
	return answer{status: http.StatusOK, body: Object{
		"schemas": []any{listURN}, "totalResults": total, "startIndex": q.start, "itemsPerPage": len(resources), "Resources": resources,
	}}, nil
}

// matching lists the resources of a kind that a filter fits, from offset on, and how
// many fit in all.
func (s *Server) matching(ctx context.Context, k Kind, filter expression, offset, limit int, p projection) (out []Object, total int, err error) {
	if filter == nil {
		found, total, err := s.Directory.List(ctx, Query{Kind: k, Offset: offset, Limit: limit, Members: p.wants("members")})
		if err != nil {
			return nil, 0, err
		}
		for _, r := range found {
			out = append(out, p.of(attributesOf[k], r.full(s.Base)))
		}
		return out, total, nil
	}
	q := Query{Kind: k, Limit: -1, Members: true}
	q.Attr, q.Value, _ = indexed(k, filter)
	found, _, err := s.Directory.List(ctx, q)
	if err != nil {
		return nil, 0, err
	}
	for _, r := range found {
		o := r.full(s.Base)
		if !filter.matches(o) {
			continue
		}
		if total++; total > offset && len(out) < limit {
			out = append(out, p.of(attributesOf[k], o))
		}
	}
	return out, total, nil
}
