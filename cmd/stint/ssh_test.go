package main

import (
	"strings"
	"testing"
	"time"

	"stint/internal/api"
)

func TestNextWarning(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		left, told, in, before time.Duration
	}{
		{time.Hour, 0, 55 * time.Minute, 5 * time.Minute},
		{5 * time.Minute, 0, 0, 5 * time.Minute},
		{5 * time.Minute, 5 * time.Minute, 4 * time.Minute, time.Minute},
		{3 * time.Minute, 0, 2 * time.Minute, time.Minute},
		{time.Minute, time.Minute, 0, 0},
		{20 * time.Second, 0, 0, 0},
		{-time.Second, 0, 0, 0},
		{time.Hour, 5 * time.Minute, 59 * time.Minute, time.Minute},
	} {
		if in, before := nextWarning(now.Add(c.left), now, c.told); in != c.in || before != c.before {
			t.Errorf("%s left, told at %s: in %s at %s, want in %s at %s", c.left, c.told, in, before, c.in, c.before)
		}
	}
}

func TestOnHost(t *testing.T) {
	for in, want := range map[string][2]string{"web1:/etc/x": {"web1", "/etc/x"}, "web1:": {"web1", ""}, "a/b:c": {}, "./a:b": {}, ":x": {}, "plain": {}, "web1:a:b": {"web1", "a:b"}} {
		r, p, on := onHost(in)
		if r != want[0] || p != want[1] || on != (want[0] != "") {
			t.Errorf("%s: %q %q %v", in, r, p, on)
		}
	}
}

func TestSSHPath(t *testing.T) {
	for in, want := range map[string]string{"/a b/c": `"/a b/c"`, `/100%/"x"\`: `"/100%%/\"x\"\\"`} {
		if got := sshPath(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// TestHostileLogin: what a server says of where to go is a host, a port and an account,
// or nothing is written.
func TestHostileLogin(t *testing.T) {
	for _, x := range []struct {
		address, account string
		ok               bool
	}{
		{"web1.example.com:22", "deploy", true}, {"10.0.0.7:2222", "s-mira-3k7q0000aaaabbbb", true}, {"[2001:db8::7]:22", "_apt", true}, {"web_1:22", "a.b", true},
		{"web1:22", "deploy\nProxyCommand id", false}, {"web1:22", "deploy\r", false}, {"web1:22", "-oProxyCommand=id", false}, {"web1:22", "", false},
		{"web1:22", "a b", false}, {"web1:22", "a@b", true}, {"web1:22", "a@b@c", false}, {"web1:22", "@b", false}, {"web1:22", "a@", false}, {"web1:22", "a@-b", false}, {"web1:22", "a@b c", false}, {"web1:22", "a@b\n", false}, {"web1:22", "%u", false}, {"web1:22", `a"b`, false}, {"web1:22", "deploy\n", false},
		{"web1:22", strings.Repeat("a", 33), false},
		{"web1\nProxyCommand id:22", "deploy", false}, {"-oProxyCommand=id:22", "deploy", false}, {"*:22", "deploy", false}, {"web1,*:22", "deploy", false},
		{"!web1:22", "deploy", false}, {"web1 web2:22", "deploy", false}, {"web1#:22", "deploy", false}, {"%h:22", "deploy", false}, {"user@web1:22", "deploy", false},
		{"[fe80::1%eth0]:22", "deploy", false}, {":22", "deploy", false}, {"web1\n:22", "deploy", false},
		{"web1:22\nProxyCommand id", "deploy", false}, {"web1:ssh", "deploy", false}, {"web1:0", "deploy", false}, {"web1:65536", "deploy", false}, {"web1:-1", "deploy", false},
		{"web1:+22", "deploy", false}, {"web1:", "deploy", false}, {"web1", "deploy", false},
	} {
		l, err := sshFiles{cert: api.Certificate{Logins: []api.SSHLogin{{Resource: "web1", Address: x.address, Account: x.account}}}}.login()
		if (err == nil) != x.ok {
			t.Errorf("%q, %q: %+v, %v; want good %v", x.address, x.account, l, err, x.ok)
		}
	}
}
