package scim

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"stint/internal/access"
)

// Bounds of an answer and of the work for it.
const (
	maxResults = 1000 // resources of one page
	someResult = 100  // where count is not given
	// tries is how often a change is made again that another one came before.
	tries = 5
)

// Server is the protocol over one directory.
type Server struct {
	Directory Directory
	// Base is where the service is, for locations: https://stint.example/scim/v2/corp,
	// without a slash at its end.
	Base string
	// Failed, if set, is told of failures that the client is not told of in full.
	Failed func(error)
}

// ServeHTTP answers a call whose path is below Base: /Users, /Groups/{id}, /Bulk.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.Serve(w, r, r.URL.EscapedPath())
}

// Serve answers a call at a path below Base, as it is escaped in the URL. Who may call
// is decided before.
func (s *Server) Serve(w http.ResponseWriter, r *http.Request, path string) {
	body, err := readBody(w, r)
	var a answer
	if err == nil {
		a, err = s.do(r.Context(), call{
			method: r.Method, path: path, query: r.URL.Query(), body: body,
			ifMatch: r.Header.Get("If-Match"), ifNone: r.Header.Get("If-None-Match"),
		})
	}
	if err != nil {
		s.refuse(w, err)
		return
	}
	a.write(w)
}

func (s *Server) refuse(w http.ResponseWriter, err error) {
	s.failed(err)
	Refuse(w, err)
}

func (s *Server) failed(err error) {
	if s.Failed != nil && errorOf(err).Status >= http.StatusInternalServerError {
		s.Failed(err)
	}
}

// Refuse answers with an error as the protocol has it. What is behind an error that is
// nobody's but ours is not shown.
func Refuse(w http.ResponseWriter, err error) {
	e := errorOf(err)
	answer{status: e.Status, body: e.body()}.write(w)
}

// readBody reads a body of JSON.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &tooBig):
		return nil, &Error{Status: http.StatusRequestEntityTooLarge, Detail: "the body is larger than " + strconv.Itoa(MaxBody) + " bytes"}
	case err != nil:
		return nil, refuse(invalidSyntax, "the body did not arrive whole")
	case len(body) == 0:
		return nil, nil
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/scim+json" && kind != "application/json" { // RFC 7644 section 3.1
		return nil, &Error{Status: http.StatusUnsupportedMediaType, Detail: "send Content-Type: application/scim+json"}
	}
	return body, nil
}

// call is one request, alone or out of a bulk.
type call struct {
	method, path    string
	query           url.Values
	body            []byte
	ifMatch, ifNone string
}

// answer is what comes back; without a body where that is nil.
type answer struct {
	status         int
	body           Object
	location, etag string
}

func (a answer) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if a.location != "" {
		h.Set("Location", a.location)
	}
	if a.etag != "" {
		h.Set("ETag", a.etag)
	}
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	h.Set("Content-Type", "application/scim+json; charset=utf-8")
	w.WriteHeader(a.status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(a.body) // whoever went away reads no error
}

// do answers one request.
func (s *Server) do(ctx context.Context, c call) (answer, error) {
	parts := strings.Split(strings.Trim(c.path, "/"), "/")
	for i := range parts {
		p, err := url.PathUnescape(parts[i])
		if err != nil {
			return answer{}, notFound("such address")
		}
		parts[i] = p
	}
	switch k, isKind := kindAt(parts[0]); {
	case isKind && len(parts) == 1:
		return s.collection(ctx, k, c)
	case len(parts) == 2 && parts[1] == ".search" && isKind:
		return s.search(ctx, []Kind{k}, c)
	case isKind && len(parts) == 2 && parts[1] != "":
		return s.resource(ctx, k, parts[1], c)
	case len(parts) > 2:
	case parts[0] == ".search" && len(parts) == 1:
		return s.search(ctx, []Kind{User, Group}, c)
	case parts[0] == "Bulk" && len(parts) == 1:
		return s.bulk(ctx, c)
	case parts[0] == "ServiceProviderConfig" && len(parts) == 1:
		return s.described(c, nil, describedService())
	case parts[0] == "Schemas":
		return s.described(c, parts[1:], describedSchemas()...)
	case parts[0] == "ResourceTypes":
		return s.described(c, parts[1:], describedTypes()...)
	case parts[0] == "Me": // RFC 7644 section 3.11
		return answer{}, &Error{Status: http.StatusNotImplemented, Detail: "a provisioning service is nobody: there is no /Me"}
	}
	return answer{}, notFound("such address")
}

