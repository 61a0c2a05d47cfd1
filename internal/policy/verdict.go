package policy

import (
	"fmt"
	"slices"
	"strings"

	"stint/internal/access"
)

// decision combines what was weighed. Nothing here evaluates anything; text is
// made only for what is said.
func (w *weighing) decision() access.Decision {
	switch {
	case len(w.refusals) > 0:
		return w.set.deny("", w.refusals...)
	case len(w.denying) > 0:
		return w.denied()
	case w.met != nil && len(w.over) == 0:
		return w.allowed(w.met)
	default:
		return w.nothing()
	}
}

func (w *weighing) allowed(p *path) access.Decision {
	a, r := &w.facts.ask, p.rule
	d := access.Decision{
		Effect:      access.Allow,
		Policy:      r.Name,
		Documents:   w.set.version,
		MaxDuration: capOf(w.facts.role, r, w.facts.resource),
		Emergency:   a.Emergency,
		// A principal with an end of its own is a condition too, and so is a shift.
		Conditional: w.lasting || r.while != nil || r.onCall() || !a.Principal.Until.IsZero(),
	}
	text := fmt.Sprintf("lets %s have %s on %s for up to %s", a.Principal.ID, a.Role, a.Resource, span(d.MaxDuration))
	if a.Emergency {
		text = fmt.Sprintf("lets %s break glass for %s on %s for up to %s", a.Principal.ID, a.Role, a.Resource, span(d.MaxDuration))
	}
	if w.phase == Alive {
		text = fmt.Sprintf("still lets %s have %s on %s", a.Principal.ID, a.Role, a.Resource)
	} else if len(p.approvals) > 0 {
		d.Effect, d.Approvals = access.Approve, p.approvals
		d.AnswerWithin, d.RemindAfter = r.Require.AnswerWithin, r.Require.RemindAfter
		text += ", after " + approvalText(p.approvals)
	}
	d.Reasons = []access.Reason{{Policy: r.Name, Source: r.Source, Text: text}}
	return d
}

// how says by what kind of vote, where it is not the ordinary one.
func how(l access.Level) string {
	switch l {
	case access.LevelChat:
		return " (also in chat)"
	case access.LevelPasskey:
		return " by passkey"
	case access.LevelClient:
		return " by passkey with stint approve"
	}
	return ""
}

func (w *weighing) denied() access.Decision {
	var reasons []access.Reason
	for _, m := range w.denying {
		text, line := "denies", m.rule.at.line
		switch {
		case m.doubt != "":
			text = "denies whoever is on call, and " + m.doubt
		case m.err != nil:
			line = m.by.line
			text = fmt.Sprintf("denies, because its condition could not be evaluated: %s (%s)", brief(m.by.text), m.err)
		case m.by != nil:
			text = "denies when " + brief(m.by.text)
			line = m.by.line
		}
		reasons = append(reasons, access.Reason{Policy: m.rule.Name, Source: m.rule.at.at(line), Text: text})
	}
	return w.set.deny(w.denying[0].rule.Name, cut(reasons)...)
}

// nothing says why no path leads there: the caps that hold on every path, then
// what the nearest paths ask for, then the policies whose condition fails.
func (w *weighing) nothing() access.Decision {
	a := &w.facts.ask
	var reasons []access.Reason
	var by access.PolicyName
	slices.SortStableFunc(w.unmet, func(p, q path) int { return len(p.misses) - len(q.misses) })
	reasons = append(reasons, w.over...)
	for _, p := range w.unmet {
		for _, m := range p.misses {
			reasons = append(reasons, access.Reason{Policy: p.rule.Name, Source: m.Source, Text: m.Text})
		}
	}
	if len(w.unmet) > 0 && w.met == nil {
		by = w.unmet[0].rule.Name
	}
	if len(w.unmet) == 0 && w.met == nil {
		verb := "have"
		if a.Emergency {
			verb = "break glass for"
		}
		none := access.Reason{Text: fmt.Sprintf("no policy lets %s %s %s on %s", a.Principal.ID, verb, a.Role, a.Resource)}
		reasons = append([]access.Reason{none}, reasons...)
		for _, m := range w.near {
			reasons = append(reasons, access.Reason{Policy: m.rule.Name, Source: m.rule.at.at(m.by.line), Text: m.text()})
		}
	}
	return w.set.deny(by, cut(reasons)...)
}

// text says how the condition of an allowing policy failed.
func (m match) text() string {
	if m.err != nil {
		return fmt.Sprintf("its condition could not be evaluated: %s (%s)", brief(m.by.text), m.err)
	}
	return "its condition does not hold: " + brief(m.by.text)
}

// maxReasons bounds a decision; nobody reads more, and it is stored.
const maxReasons = 8

func cut(reasons []access.Reason) []access.Reason {
	if len(reasons) <= maxReasons {
		return reasons
	}
	more := access.Reason{Text: fmt.Sprintf("and %d more", len(reasons)-maxReasons)}
	return append(slices.Clip(reasons[:maxReasons]), more)
}

// brief puts a condition on one line of bounded length.
func brief(condition string) string {
	s := []rune(strings.Join(strings.Fields(condition), " "))
	if len(s) > 160 {
		return string(s[:157]) + "..."
	}
	return string(s)
}
