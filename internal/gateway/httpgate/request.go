package httpgate

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"stint/internal/access"
	"stint/internal/gateway"
	"stint/internal/gateway/door"
)

const (
	mostBody  = 100 << 20
	httpsPort = 443
)

// request is one request on its way.
type request struct {
	server   *Server
	conn     *conn
	source   netip.AddrPort
	resource access.ResourceName
	host     string // by which the resource is known, with its port where one was said
	self     string // the same with the port of the door, whatever the client said
	said     string // the Host header
	target   target
	browser  bool // it has to bring a cookie, and no key
	upgrade  bool // it opens a websocket
	page     bool // a person looks at the answer

	session *session
	record  Request
	reply   *reply
	sent    atomic.Pointer[body]
	failure string
}

type requestKey struct{}

// ServeHTTP takes one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := &request{server: s, page: wantsPage(r)}
	if !s.come() {
		q.refuse(w, errStopping)
		return
	}
	defer s.all.Done()
	if r.ProtoMajor == 1 {
		c := http.NewResponseController(w)
		_ = c.SetWriteDeadline(time.Now().Add(s.StallAfter)) // that of the request before may be over
		if r.ContentLength != 0 {
			// The server reads what is left of a body before it answers, and has to have time to.
			defer func() { _ = c.SetReadDeadline(time.Now().Add(s.StallAfter / 2)) }()
		}
	}
	err := q.read(r)
	if err == nil {
		err = s.answer(w, r, q)
	}
	if err != nil {
		s.Log.Debug("a request was refused", "source", q.source, "resource", q.resource, "error", err)
		q.refuse(w, err)
	}
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, q *request) error {
	if strings.HasPrefix(q.target.path, ownPath) {
		return s.own(w, r, q)
	}
	o, err := s.who(r, q)
	if errors.Is(err, errUnknown) && q.browser && q.page && !q.upgrade && r.Method == http.MethodGet {
		return s.signIn(w, r, q)
	}
	if err != nil {
		return err
	}
	q.session = o
	if err := o.begin(); err != nil {
		return err
	}
	defer o.done()
	q.conn.meet()
	return q.forward(w, r)
}

var errUnknown = access.Fail(access.Unauthenticated, "sign-in", "nobody is known behind this request").Try("open the address in a browser and sign in, or use stint proxy")

// who is the session that a request belongs to.
func (s *Server) who(r *http.Request, q *request) (*session, error) {
	if !q.browser {
		return s.forDevice(r, q)
	}
	secret, err := cookie(r, cookieName)
	if err != nil {
		return nil, err
	}
	if secret == "" {
		return nil, errUnknown
	}
	o, over := s.find(q.place(secret))
	switch {
	case over != nil && over.Reason == gateway.ClientGone:
		return nil, errUnknown
	case over != nil:
		return nil, over
	case o == nil:
		return nil, errUnknown
	}
	return o, nil
}

// read finds out what a request is for, in the one way in which that can be read.
func (q *request) read(r *http.Request) (err error) {
	q.conn, _ = r.Context().Value(connKey{}).(*conn)
	if q.conn == nil || r.TLS == nil {
		return access.Fail(access.Internal, "no-tls", "the request did not come by TLS")
	}
	q.source = door.AddressOf(q.conn.RemoteAddr())
	q.browser = len(r.TLS.PeerCertificates) == 0
	if r.ProtoMajor < 1 || r.ProtoMajor == 1 && r.ProtoMinor < 1 {
		return ambiguous("it is older than HTTP/1.1")
	}
	if err := q.readHost(r); err != nil {
		return err
	}
	switch {
	case r.Method == http.MethodConnect || r.Method == http.MethodTrace:
		return access.Fail(access.Denied, "bad-method", r.Method+" does not pass the gateway")
	case strings.ToUpper(r.Method) != r.Method || r.Method == gateway.WebSocket:
		return ambiguous("its method is written in small letters, or is none")
	case r.URL.Scheme != "" || r.URL.Host != "" || r.URL.User != nil:
		return ambiguous("its target has a host of its own")
	}
	if q.target, err = readTarget(r.RequestURI); err != nil {
		return err
	}
	if _, has := r.Header["Service-Worker"]; has { // each browser says so when it asks for the script of one
		return access.Fail(access.Denied, "no-worker", "service workers do not pass the gateway").
			Because("one would see the address with which somebody comes from the sign-in, and go on when the access is over").Try("nothing; the page works without it, or is not for this")
	}
	if err := checkHop(r.Header); err != nil {
		return err
	}
	return q.readUpgrade(r)
}

