//go:build e2e

package e2e

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
	"stint/test/stage"
)

const byChat = `
kind: Policy
name: by-chat
subjects: [group:chatters]
roles: [reader]
require: {reason: {minLength: 10}, approvals: [{from: [group:dba], count: 1}], maxDuration: 1h}
`

// TestSlackCommand asks for access in a chat, uses it on a device, and is told how it
// stands by a direct message; the end, too, is typed.
func TestSlackCommand(t *testing.T) {
	const signing = "8f742231b10e8888abcd99yyyzzz85a5"
	c := &chat{token: "xoxb-test", texts: map[string]string{}}
	srv := httptest.NewServer(c)
	defer srv.Close()
	w := newWard(t, stage.Options{Store: cmp.Or(os.Getenv("STORE"), "sqlite"), Named: true, Config: "egress: {allow: [127.0.0.1/32]}\n"})
	ctx, root := t.Context(), w.As("root")
	must(t, w.Enrol(ctx, "sam", "--group", "chatters"))
	must(t, w.Enrol(ctx, "omar", "--group", "dba"))
	for name, secret := range map[string]string{"chat-bot": c.token, "chat-signing": signing} {
		file := filepath.Join(w.Dir, name)
		must(t, os.WriteFile(file, []byte(secret), 0o600))
		must(t, root.Run(ctx, "admin", "credential", "set", name, "--type", "slack", "--address", srv.URL, "--password-file", file).Failed())
	}
	must(t, w.Documents(ctx, documents))
	doc := "kind: Integration\nname: ops-chat\ntype: slack\naddress: " + srv.URL + "\ncredential: chat-bot\nsigning: chat-signing\nchannel: C0123ABCD\nrequesters: \"yes\"\n---" + byChat
	must(t, os.WriteFile(filepath.Join(w.Dir, "chat.yaml"), []byte(doc), 0o600))
	must(t, root.Run(ctx, "apply", "-f", "chat.yaml").Failed())

	calls := 0
	typed := func(user, text, key string) (int, string) {
		t.Helper()
		calls++
		body := url.Values{"command": {"/stint"}, "text": {text}, "team_id": {"T01"}, "user_id": {user}, "user_name": {"sam.s"}, "channel_id": {"C0123ABCD"}, "trigger_id": {strconv.Itoa(calls)}}.Encode()
		stamp := strconv.FormatInt(time.Now().Unix(), 10)
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte("v0:" + stamp + ":" + body))
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL+"/chat/slack/ops-chat", bytes.NewBufferString(body))
		must(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-Slack-Request-Timestamp", stamp)
		r.Header.Set("X-Slack-Signature", "v0="+hex.EncodeToString(mac.Sum(nil)))
		resp, err := http.DefaultClient.Do(r)
		must(t, err)
		defer resp.Body.Close()
		var a struct{ Text string }
		_ = json.NewDecoder(resp.Body).Decode(&a)
		return resp.StatusCode, a.Text
	}
	const ask = "ask orders-db as reader for 20m because the stuck orders of today"
	if code, _ := typed("U01", ask, "another key"); code != http.StatusUnauthorized {
		t.Errorf("unsigned: %d", code)
	}
	_, said := typed("U01", ask, signing)
	m := regexp.MustCompile(`stint chat link (stint-link-\S+)`).FindStringSubmatch(said)
	if m == nil {
		t.Fatalf("somebody unknown is told %q", said)
	}
	must(t, w.As("sam").Run(ctx, "chat", "link", m[1], "--yes").Failed())
	_, said = typed("U01", ask, signing)
	id := regexp.MustCompile(`req_\S+?:`).FindString(said)
	if id = strings.TrimSuffix(id, ":"); id == "" || !strings.Contains(said, "waits for a decision") {
		t.Fatalf("asked: %q", said)
	}
	if _, said = typed("U01", "list", signing); !strings.Contains(said, id) {
		t.Errorf("listed: %q", said)
	}
	if _, said = typed("U01", "ask orders-db as orders-owner for 20m because the stuck orders of today", signing); !strings.Contains(said, "denied") {
		t.Errorf("what policy does not allow: %q", said)
	}
	must(t, w.As("omar").Run(ctx, "approve", id, "--yes").Failed())
	dm := func(text string) func() bool {
		return func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			for ts, s := range c.texts {
				if c.to[ts] == "U01" && strings.Contains(s, text) {
					return true
				}
			}
			return false
		}
	}
	within(t, 60*time.Second, "sam is told that it is ready", dm("Ready until"))
	var r api.Request
	must(t, w.As("sam").JSON(ctx, &r, "status", id))
	if r.Grant == nil || r.Grant.State != api.GrantActive {
		t.Fatalf("granted: %+v", r.Grant)
	}
	var login api.Credential // opened with the key of the device that sam signed in on
	must(t, w.As("sam").JSON(ctx, &login, "credentials", id))
	if login.Username == "" || login.Password == "" {
		t.Error("the credential is empty")
	}
	if _, said = typed("U01", "end "+id, signing); !strings.Contains(said, id) {
		t.Errorf("ended: %q", said)
	}
	within(t, 60*time.Second, "it is gone", func() bool {
		must(t, w.As("sam").JSON(ctx, &r, "status", id))
		return r.Grant.State == api.GrantEnded
	})
	if _, said = typed("U01", "list", signing); strings.Contains(said, id) {
		t.Errorf("listed afterwards: %q", said)
	}
}
