package main

import (
	"io"
	"sync"
	"time"

	"stint/internal/moment"
)

// progress tells a person what is being waited for, on stderr. On a terminal
// one line is redrawn; elsewhere, and for screen readers, each thing that
// happens is one line with its time, and every half minute a sign of life.
type progress struct {
	c     *cli
	begin time.Time
	stop  chan struct{}
	gone  chan struct{}

	mu    sync.Mutex // guards what follows, and c.err while running
	text  string
	frame int
}

const (
	frameTime = 120 * time.Millisecond
	heartbeat = 30 * time.Second
	clearLine = "\r\x1b[K"
)

var frames = []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}

func (c *cli) startProgress() *progress {
	p := &progress{c: c, begin: c.now(), stop: make(chan struct{}), gone: make(chan struct{})}
	go p.run()
	return p
}

func (p *progress) run() {
	defer close(p.gone)
	every := heartbeat
	if p.c.tty.live {
		every = frameTime
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
			p.mu.Lock()
			if p.c.tty.live {
				p.frame++
				p.draw()
			} else if p.text != "" {
				p.line("still " + p.text + ", " + moment.Rough(p.c.now().Sub(p.begin)))
			}
			p.mu.Unlock()
		}
	}
}

// now says what is happening; the same text again is nothing new.
func (p *progress) now(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if text = printable(text); text == p.text {
		return
	}
	p.text = text
	if p.c.tty.live {
		p.draw()
	} else {
		p.line(text)
	}
}

// happened says what has happened, for good.
func (p *progress) happened(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text = printable(text)
	if p.c.tty.live {
		_, _ = io.WriteString(p.c.err, clearLine)
		p.c.say(p.c.paint.good("✓") + " " + text)
		return
	}
	p.line(text)
}

func (p *progress) line(text string) { p.c.say(p.c.now().Format("15:04:05") + " " + text) }

func (p *progress) draw() {
	if p.text == "" {
		return
	}
	text := cutEnd(p.text, p.c.tty.width-12)
	_, _ = io.WriteString(p.c.err, clearLine+frames[p.frame%len(frames)]+" "+text+" "+
		p.c.paint.dim(left(p.c.now().Sub(p.begin))))
}

// close ends the line; what is written after it begins at the left.
func (p *progress) close() {
	close(p.stop)
	<-p.gone
	if p.c.tty.live {
		_, _ = io.WriteString(p.c.err, clearLine)
	}
}
