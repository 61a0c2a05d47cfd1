package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"stint/internal/api"
)

func discard() *log.Logger { return log.New(io.Discard, "", 0) }

var errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}

// Whatever passes is tried again, in its time, with the same key and another proof.
func TestRetriesPassingTrouble(t *testing.T) {
	unavailable := &api.Error{Kind: api.Unavailable, Code: "starting", Message: "not ready"}
	for name, trouble := range map[string]func() (*http.Response, error){
		"refused": func() (*http.Response, error) { return nil, errRefused },
		"reset":   func() (*http.Response, error) { return nil, syscall.ECONNRESET },
		"closed":  func() (*http.Response, error) { return nil, io.EOF },
		"503":     func() (*http.Response, error) { return refusing(unavailable), nil },
		"502": func() (*http.Response, error) {
			return recorded(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }), nil
		},
		"torn": func() (*http.Response, error) {
			res := answering(api.Request{})
			res.Body = io.NopCloser(io.MultiReader(io.LimitReader(res.Body, 5), broken{}))
			return res, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				keys, proofs := map[string]int{}, map[string]bool{}
				n := 0
				c := trip(func(r *http.Request) (*http.Response, error) {
					keys[r.Header.Get(api.HeaderIdempotency)]++
					proofs[r.Header.Get(api.HeaderProof)] = true
					if n++; n < 4 {
						return trouble()
					}
					return answering(api.Request{ID: "req_1"}), nil
				}).client(t)
				start := time.Now()
				r, err := c.Submit(background, api.Ask{}, api.Wait{})
				if err != nil || r.ID != "req_1" {
					t.Fatalf("Submit = %+v, %v", r, err)
				}
				if len(keys) != 1 || len(proofs) != 4 || keys[""] != 0 {
					t.Errorf("keys %v, %d proofs; want one key and 4 proofs", keys, len(proofs))
				}
				if took := time.Since(start); took < 300*time.Millisecond || took > 2*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestGivesUpAfterPatience(t *testing.T) {
	unavailable := &api.Error{Kind: api.Unavailable, Code: "starting", Message: "not ready"}
	for _, tt := range []struct {
		name     string
		patience time.Duration
		least    int
		most     int
		trouble  func() (*http.Response, error)
	}{
		{"refused", 0, 4, 9, func() (*http.Response, error) { return nil, errRefused }},
		{"refused long", time.Minute, 20, 45, func() (*http.Response, error) { return nil, errRefused }},
		{"refused once", -1, 1, 1, func() (*http.Response, error) { return nil, errRefused }},
		{"503", 0, 4, 9, func() (*http.Response, error) { return refusing(unavailable), nil }},
		{"503 with Retry-After", 10 * time.Second, 2, 4, func() (*http.Response, error) {
			res := refusing(unavailable)
			res.Header.Set("Retry-After", "3")
			return res, nil
		}},
		{"503 come back tomorrow", 0, 1, 1, func() (*http.Response, error) {
			res := refusing(unavailable)
			res.Header.Set("Retry-After", "3600")
			return res, nil
		}},
		{"no such host", time.Minute, 1, 1, func() (*http.Response, error) {
			return nil, &net.DNSError{Err: "no such host", Name: "stint.example", IsNotFound: true}
		}},
		{"wrong scheme", time.Minute, 1, 1, func() (*http.Response, error) { return nil, http.ErrSchemeMismatch }},
		{"too many", time.Minute, 1, 1, func() (*http.Response, error) {
			return refusing(&api.Error{Kind: api.TooMany, Code: "slow-down", Message: "slow down"}), nil
		}},
		{"internal", time.Minute, 1, 1, func() (*http.Response, error) { return refusing(&api.Error{Message: "oops"}), nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				c := trip(func(*http.Request) (*http.Response, error) { n++; return tt.trouble() }).client(t)
				c.Patience = tt.patience
				start := time.Now()
				_, err := c.Whoami(background)
				var u *api.Unreachable
				var e *api.Error
				if !errors.As(err, &u) && !errors.As(err, &e) {
					t.Fatalf("err = %#v", err)
				}
				if n < tt.least || n > tt.most {
					t.Errorf("%d attempts, want %d to %d", n, tt.least, tt.most)
				}
				if took, most := time.Since(start), max(tt.patience, 2*time.Second); took > most {
					t.Errorf("it took %v, want at most %v", took, most)
				}
			})
		})
	}
}

func TestCancelWhileBackingOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := trip(func(*http.Request) (*http.Response, error) { return nil, errRefused }).client(t)
		c.Patience = time.Hour
		ctx, cancel := context.WithTimeout(background, 5*time.Second)
		defer cancel()
		start := time.Now()
		if _, err := c.Whoami(ctx); err != context.DeadlineExceeded {
			t.Errorf("err = %v, want context.DeadlineExceeded", err)
		}
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// A server that takes the call and never answers is left after the time for an
// answer, and that which the call itself waits.
func TestNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := trip(func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }).client(t)
		c.Patience = time.Hour
		start := time.Now()
		_, err := c.Request(background, "req_1", api.Wait{For: api.Ready, Time: time.Minute})
		var u *api.Unreachable
		if !errors.As(err, &u) || time.Since(start) != 90*time.Second {
			t.Errorf("after %v: %v, want Unreachable after 1m30s", time.Since(start), err)
		}
	})
}

