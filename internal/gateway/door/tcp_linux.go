package door

import (
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// giveUp bounds how long what was sent may wait to be acknowledged, tcp(7),
// TCP_USER_TIMEOUT.
func giveUp(c *net.TCPConn, after time.Duration) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(after.Milliseconds()))
	})
}

// begins is how long the first part of a packet is that golang.org/x/crypto/ssh writes in two: its
// buffer's size. A whole packet never is where ciphers are GCM (20 and a multiple of 16).
const begins = 4096

// Gather is for a connection that such packets are written to: their first part waits in the system
// for the second, so that both are sent, and read, in one. It does not wait longer than 200 ms, tcp(7).
func Gather(c net.Conn) net.Conn {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return c
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return c
	}
	return &gathered{t, raw}
}

type gathered struct {
	net.Conn
	raw syscall.RawConn
}

func (g *gathered) Write(p []byte) (n int, err error) {
	if len(p) != begins {
		return g.Conn.Write(p)
	}
	waited := g.raw.Write(func(fd uintptr) bool {
		for n < len(p) {
			var some int
			switch some, err = unix.SendmsgN(int(fd), p[n:], nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL); {
			case errors.Is(err, unix.EAGAIN):
				return false
			case errors.Is(err, unix.EINTR):
			case err != nil:
				return true
			default:
				n += some
			}
		}
		return true
	})
	if waited != nil { // closed, or past its deadline
		return n, waited
	}
	return n, err
}
