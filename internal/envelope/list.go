package envelope

import (
	"stint/internal/access"
	"stint/internal/connector"
)

// ResultsOf, ObservationsOf and their like are the answers of a connector for the
// wire, and back.
func ResultsOf(rs []connector.Result) []Result {
	out := make([]Result, len(rs))
	for i, r := range rs {
		out[i] = Result{uint8(r.Outcome), r.Foreign, FailureOf(r.Err)}
		if r.Outcome != connector.Done && r.Err == nil {
			out[i].Err = &Failure{Message: "no reason was given"}
		} else if r.Outcome == connector.Done {
			out[i].Err = nil
		}
	}
	return out
}

// Resulted is the result as connectors have it.
func (r Result) Resulted() connector.Result {
	return connector.Result{Outcome: connector.Outcome(r.Outcome), Foreign: r.Foreign, Err: r.Err.Err()}
}

// ObservationsOf are read-backs for the wire.
func ObservationsOf(vs []connector.Observation) []Observation {
	out := make([]Observation, len(vs))
	for i, v := range vs {
		out[i] = Observation{uint8(v.Presence), max(v.Sessions, -1), utc(v.LastActive), utc(v.Ends), v.Turned, FailureOf(v.Err)}
	}
	return out
}

// Observed is the read-back as connectors have it.
func (v Observation) Observed() connector.Observation {
	return connector.Observation{Presence: connector.Presence(v.Presence), Sessions: v.Sessions, LastActive: v.LastActive, Ends: v.Ends, Turned: v.Turned, Err: v.Err.Err()}
}

// ArtefactOf is a finding for the wire.
func ArtefactOf(a connector.Artefact) Artefact {
	return Artefact{string(a.Mechanism), a.Account, a.Right, string(a.Tag), a.Creation, a.Ours, a.Standing, a.Detail}
}

// Found is the finding as connectors have it.
func (a Artefact) Found() connector.Artefact {
	return connector.Artefact{Mechanism: access.Mechanism(a.Mechanism), Account: a.Account, Right: a.Right, Tag: access.Tag(a.Tag), Creation: a.Creation, Ours: a.Ours, Standing: a.Standing, Detail: a.Detail}
}

// StandsOf are standing accesses for the wire.
func StandsOf(found []connector.Stand) []Stand {
	out := make([]Stand, len(found))
	for i, s := range found {
		out[i] = Stand{s.Account, s.Privilege, string(s.Kind), s.Right, s.Undo, s.Note}
	}
	return out
}

// Stood is the standing access as connectors have it.
func (s Stand) Stood() connector.Stand {
	return connector.Stand{Account: s.Account, Privilege: s.Privilege, Kind: access.StandingKind(s.Kind), Right: s.Right, Undo: s.Undo, Note: s.Note}
}

// StepsOf is a report for the wire.
func StepsOf(r connector.Report) []Step {
	out := make([]Step, len(r.Steps))
	for i, s := range r.Steps {
		out[i] = Step{s.Name, s.OK, s.Detail, s.Fix}
	}
	return out
}

// ReportOf is the other way around.
func ReportOf(steps []Step) (r connector.Report) {
	for _, s := range steps {
		r.Steps = append(r.Steps, connector.Step{Name: s.Name, OK: s.OK, Detail: s.Detail, Fix: s.Fix})
	}
	return r
}
