package notify

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // RFC 6455 section 1.3 says so; it protects nothing
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// socket is the client's side of one WebSocket (RFC 6455): text messages, without
// extensions. One goroutine reads; any may write.
type socket struct {
	conn net.Conn
	r    *bufio.Reader
	mu   sync.Mutex // of writing
}

const (
	socketGUID   = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	maxMessage   = 512 << 10
	maxControl   = 125
	handshakeFor = 10 * time.Second
	writeFor     = 10 * time.Second
)

// The opcodes of frames (section 5.2).
const (
	opMore  = 0x0
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xA
)

// openSocket dials, and shakes hands (section 4.1).
func openSocket(ctx context.Context, dial func(context.Context, string, string) (net.Conn, error), config func(string) *tls.Config, u *url.URL) (*socket, error) {
	port := u.Port()
	if port == "" {
		port = "443"
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeFor)
	defer cancel()
	raw, err := dial(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, err
	}
	conn := tlsClient(raw, config(u.Hostname()))
	if err := conn.SetDeadline(time.Now().Add(handshakeFor)); err != nil {
		_ = raw.Close()
		return nil, err
	}
	s := &socket{conn: conn, r: bufio.NewReaderSize(conn, 16<<10)}
	if err := s.shake(u); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return s, conn.SetDeadline(time.Time{})
}

func (s *socket) shake(u *url.URL) error {
	var nonce [16]byte
	rand.Read(nonce[:]) // never fails
	key := base64.StdEncoding.EncodeToString(nonce[:])
	req := &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: http.Header{
		"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Sec-WebSocket-Key": {key}, "Sec-WebSocket-Version": {"13"}}}
	if err := req.Write(s.conn); err != nil {
		return err
	}
	res, err := http.ReadResponse(s.r, req)
	if err != nil {
		return err
	}
	sum := sha1.Sum([]byte(key + socketGUID)) //nolint:gosec // as above
	h := res.Header
	switch {
	case res.StatusCode != http.StatusSwitchingProtocols:
		_ = res.Body.Close()
		return fmt.Errorf("the socket answers %d", res.StatusCode)
	case !strings.EqualFold(h.Get("Upgrade"), "websocket") || !strings.EqualFold(h.Get("Connection"), "upgrade") ||
		h.Get("Sec-WebSocket-Accept") != base64.StdEncoding.EncodeToString(sum[:]):
		return errors.New("what answers is no WebSocket")
	case h.Get("Sec-WebSocket-Extensions") != "" || h.Get("Sec-WebSocket-Protocol") != "":
		return errors.New("the socket speaks what it was not asked for")
	}
	return nil
}

func (s *socket) close() { _ = s.conn.Close() }

// read gives the next message, and answers pings meanwhile. It waits for so long that
// there be any frame at all. io.EOF says that the other side closed.
func (s *socket) read(within time.Duration) ([]byte, error) {
	var message []byte
	begun := false
	for {
		if err := s.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
			return nil, err
		}
		op, fin, body, err := s.frame(maxMessage - len(message))
		if err != nil {
			return nil, err
		}
		switch {
		case op == opPing:
			if err := s.write(opPong, body); err != nil {
				return nil, err
			}
			continue
		case op == opPong:
			continue
		case op == opClose:
			_ = s.write(opClose, body[:min(len(body), 2)])
			return nil, io.EOF
		case op == opText && begun, op == opMore && !begun, op != opText && op != opMore:
			return nil, errors.New("the socket sent a frame out of turn")
		}
		message, begun = append(message, body...), true
		if !fin {
			continue
		}
		if !utf8.Valid(message) {
			return nil, errors.New("the socket sent what is no text")
		}
		return message, nil
	}
}

// frame reads one frame (section 5.2). A server's are not masked.
func (s *socket) frame(most int) (op byte, fin bool, body []byte, err error) {
	var head [8]byte
	if _, err := io.ReadFull(s.r, head[:2]); err != nil {
		return 0, false, nil, err
	}
	op, fin = head[0]&0x0F, head[0]&0x80 != 0
	n := uint64(head[1] & 0x7F)
	if head[0]&0x70 != 0 || head[1]&0x80 != 0 || op >= opClose && (!fin || n > maxControl) {
		return 0, false, nil, errors.New("the socket sent a frame that cannot be")
	}
	switch n {
	case 126:
		_, err = io.ReadFull(s.r, head[:2])
		n = uint64(binary.BigEndian.Uint16(head[:2]))
	case 127:
		_, err = io.ReadFull(s.r, head[:8])
		n = binary.BigEndian.Uint64(head[:8])
	}
	if err != nil {
		return 0, false, nil, err
	}
	if op < opClose && n > uint64(most) {
		return 0, false, nil, errors.New("the socket sent a message that is too long")
	}
	body = make([]byte, n)
	_, err = io.ReadFull(s.r, body)
	return op, fin, body, err
}

// write sends one frame, masked as a client's are (section 5.3).
func (s *socket) write(op byte, body []byte) error {
	out := []byte{0x80 | op}
	switch n := len(body); {
	case n < 126:
		out = append(out, 0x80|byte(n))
	case n <= 0xFFFF:
		out = binary.BigEndian.AppendUint16(append(out, 0x80|126), uint16(n))
	default:
		out = binary.BigEndian.AppendUint64(append(out, 0x80|127), uint64(n))
	}
	var mask [4]byte
	rand.Read(mask[:]) // never fails
	out = append(out, mask[:]...)
	for i, c := range body {
		out = append(out, c^mask[i%4])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.conn.SetWriteDeadline(time.Now().Add(writeFor)); err != nil {
		return err
	}
	_, err := s.conn.Write(out)
	return err
}
