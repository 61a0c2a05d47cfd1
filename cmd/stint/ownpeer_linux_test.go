package main

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestOwnPeer: whose a connection is, for sockets of both families, and of another user.
func TestOwnPeer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	port := ln.Addr().(*net.TCPAddr).Port
	for name, dial := range map[string]func() func(){
		"of IPv4": func() func() {
			c, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			return func() { _ = c.Close() }
		},
		"of IPv6, for an address of IPv4": func() func() {
			fd, err := syscall.Socket(syscall.AF_INET6, syscall.SOCK_STREAM, 0)
			if err != nil {
				return nil // this kernel has no IPv6, so no program uses it
			}
			to := &syscall.SockaddrInet6{Port: port, Addr: [16]byte{10: 0xff, 11: 0xff, 12: 127, 15: 1}}
			if err := syscall.Connect(fd, to); err != nil {
				_ = syscall.Close(fd)
				return nil
			}
			return func() { _ = syscall.Close(fd) }
		},
	} {
		hangUp := dial()
		if hangUp == nil {
			continue
		}
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if err := ownPeer(c); err != nil {
			t.Errorf("a socket %s: %v", name, err)
		}
		_ = c.Close()
		hangUp()
	}
	far, near := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 40000}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 15432}
	a, err := hexAddress(far, false)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := hexAddress(near, false)
	line := "   1: " + a + " " + b + " 01 00000000:00000000 00:00000000 00000000 65534        0 1 1 0 20 4 30 10 -1\n"
	if uid, err := ownerOf(strings.NewReader("  sl  local_address rem_address   st\n"+line), far, near, false); err != nil || uid != 65534 || uid == os.Geteuid() {
		t.Errorf("another user's: %d, %v", uid, err)
	}
	for name, closed := range map[string]string{
		"closed, which the other end has acknowledged": "05 00000000:00000000 00:00000000 00000000     0        0 0",
		"closed at both ends":                          "06 00000000:00000000 03:00001770 00000000     0        0 0",
		"without a socket":                             "01 00000000:00000000 00:00000000 00000000     0        0 0",
		"cut short":                                    "01 00000000:00000000 00:00000000 00000000     0",
	} {
		if uid, err := ownerOf(strings.NewReader("   1: "+a+" "+b+" "+closed+"\n"), far, near, false); err == nil {
			t.Errorf("one %s is taken for that of %d", name, uid)
		}
	}
	if _, err := ownerOf(strings.NewReader(line), near, far, false); err == nil {
		t.Error("one the other way round is taken")
	}
}
