package httpgate

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"stint/internal/access"
	"stint/internal/gateway"
)

const (
	// A login that was refused is not sent again for Config.LoginEvery. That doubles with each
	// refusal up to loginSeldom: applications lock accounts after a few.
	loginSeldom = 15 * time.Minute
	mostLanes   = 1000
	// mostBefore is how many logins that were replaced wait for the end of the session. One that the
	// application called over for one page may still carry a websocket, so it is not ended at once.
	mostBefore = 4
)

// standing is a session's login by form at its application: the gateway keeps what the
// application knows it by, and the browser has nothing of it.
type standing struct {
	o    *session
	form *formLogin
	lane *lane

	mu     sync.Mutex
	now    *loggedIn   // nil: it is not logged in
	before []*loggedIn // that were replaced, and are ended with the session
	trying *attempt
}

// loggedIn is one login that the application took.
type loggedIn struct {
	jar   *jar
	since time.Time
}

// attempt is one login for several requests.
type attempt struct {
	done chan struct{}
	got  *loggedIn
	err  error
}

// lane is one password at one application, whichever sessions send it. It goes there one
// at a time.
type lane struct {
	busy chan struct{} // of room for one

	mu    sync.Mutex
	fails int
	until time.Time
	why   *access.Error
}

// lanes are those of a gateway. Their keys say nothing of the passwords: they are made with
// a secret that ends with the process.
type lanes struct {
	mu     sync.Mutex
	secret []byte
	all    map[[sha256.Size]byte]*lane
}

func (a *lanes) of(r access.ResourceName, l *formLogin) *lane {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.all == nil {
		a.secret, a.all = []byte(rand.Text()), map[[sha256.Size]byte]*lane{}
	}
	mac := hmac.New(sha256.New, a.secret)
	_, _ = fmt.Fprintf(mac, "%q %q %q", r, l.user, l.password)
	key := [sha256.Size]byte(mac.Sum(nil))
	if a.all[key] == nil {
		if len(a.all) >= mostLanes {
			for k, one := range a.all {
				if one.closed(time.Now()) == nil && len(one.busy) == 0 {
					delete(a.all, k)
				}
			}
		}
		a.all[key] = &lane{busy: make(chan struct{}, 1)}
	}
	return a.all[key]
}

// rest lets nothing be sent for a while, without a refusal that it could be for: a password is
// out, and how it was taken nobody heard.
func (l *lane) rest(now time.Time, every time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.why, l.until = noForm("login-unknown", "the application did not say how it took a login of a session that has ended"), now.Add(every)
}

// closed is why nothing is sent there now; nil where it may be.
func (l *lane) closed(now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why == nil || !now.Before(l.until) {
		return nil
	}
	return access.Fail(l.why.Kind, l.why.Code, l.why.Message).Because(l.why.Why).
		Try(fmt.Sprintf("%s; it is not tried again for %s, so that the application does not lock the account", l.why.Next, l.until.Sub(now).Round(time.Second)))
}

// went says how a password that was sent was taken.
func (l *lane) went(now time.Time, every time.Duration, err *access.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why = err; err == nil {
		l.fails = 0
		return
	}
	l.until = now.Add(max(every, min(every<<min(l.fails, 10), loginSeldom)))
	l.fails++
}

const askAdmin = "tell who runs Stint to look at the resource and its credential"

func noForm(code, why string) *access.Error {
	return access.Fail(access.Unavailable, code, "the gateway could not log in to the application").Because(why).Try(askAdmin)
}

var (
	errNotKept  = noForm("login-not-kept", "the application asks to log in again at once after it took the login")
	errLogAgain = access.Fail(access.Unavailable, "logged-in-again", "the application had ended its session, and the gateway has logged in again").
			Because("whether the request changed anything is not known").Try("look before you send it again")
)

