package vt

func (t *Terminal) escape(inter, final byte) {
	switch {
	case inter == '(' || inter == ')':
		t.cursor.set[inter-'('] = final == '0'
	case inter == '#' && final == '8': // a screen full of E, to adjust the tube
		for y := range t.lines {
			t.lines[y].wipe(cell{r: 'E'})
		}
		t.move(0, 0)
	case inter != 0:
	case final == 'D':
		t.feed()
	case final == 'E':
		t.cursor.x = 0
		t.feed()
	case final == 'M':
		t.reverseFeed()
	case final == 'H':
		t.tabs[t.cursor.x] = true
	case final == '7':
		t.save()
	case final == '8':
		t.restore()
	case final == 'c':
		p := t.parser // which is in the middle of its work
		t.reset()
		t.parser = p
	}
}

func (t *Terminal) sequence(p *parser, final byte) {
	switch {
	case p.inter == '!' && final == 'p': // soft reset
		t.cursor = cursor{x: t.cursor.x, y: t.cursor.y}
		t.top, t.bottom, t.insert, t.noWrap, t.hideCursor = 0, t.rows-1, false, false, false
		return
	case p.inter != 0:
		return
	case p.prefix == '?':
		if final == 'h' || final == 'l' {
			for i := range p.n {
				t.mode(p.param(i, 0), final == 'h')
			}
			return
		}
		if final != 'J' && final != 'K' { // these erase all the same
			return
		}
	case p.prefix != 0:
		return
	}
	n, c := p.count(), &t.cursor
	switch final {
	case 'A':
		t.up(n)
	case 'B', 'e':
		t.down(n)
	case 'C', 'a':
		c.x, c.wrap = min(t.columns-1, c.x+n), false
	case 'D':
		c.x, c.wrap = max(0, c.x-n), false
	case 'E':
		t.down(n)
		c.x = 0
	case 'F':
		t.up(n)
		c.x = 0
	case 'G', '`':
		c.x, c.wrap = min(t.columns, n)-1, false
	case 'H', 'f':
		t.move(max(1, p.param(1, 1))-1, n-1)
	case 'd':
		t.move(c.x, n-1)
	case 'I':
		t.tab(n)
	case 'Z':
		t.backTab(n)
	case 'J':
		t.eraseScreen(p.param(0, 0))
	case 'K':
		t.eraseLine(p.param(0, 0))
	case 'X':
		t.erase(t.lines[c.y].all(), c.x, c.x+n)
		c.wrap = false
	case '@':
		t.shiftRight(c.x, n)
		c.wrap = false
	case 'P':
		t.shiftLeft(c.x, n)
		c.wrap = false
	case 'L', 'M':
		if c.y < t.top || c.y > t.bottom {
			return
		}
		if final == 'L' {
			t.scrollDown(c.y, n)
		} else {
			t.scrollUp(c.y, n)
		}
		c.x, c.wrap = 0, false
	case 'S':
		t.scrollUp(t.top, n)
	case 'T':
		if p.n <= 1 { // with more it is for a mouse
			t.scrollDown(t.top, n)
		}
	case 'b':
		if t.last != 0 {
			for range min(n, t.columns) { // who repeats, does so in a line
				t.print(t.last)
			}
		}
	case 'g':
		switch p.param(0, 0) {
		case 0:
			t.tabs[c.x] = false
		case 3:
			clear(t.tabs)
		}
	case 'h', 'l':
		for i := range p.n {
			if p.param(i, 0) == 4 {
				t.insert = final == 'h'
			}
		}
	case 'm':
		t.style(p)
	case 'r':
		top, bottom := max(1, p.param(0, 1))-1, p.param(1, t.rows)-1
		if bottom < 0 || bottom >= t.rows {
			bottom = t.rows - 1
		}
		if top < bottom {
			t.top, t.bottom = top, bottom
			t.move(0, 0)
		}
	case 's':
		t.save()
	case 'u':
		t.restore()
	}
}

