package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"stint/internal/access"
)

const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// hookReceiver is what the documentation tells people to write (docs/messages/webhook.md):
// it checks signature and age, and takes each id once.
type hookReceiver struct {
	mu     sync.Mutex
	secret string
	got    []event
	twice  int
	bad    []string
	answer func(n int) int // of the nth call; nil: 204
	calls  int
}

func (h *hookReceiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls++
	if h.answer != nil {
		if code := h.answer(h.calls); code != 204 {
			if code == 429 {
				w.Header().Set("Retry-After", "7")
			}
			w.WriteHeader(code)
			return
		}
	}
	body, _ := io.ReadAll(r.Body)
	id, stamp := r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp")
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(h.secret, "whsec_"))
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, stamp, body)
	want, ok := "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)), false
	for _, s := range strings.Fields(r.Header.Get("Webhook-Signature")) {
		ok = ok || hmac.Equal([]byte(s), []byte(want))
	}
	at, _ := strconv.ParseInt(stamp, 10, 64)
	if age := time.Since(time.Unix(at, 0)); !ok || age > 5*time.Minute || age < -5*time.Minute {
		h.bad = append(h.bad, id)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var e event
	if err := json.Unmarshal(body, &e); err != nil {
		h.bad = append(h.bad, err.Error())
	}
	for _, g := range h.got {
		if g.Data.Seq == e.Data.Seq {
			h.twice++
		}
	}
	h.got = append(h.got, e)
	w.WriteHeader(http.StatusNoContent)
}

func hook(name, host string) Integration {
	return Integration{Name: name, Type: Webhook, Address: "https://" + host + "/stint", Credential: name, Options: map[string]string{"events": "*"}}
}

// TestWebhookHourDown: a receiver that is down for an hour misses nothing and gets
// nothing twice; another one notices nothing of it.
func TestWebhookHourDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, w := newHouse(t), newWire()
		dead, well := &hookReceiver{secret: hookSecret}, &hookReceiver{secret: hookSecret}
		w.hosts["dead.example"], w.hosts["well.example"] = dead, well
		h.integrations = []Integration{hook("dead", "dead.example"), hook("well", "well.example")}
		h.logins["dead"], h.logins["well"] = Login{Secret: access.NewSecret([]byte(hookSecret))}, Login{Secret: access.NewSecret([]byte(hookSecret))}
		h.log(access.Event{Type: "documents.applied", Entity: "documents"})
		stop := start(h.service(w, "a"))
		pass(2 * time.Second)
		w.set("dead.example", true)
		for i := range 60 {
			h.ask(i)
			pass(time.Second)
			if n := len(well.got); n != i+1 {
				t.Fatalf("after %d events the other receiver has %d", i+1, n)
			}
			pass(time.Minute - time.Second)
		}
		if ts, err := h.service(w, "b").Troubles(t.Context()); err != nil || !strings.Contains(ts["dead"].Why, "connection refused") || len(ts) != 1 {
			t.Errorf("troubles: %v, %v", ts, err)
		}
		if n := w.calls["dead.example"]; n > 30 {
			t.Errorf("%d calls in an hour", n)
		}
		w.set("dead.example", false)
		pass(mostWait)
		for name, r := range map[string]*hookReceiver{"dead": dead, "well": well} {
			if len(r.got) != 60 || r.twice != 0 || len(r.bad) != 0 {
				t.Errorf("%s: %d events, %d twice, refused %v", name, len(r.got), r.twice, r.bad)
			}
			for i, e := range r.got {
				if e.Data.Seq != int64(i+1) || e.Type != access.RequestSubmitted || e.Data.Installation != "test" || !strings.Contains(string(e.Data.Record), fmt.Sprintf("req_%026d", i)) {
					t.Errorf("%s: event %d is %+v", name, i, e)
				}
			}
		}
		if ts, _ := h.service(w, "b").Troubles(t.Context()); len(ts) != 0 {
			t.Errorf("troubles that are over: %v", ts)
		}
		stop()
	})
}

