package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"stint/internal/api"
	"stint/internal/recording"
)

// player draws screens into the terminal. They are text and looks, from the server; what
// is written here is made here, of nothing but printable characters and our own sequences.
type player struct {
	c     *cli
	speed float64
	idle  time.Duration
	live  bool

	begun bool
	last  int64
	why   string
}

// show waits until a screen's time has come, and draws it.
func (p *player) show(ctx context.Context, s api.Screen) error {
	if s.End != "" {
		p.why = s.End
		return nil
	}
	if p.begun && !p.live {
		wait := time.Duration(float64(s.Millis-p.last) / p.speed * float64(time.Millisecond))
		if p.idle > 0 {
			wait = min(wait, p.idle)
		}
		t := time.NewTimer(max(0, wait))
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p.last = s.Millis
	text := ""
	if !p.begun && p.c.tty.out {
		text = "\x1b[?1049h\x1b[?7l\x1b[?25l" // the alternate screen, no wrapping, no cursor
	}
	p.begun = true
	if !p.c.tty.out {
		return p.c.write([]byte(plainScreen(s) + "\n"))
	}
	_, rows := p.size()
	return p.c.write([]byte(text + draw(s, rows, p.live)))
}

// size is the terminal's.
func (p *player) size() (columns, rows int) {
	if f, ok := isFile(p.c.out); ok {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 0 && h > 1 {
			return w, h
		}
	}
	return 80, 24
}

// leave gives the terminal back.
func (p *player) leave() {
	if p.begun && p.c.tty.out {
		_ = p.c.write([]byte("\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"))
		p.begun = false
	}
}

// end says why it ended.
func (p *player) end(err error) error {
	p.leave()
	if errors.Is(err, context.Canceled) && p.live {
		p.c.say("you do not watch any more; the session goes on")
		return nil
	}
	if err == nil && p.why != "" {
		p.c.say(printable(p.why))
	}
	return err
}

func plainScreen(s api.Screen) string {
	var b strings.Builder
	for _, l := range s.Lines {
		for _, r := range l {
			b.WriteString(printable(r.Text))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// draw makes a screen for a terminal of so many rows, the last of which says where it is.
func draw(s api.Screen, rows int, live bool) string {
	var b strings.Builder
	b.WriteString("\x1b[H")
	lines := s.Lines
	if most := rows - 1; len(lines) > most {
		lines = lines[len(lines)-most:]
	}
	for _, l := range lines {
		for _, r := range l {
			b.WriteString(look(r))
			b.WriteString(printable(r.Text))
		}
		b.WriteString("\x1b[0m\x1b[K\r\n")
	}
	b.WriteString("\x1b[J")
	state := "replay"
	if live {
		state = "live"
	}
	fmt.Fprintf(&b, "\x1b[%d;1H\x1b[0;7m %s %s · %d×%d · Ctrl-C leaves \x1b[0m", rows, state, recording.Offset(time.Duration(s.Millis)*time.Millisecond), s.Columns, s.Rows)
	return b.String()
}

// looks are the attributes of text as SGR has them.
var looks = map[rune]string{'b': "1", 'f': "2", 'i': "3", 'u': "4", 'k': "5", 'r': "7", 'h': "8", 's': "9"}

// look is the sequence that makes text look so. What is no colour makes none.
func look(r api.ScreenRun) string {
	codes := []string{"0"}
	for _, a := range r.Attrs {
		if code := looks[a]; code != "" {
			codes = append(codes, code)
		}
	}
	codes = append(codes, colourCodes("38", r.Fore)...)
	codes = append(codes, colourCodes("48", r.Back)...)
	return "\x1b[" + strings.Join(codes, ";") + "m"
}

func colourCodes(which, text string) []string {
	if hex, ok := strings.CutPrefix(text, "#"); ok && len(hex) == 6 {
		if n, err := strconv.ParseUint(hex, 16, 32); err == nil {
			return []string{which, "2", strconv.FormatUint(n>>16, 10), strconv.FormatUint(n>>8&255, 10), strconv.FormatUint(n&255, 10)}
		}
		return nil
	}
	if n, err := strconv.ParseUint(text, 10, 8); err == nil {
		return []string{which, "5", strconv.FormatUint(n, 10)}
	}
	return nil
}
