package pggate

import (
	"bytes"
	"io"
	"net"
	"testing"
	"testing/iotest"
)

type conn struct {
	net.Conn
	r io.Reader
}

func (c conn) Read(p []byte) (int, error) { return c.r.Read(p) }

// TestAhead: what comes is read whole and in order, in pieces of every size, and who reads
// knows when a whole record is there.
func TestAhead(t *testing.T) {
	var want []byte
	for i := range 40 {
		body := bytes.Repeat([]byte{byte(i)}, 1+i*400)
		want = append(append(want, 23, 3, 3, byte(len(body)>>8), byte(len(body))), body...)
	}
	for _, size := range []int{1, 5, 512, 5000, 1 << 20} {
		for _, from := range []io.Reader{bytes.NewReader(want), iotest.HalfReader(bytes.NewReader(want)), iotest.DataErrReader(bytes.NewReader(want)), iotest.OneByteReader(bytes.NewReader(want))} {
			a := &ahead{Conn: conn{r: from}}
			got, p := []byte{}, make([]byte, size)
			for {
				n, err := a.Read(p)
				got = append(got, p[:n]...)
				if a.more() && len(got) < len(want) && !wholeRecord(a.left) {
					t.Fatal("it says that a record is there, and none is")
				}
				if err == io.EOF {
					break
				} else if err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(got, want) || a.held != nil || a.more() {
				t.Fatalf("pieces of %d: %d bytes of %d, held %v", size, len(got), len(want), a.held != nil)
			}
		}
	}
	for b, is := range map[string]bool{"": false, "\x17\x03\x03\x00": false, "\x17\x03\x03\x00\x02x": false, "\x17\x03\x03\x00\x02xy": true, "\x17\x03\x03\x00\x02xyz": true, "\x15\x03\x03\x00\x02xy": false} {
		if wholeRecord([]byte(b)) != is {
			t.Errorf("%q is a whole record of data: %v", b, !is)
		}
	}
	if (*ahead)(nil).more() {
		t.Error("nothing has more")
	}
}
