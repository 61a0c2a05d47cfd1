package sshgate

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// TestD1NothingUnrecorded sends a word by every way through the gateway that there is:
// afterwards it stands in the recording, also what was refused, or else the client was told
// that it is refused. (Of the content of files the recording has sizes and digests:
// TestFilesByOpenSSH.)
func TestD1NothingUnrecorded(t *testing.T) {
	w := newWorld(t, nil)
	c := w.client(t)
	session := func() *ssh.Session {
		t.Helper()
		s, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	echo := echoServer(t)
	for name, send := range map[string]func(nonce string){
		"command":        func(n string) { _ = session().Run("true " + n) },
		"output":         func(n string) { _ = session().Run("printf '%s%s' " + n[:8] + " " + n[8:]) },
		"standard error": func(n string) { _ = session().Run("printf '%s%s' " + n[:8] + " " + n[8:] + " >&2") },
		"input":          func(n string) { s := session(); s.Stdin = strings.NewReader(n); _ = s.Run("cat > /dev/null") },
		"shell": func(n string) {
			s := session()
			s.Stdin = strings.NewReader("true " + n + "\n")
			_ = s.Shell()
			_ = s.Wait()
		},
		"terminal":         func(n string) { terminal(t, session(), n) },
		"title":            func(n string) { _ = session().Run(`printf '\033]0;%s\007' ` + n) },
		"kind of terminal": func(n string) { s := session(); _ = s.RequestPty(n, 24, 80, nil); _ = s.Run("true") },
		"variable":         func(n string) { s := session(); _ = s.Setenv("LC_NONCE", n); _ = s.Run("true") },
		"variable's name": func(n string) {
			s := session()
			if err := s.Setenv(n, "x"); err == nil { // refused variables leave no record of their own
				t.Error("a variable of any name was taken")
			}
			_ = s.Run("true " + n)
		},
		"subsystem": func(n string) { _ = session().RequestSubsystem(n) },
		"file's name": func(n string) {
			batch := w.ssh("sftp", "-b", "-", there)
			batch.Stdin = strings.NewReader("-ls " + filepath.Join("/tmp", n) + "\n")
			_, _, _ = w.run(t, batch)
		},
		"direct-tcpip": func(n string) {
			conn, err := c.Dial("tcp", echo)
			if err != nil {
				t.Fatal(err)
			}
			_ = roundTrip(t, conn, n)
		},
		"address":          func(n string) { _, _ = c.Dial("tcp", n+".example:22") },
		"path of a socket": func(n string) { _, _ = c.Dial("unix", "/run/"+n) },
		"listener": func(n string) {
			l, err := c.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			far, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = far.Close() }()
			fmt.Fprint(far, n)
			near, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.ReadFull(near, make([]byte, len(n)))
			_ = near.Close()
		},
		"unknown channel": func(n string) { _, _, _ = c.OpenChannel(n, []byte(n)) },
		"unknown request": func(n string) { _, _, _ = c.SendRequest(n, true, nil) },
		"unknown request of a session": func(n string) {
			s := session()
			_, _ = s.SendRequest(n, true, nil)
			_ = s.Close()
		},
	} {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails
		nonce := "n" + hex.EncodeToString(b[:])
		send(nonce)
		eventually(t, name+" is recorded", func() bool { return strings.Contains(w.text(), nonce) })
	}
}

// terminal types a word at a terminal and leaves.
func terminal(t *testing.T, s *ssh.Session, nonce string) {
	t.Helper()
	if err := s.RequestPty("xterm", 24, 80, nil); err != nil {
		t.Fatal(err)
	}
	s.Stdin = strings.NewReader("true " + nonce + "\nexit\n")
	_ = s.Shell()
	_ = s.Wait()
}
