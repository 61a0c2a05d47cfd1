package main

import (
	"testing"
	"time"
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
