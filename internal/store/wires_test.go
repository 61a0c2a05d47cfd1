package store

import (
	"context"
	"net"
	"testing"
	"time"
)

// TestSlowIsNotCutAllTheTime: a database that is slow, and not silent, has ten
// seconds between two cuts to finish what it is at.
func TestSlowIsNotCutAllTheTime(t *testing.T) {
	var w wires
	dial := w.dial(func(context.Context, string, string) (net.Conn, error) { here, _ := net.Pipe(); return here, nil })
	open := func() net.Conn {
		t.Helper()
		c, err := dial(t.Context(), "tcp", "db:5432")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	isCut := func(c net.Conn) bool { return c.SetDeadline(time.Now().Add(time.Hour)) != nil } // net.Pipe says so when it is closed
	at := time.Now()
	first := open()
	w.cut(at)
	if !isCut(first) {
		t.Fatal("the first cut left a connection open")
	}
	second := open()
	w.cut(at.Add(cutSeldom - time.Millisecond))
	if isCut(second) {
		t.Error("a connection was cut twice within ten seconds")
	}
	w.cut(at.Add(cutSeldom))
	if !isCut(second) {
		t.Error("a connection outlived a later cut")
	}
}
