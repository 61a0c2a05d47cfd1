package vt

import "strings"

// The largest screen.
const (
	MaxColumns = 500
	MaxRows    = 200
)

// Terminal is the screen of a terminal. It is not safe for concurrent use.
type Terminal struct {
	columns, rows int
	parser        parser
	lines         []row // of the screen that is shown
	other         []row // of the one that is not; nil: never used
	alternate     bool
	cursor        cursor
	saved         [2]cursor // of each screen
	top, bottom   int       // of the scroll region, both in it
	tabs          []bool
	insert        bool
	noWrap        bool
	newline       bool // see Newline
	hideCursor    bool
	last          rune // for REP
}

// cursor is where the next character goes, and how.
type cursor struct {
	x, y   int
	wrap   bool // the last column is written: the next character goes to the next line
	origin bool // lines count from the scroll region
	style  Style
	set    [2]bool // G0 and G1: line drawing
	shift  int     // which of them
}

// New makes an empty terminal. Sizes that no screen has are made ones.
func New(columns, rows int) *Terminal {
	t := &Terminal{}
	t.columns, t.rows = clamp(columns, 1, MaxColumns), clamp(rows, 1, MaxRows)
	t.reset()
	return t
}

func clamp(v, low, high int) int { return max(low, min(v, high)) }

func (t *Terminal) reset() {
	lines := t.lines
	*t = Terminal{columns: t.columns, rows: t.rows, newline: t.newline, bottom: t.rows - 1, tabs: tabs(t.columns)}
	if lines == nil {
		lines = blank(t.columns, t.rows)
	}
	for y := range lines {
		lines[y].wipe(cell{})
	}
	t.lines = lines
}

// row is a line of the screen. Behind used it is fill, whatever the cells hold: so a line is wiped,
// as a program may have a whole screen of them be with four bytes, without touching its cells.
type row struct {
	cells []cell
	used  int
	fill  cell
}

func (r *row) wipe(with cell) { r.used, r.fill = 0, with }

// all is the row's cells, to read and to write.
func (r *row) all() []cell {
	for ; r.used < len(r.cells); r.used++ {
		r.cells[r.used] = r.fill
	}
	return r.cells
}

func blank(columns, rows int) []row {
	all := make([]cell, columns*rows)
	lines := make([]row, rows)
	for i := range lines {
		lines[i] = row{cells: all[i*columns : (i+1)*columns : (i+1)*columns], used: columns}
	}
	return lines
}

func tabs(columns int) []bool {
	b := make([]bool, columns)
	for i := 8; i < columns; i += 8 {
		b[i] = true
	}
	return b
}

// Write shows bytes. It never fails.
func (t *Terminal) Write(b []byte) (int, error) {
	t.parser.feed(b, t)
	return len(b), nil
}

// Newline says whether a line feed also goes to the beginning of the line: so what is written into a pipe
// reads, in which no terminal makes whole line ends of it. Nothing that is shown can change it.
func (t *Terminal) Newline(on bool) { t.newline = on }

// Size is how large the screen is.
func (t *Terminal) Size() (columns, rows int) { return t.columns, t.rows }

// Resize gives the screen another size. What no longer fits is cut off at the right, and above where the
// cursor would be lost.
func (t *Terminal) Resize(columns, rows int) {
	columns, rows = clamp(columns, 1, MaxColumns), clamp(rows, 1, MaxRows)
	if columns == t.columns && rows == t.rows {
		return
	}
	up := max(0, t.cursor.y-(rows-1))
	t.lines = resized(t.lines, columns, rows, up)
	if t.other != nil {
		t.other = resized(t.other, columns, rows, 0)
	}
	t.cursor.y -= up
	t.columns, t.rows = columns, rows
	t.top, t.bottom = 0, rows-1
	t.tabs = tabs(columns)
	for _, c := range []*cursor{&t.cursor, &t.saved[0], &t.saved[1]} {
		c.x, c.y, c.wrap = clamp(c.x, 0, columns-1), clamp(c.y, 0, rows-1), false
	}
}