// wrong is the answer to a method that an address does not have.
func wrong(c call) error {
	return &Error{Status: http.StatusMethodNotAllowed, Detail: "this address does not have the method " + quote(c.method)}
}

// described answers what the service is. A client may not filter it (RFC 7644
// section 4).
func (s *Server) described(c call, id []string, all ...Object) (answer, error) {
	if c.method != http.MethodGet {
		return answer{}, wrong(c)
	}
	if c.query.Get("filter") != "" {
		return answer{}, &Error{Status: http.StatusForbidden, Detail: "what describes the service cannot be filtered"}
	}
	for _, o := range all {
		meta := o["meta"].(Object)
		meta["location"] = s.Base + meta.Text("location")
	}
	if id == nil {
		return answer{status: http.StatusOK, body: all[0]}, nil
	}
	if len(id) == 0 {
		list := make([]any, len(all))
		for i, o := range all {
			list[i] = o
		}
		return answer{status: http.StatusOK, body: Object{"schemas": []any{listURN}, "totalResults": len(all), "itemsPerPage": len(all), "startIndex": 1, "Resources": list}}, nil
	}
	for _, o := range all {
		if o.Text("id") == id[0] {
			return answer{status: http.StatusOK, body: o}, nil
		}
	}
	return answer{}, notFound("such description")
}

func (s *Server) collection(ctx context.Context, k Kind, c call) (answer, error) {
	switch c.method {
	case http.MethodGet:
		q, err := queryOf(c.query)
		if err != nil {
			return answer{}, err
		}
		return s.list(ctx, []Kind{k}, q)
	case http.MethodPost:
		in, err := parseJSON(c.body)
		if err != nil {
			return answer{}, err
		}
		attrs, err := read(k, in)
		if err != nil {
			return answer{}, err
		}
		p, err := shownOf(k, c.query)
		if err != nil {
			return answer{}, err
		}
		r, err := s.Directory.Create(ctx, k, attrs)
		if err != nil {
			return answer{}, err
		}
		return s.shown(http.StatusCreated, r, p), nil
	}
	return answer{}, wrong(c)
}

// shownOf reads which attributes of one resource are wanted.
func shownOf(k Kind, q url.Values) (projection, error) {
	return parseProjection(attributesOf[k], split(q["attributes"]), split(q["excludedAttributes"]))
}

func split(values []string) (names []string) {
	for _, v := range values {
		for n := range strings.SplitSeq(v, ",") {
			if n = strings.TrimSpace(n); n != "" {
				names = append(names, n)
			}
		}
	}
	return names
}

func (s *Server) shown(status int, r Resource, p projection) answer {
	full := r.full(s.Base)
	return answer{status: status, body: p.of(attributesOf[r.Kind], full), location: full["meta"].(Object).Text("location"), etag: r.etag()}
}

// find reads one resource.
func (s *Server) find(ctx context.Context, k Kind, id string, members bool) (Resource, error) {
	found, _, err := s.Directory.List(ctx, Query{Kind: k, Attr: "id", Value: id, Limit: -1, Members: members})
	if err != nil {
		return Resource{}, err
	}
	for _, r := range found {
		if r.ID == id {
			return r, nil
		}
	}
	return Resource{}, notFound(strings.ToLower(string(k)) + " " + quote(id))
}

