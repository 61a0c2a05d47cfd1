//go:build e2e

package e2e

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"stint/internal/api"
	"stint/test/stage"
)

// chat is as much of Slack as this story needs.
type chat struct {
	mu       sync.Mutex
	token    string
	texts    map[string]string // by ts
	buttons  map[string]string // action to value, of the newest
	posts    int
	whispers []string
	private  string
	to       map[string]string // channel of each message, by ts
}

func (c *chat) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var p struct {
		Channel string
		Stamp   string `json:"ts"`
		Text    string `json:"text"`
		User    string `json:"user"`
		Blocks  []struct {
			Elements []struct {
				Action string `json:"action_id"`
				Value  string `json:"value"`
			} `json:"elements"`
		} `json:"blocks"`
		View struct {
			Private string `json:"private_metadata"`
		} `json:"view"`
	}
	if r.Header.Get("Authorization") != "Bearer "+c.token || json.NewDecoder(r.Body).Decode(&p) != nil {
		_, _ = w.Write([]byte(`{"ok":false,"error":"invalid_auth"}`))
		return
	}
	switch strings.TrimPrefix(r.URL.Path, "/api/") {
	case "chat.postMessage":
		c.posts++
		p.Stamp = fmt.Sprintf("1700000000.%06d", c.posts)
		fallthrough
	case "chat.update":
		c.texts[p.Stamp], c.buttons = p.Text, map[string]string{}
		if c.to == nil {
			c.to = map[string]string{}
		}
		c.to[p.Stamp] = p.Channel
		for _, b := range p.Blocks {
			for _, e := range b.Elements {
				if e.Value != "" {
					c.buttons[e.Action] = e.Value
				}
			}
		}
	case "chat.postEphemeral":
		c.whispers = append(c.whispers, p.User+" "+p.Text)
	case "views.open":
		c.private = p.View.Private
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"ok": true, "ts": p.Stamp, "channel": p.Channel})
}

func (c *chat) find(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.texts {
		if strings.Contains(t, text) {
			return true
		}
	}
	return false
}

