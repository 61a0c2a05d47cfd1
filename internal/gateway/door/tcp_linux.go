package door

import (
	"net"
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
