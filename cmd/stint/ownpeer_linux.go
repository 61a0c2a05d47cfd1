package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
)

// ownPeer refuses a connection to a port of this machine that a process of another user has
// opened: a port is everybody's who is logged in here. The kernel says whose it is. A socket
// in a folder of one's own needs no such look.
func ownPeer(c net.Conn) error {
	far, is := c.RemoteAddr().(*net.TCPAddr)
	if !is {
		return nil
	}
	near, is := c.LocalAddr().(*net.TCPAddr)
	if !is {
		return errors.New("a connection without an address here")
	}
	// A program may have opened a socket of IPv6 for an address of IPv4, as Java's do.
	for _, table := range []struct {
		file   string
		mapped bool
	}{{"/proc/net/tcp", false}, {"/proc/net/tcp6", true}} {
		uid, err := ownerIn(table.file, far, near, table.mapped)
		switch {
		case errors.Is(err, errNotThere):
			continue
		case err != nil:
			return err
		case uid != os.Geteuid():
			return errors.New("the connection is of another user")
		}
		return nil
	}
	return errNotThere
}

var (
	errNotThere = errors.New("the connection is not in the kernel's table")
	errNotOpen  = errors.New("the connection is not open any more")
)

// established is the state of a socket that is open, in the kernel's table.
const established = "01"

func ownerIn(file string, local, remote *net.TCPAddr, mapped bool) (uid int, err error) {
	table, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return 0, errNotThere // a kernel without IPv6
	} else if err != nil {
		return 0, err
	}
	defer func() { _ = table.Close() }() // only read
	return ownerOf(table, local, remote, mapped)
}

// ownerOf finds whose socket has these two ends, in the kernel's table of TCP sockets
// (proc_net_tcp(5)). Of one that its program has closed the table says root's, and inode 0,
// whosever it was.
func ownerOf(table io.Reader, local, remote *net.TCPAddr, mapped bool) (uid int, err error) {
	a, err := hexAddress(local, mapped)
	if err != nil {
		return 0, err
	}
	b, err := hexAddress(remote, mapped)
	if err != nil {
		return 0, err
	}
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		if f := strings.Fields(lines.Text()); len(f) > 9 && f[1] == a && f[2] == b {
			if f[3] != established || f[9] == "0" {
				return 0, errNotOpen
			}
			return strconv.Atoi(f[7])
		}
	}
	if err := lines.Err(); err != nil {
		return 0, err
	}
	return 0, errNotThere
}

// hexAddress is an address of IPv4 as the table has it: words of the machine's own order.
func hexAddress(a *net.TCPAddr, mapped bool) (string, error) {
	ip := a.IP.To4()
	if ip == nil {
		return "", errors.New("not an address of IPv4")
	}
	text := fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(ip), a.Port)
	if mapped { // ::ffff:127.0.0.1
		text = fmt.Sprintf("%016X%08X", 0, binary.NativeEndian.Uint32([]byte{0, 0, 0xff, 0xff})) + text
	}
	return text, nil
}