// readHost finds the resource: TLS's name and the request's have to be the same.
func (q *request) readHost(r *http.Request) error {
	name := strings.ToLower(r.TLS.ServerName)
	q.said = strings.ToLower(r.Host)
	said := q.said
	if h, _, err := net.SplitHostPort(said); err == nil {
		said = h
	}
	local := said == "localhost" || said == "::1" || strings.HasPrefix(said, "127.") && net.ParseIP(said) != nil
	if name == "" || said != name && (q.browser || !local) {
		return access.Fail(access.Invalid, "other-host", "the request is not for the host that the connection is for")
	}
	var is bool
	if q.resource, is = q.server.Resource(name); !is {
		return access.Fail(access.NotFound, "no-resource", "nothing is reached under this name")
	}
	q.host, q.self = name, name
	if p := q.server.Port; p != 0 && p != httpsPort {
		q.self = net.JoinHostPort(name, strconv.Itoa(int(p)))
	}
	if q.browser {
		q.host = q.said
	}
	return nil
}

// readUpgrade finds out whether a websocket is wanted. Nothing else is changed into.
func (q *request) readUpgrade(r *http.Request) error {
	to := r.Header["Upgrade"]
	if len(to) == 0 {
		return nil
	}
	switch {
	case len(to) > 1 || !strings.EqualFold(to[0], "websocket"):
		return ambiguous("it wants to change to another protocol")
	case r.Method != http.MethodGet || r.ProtoMajor != 1 || r.ContentLength != 0 || !strings.Contains(strings.ToLower(strings.Join(r.Header["Connection"], ",")), "upgrade"):
		return ambiguous("it opens a websocket in a way in which none is opened")
	}
	q.upgrade, q.page = true, false
	return nil
}

// forward sends a request on, once it may be and it is recorded.
func (q *request) forward(w http.ResponseWriter, r *http.Request) error {
	o := q.session
	method := r.Method
	if q.upgrade {
		method = gateway.WebSocket
	}
	q.record = Request{N: o.number.Add(1), Method: method, Target: q.target.String()}
	allowed, why, alarms := o.Web.Allows(method, q.target.path)
	no := q.checkSite(r)
	if no == nil && !allowed {
		no = access.Fail(access.Denied, "not-allowed", "the role does not allow this request").Because(why)
	}
	most := o.Web.MostBody
	if most == 0 {
		most = mostBody
	}
	if no == nil && r.ContentLength > most {
		no = access.Fail(access.Invalid, "too-long", errTooLong.Error())
	}
	if no != nil {
		q.record.Why = no.Error()
	}
	for _, a := range alarms {
		o.Alarm(a, method+" "+q.target.String())
	}
	if err := o.tape.Request(q.record); err != nil {
		o.unrecorded(err)
		return o.Over()
	}
	if no != nil {
		return no
	}
	if over := o.Pass(); over != nil {
		return over
	}
	q.send(w, r, most)
	return nil
}

// send has the answer come, and records how it went.
func (q *request) send(w http.ResponseWriter, r *http.Request, most int64) {
	o := q.session
	q.reply = &reply{ResponseWriter: w, q: q, ctrl: http.NewResponseController(w), shared: r.ProtoMajor > 1}
	ctx, cancel := context.WithCancelCause(context.WithValue(r.Context(), requestKey{}, q))
	defer cancel(nil)
	over := make(chan struct{})
	stop := context.AfterFunc(o.Context(), func() {
		defer close(over)
		q.reply.cut()
		cancel(o.Over())
		if r.ProtoMajor == 1 { // the connection is this request's alone
			q.conn.doom(2 * sayWithin)
		}
	})
	in := r.WithContext(ctx)
	if r.Body != nil && r.ContentLength != 0 {
		b := &body{ReadCloser: r.Body, q: q, out: q.reply, most: most}
		in.Body = b
		q.sent.Store(b)
	}
	defer func() {
		broke := recover()
		if !stop() {
			<-over // the answer is not there any more when this returns, and who cuts it then breaks the gateway
		}
		q.reply.wait() // for what is still to be written
		q.finish()
		// What is cut off at the application's side may look like an end of its own.
		said := false
		if over := o.Over(); over != nil && (broke != nil || q.reply.stream) {
			said = q.reply.farewell(over)
		}
		if broke != nil && !said {
			panic(broke) // the server closes the connection, or the stream
		}
	}()
	q.server.proxy.ServeHTTP(q.reply, in)
}

