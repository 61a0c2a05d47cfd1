package main

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
)

func firstPacket(code uint32, rest string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(rest)))
	return string(binary.BigEndian.AppendUint32(b, code)) + rest
}

// TestGreetLocal: what clients of PostgreSQL begin with on this machine, and what they must not.
func TestGreetLocal(t *testing.T) {
	start := firstPacket(3<<16, "user\x00orders-db\x00\x00")
	for name, c := range map[string]struct{ sent, got, answered string }{
		"at once":           {start, start, ""},
		"TLS first":         {firstPacket(wantsTLS, "") + start, start, "N"},
		"GSS, then TLS":     {firstPacket(wantsGSS, "") + firstPacket(wantsTLS, "") + start, start, "NN"},
		"a wish to cancel":  {firstPacket(wantsCancel, "12345678"), firstPacket(wantsCancel, "12345678"), ""},
		"too long":          {"\xff\xff\xff\xff\x00\x03\x00\x00", "", ""},
		"too short":         {"\x00\x00\x00\x04\x00\x03\x00\x00", "", ""},
		"questions without": {strings.Repeat(firstPacket(wantsTLS, ""), 5), "", "NNNN"},
		"TLS straight away": {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03", "", ""},
	} {
		near, far := net.Pipe()
		_ = near.SetDeadline(time.Now().Add(20 * time.Second))
		answered := make(chan string, 1)
		go func() {
			go func() { _, _ = io.WriteString(near, c.sent) }()
			b, _ := io.ReadAll(near)
			answered <- string(b)
		}()
		first, err := greetLocal(far)
		_ = far.Close()
		if string(first) != c.got && err == nil || (err == nil) != (c.got != "") {
			t.Errorf("%s: %q, %v", name, first, err)
		}
		if got := <-answered; got != c.answered {
			t.Errorf("%s: answered %q", name, got)
		}
		_ = near.Close()
	}
}

// TestNotConnected: an error as clients of PostgreSQL read it, whatever is in it.
func TestNotConnected(t *testing.T) {
	for _, err := range []error{errors.New("x"), &api.Error{Message: "no\x00gateway\n", Why: "it is\x1b[2J away", Next: "try again"}} {
		b := notConnected(err)
		if b[0] != 'E' || int(binary.BigEndian.Uint32(b[1:])) != len(b)-1 || b[len(b)-1] != 0 {
			t.Fatalf("%q is no message", b)
		}
		fields := strings.Split(strings.TrimSuffix(string(b[5:]), "\x00\x00"), "\x00")
		for _, f := range fields {
			if !strings.Contains("SVCMH", f[:1]) || strings.ContainsAny(f, "\x1b\n") {
				t.Errorf("the field %q", f)
			}
		}
	}
}
