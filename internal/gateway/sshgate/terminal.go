package sshgate

import (
	"bytes"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"stint/internal/gateway"
)

// screen is as much of a terminal as the gateway must know of to write into it without
// breaking what is there: whether a sequence or a character is half written, and whether
// a program has the whole screen. It is not an emulator.
type screen struct {
	state   byte   // of the parser
	params  []byte // of a CSI sequence, the first few
	missing int    // bytes of a character in UTF-8
	full    bool   // the alternate screen
}

// The parser's states, after the DEC ANSI parser.
const (
	ground byte = iota
	escape
	csi
	text     // OSC, DCS, APC, PM, SOS: until BEL or ST
	textEsc  // an ESC within it
	ignoring // intermediate bytes
	single   // SS2, SS3: one character, as of a key
)

// see takes note of what is written.
func (s *screen) see(p []byte) {
	for len(p) > 0 {
		if s.state == ground { // what is between sequences is gone over in one go
			n := bytes.IndexByte(p, 0x1b)
			if n < 0 {
				n = len(p)
			}
			if n > utf8.UTFMax { // only the last character can be half written
				p, n, s.missing = p[n-utf8.UTFMax:], utf8.UTFMax, 0
			}
			for _, b := range p[:n] {
				s.step(b)
			}
			if p = p[n:]; len(p) == 0 {
				return
			}
		}
		s.step(p[0])
		p = p[1:]
	}
}

func (s *screen) step(b byte) {
	switch {
	case b == 0x18 || b == 0x1a: // CAN, SUB: whatever was begun is not meant
		s.state, s.missing = ground, 0
		return
	case b == 0x1b && s.state != text:
		s.state, s.missing = escape, 0
		return
	}
	switch s.state {
	case ground:
		s.character(b)
	case escape:
		switch {
		case b == '[':
			s.state, s.params = csi, s.params[:0]
		case strings.IndexByte("]PX^_", b) >= 0:
			s.state = text
		case b >= 0x20 && b <= 0x2f:
			s.state = ignoring
		case b == 'N' || b == 'O':
			s.state = single
		case b == 'c': // RIS: as after switching it on
			s.state, s.full = ground, false
		case b >= 0x20:
			s.state = ground
		}
	case single:
		if b >= 0x20 {
			s.state = ground
		}
	case ignoring:
		if b >= 0x30 {
			s.state = ground
		}
	case csi:
		switch {
		case b >= 0x40 && b <= 0x7e:
			s.state = ground
			s.mode(b)
		case b >= 0x20 && len(s.params) < 32:
			s.params = append(s.params, b)
		}
	case text:
		switch b {
		case 0x07:
			s.state = ground
		case 0x1b:
			s.state = textEsc
		}
	case textEsc: // reached only for what is no ESC
		s.state = text
		if b == '\\' {
			s.state = ground
		}
	}
}

func (s *screen) character(b byte) {
	switch {
	case s.missing > 0 && b&0xc0 == 0x80:
		s.missing--
	case b >= 0xf0 && b < 0xf8:
		s.missing = 3
	case b >= 0xe0 && b < 0xf0:
		s.missing = 2
	case b >= 0xc2 && b < 0xe0:
		s.missing = 1
	default:
		s.missing = 0
	}
}

// mode follows the alternate screen: xterm's private modes 47, 1047 and 1049.
func (s *screen) mode(final byte) {
	params, private := strings.CutPrefix(string(s.params), "?")
	if !private || (final != 'h' && final != 'l') {
		return
	}
	for p := range strings.SplitSeq(params, ";") {
		if p == "47" || p == "1047" || p == "1049" {
			s.full = final == 'h'
		}
	}
}

// whole says whether nothing is half written.
func (s screen) whole() bool { return s.state == ground && s.missing == 0 }

// line is a text as it is written into a terminal while a program may be using it. What
// is half written is cancelled first; into a program's whole screen goes only the last
// line, and the cursor stays where it was.
func (s screen) line(t string) string {
	var b strings.Builder
	if !s.whole() {
		b.WriteByte(0x18)
	}
	if s.full {
		b.WriteString("\x1b7\x1b[999;1H\x1b[0;7m " + t + " \x1b[0m\x1b[K\x1b8")
	} else {
		b.WriteString("\r\n\x1b[0;7m " + t + " \x1b[0m\r\n")
	}
	return b.String()
}

// last is a text with which a terminal is left: the whole screen is given back first.
func (s screen) last(t string) string {
	var b strings.Builder
	if !s.whole() {
		b.WriteByte(0x18)
	}
	if s.full {
		b.WriteString("\x1b[?1049l")
	}
	// Whatever was switched on by a program that cannot switch it off any more: mouse,
	// bracketed paste, a hidden cursor, colours.
	b.WriteString("\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[?25h\x1b[0m\r\n" + t + "\r\n")
	return b.String()
}

// warning says how much is left, or that nothing passes.
func warning(n gateway.Notice) string {
	switch {
	case n.Paused:
		return "stint: this session is paused; nothing passes until whoever watches it lets it go on"
	case n.Resumed:
		return "stint: this session goes on"
	}
	left := n.Left.Round(time.Second)
	what := fmt.Sprintf("%d seconds", int(left/time.Second))
	if m := int(left.Round(time.Minute) / time.Minute); left >= 2*time.Minute {
		what = fmt.Sprintf("%d minutes", m)
	} else if m == 1 {
		what = "1 minute"
	}
	if n.Extended {
		return "stint: the access was extended: " + what + " left"
	}
	return "stint: this session ends in " + what + "; stint extend asks for more"
}

// farewell says why a session ended.
func farewell(over *gateway.Ended, s *gateway.Session) string {
	return fmt.Sprintf("stint: %s. Grant %s", plain(over.Error()), plain(string(s.Grant)))
}

// typed makes lines of what is typed, as well as that can be done without the shell: it
// knows backspace, ^U, ^W and ^C, and nothing of history, completion and moving about.
// What it misses is not kept from anybody: it is for alarms only.
type typed struct {
	line []byte
	look screen
}

// see calls each line that is complete.
func (t *typed) see(p []byte, line func(string)) {
	const most = 4096
	for _, b := range p {
		if t.look.state != ground || b == 0x1b {
			t.look.step(b) // arrow keys and the like
			continue
		}
		switch b {
		case '\r', '\n':
			if len(t.line) > 0 {
				line(string(t.line))
			}
			t.line = t.line[:0]
		case 0x7f, 0x08:
			_, n := utf8.DecodeLastRune(t.line)
			t.line = t.line[:len(t.line)-n]
		case 0x15, 0x03:
			t.line = t.line[:0]
		case 0x17:
			s := strings.TrimRight(string(t.line), " ")
			t.line = t.line[:strings.LastIndexByte(s, ' ')+1]
		default:
			if b >= 0x20 && len(t.line) < most {
				t.line = append(t.line, b)
			}
		}
	}
}
