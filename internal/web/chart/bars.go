package chart

import (
	"math"
	"strconv"

	"stint/internal/web/ui"
)

// The drawing's own units; the browser scales it to the width that there is.
const (
	width, height = 720.0, 170.0
	left, bottom  = 38.0, 22.0
	top, right    = 8.0, 4.0
	marks         = 8 // labels below the bars, at most
	maxRound      = 2.0
)

// Bars is a chart of bars. Every bar has a value for each series, which stand one upon
// the other, the first at the bottom.
type Bars struct {
	Label  string   // what it is, for those who do not see it
	Series []string // what the parts of a bar are; more than one is explained above
	Bars   []Bar
	// Tones are the colours of the series, 1 to 7; where it is short, in this order.
	Tones []int
}

// Bar is one of them.
type Bar struct {
	Label  string // below it
	Title  string // the whole of it in words
	Href   string // where the numbers come from; empty without
	Values []float64
}

// Columns and Rows are the same as a table.
func (c Bars) Columns(first string) []ui.Column {
	out := []ui.Column{{Label: first}}
	for _, s := range c.Series {
		out = append(out, ui.Column{Label: s, Number: true})
	}
	return out
}

// Rows leaves out what is empty when skip is set.
func (c Bars) Rows(skip bool) [][]string {
	out := [][]string{}
	for _, b := range c.Bars {
		if skip && b.sum() == 0 {
			continue
		}
		row := []string{b.Label}
		for i := range c.Series {
			row = append(row, strconv.FormatFloat(b.at(i), 'f', -1, 64))
		}
		out = append(out, row)
	}
	return out
}

// at is a value; what is missing, negative or no number is none.
func (b Bar) at(i int) float64 {
	if i >= len(b.Values) || !(b.Values[i] > 0) || math.IsInf(b.Values[i], 0) {
		return 0
	}
	return b.Values[i]
}

func (b Bar) sum() (s float64) {
	for i := range b.Values {
		s += b.at(i)
	}
	return s
}

// role tells whether there is something to follow in it: what is inside a picture nobody
// can reach.
func (c Bars) role() string {
	for _, b := range c.Bars {
		if b.Href != "" {
			return "group"
		}
	}
	return "img"
}

func (c Bars) tone(i int) string {
	if i < len(c.Tones) && c.Tones[i] >= 1 && c.Tones[i] <= 7 {
		return "b" + strconv.Itoa(c.Tones[i])
	}
	return "b" + strconv.Itoa(i%7+1)
}

// line is one of the grid.
type line struct {
	y    float64
	text string
}

// part is a rectangle.
type part struct{ x, y, w, h float64 }

// mark is a text below a bar.
type mark struct {
	x    float64
	text string
}

// scale gives the end of the axis and its step: 1, 2 or 5 times a power of ten, in as many steps as look well.
func scale(most float64) (end, step float64) {
	if most <= 0 {
		return 1, 1
	}
	step = math.Pow(10, math.Floor(math.Log10(most/2)))
	for _, f := range []float64{1, 2, 5, 10} {
		if most <= 4*step*f {
			step *= f
			break
		}
	}
	if step < 1 && most >= 1 && most == math.Trunc(most) { // things that are counted
		step = 1
	}
	return math.Ceil(most/step) * step, step
}

func (c Bars) end() (end, step float64) {
	most := 0.0
	for _, b := range c.Bars {
		most = max(most, b.sum())
	}
	return scale(most)
}

func (c Bars) grid() (out []line) {
	end, step := c.end()
	for i := 0; float64(i)*step <= end*1.0001 && i <= 10; i++ {
		v := float64(i) * step
		out = append(out, line{y(v, end), strconv.FormatFloat(math.Round(v*1e6)/1e6, 'f', -1, 64)}) // 3 times 0.2 is a little more than 0.6
	}
	return out
}

func y(v, end float64) float64 { return top + (height-top-bottom)*(1-v/end) }

// slot is the room of one bar.
func (c Bars) slot() float64 { return (width - left - right) / float64(max(1, len(c.Bars))) }

// parts are the rectangles of a bar, by series.
func (c Bars) parts(n int) (out []part) {
	end, _ := c.end()
	slot := c.slot()
	gap := min(4, slot*0.2)
	base := 0.0
	for i := range c.Series {
		v := c.Bars[n].at(i)
		out = append(out, part{left + slot*float64(n) + gap/2, y(base+v, end), slot - gap, y(base, end) - y(base+v, end)})
		base += v
	}
	return out
}

// hit is the whole height of a bar, for a pointer.
func (c Bars) hit(n int) part {
	return part{left + c.slot()*float64(n), top, c.slot(), height - top - bottom}
}

func (c Bars) marks() (out []mark) {
	every := (len(c.Bars) + marks - 1) / marks
	for i, b := range c.Bars {
		if i%max(1, every) == 0 {
			out = append(out, mark{left + c.slot()*(float64(i)+.5), b.Label})
		}
	}
	return out
}

func num(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }
