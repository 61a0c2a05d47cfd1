package gateway

import (
	"maps"
	"slices"
	"strings"
)

// What one report holds at most, so that the control plane takes it whatever has piled up:
// one that is refused for its size would be refused for ever, and every lease with it. What
// is too much goes with the next, soon.
const (
	mostAlarms  = 100
	mostEndings = 500
	mostLeftOut = 500
	mostNamed   = 10_000  // sessions
	mostBytes   = 4 << 20 // of alarms and endings, however their texts are escaped; the control plane takes 8 MiB

	alarmsOfSession = 100 // that wait at once; of more is told how many they are
)

// weight is more bytes than what has these texts takes in a report. Of a text no more than
// longestText is told, and JSON makes six bytes of one at most.
func weight(texts ...string) int {
	n := 512
	for _, t := range texts {
		n += 6 * min(len(t), longestText)
	}
	return n
}

// longestText is how many bytes of a text a report has; the recording has all of it.
const longestText = 1024

// draft is what is to be told now. What does not fit into it waits. A session whose ending
// waits is named as live until then, or the control plane would take it for lost.
func (g *Gateway) draft() (Report, Instant) {
	asked := g.clock.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	r := Report{Live: slices.Collect(maps.Keys(g.sessions))}
	left := mostBytes
	for _, a := range g.alarms[:min(len(g.alarms), mostAlarms)] {
		if left -= weight(a.Pattern, a.Text); left < 0 {
			break
		}
		r.Alarms = append(r.Alarms, a)
	}
	// An alarm of a session that is closed is nobody's: endings come after the alarms.
	waits := map[SessionID]bool{}
	for _, a := range g.alarms[len(r.Alarms):] {
		waits[a.Session] = true
	}
	for id, n := range g.leftOut {
		if len(r.LeftOut) == mostLeftOut {
			waits[id] = true
			continue
		}
		r.LeftOut = append(r.LeftOut, LeftOut{Session: id, Alarms: n})
	}
	for _, e := range g.ended {
		if fits := len(r.Ended) < mostEndings && left >= weight(e.Text); fits && !waits[e.Session] {
			left -= weight(e.Text)
			r.Ended = append(r.Ended, e)
			continue
		}
		r.Live = append(r.Live, e.Session)
	}
	r.Live = r.Live[:min(len(r.Live), mostNamed)]
	return r, asked
}

// told forgets what the control plane has taken, and no more than that. Where there is more
// to tell, that is soon.
func (g *Gateway) told(r Report) {
	g.mu.Lock()
	ended := map[SessionID]bool{}
	for _, e := range r.Ended {
		ended[e.Session] = true
	}
	g.ended = slices.DeleteFunc(g.ended, func(e Ending) bool { return ended[e.Session] })
	for _, a := range r.Alarms {
		if s := g.sessions[a.Session]; s != nil {
			s.alarms--
		}
	}
	g.alarms = slices.Delete(g.alarms, 0, len(r.Alarms))
	for _, x := range r.LeftOut {
		if g.leftOut[x.Session] -= x.Alarms; g.leftOut[x.Session] <= 0 {
			delete(g.leftOut, x.Session)
		}
	}
	more := g.waiting()
	g.mu.Unlock()
	if more {
		g.poke(g.renew)
	}
}

// waiting reports whether there is something to tell. Gateway.mu is held.
func (g *Gateway) waiting() bool { return len(g.ended)+len(g.alarms)+len(g.leftOut) > 0 }

// report keeps an ending until the control plane has taken it. Where too many wait,
// the latest are not kept: the control plane then learns from Report.Live that the
// sessions are not there. Gateway.mu is held.
func (g *Gateway) report(e Ending) {
	if len(g.ended) < mostReported {
		g.ended = append(g.ended, e)
	}
}

// Alarm tells the control plane that a rule matched. Of too many at once it is told how
// many more they were. What waits to be told is a copy: a text may be of megabytes.
func (s *Session) Alarm(pattern, text string) {
	a := Alarm{Session: s.ID, Pattern: pattern, Text: strings.Clone(text[:min(longestText, len(text))]), At: s.g.clock.Now().Wall}
	s.g.mu.Lock()
	if s.alarms < alarmsOfSession && len(s.g.alarms) < mostReported {
		s.alarms++
		s.g.alarms = append(s.g.alarms, a)
	} else {
		s.g.leftOut[s.ID]++
	}
	s.g.mu.Unlock()
	s.g.poke(s.g.renew)
}