func (t *Terminal) eraseScreen(what int) {
	y := t.cursor.y
	from, to := y, y // of whole lines
	switch what {
	case 0:
		t.erase(t.lines[y].all(), t.cursor.x, t.columns)
		from, to = y+1, t.rows
	case 1:
		t.erase(t.lines[y].all(), 0, t.cursor.x+1)
		from, to = 0, y
	case 2:
		from, to = 0, t.rows
	}
	t.wipe(t.lines[from:to])
	t.cursor.wrap = false
}

func (t *Terminal) eraseLine(what int) {
	line := t.lines[t.cursor.y].all()
	switch what {
	case 0:
		t.erase(line, t.cursor.x, t.columns)
	case 1:
		t.erase(line, 0, t.cursor.x+1)
	case 2:
		t.erase(line, 0, t.columns)
	}
	t.cursor.wrap = false
}

// mode sets one of DEC's modes, or xterm's.
func (t *Terminal) mode(m int, on bool) {
	switch m {
	case 6:
		t.cursor.origin = on
		t.move(0, 0)
	case 7:
		t.noWrap = !on
	case 25:
		t.hideCursor = !on
	case 47, 1047:
		t.show(on, m == 1047)
	case 1048:
		if on {
			t.save()
		} else {
			t.restore()
		}
	case 1049:
		if on == t.alternate {
			return
		}
		if on {
			t.save()
			t.show(true, true)
		} else {
			t.show(false, false)
			t.restore()
		}
	}
}

// style is SGR.
func (t *Terminal) style(p *parser) {
	s := &t.cursor.style
	if p.n == 0 {
		*s = Style{}
	}
	for i := 0; i < p.n; i++ {
		v := p.param(i, 0)
		subs := 0 // that belong to v
		for i+subs+1 < p.n && p.sub&(1<<(i+subs+1)) != 0 {
			subs++
		}
		switch {
		case v == 0:
			*s = Style{}
		case v == 4 && subs > 0 && p.param(i+1, 1) == 0:
			s.Attributes &^= Underline
		case v >= 1 && v <= 9:
			s.Attributes |= [...]Attributes{Bold, Faint, Italic, Underline, Blink, Blink, Inverse, Hidden, Struck}[v-1]
		case v == 21:
			s.Attributes |= Underline
		case v == 22:
			s.Attributes &^= Bold | Faint
		case v >= 23 && v <= 29:
			s.Attributes &^= [...]Attributes{Italic, Underline, Blink, 0, Inverse, Hidden, Struck}[v-23]
		case v >= 30 && v <= 37:
			s.Foreground = Color(v - 30 + 1)
		case v == 39:
			s.Foreground = 0
		case v >= 40 && v <= 47:
			s.Background = Color(v - 40 + 1)
		case v == 49:
			s.Background = 0
		case v >= 90 && v <= 97:
			s.Foreground = Color(v - 90 + 8 + 1)
		case v >= 100 && v <= 107:
			s.Background = Color(v - 100 + 8 + 1)
		case v == 38 || v == 48 || v == 58:
			c, used := color(p, i+1, subs)
			if v == 38 && c != none {
				s.Foreground = c
			} else if v == 48 && c != none {
				s.Background = c
			}
			subs = max(subs, used)
		}
		i += subs
	}
}

// none is a colour that is not of its form.
const none Color = 1<<32 - 1

// color reads 5;N or 2;R;G;B, also in the form with colons and a colour space, and says how many
// parameters it took.
func color(p *parser, i, subs int) (Color, int) {
	switch p.param(i, -1) {
	case 5:
		if n := p.param(i+1, -1); n >= 0 && n <= 255 {
			return Color(n + 1), 2
		}
		return none, 2
	case 2:
		at := i + 1
		if subs >= 5 {
			at++
		}
		c := rgb
		for j := range 3 {
			v := p.param(at+j, 0)
			if v > 255 {
				return none, 4
			}
			c = c | Color(v)<<(8*(2-j))
		}
		return c, 4
	}
	return none, 0
}
