package tpm

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"

	"stint/internal/tpm/tpmtest"
)

// TestTPM: what a real TPM wrapped it opens, and another one, or a bent copy of it, opens
// nothing (T-54).
func TestTPM(t *testing.T) {
	mine, other := Device(tpmtest.Start(t)), Device(tpmtest.Start(t))
	key := bytes.Repeat([]byte("0123456789abcdef"), 2)
	wrapped, err := mine.Wrap("1", key)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(wrapped, key[:8]) {
		t.Error("it holds the key as it is")
	}
	for range 8 { // more often than a TPM has room for: everything is given back
		got, err := mine.Unwrap("1", wrapped)
		if err != nil || !bytes.Equal(got, key) {
			t.Fatalf("%x, %v", got, err)
		}
	}
	if got, err := other.Unwrap("1", wrapped); err == nil {
		t.Errorf("another TPM opens it: %x", got)
	}
	for _, at := range []int{1, 3, len(wrapped) / 2, len(wrapped) - 1} {
		bent := bytes.Clone(wrapped)
		bent[at] ^= 1
		if got, err := mine.Unwrap("1", bent); err == nil {
			t.Errorf("bent at byte %d it opens: %x", at, got)
		}
	}
	if _, err := Device(filepath.Join(t.TempDir(), "none")).Unwrap("1", wrapped); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a TPM: %v", err)
	}
	if _, err := Device(os.DevNull).Unwrap("1", wrapped); err == nil {
		t.Error("a device that is no TPM opens it")
	}
}

// A TPM that answers what is none, of any length.
func TestHostileTPM(t *testing.T) {
	dir, err := os.MkdirTemp("", "tpm")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for i, says := range [][]byte{nil, {0x80}, bytes.Repeat([]byte{0xff}, 4096), append([]byte{0x80, 1, 0, 0, 0, 10, 0, 0, 0, 0}, 0)} {
		socket := filepath.Join(dir, fmt.Sprint(i))
		l, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = c.Read(make([]byte, 4096))
				_, _ = c.Write(says)
				_ = c.Close()
			}
		}()
		if got, err := Device(socket).Wrap("1", make([]byte, 32)); err == nil {
			t.Errorf("answered with %x it wrapped %x", says[:min(8, len(says))], got)
		}
		_ = l.Close()
	}
}

func FuzzSplit(f *testing.F) {
	f.Add(join([]byte("public"), []byte("private")))
	f.Add([]byte{version, 0, 1, 2, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		public, private, err := split(b)
		if err == nil && !bytes.Equal(join(public, private), b) {
			t.Errorf("%x is read as %x and %x", b, public, private)
		}
	})
}
