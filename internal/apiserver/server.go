package apiserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/archive"
	"stint/internal/broker"
	"stint/internal/credential"
	"stint/internal/ident"
	"stint/internal/oidc"
	"stint/internal/provision"
	"stint/internal/signals"
	"stint/internal/web"
)

// Server serves the API. It is safe for concurrent use.
type Server struct {
	broker   *broker.Broker
	logins   *credential.Register
	ident    *ident.Ident
	replays  ident.Replays
	audit    AuditLog
	keep     Keep            // or nil
	channels Channels        // or nil
	chat     http.Handler    // or nil
	provided provision.Store // or nil
	people   *provision.Directories
	receiver *provision.Receiver
	logKey   api.LogKey
	ready    func(context.Context) error
	caution  func() string
	version  string
	log      *slog.Logger
	public   *url.URL
	proxies  []netip.Prefix
	now      func() time.Time
	pulse    time.Duration // of streams
	party    *oidc.Party
	pages    *web.Site
	keyed    atomic.Bool // somebody has, or had, a passkey for the pages

	mux      *http.ServeMux
	huma     huma.API
	routes   map[string]route  // by name
	patterns map[string]string // of the mux, to the name
	document []byte            // OpenAPI
	handler  http.Handler

	metrics    *metrics
	reads      *rates
	writes     *rates
	urgent     *rates // taking access away: ten times as often as other changes
	recent     recent
	codes      *rates // attempts to redeem a code that people carry, by address and by person
	trips      *rates // steps of signing in with a browser, by address: whole offices share one
	views      *rates // of pages, by address
	looks      *rates // of open pages, by principal
	slowed     slowed // logins that asked too fast a moment ago
	scans      room   // of outside services, for filters without an index
	serving    shares // of outside services: calls in work of each
	knocks     *rates // of outside services, by address
	services   *rates // of outside services, by integration
	exchanges  *rates // of workloads that sign in, by address
	exchanging room   // of those, at a time: issuers may be slow
	certs      *rates // certificates, by principal
	hosts      Hosts
	archive    *archive.Archive           // or nil
	strangers  *rates                     // of agents of hosts, by address: many may share one
	agents     *rates                     // of agents of hosts, by agent
	strange    map[access.Protocol]*rates // of routes that are door, by gateway
	renewers   *rates                     // of routes that are lease, by address
	renewals   *rates                     // of routes that are lease, by gateway
	work       room
	waits      room
	own        shares // of waits, by principal, or by device where there is none

	checked logCheck
	ssh     Authorities
	krl     revocations
	// certifying are hosts whose keys wait for a token.
	certifying hostsAtWork
	way        atomic.Pointer[way]

	// holding ends when the server begins to stop, so that held answers are
	// given and streams end.
	holding     context.Context
	stopHolding context.CancelFunc
}

// New makes a server.
func New(c Config) (*Server, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	l := c.Limits.orDefault()
	s := &Server{
		broker: c.Broker, logins: c.Logins, ident: c.Ident, replays: c.Replays, audit: c.Audit, keep: c.Keep, channels: c.Channels, chat: c.Chat, provided: c.Provisioned, logKey: c.LogKey, ready: c.Ready, caution: c.Caution, version: c.Version,
		log: c.Log, public: c.PublicURL, proxies: c.Proxies, now: time.Now, pulse: heartbeat,
		mux: http.NewServeMux(), routes: map[string]route{}, patterns: map[string]string{},
		reads:  newRates(l.ReadsPerSecond, l.Burst, time.Now),
		writes: newRates(l.WritesPerSecond, l.Burst, time.Now),
		urgent: newRates(10*l.WritesPerSecond, 10*l.Burst, time.Now),
		codes:  newRates(1, 30, time.Now),
		knocks: newRates(100, 1000, time.Now), services: newRates(50, 500, time.Now),
		trips:     newRates(10, 200, time.Now),
		exchanges: newRates(5, 100, time.Now),
		views:     newRates(20, 200, time.Now),
		looks:     newRates(l.ReadsPerSecond, l.Burst, time.Now),
		certs:     newRates(l.WritesPerSecond/4, l.Burst, time.Now),
		ssh:       c.SSH,
		strangers: newRates(500, 5000, time.Now), agents: newRates(100, 1000, time.Now),
		renewers: newRates(500, 5000, time.Now), renewals: newRates(100, 1000, time.Now), hosts: c.Hosts, archive: c.Archive,
	}
	s.strange = map[access.Protocol]*rates{}
	for _, p := range access.GatewayProtocols {
		s.strange[p] = newRates(100, 1000, time.Now)
	}
	if s.caution == nil {
		s.caution = func() string { return "" }
	}
	s.exchanging.most = 32
	s.work.most, s.waits.most, s.own.most = int64(l.Concurrent), int64(l.Waits), max(1, int64(l.Waits)/4)
	s.holding, s.stopHolding = context.WithCancel(context.Background())
	outside := c.Outside
	if outside == nil {
		outside = &http.Client{Transport: nobodyOutside{}}
	}
	s.people, s.scans.most, s.serving.most = c.Directories, scansAtOnce, ofOneService
	s.receiver = &provision.Receiver{Store: s.provided, Ender: s.broker, Keys: &signals.Keys{HTTP: outside, Now: time.Now}, Now: time.Now, Log: c.Log}
	s.party, s.pages = oidc.New(outside, s.now), web.New(doors{s})
	s.metrics = newMetrics(s)
	s.huma = humago.New(s.mux, describe(c.Version))
	s.huma.UseMiddleware(s.gate)
	s.addRoutes()
	if err := s.freeze(); err != nil {
		return nil, err
	}
	cross := http.NewCrossOriginProtection() // nothing here is for browsers on other sites
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, frameOf(r.Context()).trace, access.Fail(access.Denied, "cross-origin", "a page of another site may not call this"))
	}))
	s.handler = s.framed(s.outside(cross.Handler(s.shed(s.mux))))
	return s, nil
}

