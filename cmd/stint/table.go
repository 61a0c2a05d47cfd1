package main

import (
	"strings"
)

// table is lines of columns without boxes. Cells are made printable here, so
// that no caller can forget to.
type table struct {
	heads []string
	rigid []bool // never cut: ids, and what is meant to be copied
	rows  [][]string
	marks map[string]func(paint, string) string // colours of a column, by its head
}

// newTable names the columns. A head that begins with "!" is of a column that
// is never cut.
func newTable(heads ...string) *table {
	t := &table{marks: map[string]func(paint, string) string{}}
	for _, h := range heads {
		name, rigid := strings.CutPrefix(h, "!")
		t.heads = append(t.heads, name)
		t.rigid = append(t.rigid, rigid)
	}
	return t
}

func (t *table) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = dash(printable(cell))
	}
	t.rows = append(t.rows, cells)
}

// render lays the table out in at most most columns, as far as the rigid ones
// allow: the widest of the others give way, down to their heads.
func (t *table) render(most int, p paint) string {
	widths := make([]int, len(t.heads))
	for i, h := range t.heads {
		widths[i] = width(h)
		for _, r := range t.rows {
			widths[i] = max(widths[i], width(r[i]))
		}
	}
	const gap = 2
	for sum(widths)+gap*(len(widths)-1) > most {
		widest := -1
		for i, w := range widths {
			if !t.rigid[i] && w > max(width(t.heads[i]), 8) && (widest < 0 || w > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	var b strings.Builder
	t.line(&b, t.heads, widths, func(_ int, s string) string { return p.dim(s) })
	for _, r := range t.rows {
		t.line(&b, r, widths, func(i int, s string) string {
			if mark := t.marks[t.heads[i]]; mark != nil {
				return mark(p, s)
			}
			return s
		})
	}
	return b.String()
}

func (t *table) line(b *strings.Builder, cells []string, widths []int, color func(int, string) string) {
	end := len(cells)
	for i, cell := range cells {
		cell = cutMiddle(cell, widths[i])
		b.WriteString(color(i, cell))
		if i+1 < end {
			b.WriteString(strings.Repeat(" ", widths[i]-width(cell)+2))
		}
	}
	b.WriteByte('\n')
}

func sum(list []int) (n int) {
	for _, x := range list {
		n += x
	}
	return n
}

// facts writes names and values, one fact a line; what has no value is left
// out. Values are made printable.
func facts(pairs ...string) string {
	longest := 0
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			longest = max(longest, width(pairs[i]))
		}
	}
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			b.WriteString(pairs[i] + strings.Repeat(" ", longest-width(pairs[i])+2) + printable(pairs[i+1]) + "\n")
		}
	}
	return b.String()
}
