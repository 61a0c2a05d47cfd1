package vt

import "unicode/utf8"

type state byte

const (
	ground state = iota
	escape
	escapeIntermediate
	control // CSI
	controlIgnored
	text // OSC, DCS, SOS, PM, APC: until ST
	textEscape
)

const (
	maxParams = 32
	maxNumber = 65535
	maxText   = 16 << 10
)

// parser takes a stream of bytes apart. Its zero value is at the beginning of one.
type parser struct {
	state  state
	params [maxParams]int // -1: not given
	sub    uint32         // bit i: parameter i belongs to the one before it (a colon)
	n      int            // of params
	prefix byte           // one of < = > ? in front of the parameters, or 0
	inter  byte           // the intermediate byte, or 0; two of them are none that we know
	length int            // of a string so far
	bell   bool           // BEL ends the string, too
	part   [utf8.UTFMax]byte
	parts  int
}

// sink is what a parser tells.
type sink interface {
	print(r rune)
	control(b byte)                 // a C0 control
	escape(inter, final byte)       // ESC …
	sequence(p *parser, final byte) // CSI …
}

const esc = 0x1b

// feed reads bytes.
func (p *parser) feed(b []byte, to sink) {
	for i := 0; i < len(b); {
		c := b[i]
		if p.state == ground && c >= 0x20 && c != 0x7f {
			if p.parts == 0 && c < utf8.RuneSelf {
				to.print(rune(c))
				i++
				continue
			}
			i += p.char(b[i:], to)
			continue
		}
		p.broken(to)
		p.byte(c, to)
		i++
	}
}

// char reads one character that is not ASCII, or a piece of one, and says how many bytes it took.
func (p *parser) char(b []byte, to sink) int {
	had := p.parts
	n := copy(p.part[had:], b)
	whole := p.part[:had+n]
	if !utf8.FullRune(whole) {
		p.parts = len(whole)
		return n
	}
	r, size := utf8.DecodeRune(whole)
	p.parts = 0
	switch {
	case r != utf8.RuneError || size > 1:
		to.print(r)
		return size - had
	case had == 0:
		to.print(utf8.RuneError)
		return 1
	}
	for range had { // as if it had come in one piece: none of these begins another character
		to.print(utf8.RuneError)
	}
	return 0
}

// broken ends a character that does not go on.
func (p *parser) broken(to sink) {
	for ; p.parts > 0; p.parts-- {
		to.print(utf8.RuneError)
	}
}

func (p *parser) byte(c byte, to sink) {
	switch {
	case p.state == text || p.state == textEscape:
		p.inText(c, to)
		return
	case c == esc:
		p.state = escape
		p.inter = 0
		return
	case c == 0x18 || c == 0x1a: // CAN and SUB break off
		p.state = ground
		return
	case c < 0x20:
		to.control(c)
		return
	case c == 0x7f:
		return
	}
	switch p.state {
	case escape, escapeIntermediate:
		p.inEscape(c, to)
	case control:
		p.inControl(c, to)
	case controlIgnored:
		if c >= 0x40 {
			p.state = ground
		}
	}
}

func (p *parser) inEscape(c byte, to sink) {
	switch {
	case c >= 0x80: // no part of a sequence
		p.state = ground
		to.print(utf8.RuneError)
	case c < 0x30:
		if p.state == escapeIntermediate {
			c = 0xff // two of them
		}
		p.inter, p.state = c, escapeIntermediate
	case p.state == escapeIntermediate:
		p.state = ground
		to.escape(p.inter, c)
	case c == '[':
		p.state, p.n, p.sub, p.prefix, p.inter = control, 0, 0, 0, 0
	case c == ']' || c == 'P' || c == 'X' || c == '^' || c == '_':
		p.state, p.length, p.bell = text, 0, c == ']'
	default:
		p.state = ground
		to.escape(0, c)
	}
}

func (p *parser) inControl(c byte, to sink) {
	switch {
	case c >= 0x80:
		p.state = ground
		to.print(utf8.RuneError)
	case c >= '0' && c <= '9' && p.inter == 0:
		if p.n == 0 {
			p.add()
		}
		if i := p.n - 1; i < maxParams {
			p.params[i] = min(max(p.params[i], 0)*10+int(c-'0'), maxNumber)
		}
	case (c == ';' || c == ':') && p.inter == 0:
		if p.n == 0 {
			p.add()
		}
		p.add()
		if c == ':' && p.n <= maxParams {
			p.sub |= 1 << (p.n - 1)
		}
	case c >= 0x3c && c <= 0x3f && p.n == 0 && p.prefix == 0 && p.inter == 0:
		p.prefix = c
	case c < 0x30 && p.inter == 0:
		p.inter = c
	case c < 0x40: // not of any sequence that we know
		p.state = controlIgnored
	default:
		p.state = ground
		p.n = min(p.n, maxParams)
		to.sequence(p, c)
	}
}

// add begins a parameter; those that are too many are read and not kept.
func (p *parser) add() {
	if p.n < maxParams {
		p.params[p.n] = -1
	}
	p.n = min(p.n+1, maxParams+1)
}

func (p *parser) inText(c byte, to sink) {
	p.length++
	switch {
	case p.state == textEscape && c == '\\', c == 0x18, c == 0x1a, p.bell && c == 0x07, p.length > maxText:
		p.state = ground
	case p.state == textEscape && c != esc: // another sequence begins where this one did not end
		p.state, p.inter = escape, 0
		p.byte(c, to)
	case c == esc:
		p.state = textEscape
	}
}

// param is a parameter, or what stands for one that is not given.
func (p *parser) param(i, otherwise int) int {
	if i >= p.n || p.params[i] < 0 {
		return otherwise
	}
	return p.params[i]
}

// count is a parameter that says how often: at least once.
func (p *parser) count() int { return max(1, p.param(0, 1)) }