// describe sets huma up: JSON only, nothing served that is not a route of ours.
func describe(version string) huma.Config {
	registry := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	registry.Schema(reflect.TypeFor[api.Error](), true, "") // every route's refusal refers to it
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{Title: "Stint", Version: version, Description: "Privileged access for one task and one stint of time, and proof that it is gone afterwards.",
				License: &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}},
			Components: &huma.Components{
				Schemas: registry,
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"proof": {Type: "apiKey", In: "header", Name: api.HeaderProof,
						Description: "A proof by the device's key, RFC 9449, over method, address, query, body and token. Good once."},
					"token": {Type: "http", Scheme: "DPoP",
						Description: "The token of a login, as \"DPoP …\"; a service's as \"Bearer …\". Worth nothing without the proof."},
				},
			},
		},
		Formats:          map[string]huma.Format{"application/json": jsonFormat, "application/problem+json": jsonFormat},
		DefaultFormat:    "application/json",
		Transformers:     []huma.Transformer{asProblem},
		NoFormatFallback: false,

		RejectUnknownQueryParameters: true,
	}
}

// jsonFormat does not escape HTML: an audit record must keep its bytes.
var jsonFormat = huma.DefaultJSONFormat

// freeze renders the description, once; it never changes while we run.
func (s *Server) freeze() error {
	o := s.huma.OpenAPI()
	schemas := o.Components.Schemas.Map()
	delete(schemas, "ErrorModel") // huma's own shape, which we never send
	delete(schemas, "ErrorDetail")
	var err error
	if s.document, err = json.Marshal(o); err != nil {
		return fmt.Errorf("describe the API: %w", err)
	}
	for name, r := range s.routes {
		s.patterns[r.method+" "+r.path] = name
	}
	return nil
}

// nobodyOutside is for a server that calls nobody.
type nobodyOutside struct{}

func (nobodyOutside) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("this server calls nobody outside")
}

// Handler is the whole door, for tests and for Serve.
func (s *Server) Handler() http.Handler { return s.handler }

// find is the route of a call, before anything else of it is looked at.
func (s *Server) find(r *http.Request) (route, bool) {
	_, pattern := s.mux.Handler(r)
	rt, ok := s.routes[s.patterns[pattern]]
	return rt, ok
}

// unknown answers calls of no route, in our shape.
func (s *Server) unknown(w http.ResponseWriter, r *http.Request) {
	trace := frameOf(r.Context()).trace
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = m
		if _, ok := s.find(other); ok {
			w.Header().Add("Allow", m)
		}
	}
	if w.Header().Get("Allow") != "" {
		s.refuse(w, trace, &api.Error{Kind: api.Invalid, Status: http.StatusMethodNotAllowed, Code: "wrong-method", Message: "this address does not know " + quoteMethod(r.Method)})
		return
	}
	s.refuse(w, trace, &api.Error{Kind: api.NotFound, Code: "no-such-route", Message: "there is nothing at this address", Next: "GET /openapi.json lists what there is"})
}

func quoteMethod(m string) string {
	if len(m) > 16 {
		m = m[:16]
	}
	return m
}

// Serve answers on a listener until ctx is done, then lets calls finish, tells
// those who wait, and returns when the last one is gone, or after finishWithin.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	var silent silentConns
	srv := &http.Server{
		ConnState: silent.changed,
		Handler:   s.handler, ReadHeaderTimeout: headersWithin, ReadTimeout: readWithin, WriteTimeout: writeWithin, IdleTimeout: idleFor,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	s.stopHolding()
	defer time.AfterFunc(silentFor, silent.close).Stop()
	finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishWithin)
	defer cancel()
	err := srv.Shutdown(finish)
	if errors.Is(err, context.DeadlineExceeded) {
		err = srv.Close()
	}
	s.certifying.stop() // they were told to stop with those who wait for answers
	if serr := <-served; !errors.Is(serr, http.ErrServerClosed) && err == nil {
		err = serr
	}
	if err != nil {
		return fmt.Errorf("stop serving: %w", err)
	}
	return nil
}

// silentConns are the connections on which nothing was said yet. Shutdown would wait
// five seconds for their first call; clients keep such connections in reserve.
type silentConns struct {
	mu    sync.Mutex
	conns map[net.Conn]bool
}

func (c *silentConns) changed(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state != http.StateNew {
		delete(c.conns, conn)
		return
	}
	if c.conns == nil {
		c.conns = map[net.Conn]bool{}
	}
	c.conns[conn] = true
}

func (c *silentConns) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.conns {
		_ = conn.Close() // nobody was promised anything on it
	}
}

// hold derives a context for an answer that is held: it ends after d, when the
// client goes, and when the server stops.
func (s *Server) hold(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	held, cancel := context.WithTimeout(ctx, d)
	release := context.AfterFunc(s.holding, cancel)
	return held, func() { release(); cancel() }
}
