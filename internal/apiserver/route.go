package apiserver

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/broker"
	"stint/internal/ident"
)

// who may call a route. What of it they may see or change is decided behind the
// door, for each object. The zero value is nobody, so that a route without a
// word about it does not start.
type who uint8

const (
	nobody   who = iota
	public       // no sign-in
	device       // a proof by a device, without a token
	host         // a proof by the agent of a host that is enrolled
	gateway      // a proof by a gateway that is enrolled
	anyone       // whoever is signed in
	auditors     // auditors and administrators
	admins       // administrators
)

var whoWords = [...]string{
	nobody: "nobody", public: "everybody, without signing in", device: "any device, by a proof of its key",
	host: "the agent of a host, by a proof of its key", gateway: "a gateway, by a proof of its key",
	anyone: "whoever is signed in", auditors: "auditors and administrators", admins: "administrators",
}

func (w who) String() string { return whoWords[w] }

// route is one endpoint.
type route struct {
	name    string // operation id
	method  string
	path    string
	who     who
	tag     string
	summary string
	detail  string // more of whom it is for, or what it needs
	status  int    // of success; 0: 200
	body    int64  // most bytes; 0: maxBody
	// urgent routes take access away, or tell how things are: never shed.
	urgent bool
	// storeless routes let administrators in whom the store confirmed lately while
	// it is out of reach, and do not insist that it remembers the proof. They only
	// take away.
	storeless bool
	// glass routes are open to a login by break-glass codes; no other is.
	glass bool
	// enrols routes are open to a login by recovery code that has made no passkey yet;
	// no other is.
	enrols bool
	// browser routes are steps of signing in with one: their codes are not for people
	// to carry, and whole offices share an address.
	browser bool
	// lease routes keep the sessions of a gateway alive: they have a measure of their own,
	// which nothing else that it calls uses up.
	lease bool
	// door routes ask for whoever knocks at a gateway, who may be anybody: each kind of door
	// has a measure of its own, which the handler takes from once it knows which it is.
	door bool
	// held routes may keep the answer back, or never end: not counted as work.
	held bool
}

func (r route) writes() bool { return r.method != http.MethodGet }

// call is one call that the gate let in.
type call struct {
	ident.Caller
	body   access.Digest
	key    string // Idempotency-Key
	source access.Source
	host   access.Host // whose agent, or which gateway, makes it
	// gateway is the name of the gateway that makes it; empty where none does.
	gateway string
	base    string // scheme and host as the client sees them
	trace   string
}

// asked is the caller as the broker knows it. A service names its seal key in
// the call, whether its login is bound to a device or not.
func (c call) asked(sealKey []byte) broker.Caller {
	if c.Login.Device != "" && c.Login.Is() != access.WorkloadLogin {
		sealKey = c.Login.SealKey
	}
	return broker.Caller{Principal: c.Principal, Actor: c.Actor, Source: c.source, SealKey: sealKey, Glass: c.Login.Glass}
}

// waiter is whose waits a call counts among: agents and gateways are no principals.
func (c call) waiter() string {
	if c.Principal.ID == "" {
		return "device " + string(c.source.Device)
	}
	return string(c.Principal.ID)
}

type callKey struct{}

func callOf(ctx context.Context) call {
	c, _ := ctx.Value(callKey{}).(call)
	return c
}

// register adds a route with its handler. In and Out are huma's: params and
// Body. A route that lacks a word is a mistake in this package and panics,
// which every test would see.
func register[In, Out any](s *Server, r route, handle func(context.Context, call, *In) (*Out, error)) {
	if r.name == "" || r.summary == "" || r.tag == "" || r.who == nobody {
		panic(fmt.Sprintf("apiserver: route %s %s does not say who may call it, or what it does", r.method, r.path))
	}
	if _, twice := s.routes[r.name]; twice {
		panic("apiserver: two routes are named " + r.name)
	}
	s.routes[r.name] = r
	huma.Register(s.huma, r.operation(), func(ctx context.Context, in *In) (*Out, error) {
		out, err := handle(ctx, callOf(ctx), in)
		if err != nil {
			return nil, s.refusal(ctx, err)
		}
		return out, nil
	})
}

// operation describes the route in OpenAPI.
func (r route) operation() huma.Operation {
	text := "Who: " + r.who.String() + "."
	if r.detail != "" {
		text += " " + r.detail
	}
	op := huma.Operation{
		OperationID: r.name, Method: r.method, Path: r.path, Summary: r.summary, Description: text, Tags: []string{r.tag},
		DefaultStatus: r.status,
		MaxBodyBytes:  -1, BodyReadTimeout: -1, // the gate has read it already
		Extensions: map[string]any{"x-stint-who": r.who.String()},
		Responses: map[string]*huma.Response{"default": {
			Description: "A refusal, or a failure",
			Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: &huma.Schema{Ref: "#/components/schemas/Error"}}},
		}},
	}
	switch r.who {
	case public:
		op.Security = []map[string][]string{}
	case device, host, gateway:
		op.Security = []map[string][]string{{"proof": {}}}
	default:
		op.Security = []map[string][]string{{"proof": {}, "token": {}}}
	}
	return op
}

// Inputs that many routes share. Their names are exported because huma looks
// into embedded structs only then.
type (
	ByID struct {
		ID string `path:"id" maxLength:"64" doc:"The id of a request or of its grant, or an unambiguous beginning" example:"req_01J8ZQ5T3M8W6Y2X4V9N7K1B5C"`
	}
	ByName struct {
		Name string `path:"name" maxLength:"80" example:"orders-db"`
	}
	Waiting struct {
		Wait string `query:"wait" maxLength:"32" doc:"Hold the answer for up to so long, at most 60s" example:"30s"`
		For  string `query:"for" enum:"decided,ready,ended" default:"ready" doc:"What to hold it for"`
	}
	Paging struct {
		Cursor string `query:"cursor" maxLength:"64" doc:"The next of the page before"`
		Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	}
	empty struct{}
)

// reply is an answer with a JSON body.
type reply[T any] struct{ Body T }

func answer[T any](v T) *reply[T] { return &reply[T]{Body: v} }

// for how long an answer is held.
func (w Waiting) duration() (time.Duration, error) {
	if w.Wait == "" {
		return 0, nil
	}
	d, err := api.ParseDuration(w.Wait)
	if err != nil {
		return 0, err
	}
	return min(d, longestWait), nil
}
