package notify

import (
	"bufio"
	"context"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"stint/internal/access"
)

const slackApp = "xapp-test-token"

// socketServer is Slack's side of socket mode (RFC 6455, and "Using Socket Mode"): a
// framing of its own, so that both do not share a mistake.
type socketServer struct {
	t     *testing.T
	cert  tls.Certificate
	roots *x509.CertPool

	mu       sync.Mutex
	url      string
	opens    int
	dialled  []string
	live     net.Conn
	acks     []map[string]any
	pongs    int
	noAccept bool
	problems []string
}

func newSocketServer(t *testing.T) *socketServer {
	t.Helper()
	cert, roots := selfSigned(t, "wss.slack.example")
	s := &socketServer{t: t, cert: cert, roots: roots, url: "wss://wss.slack.example/link/?ticket=1&app=2"}
	return s
}

// ServeHTTP is apps.connections.open.
func (s *socketServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path != "/api/apps.connections.open" || r.Header.Get("Authorization") != "Bearer "+slackApp {
		_, _ = w.Write([]byte(`{"ok":false,"error":"invalid_auth"}`))
		return
	}
	s.opens++
	_ = json.NewEncoder(w).Encode(map[string]any{"ok": true, "url": s.url})
}

func (s *socketServer) dial(_ context.Context, _, address string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dialled = append(s.dialled, address)
	here, there := net.Pipe()
	go s.serve(there)
	return here, nil
}

func (s *socketServer) wrong(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problems = append(s.problems, fmt.Sprintf(format, args...))
}

func (s *socketServer) serve(raw net.Conn) {
	defer raw.Close()
	conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{s.cert}})
	r := bufio.NewReader(conn)
	req, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	if req.Method != "GET" || req.URL.RequestURI() != "/link/?ticket=1&app=2" || req.Host != "wss.slack.example" || req.Header.Get("Upgrade") != "websocket" || req.Header.Get("Sec-Websocket-Version") != "13" {
		s.wrong("the handshake is %s %s %v", req.Method, req.URL, req.Header)
	}
	sum := sha1.Sum([]byte(req.Header.Get("Sec-Websocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	accept := base64.StdEncoding.EncodeToString(sum[:])
	if s.noAccept {
		accept = "bm8="
	}
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept)
	s.mu.Lock()
	s.live = conn
	s.mu.Unlock()
	for {
		var head [2]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return
		}
		n := int(head[1] & 0x7f)
		if head[1]&0x80 == 0 {
			s.wrong("a client's frame is not masked")
		}
		switch n {
		case 126:
			var b [2]byte
			_, _ = io.ReadFull(r, b[:])
			n = int(binary.BigEndian.Uint16(b[:]))
		case 127:
			s.wrong("a frame of 64 bits")
			return
		}
		mask, body := make([]byte, 4), make([]byte, n)
		_, _ = io.ReadFull(r, mask)
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		for i := range body {
			body[i] ^= mask[i%4]
		}
		s.mu.Lock()
		switch head[0] {
		case 0x81:
			var a map[string]any
			if err := json.Unmarshal(body, &a); err != nil {
				s.problems = append(s.problems, err.Error())
			}
			s.acks = append(s.acks, a)
		case 0x8A:
			s.pongs++
		case 0x88:
		default:
			s.problems = append(s.problems, fmt.Sprintf("a frame %x", head[0]))
		}
		s.mu.Unlock()
	}
}

// send writes raw frames, as they are.
func (s *socketServer) send(frames ...[]byte) {
	s.t.Helper()
	s.mu.Lock()
	conn := s.live
	s.mu.Unlock()
	if conn == nil {
		s.t.Error("no socket is open")
		return
	}
	for _, f := range frames {
		if _, err := conn.Write(f); err != nil {
			return // the other side had enough
		}
	}
}