func (s *Server) resource(ctx context.Context, k Kind, id string, c call) (answer, error) {
	p, err := shownOf(k, c.query)
	if err != nil {
		return answer{}, err
	}
	if c.method == http.MethodGet {
		r, err := s.find(ctx, k, id, p.wants("members"))
		if err != nil {
			return answer{}, err
		}
		if c.ifNone != "" && matchesTag(c.ifNone, r.etag()) {
			return answer{status: http.StatusNotModified, etag: r.etag()}, nil
		}
		return s.shown(http.StatusOK, r, p), nil
	}
	for n := 1; ; n++ {
		a, err := s.change(ctx, k, id, c, p)
		// Without If-Match a client does not mind which version it changes.
		if n == tries || c.ifMatch != "" || !isChanged(err) {
			if c.ifMatch != "" && isChanged(err) {
				err = stale()
			}
			return a, err
		}
	}
}

func isChanged(err error) bool {
	var told *access.Error
	return errors.As(err, &told) && told.Kind == access.Conflict && told.Code == changedMeanwhile
}

func stale() error {
	return &Error{Status: http.StatusPreconditionFailed, Detail: "the resource was changed since that version"}
}

// matchesTag compares a list of ETags as If-Match has it; weak ones are compared by
// what they say (RFC 7644 section 3.14).
func matchesTag(list, tag string) bool {
	for t := range strings.SplitSeq(list, ",") {
		if t = strings.TrimSpace(t); t == "*" || t == tag || "W/"+t == tag {
			return true
		}
	}
	return false
}

// change is PUT, PATCH or DELETE of one resource.
func (s *Server) change(ctx context.Context, k Kind, id string, c call, p projection) (answer, error) {
	var in Object
	var err error
	switch c.method {
	case http.MethodPut, http.MethodPatch:
		if in, err = parseJSON(c.body); err != nil {
			return answer{}, err
		}
	case http.MethodDelete:
	default:
		return answer{}, wrong(c)
	}
	was, err := s.find(ctx, k, id, true)
	if err != nil {
		return answer{}, err
	}
	if c.ifMatch != "" && !matchesTag(c.ifMatch, was.etag()) {
		return answer{}, stale()
	}
	var attrs Object
	switch c.method {
	case http.MethodDelete:
		if err := s.Directory.Delete(ctx, was); err != nil {
			return answer{}, err
		}
		return answer{status: http.StatusNoContent}, nil
	case http.MethodPut:
		attrs, err = read(k, in)
	default:
		before := clone(was.Attributes).(Object)
		delete(before, "groups") // the directory's own
		attrs, err = patch(k, id, before, in)
	}
	if err != nil {
		return answer{}, errors.Join(err, s.leave(ctx, was, c.method, in))
	}
	r, err := s.Directory.Replace(ctx, was, attrs)
	if err != nil {
		return answer{}, err
	}
	return s.shown(http.StatusOK, r, p), nil
}

// leave has a user leave of whom a refused change said so: what it said besides was
// wrong, and that is no reason for them to keep what they hold. The change is refused
// all the same, so that the client does not believe the rest.
func (s *Server) leave(ctx context.Context, was Resource, method string, in Object) error {
	if was.Kind != User || !leaves(method, in) {
		return nil
	}
	gone := clone(was.Attributes).(Object)
	delete(gone, "groups")
	gone["active"] = false
	_, err := s.Directory.Replace(ctx, was, gone)
	return err
}

// leaves reports whether a change says that a user is not active any more.
func leaves(method string, in Object) bool {
	inactive := func(m map[string]any) bool {
		v, _ := member(m, "active")
		said, err := convert(attribute{name: "active", typ: boolean}, v, "")
		return err == nil && said == false
	}
	if method == http.MethodPut {
		return inactive(in)
	}
	v, _ := member(in, "Operations")
	ops, _ := v.([]any)
	for _, e := range ops {
		m, _ := e.(map[string]any)
		path, _ := member(m, "path")
		value, _ := member(m, "value")
		whole, _ := value.(map[string]any)
		if strings.EqualFold(textOf(path), "active") && inactive(map[string]any{"active": value}) || inactive(whole) {
			return true
		}
	}
	return false
}
