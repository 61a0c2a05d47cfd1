package chart

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
)

// TestScale: the end is at least the most, a few whole steps away, and things that are
// counted have no halves.
func TestScale(t *testing.T) {
	for _, c := range []struct{ most, end, step float64 }{{0, 1, 1}, {1, 1, 1}, {3, 3, 1}, {7, 8, 2}, {60, 60, 20}, {61, 80, 20}, {412, 600, 200}, {99999, 100000, 50000}, {0.4, 0.4, 0.1}} {
		if end, step := scale(c.most); math.Abs(end-c.end) > 1e-9 || math.Abs(step-c.step) > 1e-9 {
			t.Errorf("%v: to %v in steps of %v, want %v and %v", c.most, end, step, c.end, c.step)
		}
	}
}

// TestDraw: whatever the values and texts, the picture is well-formed, nothing in it leaves
// its frame, and every text stays text.
func TestDraw(t *testing.T) {
	const nasty = `"><script>alert(1)</script>&<`
	for name, c := range map[string]Bars{
		"none":   {Label: nasty, Series: []string{"a"}},
		"empty":  {Label: "x", Series: []string{"a"}, Bars: []Bar{{Label: "1", Values: []float64{0}}}},
		"odd":    {Label: "x", Series: []string{nasty, "b"}, Bars: []Bar{{Label: nasty, Title: nasty, Href: "javascript:alert(1)", Values: []float64{math.NaN(), math.Inf(1), 3}}, {Values: []float64{-4}}}},
		"many":   {Label: "x", Series: []string{"a"}, Bars: make([]Bar, 500)},
		"linked": {Label: "x", Series: []string{"a"}, Bars: []Bar{{Label: "1", Title: "one", Href: "/audit?x=1&y=2", Values: []float64{2}}}},
	} {
		var out strings.Builder
		if err := Draw(c).Render(t.Context(), &out); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out.String(), "<script") || strings.Contains(out.String(), "javascript:") {
			t.Errorf("%s: %s", name, out.String())
		}
		d := xml.NewDecoder(strings.NewReader("<x>" + out.String() + "</x>"))
		for {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v in %s", name, err, out.String())
			}
		}
		if strings.Contains(out.String(), "NaN") || strings.Contains(out.String(), "Inf") {
			t.Errorf("%s: %s", name, out.String())
		}
		for i := range c.Bars {
			for _, p := range c.parts(i) {
				if p.x < left || p.x+p.w > width || p.y < top-1e-6 || p.y+p.h > height-bottom+1e-6 || p.h < 0 {
					t.Errorf("%s: bar %d is at %+v", name, i, p)
				}
			}
		}
	}
}

// TestTable: the table has the numbers of the picture.
func TestTable(t *testing.T) {
	c := Bars{Series: []string{"a", "b"}, Bars: []Bar{{Label: "x", Values: []float64{1, 2.5}}, {Label: "y"}}}
	if rows := c.Rows(false); len(rows) != 2 || rows[0][2] != "2.5" || rows[1][1] != "0" || len(c.Columns("when")) != 3 {
		t.Errorf("%v", rows)
	}
	if rows := c.Rows(true); len(rows) != 1 {
		t.Errorf("%v", rows)
	}
}
