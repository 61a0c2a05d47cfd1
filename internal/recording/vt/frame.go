package vt

import "strings"

// Frame is what stands on a screen.
type Frame struct {
	Columns, Rows    int
	CursorX, CursorY int
	Cursor           bool // it is shown
	Lines            []Line
}

// Line is a line of the screen: its text in pieces of one style. Blanks of the default style at its end are
// left out.
type Line []Run

// Run is text of one style. Cells is how many columns it takes, which is more than its characters where
// some are wide.
type Run struct {
	Text  string
	Cells int
	Style Style
}

// Frame is what stands on the screen now.
func (t *Terminal) Frame() Frame {
	f := Frame{Columns: t.columns, Rows: t.rows, CursorX: t.cursor.x, CursorY: t.cursor.y, Cursor: !t.hideCursor}
	f.Lines = make([]Line, t.rows)
	for y := range t.lines {
		f.Lines[y] = runs(t.lines[y].all())
	}
	return f
}

func runs(line []cell) (out Line) {
	end := len(line)
	for end > 0 && line[end-1] == (cell{}) {
		end--
	}
	var b strings.Builder
	for x := 0; x < end; {
		style := line[x].style
		b.Reset()
		from := x
		for ; x < end && line[x].style == style; x++ {
			line[x].appendTo(&b)
		}
		out = append(out, Run{b.String(), x - from, style})
	}
	return out
}

// Text is the frame's text, line by line, without the blanks at their ends.
func (f Frame) Text() string {
	var b strings.Builder
	for i, l := range f.Lines {
		if i > 0 {
			b.WriteByte('\n')
		}
		line := ""
		for _, r := range l {
			line += r.Text
		}
		b.WriteString(strings.TrimRight(line, " "))
	}
	return b.String()
}