// TestWebhookAnswers: what a receiver can answer, and that a new process goes on
// where the old one was.
func TestWebhookAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, w := newHouse(t), newWire()
		answers := []int{500, 429, 301, 400, 410, 204, 503, 204}
		r := &hookReceiver{secret: hookSecret, answer: func(n int) int {
			if n <= len(answers) {
				return answers[n-1]
			}
			return 204
		}}
		w.hosts["hook.example"] = r
		i := hook("hook", "hook.example")
		i.Options = map[string]string{"events": "request.submitted,grant.*"}
		h.integrations = []Integration{i}
		h.logins["hook"] = Login{Secret: access.NewSecret([]byte("an-old-secret-of-many-bytes\n" + hookSecret + "\n"))}
		stop := start(h.service(w, "a"))
		time.Sleep(2 * time.Second)
		first := h.ask(1)
		h.change(first, access.RequestApproved, approved) // which the channel does not want
		h.ask(2)
		time.Sleep(10 * time.Minute)
		stop()
		h.ask(3)
		stop = start(h.service(w, "b"))
		time.Sleep(2 * time.Minute)
		stop()
		if len(r.got) != 3 || r.twice != 0 || len(r.bad) != 0 {
			t.Fatalf("got %d, %d twice, refused %v", len(r.got), r.twice, r.bad)
		}
		for n, e := range r.got {
			if !strings.Contains(string(e.Data.Record), fmt.Sprintf("req_%026d", n+1)) {
				t.Errorf("event %d: %s", n, e.Data.Record)
			}
		}
	})
}

// TestWebhookReplay: what was sent once is worth nothing later, and changed it is
// worth nothing at all.
func TestWebhookReplay(t *testing.T) {
	r := &hookReceiver{secret: hookSecret}
	body, stamp := []byte(`{"data":{"seq":1}}`), strconv.FormatInt(time.Now().Unix(), 10)
	signature, err := sign(access.NewSecret([]byte(hookSecret)), "rec_1", stamp, body)
	if err != nil {
		t.Fatal(err)
	}
	send := func(id, stamp, signature string, body string) int {
		req, _ := http.NewRequest(http.MethodPost, "https://hook.example/", strings.NewReader(body))
		req.Header.Set("Webhook-Id", id)
		req.Header.Set("Webhook-Timestamp", stamp)
		req.Header.Set("Webhook-Signature", signature)
		w := newWire()
		w.hosts["hook.example"] = r
		resp, err := w.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode
	}
	old := strconv.FormatInt(time.Now().Add(-6*time.Minute).Unix(), 10)
	aged, _ := sign(access.NewSecret([]byte(hookSecret)), "rec_1", old, body)
	for name, c := range map[string]struct {
		id, stamp, signature, body string
		want                       int
	}{
		"as it was sent": {"rec_1", stamp, signature, string(body), 204}, "another body": {"rec_1", stamp, signature, `{"data":{"seq":2}}`, 401},
		"another id": {"rec_2", stamp, signature, string(body), 401}, "another time": {"rec_1", old, signature, string(body), 401},
		"an old one": {"rec_1", old, aged, string(body), 401}, "no signature": {"rec_1", stamp, "", string(body), 401},
	} {
		if got := send(c.id, c.stamp, c.signature, c.body); got != c.want {
			t.Errorf("%s: %d", name, got)
		}
	}
	for _, bad := range []string{"", "tiny!", "whsec_!!!", "whsec_c2hvcnQ="} {
		if _, err := sign(access.NewSecret([]byte(bad)), "rec_1", stamp, body); err == nil || strings.Contains(err.Error(), bad) && bad != "" {
			t.Errorf("the secret %q: %v", bad, err)
		}
	}
	// The test vector of Standard Webhooks 1.0.
	got, err := sign(access.NewSecret([]byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")), "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if err != nil || got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("the vector: %s, %v", got, err)
	}
}