// The fault pair "failed but done": the server acts, and its answer is lost.
// The key lets it answer again without acting again.
func TestLostAnswerIsNotDoneTwice(t *testing.T) {
	var mu sync.Mutex
	answers, acts := map[string]string{}, 0
	_, c := newDoor(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		key := r.Header.Get(api.HeaderIdempotency)
		if id, again := answers[key]; again {
			reply(w, api.Request{ID: id})
			return
		}
		acts++
		answers[key] = fmt.Sprintf("req_%d", acts)
		panic(http.ErrAbortHandler) // the connection is cut
	})
	for i := range 3 {
		r, err := c.Submit(background, api.Ask{Resource: "db"}, api.Wait{})
		if want := fmt.Sprintf("req_%d", i+1); err != nil || r.ID != want {
			t.Fatalf("Submit = %q, %v; want %s", r.ID, err, want)
		}
	}
	if acts != 3 {
		t.Errorf("the server acted %d times on 3 calls", acts)
	}
}

// Go's transport resends a GET by itself, with the same proof, when a kept
// connection turns out to be closed. The client then has to sign anew.
func TestReplayedProofIsRenewed(t *testing.T) {
	n := 0
	d, c := newDoor(t, func(w http.ResponseWriter, _ *http.Request) {
		if n++; n == 2 {
			panic(http.ErrAbortHandler) // on the connection that the first call left
		}
		reply(w, api.Whoami{Principal: "user:mira"})
	})
	for range 2 {
		if who, err := c.Whoami(background); err != nil || who.Principal != "user:mira" {
			t.Fatalf("Whoami = %+v, %v", who, err)
		}
	}
	proofs := map[string]int{}
	for _, s := range d.calls() {
		proofs[s.jti]++
	}
	if len(d.calls()) != 4 || len(proofs) != 3 {
		t.Errorf("%d calls with %d proofs; want 4 with 3: one resent by the transport, one signed anew", len(d.calls()), len(proofs))
	}

	always := 0
	c = trip(func(*http.Request) (*http.Response, error) {
		always++
		return refusing(&api.Error{Kind: api.Unauthenticated, Code: api.CodeProofReplayed, Message: "seen before"}), nil
	}).client(t)
	if _, err := c.Whoami(background); !isCode(err, api.CodeProofReplayed) || always != 3 {
		t.Errorf("after %d attempts: %v", always, err)
	}
}

func TestClockSkewIsCorrected(t *testing.T) {
	for _, off := range []time.Duration{time.Hour, -26 * time.Hour} {
		d, c := newDoor(t, func(w http.ResponseWriter, _ *http.Request) { reply(w, api.Whoami{}) })
		d.clock = func() time.Time { return time.Now().Add(off) }
		refused := 0
		c.HTTP = &http.Client{Transport: trip(func(r *http.Request) (*http.Response, error) {
			res, err := http.DefaultTransport.RoundTrip(r)
			if err == nil && res.StatusCode == http.StatusUnauthorized {
				refused++
			}
			return res, err
		})}
		for range 3 {
			if _, err := c.Whoami(background); err != nil {
				t.Fatalf("a server %v ahead: %v", off, err)
			}
		}
		if refused != 1 {
			t.Errorf("a server %v ahead refused %d times, want once", off, refused)
		}
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	}
	n := 0
	c := trip(func(*http.Request) (*http.Response, error) {
		n++
		res := refusing(&api.Error{Kind: api.Unauthenticated, Code: api.CodeClockSkew, Message: "not now"})
		res.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
		return res, nil
	}).client(t)
	if _, err := c.Whoami(background); !isCode(err, api.CodeClockSkew) || n != 2 {
		t.Errorf("a server that is never content: %v after %d attempts, want 2", err, n)
	}
}

// What a gateway calls within a lease is made once, however patient its client is.
func TestGatewayCallsAreMadeOnce(t *testing.T) {
	for name, call := range map[string]func(*api.Client) error{
		"open":  func(c *api.Client) error { _, err := c.OpenSession(background, api.SessionKnock{}); return err },
		"renew": func(c *api.Client) error { _, err := c.RenewSessions(background, api.SessionReport{}); return err },
		"cuts":  func(c *api.Client) error { return c.FollowCuts(background, func() {}, func(api.SessionCut) {}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				c := trip(func(*http.Request) (*http.Response, error) { n++; return nil, errRefused }).client(t)
				c.Patience = time.Minute
				if err := call(c); err == nil || n != 1 {
					t.Errorf("%d attempts, %v", n, err)
				}
			})
		})
	}
}
