package freeport

import (
	"net"
	"testing"
)

// TestFind: somebody may be faster once; not ten times.
func TestFind(t *testing.T) {
	var last error
	for range 10 {
		port, err := Find()
		if err != nil || port < first || port >= first+ports {
			t.Fatalf("%d, %v", port, err)
		}
		l, err := net.Listen("tcp", Address(port))
		if last = err; err == nil {
			_ = l.Close()
			return
		}
	}
	t.Fatal(last)
}