// TestSlack: a request comes up in a chat; who clicks without being known is asked to
// link themselves, by a code and a sign-in; then their no counts, once.
func TestSlack(t *testing.T) {
	const signing = "8f742231b10e8888abcd99yyyzzz85a5"
	c := &chat{token: "xoxb-test", texts: map[string]string{}}
	srv := httptest.NewServer(c)
	defer srv.Close()
	w := newWard(t, stage.Options{Store: cmp.Or(os.Getenv("STORE"), "sqlite"), Config: "egress: {allow: [127.0.0.1/32]}\n"})
	ctx, root := t.Context(), w.As("root")
	must(t, w.Enrol(ctx, "sam", "--group", "support"))
	must(t, w.Enrol(ctx, "omar", "--group", "dba"))
	for name, secret := range map[string]string{"chat-bot": c.token, "chat-signing": signing} {
		file := filepath.Join(w.Dir, name)
		must(t, os.WriteFile(file, []byte(secret), 0o600))
		must(t, root.Run(ctx, "admin", "credential", "set", name, "--type", "slack", "--address", srv.URL, "--password-file", file).Failed())
	}
	doc := "kind: Integration\nname: ops-chat\ntype: slack\naddress: " + srv.URL + "\ncredential: chat-bot\nsigning: chat-signing\nchannel: C0123ABCD\ncriticality: medium\nlabels: [team=orders]\n"
	must(t, os.WriteFile(filepath.Join(w.Dir, "chat.yaml"), []byte(doc), 0o600))
	must(t, root.Run(ctx, "apply", "-f", "chat.yaml").Failed())
	must(t, w.Documents(ctx, strings.Replace(documents, "criticality: high", "criticality: medium", 1))) // from high up no chat decides
	must(t, root.Run(ctx, "admin", "integration", "test", "ops-chat").Failed())

	var asked api.Request
	must(t, w.As("sam").JSON(ctx, &asked, "request", "orders-db", "--as", "reader", "--for", "20m", "--why", "look at <https://evil.example|the stuck orders>", "--ticket", "INC-7", "--no-wait"))
	within(t, 30*time.Second, "the request is in the chat", func() bool { return c.find("sam asks for reader on orders-db for 20m") })

	click := func(payload string, key string, at time.Time) int {
		t.Helper()
		body := url.Values{"payload": {payload}}.Encode()
		stamp := strconv.FormatInt(at.Unix(), 10)
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte("v0:" + stamp + ":" + body))
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL+"/chat/slack/ops-chat", bytes.NewBufferString(body))
		must(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-Slack-Request-Timestamp", stamp)
		r.Header.Set("X-Slack-Signature", "v0="+hex.EncodeToString(mac.Sum(nil)))
		resp, err := http.DefaultClient.Do(r)
		must(t, err)
		must(t, resp.Body.Close())
		return resp.StatusCode
	}
	c.mu.Lock()
	value := c.buttons["deny"]
	c.mu.Unlock()
	if !strings.HasPrefix(value, asked.ID+" sha256:") {
		t.Fatalf("the button says %q", value)
	}
	deny := func(note string) string {
		return fmt.Sprintf(`{"type":"view_submission","team":{"id":"T01"},"user":{"id":"U01","username":"omar.h","team_id":"T01"},"view":{"callback_id":"deny","private_metadata":"C0123ABCD %s","state":{"values":{"note":{"note":{"value":%q}}}}}}`, value, note)
	}
	if code := click(deny("forged"), "another key", time.Now()); code != http.StatusUnauthorized {
		t.Errorf("a forged click: %d", code)
	}
	if code := click(deny("old"), signing, time.Now().Add(-6*time.Minute)); code != http.StatusUnauthorized {
		t.Errorf("an old click: %d", code)
	}
	if code := click(deny("who am I"), signing, time.Now()); code != http.StatusOK {
		t.Fatalf("a click: %d", code)
	}
	var code string
	within(t, 30*time.Second, "a code is whispered", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, s := range c.whispers {
			if m := regexp.MustCompile(`^U01 (?s:.*)stint chat link (stint-link-\S+)`).FindStringSubmatch(s); m != nil {
				code = m[1]
			}
		}
		return code != ""
	})
	if r := w.As("omar").Run(ctx, "chat", "link", code); r.Code == 0 || !strings.Contains(r.Err, "lets omar.h (T01/U01) of ops-chat decide as user:omar") {
		t.Errorf("linked without a word: exit %d\n%s", r.Code, r.Err)
	}
	must(t, w.As("omar").Run(ctx, "chat", "link", code, "--yes").Failed())
	if r := w.As("sam").Run(ctx, "chat", "link", code, "--yes"); r.Code == 0 {
		t.Error("a code was used twice")
	}
	if code := click(fmt.Sprintf(`{"type":"block_actions","team":{"id":"T01"},"user":{"id":"U01","team_id":"T01"},"trigger_id":"1.2","channel":{"id":"C0123ABCD"},"actions":[{"action_id":"deny","value":%q}]}`, value), signing, time.Now()); code != http.StatusOK {
		t.Errorf("a click: %d", code)
	}
	within(t, 30*time.Second, "the form is opened", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.private == "C0123ABCD "+value })
	final, at := deny("use the replica"), time.Now()
	if code := click(final, signing, at); code != http.StatusOK {
		t.Fatalf("the no: %d", code)
	}
	within(t, 30*time.Second, "the message says so", func() bool { return c.find("Denied: sam, reader on orders-db") })
	if code := click(final, signing, at); code != http.StatusConflict {
		t.Errorf("a replay: %d", code)
	}
	var after api.Request
	must(t, w.As("sam").JSON(ctx, &after, "status", asked.ID))
	if after.State != api.RequestDenied {
		t.Errorf("the request is %s", after.State)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.posts != 2 { // the test message and the request's
		t.Errorf("%d posts", c.posts)
	}
	if log := w.ServerLog(); strings.Contains(log, signing) || strings.Contains(log, c.token) {
		t.Error("the server's log holds a secret")
	}
}