// finish records how a request went.
func (q *request) finish() {
	o := q.session
	out := Outcome{Status: q.reply.status, Received: q.reply.got, Failed: q.failure}
	if b := q.sent.Load(); b != nil {
		out.Sent = b.sent.Load()
	}
	if ws := q.reply.socket; ws != nil {
		out.Sent, out.Received = ws.sent.Load(), ws.got.Load()
	}
	if over := o.Over(); over != nil && out.Failed == "" {
		out.Failed = over.Error()
	}
	if err := o.tape.Outcome(q.record.N, q.record, out); err != nil {
		o.unrecorded(err)
	}
}

// keep records the beginning of a body, as much of it as the role has recorded.
func (q *request) keep(kept *int, answer bool, p []byte) error {
	n := min(len(p), q.session.Web.Bodies-*kept)
	if n <= 0 {
		return nil
	}
	*kept += n
	if err := q.session.tape.Body(q.record.N, answer, p[:n]); err != nil {
		q.session.unrecorded(err)
		return q.session.Over()
	}
	return nil
}

func of(ctx context.Context) *request { q, _ := ctx.Value(requestKey{}).(*request); return q }

// route sends each request to the application of its session, whatever it says.
type route struct{}

func (route) RoundTrip(r *http.Request) (*http.Response, error) {
	o := of(r.Context()).session
	if o.standing != nil {
		return o.standing.roundTrip(r)
	}
	return o.transport.RoundTrip(r)
}

// rewrite makes of a client's request the one that the application gets.
func rewrite(p *httputil.ProxyRequest) {
	q := of(p.In.Context())
	o, out := q.session, p.Out
	scheme := "https"
	if o.Target.Plain {
		scheme = "http"
	}
	out.URL = &url.URL{Scheme: scheme, Host: o.Target.Address, Path: q.target.path, RawPath: q.target.escaped, RawQuery: q.target.query}
	out.Host = hostHeader(&o.Permit)
	out.Trailer = nil
	h := cleaned(p.In.Header, o.Web.Drop)
	if q.upgrade {
		h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	}
	if _, has := h["User-Agent"]; !has {
		h["User-Agent"] = []string{""} // or Go would say its own
	}
	own := scheme + "://" + out.Host
	if v := h.Get("Origin"); v != "" && q.sameOrigin(v) {
		h.Set("Origin", own) // applications compare it with their Host
	}
	if u, err := url.Parse(h.Get("Referer")); err == nil && u.Host != "" && q.sameOrigin(u.Scheme+"://"+u.Host) {
		u.Scheme, u.Host = scheme, out.Host
		h.Set("Referer", u.String())
	}
	h["X-Forwarded-For"] = []string{q.source.Addr().String()}
	h["X-Forwarded-Host"] = []string{q.self}
	h["X-Forwarded-Proto"] = []string{"https"}
	o.login.put(h)
	if o.Web.Assert {
		if word, err := q.server.voice.assert(o, q.self, time.Now()); err == nil {
			h[AssertionHeader] = []string{word}
		}
	}
	out.Header = h
}

// modify makes an application's answer fit the person's host.
func modify(r *http.Response) error {
	q := of(r.Request.Context())
	if over := q.session.Over(); over != nil { // whatever it answered to a request that was broken off
		return over
	}
	q.answered(r.Header)
	return nil
}

// failed answers a request that the application did not.
func failed(_ http.ResponseWriter, r *http.Request, err error) {
	q := of(r.Context())
	b := q.sent.Load()
	var ours *access.Error
	switch over := q.session.Over(); {
	case over != nil:
		q.reply.say(over)
	case errors.Is(err, errTooLong):
		q.failure = errTooLong.Error()
		q.reply.say(access.Fail(access.Invalid, "too-long", q.failure))
	case errors.As(err, &ours):
		q.failure = ours.Message
		if ours.Why != "" {
			q.failure += ": " + ours.Why
		}
		q.reply.say(ours)
	case b != nil && b.broke.Load():
		q.failure = "the request's body did not come"
		q.reply.say(access.Fail(access.Invalid, "too-slow", q.failure))
	default:
		e := away(err)
		q.failure = e.Why
		q.server.Log.Info("an application did not answer", "session", q.session.ID, "error", err)
		q.reply.say(e)
	}
}
