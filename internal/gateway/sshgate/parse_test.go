package sshgate

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"

	"golang.org/x/crypto/ssh"

	"stint/internal/access"
	"stint/internal/gateway"
)

func TestParseUser(t *testing.T) {
	for user, want := range map[string]wanted{
		"web1":           {"", "web1"},
		"deploy@web1":    {"deploy", "web1"},
		"svc.a-b@db_1.x": {"svc.a-b", "db_1.x"},
	} {
		if got, err := parseUser(user); err != nil || got != want {
			t.Errorf("%q: %+v, %v", user, got, err)
		}
	}
	for _, user := range []string{"", "@", "a@", "@b", "a@b@c", "a b", "a\n", "-a", "\u202ea", "a@b\x00", "\xff"} {
		if got, err := parseUser(user); !errors.Is(err, access.Invalid) {
			t.Errorf("%q: %+v, %v", user, got, err)
		}
	}
}

func FuzzUser(f *testing.F) {
	f.Add("deploy@web1")
	f.Add("\xff@")
	f.Fuzz(func(t *testing.T, user string) {
		if w, err := parseUser(user); err == nil && w.String() != user {
			t.Errorf("%q was read as %q", user, w)
		}
		for _, r := range plain(user) {
			if !unicode.IsPrint(r) {
				t.Errorf("%q holds %U", plain(user), r)
			}
		}
	})
}

func TestScreen(t *testing.T) {
	for text, want := range map[string]struct{ whole, full bool }{
		"":                           {true, false},
		"abc\r\n":                    {true, false},
		"\x1b":                       {false, false},
		"\x1b[1;3":                   {false, false},
		"\x1b[1;31m":                 {true, false},
		"\x1b]0;title":               {false, false},
		"\x1b]0;title\x07":           {true, false},
		"\x1b]0;title\x1b\\":         {true, false},
		"\x1bP1$r\x1b\\":             {true, false},
		"\xc3":                       {false, false},
		"\xc3\xa4":                   {true, false},
		"\xf0\x9f\x98":               {false, false},
		"\x1b[?1049h":                {true, true},
		"\x1b[?25l\x1b[?1;1049hvim":  {true, true},
		"\x1b[?1049h\x1b[?1049l":     {true, false},
		"\x1b[?47h\x1bc":             {true, false},
		"\x1b[1049h":                 {true, false},
		"\x1b(B":                     {true, false},
		"\x1b]0;never ends \x18 now": {true, false},
	} {
		var s screen
		s.see([]byte(text))
		if s.whole() != want.whole || s.full != want.full {
			t.Errorf("%q: whole %v, full %v", text, s.whole(), s.full)
		}
	}
}

// TestScreenBySteps holds that going over text in one go ends as byte by byte does.
func TestScreenBySteps(t *testing.T) {
	parts := []string{"plain", "\x1b[?1049h", "\u20ac", "\xe2\x82", "\xf0\x9f\x98\x80", "\xf0\x9f", "\x80\x80\x80\x80", "\x18", "\x1b", "\x1b]0;title", "\x07", "\x1b[3", "m", "\xc3", strings.Repeat("x", 40)}
	for _, a := range parts {
		for _, b := range parts {
			for _, c := range parts {
				var fast, slow screen
				fast.see([]byte(a + b + c))
				for _, x := range []byte(a + b + c) {
					slow.step(x)
				}
				if fast.state != slow.state || fast.missing != slow.missing || fast.full != slow.full {
					t.Fatalf("%q: %+v, byte by byte %+v", a+b+c, fast, slow)
				}
			}
		}
	}
}

// FuzzScreen holds that what the gateway says leaves a terminal as it found it: whole.
func FuzzScreen(f *testing.F) {
	f.Add([]byte("\x1b[?1049h\x1b]0;x"))
	f.Fuzz(func(t *testing.T, p []byte) {
		var whole, parts screen
		whole.see(p)
		for _, b := range p {
			parts.see([]byte{b})
		}
		if whole.state != parts.state || whole.full != parts.full || whole.missing != parts.missing {
			t.Error("how it is cut up matters")
		}
		said := whole
		said.see([]byte(whole.line("stint: text")))
		if !said.whole() || said.full != whole.full {
			t.Errorf("after %q a warning leaves %+v", p, said)
		}
		said = whole
		said.see([]byte(whole.last("stint: text")))
		if !said.whole() || said.full {
			t.Errorf("after %q the farewell leaves %+v", p, said)
		}
		var keys typed
		keys.see(p, func(line string) {
			if strings.ContainsAny(line, "\r\n\x1b") {
				t.Errorf("a typed line is %q", line)
			}
		})
	})
}

func TestTyped(t *testing.T) {
	for keys, want := range map[string][]string{
		"ls\r":                           {"ls"},
		"lx\x7fs\rid\n":                  {"ls", "id"},
		"rm -rf /\x15ls\r":               {"ls"},
		"one two\x17three\r":             {"one three"},
		"a\x1b[Ab\x1bOCc\r":              {"abc"},
		"\r\r":                           nil,
		"\xc3\xa4\x7fb\r":                {"b"},
		"half":                           nil,
		"\x1b[200~pasted\x1b[201~\r":     {"pasted"},
		strings.Repeat("a", 5000) + "\r": {strings.Repeat("a", 4096)},
	} {
		var got []string
		var k typed
		k.see([]byte(keys), func(l string) { got = append(got, l) })
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q", keys, got)
		}
	}
}