func resized(lines []row, columns, rows, up int) []row {
	out := blank(columns, rows)
	for y := 0; y < rows && y+up < len(lines); y++ {
		from, to := lines[y+up].all(), out[y].cells
		n := copy(to, from)
		if n < len(from) && from[n].r == behind {
			to[n-1] = cell{} // half of a wide character
		}
	}
	return out
}

func (t *Terminal) print(r rune) {
	if t.cursor.set[t.cursor.shift] && r >= '`' && r <= '~' {
		r = drawing[r-'`']
	}
	r, w := widthOf(r)
	if w == 0 {
		t.mark(r)
		return
	}
	c := &t.cursor
	if w > t.columns { // a wide one on a screen of one column
		r, w = '\ufffd', 1
	}
	if c.wrap || c.x+w > t.columns {
		if t.noWrap {
			c.x = t.columns - w
		} else {
			c.x = 0
			t.feed()
		}
		c.wrap = false
	}
	line := t.lines[c.y].all()
	if t.insert {
		t.shiftRight(c.x, w)
	}
	t.cut(line, c.x)
	t.cut(line, c.x+w)
	line[c.x] = cell{r: r, style: c.style}
	if w == 2 {
		line[c.x+1] = cell{r: behind, style: c.style}
	}
	t.last = r
	if c.x += w; c.x >= t.columns {
		c.x, c.wrap = t.columns-1, true
	}
}

// mark puts a mark on the character before the cursor; the third is dropped.
func (t *Terminal) mark(r rune) {
	if r == 0 {
		return
	}
	x := t.cursor.x - 1
	if t.cursor.wrap {
		x++
	}
	line := t.lines[t.cursor.y].all()
	if x > 0 && line[x].r == behind {
		x--
	}
	if x < 0 || line[x].r == 0 {
		return
	}
	for i := range line[x].marks {
		if line[x].marks[i] == 0 {
			line[x].marks[i] = r
			return
		}
	}
}

// cut makes sure that no wide character stands on both sides of x.
func (t *Terminal) cut(line []cell, x int) {
	if x > 0 && x < len(line) && line[x].r == behind {
		line[x-1].r, line[x-1].marks = 0, [2]rune{}
		line[x].r = 0
	}
}

func (t *Terminal) control(b byte) {
	c := &t.cursor
	switch b {
	case '\b':
		c.x, c.wrap = max(0, c.x-1), false
	case '\t':
		t.tab(1)
	case '\n', '\v', '\f':
		t.feed()
		c.wrap = false
		if t.newline {
			c.x = 0
		}
	case '\r':
		c.x, c.wrap = 0, false
	case 0x0e:
		c.shift = 1
	case 0x0f:
		c.shift = 0
	}
}

func (t *Terminal) tab(n int) {
	for ; n > 0 && t.cursor.x < t.columns-1; n-- {
		for t.cursor.x++; t.cursor.x < t.columns-1 && !t.tabs[t.cursor.x]; t.cursor.x++ {
		}
	}
	t.cursor.wrap = false
}

func (t *Terminal) backTab(n int) {
	for ; n > 0 && t.cursor.x > 0; n-- {
		for t.cursor.x--; t.cursor.x > 0 && !t.tabs[t.cursor.x]; t.cursor.x-- {
		}
	}
	t.cursor.wrap = false
}

// feed goes to the next line, and scrolls at the end of the region.
func (t *Terminal) feed() {
	switch {
	case t.cursor.y == t.bottom:
		t.scrollUp(t.top, 1)
	case t.cursor.y < t.rows-1:
		t.cursor.y++
	}
}

func (t *Terminal) reverseFeed() {
	switch {
	case t.cursor.y == t.top:
		t.scrollDown(t.top, 1)
	case t.cursor.y > 0:
		t.cursor.y--
	}
}

// scrollUp moves the lines from top to the end of the region up.
func (t *Terminal) scrollUp(top, n int) {
	region := t.lines[top : t.bottom+1]
	n = min(n, len(region))
	gone := append([]row(nil), region[:n]...)
	copy(region, region[n:])
	copy(region[len(region)-n:], gone)
	t.wipe(region[len(region)-n:])
}

