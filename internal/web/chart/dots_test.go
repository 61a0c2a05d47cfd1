package chart

import (
	"math"
	"strings"
	"testing"
)

// TestDots: heights rise by powers of ten, nothing leaves the picture, and what is over
// the target or still grows looks different without its colour.
func TestDots(t *testing.T) {
	c := Dots{Label: "<x>", From: 0, To: 10, Target: DotMark{10, "target"}, Legends: [3]string{"a", "b", "c"},
		Ticks: []DotMark{{0.1, "0.1 s"}, {1, "1 s"}, {10, "10 s"}, {100, "100 s"}, {1000, "1000 s"}, {10000, "far"}},
		Dots:  []Dot{{X: 5, Y: 1, Title: "one"}, {X: 20, Y: 500, Over: true, Title: "</title><script>"}, {X: -1, Y: math.NaN(), Open: true}}}
	if bottomOf, one, ten, hundred := c.y(0), c.y(1), c.y(10), c.y(100); bottomOf != height-bottom || math.Abs((one-ten)-(ten-hundred)) > 1e-9 || c.y(1e9) != top {
		t.Errorf("heights: %v %v %v %v, most %v", bottomOf, one, ten, hundred, c.y(1e9))
	}
	var out strings.Builder
	if err := DrawDots(c).Render(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	if strings.Contains(text, "far") || strings.Contains(text, "NaN") || strings.Contains(text, "<script>") || !strings.Contains(text, `aria-label="&lt;x&gt;"`) {
		t.Errorf("the picture: %s", text)
	}
	for _, want := range []string{`<circle class="dot-ok"`, `<polygon class="dot-over"`, `<circle class="dot-open"`, ">1000 s<"} {
		if !strings.Contains(text, want) {
			t.Errorf("the picture has no %s", want)
		}
	}
}
