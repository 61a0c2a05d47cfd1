// Package freeport finds, for tests, a loopback port that a server can listen on a moment later. It holds
// nothing: somebody else may take the port in that moment, and who cannot bear that tries again.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// The ports are below the range from which systems take those of outgoing connections: there, one of
// these could hold a server's port while it restarts. Tests that run at once choose among many.
const (
	first = 5000
	ports = 27000
)

// Find gives a port nobody listens on.
func Find() (int, error) {
	var last error
	for range 100 {
		port := first + rand.IntN(ports)
		l, err := net.Listen("tcp", Address(port))
		if err == nil {
			return port, l.Close()
		}
		last = err
	}
	return 0, fmt.Errorf("no free port: %w", last)
}

// Address is the port's on loopback.
func Address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
