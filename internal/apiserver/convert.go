package apiserver

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/approvers"
	"stint/internal/broker"
	"stint/internal/policy"
)

// toRequest is the request object of the wire, with what became of it.
func toRequest(v broker.View) api.Request {
	r := v.Request
	out := api.Request{
		ID: string(r.ID), State: api.RequestState(r.State), Principal: string(r.Principal), Resource: targets(r.Targets), Role: string(r.Role),
		Duration: api.FormatDuration(r.Duration), Reason: r.Reason, Ticket: r.Ticket, Digest: r.Digest.String(),
		Decision: toDecision(r.Decision, v.Have),
		Person:   string(r.Person), Start: api.At(r.Start), CreatedAt: api.At(r.CreatedAt), DecidedAt: api.At(r.DecidedAt), ExpiresAt: api.At(r.ExpiresAt),
		Votes: []api.Vote{}, Extends: string(r.Extends), Bundle: r.BundleText(), Emergency: string(r.Emergency), Task: string(r.Task),
	}
	if r.State == access.RequestIsGranted {
		d, _ := r.Granted()
		out.Granted = api.FormatDuration(min(d, r.Decision.MaxDuration))
	}
	for _, a := range r.Approvals {
		out.Votes = append(out.Votes, toVote(r, a))
	}
	progress(out.Decision.Approvals, r)
	for _, m := range r.Remarks {
		out.Remarks = append(out.Remarks, api.Remark{Principal: string(m.By), Person: string(m.Person), Answer: m.Answer, Text: m.Text, At: api.At(m.At)})
	}
	if v.Grant != nil {
		out.Grant = toGrant(v)
	}
	return out
}

func toGrant(v broker.View) *api.Grant {
	g := v.Grant
	out := &api.Grant{
		ID: string(g.ID), State: api.GrantState(g.State), ActiveAt: api.At(g.ActiveAt), ExpiresAt: api.At(g.ExpiresAt), EndedAt: api.At(endedAt(g)),
		VerifiedGoneAt: api.At(g.VerifiedGoneAt), EndReason: api.EndReason(g.EndReason), Overdue: g.Overdue(v.Now), Detail: detail(v),
	}
	if len(g.Targets) > 0 {
		out.Account = g.Targets[0].Account
	}
	out.Residue = api.Residue(access.SumResidue(v.Residue))
	for _, r := range v.Residue {
		if out.ResidueNote == "" {
			out.ResidueNote = r.Note
		}
		for _, t := range r.Traces {
			out.Traces = append(out.Traces, api.Trace{Kind: t.Kind, Database: t.Database, What: t.What, By: t.By, Undo: t.Undo})
		}
	}
	return out
}

// endedAt is when the right ended, which is before its removal was read back.
func endedAt(g *access.Grant) time.Time {
	if !g.EndingAt.IsZero() {
		return g.EndingAt
	}
	return g.EndedAt
}

// detail is what the state does not say by itself.
func detail(v broker.View) string {
	if v.Problem != "" {
		return v.Problem
	}
	return v.Grant.EndNote
}

func toDecision(d access.Decision, have []int) api.Decision {
	out := api.Decision{Outcome: outcome(d.Effect), Reasons: []api.Reason{}, Approvals: toApprovals(d.Approvals, have)}
	for _, r := range d.Reasons {
		out.Reasons = append(out.Reasons, api.Reason{Policy: string(r.Policy), Source: r.Source, Text: r.Text})
	}
	return out
}

func toApprovals(rs []access.Requirement, have []int) []api.Approval {
	out := []api.Approval{}
	staged := slices.ContainsFunc(rs, func(r access.Requirement) bool { return r.Stage > 1 })
	for i, r := range rs {
		a := api.Approval{From: texts(r.From), Count: r.Count, Level: r.Level.String()}
		if staged {
			a.Stage = max(r.Stage, 1)
			a.Later = a.Stage > 1
		}
		if len(r.EscalateTo) > 0 {
			a.EscalateAfter, a.EscalateTo = api.FormatDuration(r.EscalateAfter), texts(r.EscalateTo)
		}
		if i < len(have) {
			a.Have = have[i]
		}
		out = append(out, a)
	}
	return out
}

// progress says of approvals how far the request is with them.
func progress(out []api.Approval, r access.Request) {
	open := r.OpenStage()
	for i := range out {
		out[i].Later = out[i].Stage > open
	}
	for _, i := range r.Escalated {
		if i < len(out) {
			out[i].Escalated = true
		}
	}
}

func outcome(e access.Effect) api.Outcome { return api.Outcome(e.String()) }