func (t *Terminal) scrollDown(top, n int) {
	region := t.lines[top : t.bottom+1]
	n = min(n, len(region))
	gone := append([]row(nil), region[len(region)-n:]...)
	copy(region[n:], region)
	copy(region, gone)
	t.wipe(region[:n])
}

// background is a blank cell in the background that is in force.
func (t *Terminal) background() cell {
	return cell{style: Style{Background: t.cursor.style.Background}}
}

// wipe makes whole lines blank.
func (t *Terminal) wipe(lines []row) {
	for y := range lines {
		lines[y].wipe(t.background())
	}
}

// erase makes cells blank, in the background that is in force.
func (t *Terminal) erase(line []cell, from, to int) {
	to = min(to, t.columns)
	t.cut(line, from)
	t.cut(line, to)
	for x := from; x < to; x++ {
		line[x] = t.background()
	}
}

// shiftRight and shiftLeft move the rest of the cursor's line.
func (t *Terminal) shiftRight(x, n int) {
	line := t.lines[t.cursor.y].all()
	n = min(n, t.columns-x)
	t.cut(line, x)
	t.cut(line, t.columns-n)
	copy(line[x+n:], line[x:t.columns-n])
	t.erase(line, x, x+n)
}

func (t *Terminal) shiftLeft(x, n int) {
	line := t.lines[t.cursor.y].all()
	n = min(n, t.columns-x)
	t.cut(line, x)
	t.cut(line, x+n)
	copy(line[x:], line[x+n:])
	t.erase(line, t.columns-n, t.columns)
}

// move puts the cursor somewhere; with origin, y counts from the region and stays in it.
func (t *Terminal) move(x, y int) {
	low, high := 0, t.rows-1
	if t.cursor.origin {
		low, high = t.top, t.bottom
		y += t.top
	}
	t.cursor.x, t.cursor.y, t.cursor.wrap = clamp(x, 0, t.columns-1), clamp(y, low, high), false
}

// up and down stop at the region's ends when they begin in it.
func (t *Terminal) up(n int) {
	low := 0
	if t.cursor.y >= t.top {
		low = t.top
	}
	t.cursor.y, t.cursor.wrap = max(low, t.cursor.y-n), false
}

func (t *Terminal) down(n int) {
	high := t.rows - 1
	if t.cursor.y <= t.bottom {
		high = t.bottom
	}
	t.cursor.y, t.cursor.wrap = min(high, t.cursor.y+n), false
}

// show goes over to the other screen.
func (t *Terminal) show(alternate, clear bool) {
	if t.alternate == alternate {
		return
	}
	if t.other == nil {
		t.other = blank(t.columns, t.rows)
	}
	t.lines, t.other = t.other, t.lines
	t.alternate = alternate
	if alternate && clear {
		t.wipe(t.lines)
	}
}

func (t *Terminal) save() { t.saved[t.screen()] = t.cursor }

func (t *Terminal) restore() {
	t.cursor = t.saved[t.screen()]
	t.cursor.x, t.cursor.y = clamp(t.cursor.x, 0, t.columns-1), clamp(t.cursor.y, 0, t.rows-1)
}

func (t *Terminal) screen() int {
	if t.alternate {
		return 1
	}
	return 0
}

// Line is the text of a line of the screen, without the blanks behind it; of the cursor's line for
// y < 0.
func (t *Terminal) Line(y int) string {
	if y < 0 || y >= t.rows {
		y = t.cursor.y
	}
	var b strings.Builder
	for _, c := range t.lines[y].all() {
		c.appendTo(&b)
	}
	return strings.TrimRight(b.String(), " ")
}

func (c cell) appendTo(b *strings.Builder) {
	switch c.r {
	case behind:
		return
	case 0:
		b.WriteByte(' ')
		return
	}
	b.WriteRune(c.r)
	for _, m := range c.marks {
		if m != 0 {
			b.WriteRune(m)
		}
	}
}