func frameOf(first byte, text string) []byte {
	switch n := len(text); {
	case n < 126:
		return append([]byte{first, byte(n)}, text...)
	case n < 1<<16:
		return append([]byte{first, 126, byte(n >> 8), byte(n)}, text...)
	default:
		return append(append([]byte{first, 127}, binary.BigEndian.AppendUint64(nil, uint64(n))...), text...)
	}
}

func (s *socketServer) acked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.acks)
}

// socketed is a service with a channel in socket mode.
func socketed(t *testing.T) (h *house, w *wire, chat *slackServer, srv *socketServer, people *crowd, s *Service) {
	h, w, chat, srv = newHouse(t), newWire(), newSlackServer(t), newSocketServer(t)
	h.slackTo(w, chat)
	delete(h.integrations[0].Options, "signing")
	h.integrations[0].Options["socket"] = "app"
	h.logins["app"] = Login{Secret: access.NewSecret([]byte(slackApp + "\n"))}
	w.hosts["slack.example"] = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/apps.connections.open") {
			srv.ServeHTTP(rw, r)
			return
		}
		chat.ServeHTTP(rw, r)
	})
	people = &crowd{linked: map[string]bool{"T01/U01": true}, seen: map[string]bool{}}
	s = h.service(w, "a")
	s.People, s.Dial = people, srv.dial
	s.TLS = func(server string) *tls.Config { return &tls.Config{RootCAs: srv.roots, ServerName: server} }
	h.log(access.Event{Type: "documents.applied", Entity: "documents"})
	return h, w, chat, srv, people, s
}

// TestSocketMode: clicks and commands come over a socket that we open, are acknowledged,
// and count once; it is opened again when it ends.
func TestSocketMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _, chat, srv, people, s := socketed(t)
		stop := start(s)
		defer stop()
		pass(2 * time.Second)
		srv.send(frameOf(0x81, `{"type":"hello","num_connections":1}`))
		id := h.ask(1)
		pass(2 * time.Second)
		if chat.posts != 1 || !strings.Contains(fmt.Sprint(chat.messages[chat.order[0]].Blocks), "action_id:"+slackDeny) {
			t.Fatal("no button, though clicks are fetched")
		}
		value := string(id) + " " + access.Digest{1, 2, 3}.String()
		click := fmt.Sprintf(`{"envelope_id":"e-1","type":"interactive","accepts_response_payload":false,"payload":`+pressed+`}`, "U01", "approve", value)
		// In three pieces, with a ping between them.
		srv.send(frameOf(0x01, click[:20]), frameOf(0x89, "are you there"), frameOf(0x00, click[20:40]), frameOf(0x80, click[40:]))
		pass(time.Second)
		if len(people.votes) != 1 || people.votes[0].Subject != "T01/U01" || !people.votes[0].Approve || srv.acked() != 1 || srv.acks[0]["envelope_id"] != "e-1" || srv.pongs != 1 {
			t.Fatalf("votes %+v, acks %v, %d pongs", people.votes, srv.acks, srv.pongs)
		}
		srv.send(frameOf(0x81, click)) // once more, for the acknowledgement was lost
		pass(time.Second)
		if len(people.votes) != 1 || srv.acked() != 2 {
			t.Errorf("a second time: %d votes, %d acks", len(people.votes), srv.acked())
		}
		srv.send(frameOf(0x81, `{"envelope_id":"e-2","type":"slash_commands","accepts_response_payload":true,"payload":{"command":"/stint","text":"list","team_id":"T01","user_id":"U01","response_url":"https://evil.example"}}`))
		pass(time.Second)
		if len(people.orders) != 1 || srv.acked() != 3 || !strings.Contains(fmt.Sprint(srv.acks[2]["payload"]), "ephemeral") {
			t.Errorf("a command: %+v, %v", people.orders, srv.acks)
		}
		srv.send(frameOf(0x81, `{"envelope_id":"e-3","type":"events_api","payload":{}}`))
		pass(time.Second)
		if srv.acked() != 4 {
			t.Error("what we know nothing of is not acknowledged")
		}
		// Slack ends it, says nothing for long, or breaks: another one is opened.
		for what, end := range map[string]func(){
			"asked to come again": func() {
				srv.send(frameOf(0x81, `{"type":"disconnect","reason":"refresh_requested"}`))
			},
			"closed": func() { srv.send(frameOf(0x88, "\x03\xe8")) },
			"silent": func() { pass(socketSilent) },
			"cut":    func() { srv.mu.Lock(); c := srv.live; srv.mu.Unlock(); _ = c.Close() },
		} {
			opens := srv.opens
			end()
			pass(mostWait)
			if srv.opens <= opens {
				t.Errorf("%s: nothing is opened again", what)
			}
		}
		srv.send(frameOf(0x81, strings.Replace(click, "e-1", "e-9", 1)))
		pass(time.Second)
		if len(people.votes) != 2 {
			t.Errorf("after all of it: %d votes", len(people.votes))
		}
		for _, a := range srv.dialled {
			if a != "wss.slack.example:443" {
				t.Errorf("dialled %s", a)
			}
		}
		if len(srv.problems) > 0 {
			t.Error(srv.problems)
		}
	})
}

