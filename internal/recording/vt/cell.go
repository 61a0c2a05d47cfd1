package vt

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// Color is one of the terminal's: 0 is its default, else 1 + the number in the palette of 256, or
// RGB.
type Color uint32

// rgb is set in a Color that is not of the palette.
const rgb Color = 1 << 24

// RGB says whether a colour is given by its parts, and which.
func (c Color) RGB() (r, g, b uint8, ok bool) {
	return uint8(c >> 16), uint8(c >> 8), uint8(c), c&rgb != 0
}

// Palette says whether a colour is of the palette, and which.
func (c Color) Palette() (uint8, bool) { return uint8(c - 1), c&rgb == 0 && c != 0 }

// Attributes of a character.
type Attributes uint8

const (
	Bold Attributes = 1 << iota
	Faint
	Italic
	Underline
	Blink
	Inverse
	Hidden
	Struck
)

// Style is how a character looks.
type Style struct {
	Foreground, Background Color
	Attributes             Attributes
}

// cell is one place of the screen. Its zero value is a blank one. Behind a wide character
// stands a cell whose rune is behind.
type cell struct {
	r     rune
	marks [2]rune
	style Style
}

const behind rune = -1

// widthOf is how many cells a character takes: 0 is a mark on the one before. What must not be
// shown as it is has become U+FFFD, or 0 where nothing is lost with it.
func widthOf(r rune) (rune, int) {
	switch {
	case r < 0x7f: // never a control: the parser takes those
		return r, 1
	case r == '\u00ad': // a soft hyphen is one on a terminal
		return '-', 1
	case r == '\u200b' || r == '\u200c' || r == '\u200d' || r == '\u2060' || r == '\ufeff':
		return 0, 0 // joins and breaks nothing in cells
	case r < 0xa0, !utf8.ValidRune(r), unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Cs), noncharacter(r):
		return utf8.RuneError, 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return r, 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return r, 2
	}
	return r, 1
}

func noncharacter(r rune) bool { return r&0xfffe == 0xfffe || r >= 0xfdd0 && r <= 0xfdef }

// drawing is the set of line drawing characters of a VT100, from '`' on.
var drawing = []rune("◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·")
