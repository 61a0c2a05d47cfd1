//go:build e2e

package e2e

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"stint/internal/api"
	"stint/test/stage"
)

// hook is a receiver of webhooks as docs/messages/webhook.md tells people to write it.
type hook struct {
	mu     sync.Mutex
	key    []byte
	seqs   []int64
	types  []string
	refuse []string
	srv    *http.Server
	addr   string
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	mac := hmac.New(sha256.New, h.key)
	fmt.Fprintf(mac, "%s.%s.%s", r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp"), body)
	h.mu.Lock()
	defer h.mu.Unlock()
	var e struct {
		Type string
		Data struct{ Seq int64 }
	}
	switch {
	case err != nil || r.Header.Get("Webhook-Signature") != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)):
		h.refuse = append(h.refuse, "signature of "+r.Header.Get("Webhook-Id"))
		w.WriteHeader(http.StatusUnauthorized)
	case json.Unmarshal(body, &e) != nil:
		h.refuse = append(h.refuse, string(body))
		w.WriteHeader(http.StatusBadRequest)
	case slices.Contains(h.seqs, e.Data.Seq) && e.Data.Seq >= 0: // known: as good as taken
	default:
		h.seqs, h.types = append(h.seqs, e.Data.Seq), append(h.types, e.Type)
	}
}

// up listens where it listened before, down stops.
func (h *hook) up(t *testing.T) {
	t.Helper()
	if h.addr == "" {
		h.addr = "127.0.0.1:0"
	}
	ln, err := net.Listen("tcp", h.addr)
	must(t, err)
	h.addr, h.srv = ln.Addr().String(), &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = h.srv.Serve(ln) }()
	t.Cleanup(h.down)
}

func (h *hook) down() { _ = h.srv.Close() }

// count is how many events of a type arrived.
func (h *hook) count(typ string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, x := range h.types {
		if x == typ {
			n++
		}
	}
	return n
}

func within(t *testing.T, d time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", d, what)
		}
	}
}

// TestWebhook is a webhook of a real server, from the document to the receiver, with
// the receiver away and the server killed in between.
func TestWebhook(t *testing.T) {
	const secret = "a-secret-of-the-hook-that-is-long"
	h := &hook{key: []byte(secret)}
	h.up(t)
	w := newWard(t, stage.Options{Store: cmp.Or(os.Getenv("STORE"), "sqlite"), Config: "egress: {allow: [127.0.0.1/32]}\n"})
	ctx, root := t.Context(), w.As("root")
	file := filepath.Join(w.Dir, "hook.secret")
	must(t, os.WriteFile(file, []byte(secret+"\n"), 0o600))
	doc := fmt.Sprintf("kind: Integration\nname: ops-hook\ntype: webhook\naddress: http://%s/stint\ncredential: ops-hook\nevents: [request.*, grant.*, integration.tested]\n", h.addr)
	must(t, os.WriteFile(filepath.Join(w.Dir, "hook.yaml"), []byte(doc), 0o600))

	applied := root.Run(ctx, "apply", "-f", "hook.yaml")
	must(t, applied.Failed())
	if !strings.Contains(applied.Err, `names the credential "ops-hook", which is not registered`) {
		t.Errorf("apply does not warn:\n%s", applied.Err)
	}
	if r := root.Run(ctx, "admin", "integration", "test", "ops-hook"); r.Code == 0 || !strings.Contains(r.Err, "no credential ops-hook is registered") {
		t.Errorf("a test without a credential: exit %d\n%s", r.Code, r.Err)
	}
	must(t, root.Run(ctx, "admin", "credential", "set", "ops-hook", "--type", "webhook", "--address", "http://"+h.addr+"/stint", "--password-file", file).Failed())
	if r := root.Run(ctx, "admin", "credential", "delete", "ops-hook"); r.Code == 0 {
		t.Error("a credential that an integration names was deleted")
	}
	must(t, root.Run(ctx, "admin", "integration", "test", "ops-hook").Failed())
	if r := w.As("mira").Run(ctx, "admin", "integration", "test", "ops-hook"); r.Code == 0 {
		t.Error("a member sends test messages")
	}

	first, _ := w.lend("mira", 2*time.Minute)
	within(t, 30*time.Second, "the grant is active", func() bool { return h.count("grant.active") == 1 })
	h.down()
	second, _ := w.lend("noor", 2*time.Minute)
	must(t, w.As("mira").Run(ctx, "end", first.ID).Failed())
	within(t, 30*time.Second, "the trouble shows", func() bool {
		var i api.Integration
		return root.JSON(ctx, &i, "get", "integration", "ops-hook") == nil && strings.Contains(i.Trouble, "connection refused")
	})
	must(t, w.Kill())
	must(t, w.Start(ctx))
	must(t, w.As("noor").Run(ctx, "end", second.ID).Failed())
	h.up(t)
	within(t, 90*time.Second, "both grants ended", func() bool { return h.count("grant.ended") == 2 })
	within(t, 30*time.Second, "the trouble is over", func() bool {
		var i api.Integration
		return root.JSON(ctx, &i, "get", "integration", "ops-hook") == nil && i.Trouble == ""
	})

	var all []struct {
		Seq    int64
		Record struct{ Type string }
	}
	must(t, root.JSON(ctx, &all, "audit", "search", "--limit", "1000"))
	h.mu.Lock()
	defer h.mu.Unlock()
	var began int64 = -1
	for _, r := range all {
		if r.Record.Type == "documents.applied" {
			began = max(began, r.Seq)
		}
	}
	for _, r := range all {
		noun, _, _ := strings.Cut(r.Record.Type, ".")
		if r.Seq > began && (noun == "request" || noun == "grant" && r.Record.Type != "grant.residue") && !slices.Contains(h.seqs, r.Seq) {
			t.Errorf("record %d, %s, did not arrive", r.Seq, r.Record.Type)
		}
	}
	if !slices.IsSorted(slices.DeleteFunc(slices.Clone(h.seqs), func(n int64) bool { return n < 0 })) || len(h.refuse) > 0 || began < 0 {
		t.Errorf("out of order %v, or refused %v; the documents are record %d", h.seqs, h.refuse, began)
	}
	if strings.Contains(w.ServerLog(), secret) {
		t.Error("the server's log holds the secret")
	}
}
