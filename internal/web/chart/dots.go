package chart

import "math"

// Dots is a chart of single events over time: each stands at its day, as high as it took.
// The height is by powers of ten, so that what took seconds and what took a day fit in
// one picture.
type Dots struct {
	Label   string    // what it is, for those who do not see it
	From    float64   // the earliest and the latest X
	To      float64   //
	Days    []DotMark // below
	Ticks   []DotMark // heights that are named, rising, all above 0
	Target  DotMark   // a line that none should be above
	Legends [3]string // of what is within the target, over it, and still growing
	Dots    []Dot
}

// DotMark is a place on an axis with its name.
type DotMark struct {
	At   float64
	Text string
}

// Dot is one of them. Open ones are hollow and those over the target angular: colour is
// not the only difference.
type Dot struct {
	X, Y       float64
	Title      string // the whole of it in words
	Over, Open bool
}

// bounds are the least and the greatest height that is drawn.
func (c Dots) bounds() (low, high float64) {
	if len(c.Ticks) == 0 {
		return 1, 10
	}
	low, high = c.Ticks[0].At, max(c.Ticks[0].At*10, c.Target.At)
	for _, d := range c.Dots {
		if d.Y > high { // what is no number is not
			high = d.Y
		}
	}
	return low, high
}

// ticks are those up to the first that is above everything.
func (c Dots) ticks() (out []line) {
	_, high := c.bounds()
	for _, t := range c.Ticks {
		out = append(out, line{c.y(t.At), t.Text})
		if t.At >= high {
			break
		}
	}
	return out
}

// y is how far down a height is. What is no number, or below the least, is at the bottom.
func (c Dots) y(v float64) float64 {
	low, high := c.bounds()
	for _, t := range c.Ticks { // the axis ends with a tick
		if t.At >= high {
			high = t.At
			break
		}
	}
	if !(v > low) || high <= low {
		return height - bottom
	}
	return y(min(1, math.Log10(v/low)/math.Log10(high/low)), 1)
}

func (c Dots) x(v float64) float64 {
	if !(c.To > c.From) || !(v > c.From) {
		return left
	}
	return left + (width-left-right)*min(1, (v-c.From)/(c.To-c.From))
}

// diamond is a square on its corner.
func diamond(x, y float64) string {
	const r = 5
	return num(x) + "," + num(y-r) + " " + num(x+r) + "," + num(y) + " " + num(x) + "," + num(y+r) + " " + num(x-r) + "," + num(y)
}