// roundTrip sends a request on as who is logged in.
func (s *standing) roundTrip(r *http.Request) (*http.Response, error) {
	at := s.url(r.URL.Path)
	in, err := s.in(r.Context(), nil)
	if err != nil {
		return nil, err
	}
	brought := r.CookiesNamed
	reads := (r.Method == http.MethodGet || r.Method == http.MethodHead) && (r.Body == nil || r.Body == http.NoBody)
	for {
		out := r.Clone(r.Context())
		in.jar.put(at, out.Header)
		res, err := s.o.transport.RoundTrip(out)
		if err != nil {
			return nil, err
		}
		in.jar.take(at, res)
		to := s.to(res, at)
		login := to != nil && s.own(to) && s.form.leads(to.Path)
		if res.StatusCode != http.StatusUnauthorized && !login {
			for _, c := range in.jar.shown(at, s.form.Shown) {
				if !slices.ContainsFunc(brought(c.Name), func(b *http.Cookie) bool { return b.Value == c.Value }) {
					res.Header.Add("Set-Cookie", c.String())
				}
			}
			return res, nil
		}
		before := in
		if in, err = s.in(r.Context(), before); errors.Is(err, errNotKept) && !login {
			return res, nil // who is logged in is told that this is not for them
		}
		_ = res.Body.Close()
		if err != nil {
			return nil, err
		}
		if !reads {
			return nil, errLogAgain
		}
	}
}

// in is a login that is not the one given. Requests that come at the same time log in once, and
// none waits for longer than its client does.
func (s *standing) in(ctx context.Context, not *loggedIn) (*loggedIn, error) {
	s.mu.Lock()
	if s.now != not {
		defer s.mu.Unlock()
		return s.now, nil
	}
	if not != nil && time.Since(not.since) < s.o.server.LoginEvery {
		s.mu.Unlock()
		return nil, errNotKept
	}
	a := s.trying
	if a == nil {
		a = &attempt{done: make(chan struct{})}
		s.trying = a
		s.o.server.all.Go(func() { s.attempt(a) })
	}
	s.mu.Unlock()
	select {
	case <-a.done:
		return a.got, a.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// attempt is over for who waits for it when it is known how the login went, or when there is no more time
// for it. What was sent by then is followed on for a while, so that what it opens is ended.
func (s *standing) attempt(a *attempt) {
	ctx, stop := context.WithTimeout(s.o.Context(), s.o.server.LoginWithin)
	defer stop()
	s.login(ctx, func(j *jar, err error) {
		if err != nil {
			s.o.server.Log.Warn("a login by form did not work", "session", s.o.ID, "resource", s.o.Resource, "error", err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.trying, a.err = nil, err
		if err == nil {
			a.got = &loggedIn{j, time.Now()}
			s.replace(a.got)
		}
		close(a.done)
	})
}

// replace puts a login in the place of the one before. s.mu is held.
func (s *standing) replace(in *loggedIn) {
	if s.now != nil {
		s.before = append(s.before, s.now)
	}
	if s.now = in; len(s.before) > mostBefore {
		s.end(s.before[0].jar)
		s.before = slices.Delete(s.before, 0, 1)
	}
}

// login logs in once the password's lane is free, and calls tell once.
func (s *standing) login(ctx context.Context, tell func(*jar, error)) {
	select {
	case s.lane.busy <- struct{}{}:
		defer func() { <-s.lane.busy }()
	case <-ctx.Done():
		tell(nil, s.slow(ctx))
		return
	}
	if err := s.lane.closed(time.Now()); err != nil {
		tell(nil, err)
		return
	}
	j, token, err := s.begin(ctx)
	if err != nil { // the password was not sent
		tell(nil, s.late(ctx, err))
		return
	}
	p := s.send(ctx, j, token)
	every := s.o.server.LoginEvery
	select {
	case <-p.came:
	case <-ctx.Done():
		if !p.brokenOff() {
			s.follow(ctx, p, every, tell)
			return
		}
	}
	if p.err != nil {
		switch { // what became of it nobody knows
		case !p.written.Load():
		case s.o.Over() != nil:
			s.lane.rest(time.Now(), every)
			s.end(j)
		default:
			s.lane.went(time.Now(), every, errBrokeOff)
			s.end(j)
		}
		tell(nil, s.late(ctx, p.err))
		return
	}
	next, refused := s.judge(p.got)
	var unknown error
	if refused == nil && next != nil {
		refused, unknown = s.look(ctx, j, *next)
	}
	switch {
	case refused != nil: // what it sets may be a session all the same
		s.lane.went(time.Now(), every, refused)
		s.end(j)
		tell(nil, refused)
	case unknown != nil:
		if s.o.Over() == nil {
			s.lane.went(time.Now(), every, errBrokeOff)
		}
		s.end(j)
		tell(nil, s.late(ctx, unknown))
	default:
		s.lane.went(time.Now(), every, nil)
		tell(j, nil)
	}
}

// follow waits for the answer to a password that went out just before there was no more time. Whatever
// it opens is ended, and what it says of the password is known by those who send it next.
func (s *standing) follow(ctx context.Context, p *posted, every time.Duration, tell func(*jar, error)) {
	over := s.o.Over() != nil
	if !over {
		s.lane.went(time.Now(), every, noForm("login-slow", fmt.Sprintf("it took longer than %s", s.o.server.LoginWithin)))
	}
	leave := s.ending() // recorded while the record goes on
	tell(nil, s.slow(ctx))
	select {
	case <-p.came:
	case <-time.After(s.o.server.LogoutWithin):
		p.stop()
		<-p.came
	}
	switch {
	case !over:
	case p.err != nil: // the session was over, and no more is known
		s.lane.rest(time.Now(), every)
	default:
		_, refused := s.judge(p.got)
		s.lane.went(time.Now(), every, refused)
	}
	leave(p.jar)
}

// late is why a login did not work, where it may be that there was no more time.
func (s *standing) late(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return s.slow(ctx)
	}
	return err
}

// slow is why a login was given up.
func (s *standing) slow(ctx context.Context) error {
	if over := s.o.Over(); over != nil {
		return over
	}
	return noForm("login-slow", fmt.Sprintf("it took longer than %s", s.o.server.LoginWithin)).Wrap(ctx.Err())
}

// begin asks for the login page, where the form needs something of it.
func (s *standing) begin(ctx context.Context) (j *jar, token string, err error) {
	j = newJar()
	if s.form.Token == "" {
		return j, "", nil
	}
	page, err := s.ask(ctx, j, http.MethodGet, s.form.page, nil)
	switch {
	case err != nil:
		return nil, "", err
	case page.to != nil && !s.own(page.to):
		return nil, "", noForm("login-elsewhere", "its login page leads to another host, where the password is not sent")
	case page.status != http.StatusOK:
		return nil, "", noForm("login-page", "its login page answers with status "+strconv.Itoa(page.status))
	case page.long:
		return nil, "", noForm("login-page", fmt.Sprintf("its login page is longer than %d bytes", mostPage))
	}
	token, why := readPage(page.text).token(s.form.Token, s.form.Password)
	if why != "" {
		return nil, "", noForm("login-page", why)
	}
	return j, token, nil
}

// posted is a form that is on its way.
type posted struct {
	jar     *jar
	written atomic.Bool // it may have reached the application whole
	stop    context.CancelFunc
	came    chan struct{} // closed when got and err are set
	got     *answer
	err     error
}

// send sends the form. It goes on when ctx is done.
func (s *standing) send(ctx context.Context, j *jar, token string) *posted {
	p := &posted{jar: j, came: make(chan struct{})}
	own, stop := context.WithCancel(context.WithoutCancel(ctx))
	p.stop = stop
	// The transport says so before its last write. Once it has returned an error, it says no more.
	own = httptrace.WithClientTrace(own, &httptrace.ClientTrace{WroteRequest: func(i httptrace.WroteRequestInfo) {
		if i.Err == nil {
			p.written.Store(true)
		}
	}})
	s.o.server.all.Go(func() {
		defer close(p.came)
		defer stop()
		p.got, p.err = s.ask(own, j, http.MethodPost, s.form.post, s.form.values(token))
	})
	return p
}

// brokenOff breaks off what was not written, and says whether there is nothing more to come.
func (p *posted) brokenOff() bool {
	if p.written.Load() {
		return false
	}
	p.stop()
	<-p.came
	return true
}

var (
	errBrokeOff = noForm("login-unknown", "the application broke off while the gateway logged in")
	errRefused  = noForm("login-refused", "the application refused the name or the password")
	errFactor   = noForm("login-factor", "the application asks for a second factor, which the gateway does not have").Try("use an account of the application that logs in by its password alone; " + askAdmin)
)

// judge says what an answer to the login means, and where to look before it is believed. What is not
// known to be a success is none.
func (s *standing) judge(got *answer) (look *target, refused *access.Error) {
	p := readPage(got.text)
	marked := s.form.Cookie != "" && slices.ContainsFunc(got.cookies, func(c *http.Cookie) bool {
		return c.Name == s.form.Cookie && c.Value != "" && c.MaxAge >= 0
	})
	switch {
	case got.status >= 500 || got.status == http.StatusTooManyRequests || got.status == http.StatusNotFound || got.status == http.StatusMethodNotAllowed:
		return nil, noForm("login-failed", "the application answered the login with status "+strconv.Itoa(got.status))
	case got.status >= 400 || got.to != nil && s.own(got.to) && s.form.leads(got.to.Path) || got.to == nil && p.asks(s.form.Password):
		return nil, errRefused
	case got.to == nil && p.code:
		return nil, errFactor
	case got.to != nil && !s.own(got.to) && !marked:
		return nil, noForm("login-elsewhere", "the application leads to another host to log in")
	case s.form.Cookie != "" && !marked:
		return nil, noForm("login-unclear", "the application did not set the cookie "+s.form.Cookie+" by which a login is known")
	case s.form.Cookie == "" && got.to == nil:
		return nil, noForm("login-unclear", "the application did not lead away from its login page, and no cookie is named by which a login is known")
	case got.to == nil || !s.own(got.to):
		return nil, nil
	}
	// Where it leads tells a second factor and a login that does not hold. It is asked for where
	// the role lets people do the same.
	next, err := readTarget(got.to.RequestURI())
	if err != nil {
		return nil, nil
	}
	if allowed, _, _ := s.o.Web.Allows(http.MethodGet, next.path); !allowed {
		return nil, nil
	}
	return &next, nil
}

// look asks for the page that a login led to.
func (s *standing) look(ctx context.Context, j *jar, at target) (refused *access.Error, unknown error) {
	page, err := s.ask(ctx, j, http.MethodGet, at, nil)
	switch {
	case err != nil:
		return nil, err
	case page.to != nil && s.own(page.to) && s.form.leads(page.to.Path):
		return errRefused, nil
	case readPage(page.text).code:
		return errFactor, nil
	}
	return nil, nil
}

// answer is an answer to the gateway's own request. Nothing of it is passed on: a page may
// print what it was sent.
type answer struct {
	status  int
	to      *url.URL // where it leads, if it does
	cookies []*http.Cookie
	text    []byte // of a page of HTML
	long    bool   // it goes on
}

// ask sends one request of the gateway's own, once it is recorded. Its body is not.
func (s *standing) ask(ctx context.Context, j *jar, method string, t target, form url.Values) (*answer, error) {
	o := s.o
	rec := Request{N: o.number.Add(1), Method: method, Target: t.String()}
	if err := o.tape.Request(rec); err != nil {
		o.unrecorded(err)
		return nil, noForm("unrecorded", "the session cannot be recorded")
	}
	out, a, err := Outcome{}, &answer{}, error(nil)
	defer func() {
		if err != nil {
			out.Failed = "it did not answer"
		}
		if err := o.tape.Outcome(rec.N, rec, out); err != nil && o.Over() == nil { // what comes later is in no record
			o.unrecorded(err)
		}
	}()
	text := form.Encode()
	r, err := http.NewRequestWithContext(ctx, method, s.url("").String(), strings.NewReader(text))
	if err != nil {
		return nil, noForm("login-page", "its paths are none")
	}
	r.URL = &url.URL{Scheme: "https", Host: o.Target.Address, Path: t.path, RawPath: t.escaped, RawQuery: t.query}
	own := "https://" + hostHeader(&o.Permit)
	if o.Target.Plain {
		r.URL.Scheme, own = "http", "http://"+hostHeader(&o.Permit)
	}
	r.Host = hostHeader(&o.Permit)
	r.Header = http.Header{"User-Agent": {"stint-gateway"}, "Accept": {"text/html,*/*;q=0.5"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {s.o.self}}
	if form != nil {
		r.Header["Content-Type"] = []string{"application/x-www-form-urlencoded"}
		out.Sent = uint64(len(text))
	} else {
		r.Body, r.GetBody, r.ContentLength = nil, nil, 0
	}
	if method == http.MethodPost {
		r.Header["Origin"], r.Header["Referer"] = []string{own}, []string{own + s.form.page.String()}
	}
	at := s.url(t.path)
	j.put(at, r.Header)
	res, err := o.transport.RoundTrip(r)
	if err != nil {
		return nil, away(err)
	}
	defer func() { _ = res.Body.Close() }()
	a.status, a.cookies, a.to = res.StatusCode, res.Cookies(), s.to(res, at)
	j.take(at, res)
	a.text, err = io.ReadAll(io.LimitReader(res.Body, mostPage+1))
	out.Status, out.Received = a.status, uint64(len(a.text))
	if err != nil {
		return nil, away(err)
	}
	if a.long = len(a.text) > mostPage; a.long || !strings.HasPrefix(strings.ToLower(res.Header.Get("Content-Type")), "text/html") {
		a.text = nil
	}
	return a, nil
}

// url is where cookies are kept for a path. It says https whatever the way there is: the
// application is told so, and its cookies may be for that alone.
func (s *standing) url(path string) *url.URL {
	return &url.URL{Scheme: "https", Host: hostHeader(&s.o.Permit), Path: path}
}

// to is where an answer leads, as who sent the request reads it.
func (s *standing) to(res *http.Response, at *url.URL) *url.URL {
	v := res.Header.Get("Location")
	if v == "" || res.StatusCode < 300 || res.StatusCode > 399 {
		return nil
	}
	u, err := url.Parse(strings.TrimSpace(v))
	if err != nil {
		return &url.URL{Scheme: "invalid"} // none of its own
	}
	return at.ResolveReference(u)
}

// own says whether a URL is one of the application's.
func (s *standing) own(u *url.URL) bool {
	return strings.EqualFold(u.Host, s.o.self) && u.Scheme == "https" || ofTarget(&s.o.Permit, u)
}

// leave forgets the logins, and has the application end them where it says how. Nobody waits for
// that: at the end of a session the gateway has stopped passing anything on before.
func (s *standing) leave() {
	s.mu.Lock()
	a := s.trying
	s.mu.Unlock()
	if a != nil { // it ends with the session
		<-a.done
	}
	s.mu.Lock()
	all := s.before
	if s.now != nil {
		all = append(all, s.now)
	}
	s.now, s.before = nil, nil
	s.mu.Unlock()
	for _, in := range all {
		s.end(in.jar)
	}
	s.o.transport.CloseIdleConnections()
}

// end has the application end what a login opened, or may have opened.
func (s *standing) end(j *jar) {
	if s.knows(j) {
		s.ending()(j)
	}
}

// knows says whether the application could know anybody by these cookies where it is told of an end.
func (s *standing) knows(j *jar) bool { return len(j.in.Cookies(s.url(s.form.out.path))) > 0 }

// ending records that a login is ended, and gives what does it. It is recorded as sent, as the record
// may end before the answer; without a record nothing is sent.
func (s *standing) ending() func(*jar) {
	o, form := s.o, s.form
	if form.Logout == "" {
		return func(*jar) {}
	}
	rec := Request{N: o.number.Add(1), Method: form.leave, Target: form.out.String()}
	if err := o.tape.Request(rec); err != nil {
		o.server.Log.Warn("an application is not told that a login is over, because it cannot be recorded", "session", o.ID, "resource", o.Resource, "error", err)
		return func(*jar) {}
	}
	return func(j *jar) {
		if !s.knows(j) {
			return
		}
		o.server.all.Go(func() {
			ctx, stop := context.WithTimeout(context.Background(), o.server.LogoutWithin)
			defer stop()
			status, err := s.logout(ctx, j)
			if o.Over() != nil {
				o.transport.CloseIdleConnections()
			}
			if err != nil || status >= 400 && status != http.StatusUnauthorized { // who is not known there has nothing to end
				o.server.Log.Warn("an application was not told that its session is over", "session", o.ID, "resource", o.Resource, "status", status, "error", err)
			}
		})
	}
}

func (s *standing) logout(ctx context.Context, j *jar) (int, error) {
	o, t := s.o, s.form.out
	scheme := "https"
	if o.Target.Plain {
		scheme = "http"
	}
	r := (&http.Request{Method: s.form.leave, URL: &url.URL{Scheme: scheme, Host: o.Target.Address, Path: t.path, RawPath: t.escaped, RawQuery: t.query}, Host: hostHeader(&o.Permit),
		Header: http.Header{"User-Agent": {"stint-gateway"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {s.o.self}}}).WithContext(ctx)
	if s.form.leave == http.MethodPost {
		own := scheme + "://" + r.Host
		r.Header["Origin"], r.Header["Referer"] = []string{own}, []string{own + "/"}
	}
	j.put(s.url(t.path), r.Header)
	res, err := o.transport.RoundTrip(r)
	if err != nil {
		return 0, away(err)
	}
	return res.StatusCode, res.Body.Close()
}

// guarded is what a session may do whose gateway logs in by a form.
func guarded(w *gateway.Web, l *formLogin) *gateway.Web {
	out := *w
	out.Rules = append(slices.Clone(w.Rules), l.guards()...)
	return &out
}