// TestHostileSocket: what is no WebSocket, not of Slack, or not by the book is given up,
// and nothing of it counts.
func TestHostileSocket(t *testing.T) {
	for what, address := range map[string]string{
		"another host": "wss://evil.example/", "in a name": "wss://slack.example.evil/", "not encrypted": "ws://wss.slack.example/", "plain": "http://slack.example/",
		"with a login": "wss://a:b@wss.slack.example/", "nothing": "",
	} {
		synctest.Test(t, func(t *testing.T) {
			_, _, _, srv, _, s := socketed(t)
			srv.url = address
			stop := start(s)
			pass(5 * time.Second)
			stop()
			if len(srv.dialled) > 0 || srv.opens == 0 {
				t.Errorf("%s: dialled %v after %d", what, srv.dialled, srv.opens)
			}
		})
	}
	long := strings.Repeat("x", maxMessage+1)
	for what, frames := range map[string][][]byte{
		"masked":                 {{0x81, 0x82, 1, 2, 3, 4, 5, 6}},
		"reserved bits":          {frameOf(0xC1, "{}")},
		"binary":                 {frameOf(0x82, "{}")},
		"more of nothing":        {frameOf(0x80, "{}")},
		"a second begin":         {frameOf(0x01, "{"), frameOf(0x81, "}")},
		"a ping in pieces":       {frameOf(0x09, "x")},
		"a ping that is long":    {frameOf(0x89, strings.Repeat("x", 126))},
		"a message that is long": {frameOf(0x81, long)},
		"long in pieces":         {frameOf(0x01, long[:maxMessage]), frameOf(0x80, "x")},
		"of 2^63 bytes":          {{0x81, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
		"no text":                {frameOf(0x81, "\xff\xfe")},
		"no envelope":            {frameOf(0x81, "[]")},
	} {
		synctest.Test(t, func(t *testing.T) {
			_, _, _, srv, people, s := socketed(t)
			stop := start(s)
			pass(2 * time.Second)
			opens := srv.opens
			go srv.send(frames...)
			pass(mostWait)
			stop()
			if srv.opens <= opens || srv.acked() > 0 || len(people.votes)+len(people.orders) > 0 {
				t.Errorf("%s: opened %d times, %d acks", what, srv.opens-opens, srv.acked())
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		_, _, _, srv, _, s := socketed(t)
		srv.noAccept = true
		c, _, err := newSlack(s, Integration{Name: "ops-chat", Type: Slack, Address: "https://slack.example", Options: map[string]string{"channel": "C0123ABCD", "socket": "app"}})
		if err != nil {
			t.Fatal(err)
		}
		at, err := c.(*slack).socketURL(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if sock, err := openSocket(t.Context(), s.Dial, s.TLS, at); err == nil || sock != nil || !strings.Contains(err.Error(), "no WebSocket") {
			t.Errorf("what did not prove that it speaks WebSocket is spoken with: %v", err)
		}
	})
}