func toVote(r access.Request, a access.Approval) api.Vote {
	v := api.Vote{Principal: string(a.By), Person: string(a.Person), OnBehalfOf: string(a.For), Approve: a.Approve, Note: a.Note, At: api.At(a.At),
		Level: a.Level.String(), Passkey: string(a.Assertion.Passkey)}
	if a.Approve && a.Duration < r.Duration {
		v.For = api.FormatDuration(a.Duration)
	}
	if a.Approve && len(a.Rights) < len(r.Permissions.Rights) {
		v.Rights = a.Rights
	}
	return v
}

func toPage(vs []broker.View, limit int, cursor func(broker.View) string) api.Page[api.Request] {
	page := api.Page[api.Request]{Items: []api.Request{}}
	for _, v := range vs {
		page.Items = append(page.Items, toRequest(v))
	}
	if len(vs) == limit && limit > 0 {
		page.Next = cursor(vs[len(vs)-1])
	}
	return page
}

// preview is a request that nobody made: what would become of the ask.
func preview(c call, a broker.Ask, x broker.Preview) api.Request {
	r := api.Request{
		Principal: string(c.Principal.ID), Person: string(c.Principal.Person), Resource: string(a.Resource), Role: string(a.Role),
		Duration: api.FormatDuration(a.Duration), Reason: a.Reason, Ticket: a.Ticket, Start: api.At(a.Start),
		Decision: toDecision(x.Decision, nil), Votes: []api.Vote{}, DryRun: true,
	}
	wouldAsk(r.Decision.Approvals, x.Asked)
	switch x.Decision.Effect {
	case access.Allow:
		r.State, r.Granted = api.RequestApproved, r.Duration
	case access.Approve:
		r.State = api.RequestPending
	default:
		r.State = api.RequestDenied
		for _, s := range x.Suggestions {
			r.Decision.Reasons = append(r.Decision.Reasons, api.Reason{Text: s})
		}
	}
	return r
}

// wouldAsk says of approvals whom they would ask.
func wouldAsk(out []api.Approval, asked []approvers.Asked) {
	for i, q := range asked {
		out[i].Asks = &api.Asks{People: []string{}, More: q.More, Answers: q.Usual.Answers, Unanswered: q.Usual.Unanswered}
		for _, p := range q.People {
			out[i].Asks.People = append(out[i].Asks.People, string(p.ID))
		}
		for _, d := range q.Delegates {
			out[i].Asks.Delegates = append(out[i].Asks.Delegates, string(d.To.ID)+" for "+string(d.For.ID))
		}
		if d := q.Usual.Median; d > 0 {
			out[i].Asks.Usual = api.FormatDuration(rough(d))
		}
	}
}

// rough is a duration as exact as it matters to who waits, and never nothing.
func rough(d time.Duration) time.Duration {
	unit := time.Second
	if d >= 10*time.Minute {
		unit = time.Minute
	}
	return max(d.Round(unit), unit)
}

func toExplanation(x broker.Preview) api.Explanation {
	out := api.Explanation{Decision: toDecision(x.Decision, nil), Documents: x.Decision.Documents, Policies: []api.RuleSaid{},
		Nearest: strings.Join(x.Suggestions, "; ")}
	wouldAsk(out.Decision.Approvals, x.Asked)
	if x.Decision.MaxDuration > 0 {
		out.MaxDuration = api.FormatDuration(x.Decision.MaxDuration)
	}
	for _, o := range x.Offers {
		out.Offers = append(out.Offers, api.Offer{Role: string(o.Role), Duration: api.FormatDuration(o.Duration)})
	}
	for _, t := range x.Trials {
		if said, concerns := toRuleSaid(t); concerns {
			out.Policies = append(out.Policies, said)
		}
	}
	return out
}

// toRuleSaid leaves out the policies that are for other roles altogether.
func toRuleSaid(t policy.Trial) (api.RuleSaid, bool) {
	said := api.RuleSaid{Policy: string(t.Policy), Source: t.Source, Effect: t.Effect, Matched: t.Outcome == policy.Matched, Text: "it applies"}
	var why []string
	for _, m := range t.Misses {
		if m.What == "role" && len(t.Misses) > 1 {
			return said, false
		}
		why = append(why, m.Text)
	}
	if len(why) > 0 {
		said.Text = strings.Join(why, "; ")
	}
	return said, true
}

func targets(ts []access.Target) string {
	var names []string
	for _, t := range ts {
		names = append(names, string(t.Resource))
	}
	return strings.Join(names, ",")
}

// texts is never nil: lists on the wire are not null.
func texts[S ~string](in []S) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = string(s)
	}
	return out
}

func source(file string, line int) string {
	if line <= 0 {
		return file
	}
	return file + ":" + strconv.Itoa(line)
}
