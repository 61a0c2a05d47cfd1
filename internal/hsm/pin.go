package hsm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

const maxPIN = 256

// ReadPIN reads the PIN of a token: the one line of a file that nobody but its owner can
// read, and that is ours or root's. No error holds any of it.
func ReadPIN(path string) ([]byte, error) {
	// Without O_NONBLOCK the opening of a named pipe would wait for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file", path)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s has mode %#o, and must give nothing to group and others: chmod 0600 %s", path, info.Mode().Perm(), path)
	case !ok || int(st.Uid) != os.Geteuid() && st.Uid != 0:
		return nil, fmt.Errorf("%s belongs to another user", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxPIN+2))
	if err != nil {
		return nil, err
	}
	pin := bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	if len(pin) == 0 || len(pin) > maxPIN || bytes.ContainsAny(pin, "\r\n\x00") {
		clear(text)
		return nil, errors.New(path + " does not hold one line with a PIN")
	}
	return pin, nil
}
