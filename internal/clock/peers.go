package clock

import "time"

// View is what one host last wrote about the clocks as it sees them.
type View struct {
	Host string // its boot: replicas on one host have one clock, and one vote
	Beat int64  // goes up with each view
	// Wall is what the authority said when the view was written, and Skew by how
	// much the host's own clock was ahead of that.
	Wall time.Time
	Skew time.Duration
}

// Alive is how long a host counts after its last view.
const Alive = 15 * time.Second

// Peers remembers whom it heard and when, on its own monotonic clock: what the
// others write of time may be wrong, that they write is not. The zero value
// has heard nobody.
type Peers struct {
	heard map[string]heard
}

type heard struct {
	view   View
	at     time.Duration
	moving bool // it wrote since we listen
}

// Hear takes the newest views of all hosts.
func (p *Peers) Hear(views []View, mono time.Duration) {
	if p.heard == nil {
		p.heard = map[string]heard{}
	}
	for _, v := range views {
		h, known := p.heard[v.Host]
		switch {
		case !known:
			p.heard[v.Host] = heard{view: v, at: mono}
		case v.Beat != h.view.Beat:
			p.heard[v.Host] = heard{view: v, at: mono, moving: true}
		}
	}
	for host, h := range p.heard {
		if mono-h.at > Alive {
			delete(p.heard, host)
		}
	}
}

// Lives reports whether a host wrote since we listen, and not too long ago. One
// that was only read once may have died before.
func (p *Peers) Lives(host string, mono time.Duration) bool {
	h := p.heard[host]
	return h.moving && mono-h.at <= Alive
}

// Agree reports whether the hosts vouch for a wall that one line does not
// believe: at least two, and more than half of those that live, have seen the
// authority say this time, and have clocks of their own that say the same.
func (p *Peers) Agree(wall time.Time, mono time.Duration) bool {
	living, vouch := 0, 0
	for host, h := range p.heard {
		if !p.Lives(host, mono) {
			continue
		}
		living++
		saw := wall.Sub(h.view.Wall.Add(mono - h.at)) // else it is of before the jump
		if saw.Abs() <= Near && h.view.Skew.Abs() <= Uncertainty {
			vouch++
		}
	}
	return vouch >= 2 && 2*vouch > living
}