// unpack reads packets to the end.
func unpack(from io.Reader) (all []byte, err error) {
	var in packets
	for {
		p, err := in.next()
		if err == nil && p == nil {
			if err = in.fill(from); err == nil {
				continue
			}
		}
		if err != nil {
			return all, err
		}
		all = append(all, p...)
	}
}

// TestPackets reads packets of all lengths however they come: each is whole and stands behind
// the one before, and nothing is kept that is larger than it must be.
func TestPackets(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var all []byte
	for _, n := range []int{1, 2, 5, leastBuffer - 4, leastBuffer, mostBuffer + 29, longestPacket, 3, mostBuffer, mostBuffer, mostRead, longestPacket, 1} {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(random.Uint32())
		}
		for range 5 {
			all = append(binary.BigEndian.AppendUint32(all, uint32(n)), p...)
		}
	}
	for name, from := range map[string]io.Reader{
		"at once": bytes.NewReader(all), "half": iotest.HalfReader(bytes.NewReader(all)), "error with the last": iotest.DataErrReader(bytes.NewReader(all)),
		"some": some{bytes.NewReader(all), random},
	} {
		if got, err := unpack(from); err != io.EOF || !bytes.Equal(got, all) {
			t.Errorf("%s: %d of %d bytes, %v", name, len(got), len(all), err)
		}
	}
	var in packets
	r := bytes.NewReader(all)
	for {
		if err := in.fill(r); err != nil {
			break
		}
		for before := in.at; ; before = in.at {
			p, err := in.next()
			if err != nil {
				t.Fatal(err)
			}
			if p == nil {
				break
			}
			if &p[0] != &in.b[before] {
				t.Fatal("a packet does not stand where the one before ended")
			}
		}
		if len(in.b) > longestPacket+4 {
			t.Fatalf("%d bytes are kept", len(in.b))
		}
	}
	if err := in.fill(r); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
	small := &packets{b: make([]byte, mostRead)}
	if err := small.fill(bytes.NewReader([]byte{0, 0, 0, 1, 9})); err != nil || len(small.b) != leastBuffer {
		t.Errorf("a buffer of %d bytes is kept for five: %v", len(small.b), err)
	}
	if _, err := unpack(bytes.NewReader([]byte{0, 0, 0})); !errors.Is(err, errProtocol) {
		t.Errorf("half a length: %v", err)
	}
}

// some reads as many bytes as it likes.
type some struct {
	from   io.Reader
	random *rand.Rand
}

func (s some) Read(p []byte) (int, error) { return s.from.Read(p[:1+s.random.IntN(len(p))]) }

// FuzzSFTP holds what is decided about requests against a second reading of the packets:
// in a session that may only read, nothing passes that is not on a list of what reads.
func FuzzSFTP(f *testing.F) {
	seed := func(p ...any) { b := ssh.Marshal(p[0]); f.Add(b, []byte{fxStatus, 0, 0, 0, 1, 0, 0, 0, 0}) }
	seed(struct {
		T    byte
		ID   uint32
		Path string
		F    uint32
	}{fxOpen, 1, "/etc/passwd", 1})
	seed(struct {
		T       byte
		ID      uint32
		Name, A string
	}{fxExtended, 1, "posix-rename@openssh.com", "/a"})
	f.Fuzz(func(t *testing.T, request, reply []byte) {
		if len(request) == 0 || len(reply) == 0 {
			return
		}
		framed := append(binary.BigEndian.AppendUint32(nil, uint32(len(request))), request...)
		twice := bytes.Repeat(framed, 2)
		if got, err := unpack(bytes.NewReader(twice)); errors.Is(err, io.EOF) && !bytes.Equal(got, twice) {
			t.Errorf("%x was read as %x", twice, got)
		} else if by, errBy := unpack(iotest.OneByteReader(bytes.NewReader(twice))); !bytes.Equal(by, got) || (err == io.EOF) != (errBy == io.EOF) {
			t.Errorf("%x was read as %x %v, and byte by byte as %x %v", twice, got, err, by, errBy)
		}
		if got, err := unpack(bytes.NewReader(twice[:len(twice)-1])); errors.Is(err, io.EOF) || len(got) > len(framed) {
			t.Errorf("half a packet was read: %v", err)
		}
		a, err := parseRequest(request)
		if err != nil {
			return
		}
		if verdict(&a, gateway.NoFiles) == 0 {
			t.Error("something passes where nothing may")
		}
		if verdict(&a, gateway.ReadFiles) == 0 {
			reads := []byte{fxOpen, fxClose, fxRead, fxLstat, fxFstat, fxOpendir, fxReaddir, fxRealpath, fxStat, fxReadlink, fxExtended}
			if !slices.Contains(reads, request[0]) {
				t.Errorf("type %d passes", request[0])
			}
			if request[0] == fxOpen {
				n := binary.BigEndian.Uint32(request[5:])
				if binary.BigEndian.Uint32(request[9+n:]) != flagRead {
					t.Errorf("%x passes", request)
				}
			}
		}
		if id := binary.BigEndian.Uint32(request[1:]); id != a.id {
			t.Errorf("id %d was read as %d", id, a.id)
		}
	})
}

func TestFlow(t *testing.T) {
	var f flow
	f.add(0, []byte("ab"))
	f.add(2, []byte("c"))
	if f.bytes != 3 || f.digest() != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Errorf("%d %s", f.bytes, f.digest())
	}
	f.add(9, []byte("x"))
	if f.bytes != 4 || f.digest() != "" {
		t.Errorf("out of order: %d %s", f.bytes, f.digest())
	}
}
