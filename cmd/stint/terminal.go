package main

import (
	"bufio"
	"context"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"charm.land/lipgloss/v2"
	"golang.org/x/term"
)

// terminal is what is known about the three streams.
type terminal struct {
	in, out, err bool // is a terminal
	width        int  // of the terminal that tables go to
	live         bool // err can redraw a line
}

// tableWidth is the width of text where the terminal has none, and the most that is used
// where it has more: longer lines are not read.
const tableWidth = 100

// columns is how wide a line of the result may be. Where nobody looks, as in a pipe or a
// file, nothing is cut.
func (c *cli) columns() int {
	if !c.tty.out {
		return math.MaxInt
	}
	return c.tty.width
}

func (c *cli) findTerminal() terminal {
	t := terminal{in: isTerminal(c.in), out: isTerminal(c.out), err: isTerminal(c.err), width: tableWidth}
	if f, ok := isFile(c.out); ok && t.out {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			t.width = min(max(w, 40), tableWidth)
		}
	}
	t.live = t.err && c.env["TERM"] != "dumb" && c.env["ACCESSIBLE"] == "" && c.env["CI"] == ""
	return t
}

func isTerminal(x any) bool {
	f, ok := isFile(x)
	return ok && term.IsTerminal(int(f.Fd()))
}

// canAsk reports whether a person is there to answer.
func (c *cli) canAsk() bool {
	return c.tty.in && c.tty.err && !c.platformed() && c.env["STINT_NO_INPUT"] == ""
}

// confirm asks a question that only a clear yes answers.
func (c *cli) confirm(ctx context.Context, question string) (bool, error) {
	answer, err := c.prompt(ctx, question+" [y/N] ")
	switch strings.ToLower(answer) {
	case "y", "yes":
		return err == nil, err
	}
	return false, err
}

// prompt reads one line. An interruption does not wait for it.
func (c *cli) prompt(ctx context.Context, question string) (string, error) {
	_, _ = io.WriteString(c.err, question)
	type answer struct {
		text string
		err  error
	}
	got := make(chan answer, 1) // the reader may outlive an interruption, which ends the process
	go func() {
		text, err := bufio.NewReader(c.in).ReadString('\n')
		got <- answer{strings.TrimSpace(text), err}
	}()
	select {
	case <-ctx.Done():
		c.say("")
		return "", ctx.Err()
	case a := <-got:
		if a.err == io.EOF {
			c.say("")
			a.err = nil
		}
		return a.text, a.err
	}
}

// paint writes in colour, or leaves text as it is.
type paint struct{ on bool }

// choosePaint follows NO_COLOR and CLICOLOR_FORCE, and else the terminal.
func (c *cli) choosePaint(w io.Writer, tty bool) paint {
	switch {
	case c.env["NO_COLOR"] != "":
		return paint{}
	case c.env["CLICOLOR_FORCE"] != "" && c.env["CLICOLOR_FORCE"] != "0":
		return paint{on: true}
	case !tty || c.env["TERM"] == "dumb":
		return paint{}
	}
	if f, ok := w.(*os.File); ok {
		lipgloss.EnableLegacyWindowsANSI(f)
	}
	return paint{on: true}
}

func (p paint) style(s string, style lipgloss.Style) string {
	if !p.on || s == "" {
		return s
	}
	return style.Render(s)
}

func (p paint) color(s string, ansi int) string {
	return p.style(s, lipgloss.NewStyle().Foreground(lipgloss.Color(strconv.Itoa(ansi))))
}

func (p paint) bad(s string) string  { return p.color(s, 1) }
func (p paint) good(s string) string { return p.color(s, 2) }
func (p paint) warn(s string) string { return p.color(s, 3) }
func (p paint) dim(s string) string  { return p.style(s, lipgloss.NewStyle().Faint(true)) }
