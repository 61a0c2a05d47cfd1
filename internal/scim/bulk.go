package scim

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// maxOperations is the most operations of a bulk request.
const maxOperations = 1000

// bulkRef begins a reference to what another operation of the bulk makes.
const bulkRef = "bulkId:"

// operation is one of a bulk request, RFC 7644 section 3.7.
type operation struct {
	method, path, id, version string
	data                      any
}

// bulk answers /Bulk. Operations are done in their order, but that those which refer
// to what a later one makes wait for it (section 3.7.2). They are not one transaction.
func (s *Server) bulk(ctx context.Context, c call) (answer, error) {
	if c.method != http.MethodPost {
		return answer{}, wrong(c)
	}
	in, err := parseJSON(c.body)
	if err != nil {
		return answer{}, err
	}
	ops, failOn, err := bulkOf(in)
	if err != nil {
		return answer{}, err
	}
	made := map[string]string{} // what became of a bulkId
	results := make([]Object, len(ops))
	failed := 0
	run := func(i int, op operation) bool {
		var ok bool
		results[i], ok = s.one(ctx, op, made)
		if !ok {
			failed++
		}
		return failOn == 0 || failed < failOn
	}
	todo := make([]int, len(ops))
	for i := range ops {
		todo[i] = i
	}
	goOn := true
	for progress := true; progress && goOn && len(todo) > 0; {
		progress = false
		var later []int
		for n, i := range todo {
			op := ops[i]
			if resolved, ok := resolve(op, made); !ok {
				later = append(later, i)
			} else if progress = true; !run(i, resolved) {
				later, goOn = append(later, todo[n+1:]...), false
				break
			}
		}
		todo = later
	}
	for _, i := range todo {
		if goOn { // nothing that is there makes what they refer to
			e := &Error{Status: http.StatusConflict, Type: invalidValue, Detail: "the operation refers to a bulkId that no other makes, or that waits for it"}
			results[i] = result(ops[i], answer{}, e)
		}
	}
	list := []any{}
	for _, r := range results {
		if r != nil {
			list = append(list, r)
		}
	}
	return answer{status: http.StatusOK, body: Object{"schemas": []any{bulkedURN}, "Operations": list}}, nil
}

// bulkOf reads a bulk request.
func bulkOf(in Object) (ops []operation, failOn int, err error) {
	if v, ok := member(in, "failOnErrors"); ok {
		if failOn, ok = whole(v); !ok || failOn < 1 {
			return nil, 0, refuse(invalidValue, "failOnErrors is a whole number above zero")
		}
	}
	v, _ := member(in, "Operations")
	list, ok := v.([]any)
	switch {
	case !ok || len(list) == 0:
		return nil, 0, refuse(invalidSyntax, "a bulk has a list of Operations")
	case len(list) > maxOperations:
		return nil, 0, &Error{Status: http.StatusRequestEntityTooLarge, Type: tooMany, Detail: "a bulk has at most " + strconv.Itoa(maxOperations) + " operations"}
	}
	seen := map[string]bool{}
	for i, e := range list {
		m, ok := e.(map[string]any)
		if !ok {
			return nil, 0, refuse(invalidSyntax, "operation %d is not an object", i+1)
		}
		text := func(name string) string { v, _ := member(m, name); return textOf(v) }
		op := operation{method: strings.ToUpper(text("method")), path: text("path"), id: text("bulkId"), version: text("version")}
		op.data, _ = member(m, "data")
		switch {
		case op.method == http.MethodPost && op.id == "":
			return nil, 0, refuse(invalidSyntax, "operation %d makes something and has no bulkId", i+1)
		case op.id != "" && seen[op.id]:
			return nil, 0, refuse(invalidSyntax, "two operations have the bulkId %s", quote(op.id))
		case strings.HasPrefix(op.path, "/Bulk"):
			return nil, 0, refuse(invalidPath, "a bulk has no bulk in it")
		}
		seen[op.id] = true
		ops = append(ops, op)
	}
	return ops, failOn, nil
}

// resolve puts ids in the place of references, if all that it refers to is made.
func resolve(op operation, made map[string]string) (operation, bool) {
	ok := true
	ref := func(s string) string {
		id, is := strings.CutPrefix(s, bulkRef)
		if !is {
			return s
		}
		known, there := made[id]
		ok = ok && there
		return known
	}
	var walk func(v any) any
	walk = func(v any) any {
		switch x := v.(type) {
		case map[string]any:
			out := make(map[string]any, len(x))
			for name, e := range x {
				out[name] = walk(e)
			}
			return out
		case []any:
			out := make([]any, len(x))
			for i, e := range x {
				out[i] = walk(e)
			}
			return out
		case string:
			return ref(x)
		}
		return v
	}
	op.data = walk(op.data)
	if at := strings.LastIndexByte(op.path, '/'); at >= 0 {
		op.path = op.path[:at+1] + ref(op.path[at+1:])
	}
	return op, ok
}

// one does an operation and reports whether it succeeded.
func (s *Server) one(ctx context.Context, op operation, made map[string]string) (Object, bool) {
	c := call{method: op.method, path: op.path, ifMatch: op.version}
	var err error
	if op.data != nil {
		if c.body, err = json.Marshal(op.data); err != nil {
			return result(op, answer{}, err), false
		}
	}
	var a answer
	switch op.method {
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		a, err = s.do(ctx, c)
	default:
		err = wrong(c)
	}
	if err != nil {
		s.failed(err)
		return result(op, answer{}, err), false
	}
	if op.id != "" && a.body != nil {
		made[op.id] = a.body.Text("id")
	}
	return result(op, a, nil), true
}

// result is what the answer says of one operation.
func result(op operation, a answer, err error) Object {
	o := Object{"method": op.method}
	if op.id != "" {
		o["bulkId"] = op.id
	}
	if err != nil {
		e := errorOf(err)
		o["status"], o["response"] = strconv.Itoa(e.Status), e.body()
		return o
	}
	o["status"] = strconv.Itoa(a.status)
	if a.location != "" {
		o["location"] = a.location
	}
	if a.etag != "" {
		o["version"] = a.etag
	}
	return o
}
