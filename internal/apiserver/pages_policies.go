package apiserver

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/broker"
	"stint/internal/policy"
	"stint/internal/web"
	"stint/internal/web/views"
	"stint/internal/web/words"
)

// What the pages of policies show at a time.
const (
	shownPolicies = 50
	shownReach    = 40
	shownCan      = 100
	longestPolicy = 256 << 10
)

// governing is the visitor as they look at policies.
func (d doors) governing(ctx context.Context, v web.Visitor) (broker.Caller, error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return broker.Caller{}, err
	}
	return callBy(c).asked(nil), nil
}

// ruleWords is a policy as words need it. text is its document.
func ruleWords(r policy.Rule, text string) words.Rule {
	q := r.Require
	out := words.Rule{Effect: r.Effect(), Yields: r.Yields, Subjects: texts(r.Subjects), Roles: texts(r.Roles), Names: texts(r.Resources.Names), Type: r.Resources.Type,
		Criticality: texts(r.Resources.Criticality), Zone: r.Zone, When: r.When, While: r.While, MinReason: q.MinReason,
		Ticket: words.RuleTicket{Pattern: q.Ticket.Pattern, From: q.Ticket.From, AnyState: q.Ticket.AnyState, Assigned: q.Ticket.Assigned, Names: q.Ticket.Names,
			Ends: q.Ticket.EndOnClose, UnknownFor: q.Ticket.UnknownFor},
		Approvals: approvalWords(q.Approvals), MaxDuration: q.MaxDuration, MFA: q.MFA, Recording: q.Recording, AnswerWithin: q.AnswerWithin, RemindAfter: q.RemindAfter,
		Live: q.Limits.Live, Pending: q.Limits.Pending,
		Extensions: words.RuleExtensions{Said: q.Extensions.Said, Max: q.Extensions.Max, By: q.Extensions.By, Own: q.Extensions.Own, Approvals: approvalWords(q.Extensions.Approvals)},
		MaxAhead:   q.MaxAhead}
	for _, k := range slices.Sorted(maps.Keys(r.Resources.Labels)) {
		out.Labels = append(out.Labels, k+" = "+r.Resources.Labels[k])
	}
	for _, f := range policy.FieldsOf(text) {
		if !worded.MatchString(f) {
			out.More = append(out.More, f)
		}
	}
	return out
}

// worded matches the fields that words has sentences for. Any other is said to be in the
// source, so that nothing is described as less than it is.
var worded = regexp.MustCompile(`^(kind|name|description|effect|unless|subjects|roles|resources\.(names|type|labels|criticality(\[\d+\])?)|zone|when|while|require` +
	`|require\.(reason(\.minLength)?|ticket\.(pattern|from|state|assigned|names|endOnClose|unknownFor)|maxDuration|mfa|recording|answerWithin|remindAfter|maxAhead|limits\.(live|pending))` +
	`|require\.(extensions\.)?approvals(\[\d+\]\.(from|count|all|level|stage|escalate\.(after|to)))?|require\.extensions\.(max|by))$`)

func approvalWords(all []policy.Approval) (out []words.RuleApproval) {
	for _, a := range all {
		out = append(out, words.RuleApproval{From: texts(a.From), Count: a.Count, All: a.All, Level: a.Level.String(), Stage: a.Stage, EscalateAfter: a.EscalateAfter, EscalateTo: texts(a.EscalateTo)})
	}
	return out
}

func policyCard(r policy.Rule, d policy.Document) views.PolicyCard {
	w := ruleWords(r, d.Text)
	return views.PolicyCard{Name: string(r.Name), Effect: r.Effect(), Description: r.Description, Sentence: w.Sentence(), Lines: w.Lines(), File: d.File, Source: r.Source}
}

// Policies are those that match all the words of a query, by file.
func (d doors) Policies(ctx context.Context, v web.Visitor, query string, after int) (views.Policies, error) {
	out := views.Policies{Query: query}
	who, err := d.governing(ctx, v)
	if err != nil {
		return out, err
	}
	set, err := d.broker.Documents(ctx)
	if err != nil {
		return out, err
	}
	out.Edits = d.broker.MayDocument(ctx, who) == nil && !who.Principal.Auditor || who.Principal.Admin || who.Principal.Author
	docs := map[string]policy.Document{}
	for _, x := range set.Documents() {
		if x.Kind == policy.KindPolicy {
			docs[x.Name] = x
		}
	}
	all := set.Policies()
	out.Empty = len(all) == 0
	wanted := strings.Fields(strings.ToLower(query))
	sources := d.broker.MayDocument(ctx, who) == nil
	all = slices.DeleteFunc(all, func(r policy.Rule) bool {
		doc := docs[string(r.Name)]
		text := doc.Text
		if !sources { // what they may not read they do not find either
			c := policyCard(r, doc)
			text = strings.Join(append(c.Lines, c.Name, c.Description, c.Sentence), " ")
		}
		text = strings.ToLower(text + " " + doc.File)
		return slices.ContainsFunc(wanted, func(w string) bool { return !strings.Contains(text, w) })
	})
	out.Total = len(all)
	from := min(max(after, 0), len(all))
	to := min(from+shownPolicies, len(all))
	if to < len(all) {
		out.Next = to
	}
	for _, r := range all[from:to] {
		card := policyCard(r, docs[string(r.Name)])
		if n := len(out.Files); n == 0 || out.Files[n-1].Name != card.File {
			out.Files = append(out.Files, views.PolicyFile{Name: card.File})
		}
		last := &out.Files[len(out.Files)-1]
		last.Policies = append(last.Policies, card)
	}
	return out, nil
}

func noPolicy() error {
	return access.Fail(access.NotFound, "no-such-policy", words.PolicyNoSuch).Try(words.PolicyNoSuchNext)
}

// Policy is one of them, with its text for whoever may write any or audits.
func (d doors) Policy(ctx context.Context, v web.Visitor, name string) (out views.PolicyPage, err error) {
	who, err := d.governing(ctx, v)
	if err != nil {
		return out, err
	}
	set, err := d.broker.Documents(ctx)
	if err != nil {
		return out, err
	}
	all := set.Policies()
	i := slices.IndexFunc(all, func(r policy.Rule) bool { return string(r.Name) == name })
	doc, ok := set.Document(policy.KindPolicy, name)
	if i < 0 || !ok {
		return out, noPolicy()
	}
	out.Card = policyCard(all[i], doc)
	out.Author = string(doc.Author)
	for _, r := range set.Reach(access.PolicyName(name)) {
		if len(out.Reach) < shownReach {
			out.Reach = append(out.Reach, string(r))
		} else {
			out.ReachMore++
		}
	}
	for _, s := range set.Schedules() {
		out.Schedules = append(out.Schedules, s.Name)
	}
	if out.Reads = d.broker.MayDocument(ctx, who) == nil; !out.Reads {
		return out, nil
	}
	shape, lacks := policy.ShapeOf(doc.Text)
	out.Edit = views.PolicyEdit{Name: name, Form: formOf(shape), Lacks: lacks, Text: doc.Text, File: doc.File, First: doc.Line, Base: set.Version(), Was: hashText(doc.Text)}
	return out, nil
}

func formOf(s policy.Shape) views.PolicyForm {
	return views.PolicyForm{Kind: string(s.Kind), Name: s.Name, Description: s.Description, Subjects: s.Subjects, Roles: s.Roles, Names: s.Names, Labels: s.Labels,
		Approvers: s.Approvers, Count: s.Count, Reason: s.Reason, Max: s.Max, MFA: s.MFA, Yields: s.Yields}
}

func shapeOf(f views.PolicyForm) policy.Shape {
	return policy.Shape{Kind: policy.ShapeKind(f.Kind), Name: f.Name, Description: f.Description, Subjects: f.Subjects, Roles: f.Roles, Names: f.Names, Labels: f.Labels,
		Approvers: f.Approvers, Count: f.Count, Reason: f.Reason, Max: f.Max, MFA: f.MFA, Yields: f.Yields}
}

func hashText(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// DraftPolicy is a policy to begin with: one of the starters, or none.
func (d doors) DraftPolicy(ctx context.Context, v web.Visitor, start string) (views.PolicyEdit, error) {
	out := views.PolicyEdit{New: true, Mode: "form", First: 1}
	who, err := d.governing(ctx, v)
	if err == nil {
		err = d.broker.MayDocument(ctx, who)
	}
	if err != nil {
		return out, err
	}
	set, err := d.broker.Documents(ctx)
	if err != nil {
		return out, err
	}
	role, schedule := "reader", "primary"
	if all := set.Roles(); len(all) > 0 {
		role = string(all[0].Name)
	}
	if all := set.Schedules(); len(all) > 0 {
		schedule = all[0].Name
	}
	s := policy.Shape{Kind: policy.ShapeAutomatic, Reason: "10", Max: "1h"}
	switch start {
	case "oncall":
		s = policy.Shape{Kind: policy.ShapeOnCall, Name: "oncall-reads-prod", Description: words.PolicyStartOnCall, Subjects: "oncall:" + schedule, Roles: role, Labels: "env=prod", Reason: "10", Max: "1h"}
	case "staging":
		s = policy.Shape{Kind: policy.ShapeAutomatic, Name: "staging-open", Description: words.PolicyStartStaging, Subjects: "group:developers", Roles: role, Labels: "env=staging", Max: "8h"}
	case "write":
		s = policy.Shape{Kind: policy.ShapeApproval, Name: "prod-write", Description: words.PolicyStartWrite, Subjects: "group:developers", Roles: role, Labels: "env=prod", Approvers: "owner", Count: "1", Reason: "10", Max: "1h"}
	}
	out.Form, out.Base = formOf(s), set.Version()
	out.Text = s.Text()
	return out, nil
}

// CheckPolicy works out what a change would do, and changes nothing. What is wrong with
// the policy is in the answer, with all that was typed.
func (d doors) CheckPolicy(ctx context.Context, v web.Visitor, e views.PolicyEdit) (views.PolicyEdit, error) {
	e.Changes, e.Problem, e.Current = nil, nil, ""
	who, err := d.governing(ctx, v)
	if err == nil {
		err = d.broker.MayDocument(ctx, who)
	}
	if err == nil {
		err = d.writes.take(string(who.Principal.ID)) // it is as much work as a change
	}
	if err != nil {
		return e, err
	}
	set, err := d.broker.Documents(ctx)
	if err != nil {
		return e, err
	}
	if e.Mode == views.PolicyDeletes {
		return d.checkDeletion(ctx, who, set, e)
	}
	if e.Mode == "form" {
		e.Text = shapeOf(e.Form).Text()
		_, e.Lacks = policy.ShapeOf(e.Text)
	} else {
		var s policy.Shape
		if s, e.Lacks = policy.ShapeOf(e.Text); len(e.Lacks) == 0 {
			e.Form = formOf(s)
		}
	}
	file, name, err := d.policyFile(set, &e)
	if err != nil {
		e.Problem = problemOf(err, frameOf(ctx).trace)
		return e, nil
	}
	if doc, ok := set.Document(policy.KindPolicy, name); ok && hashText(doc.Text) != e.Was {
		if e.New {
			e.Problem = problemOf(access.Fail(access.Conflict, "policy-exists", words.PolicyExists).Try(words.PolicyExistsNext), "")
			return e, nil
		}
		e.Current, e.Was = doc.Text, hashText(doc.Text)
		return e, nil
	}
	e.Base = set.Version()
	files := []policy.File{file}
	w, err := d.broker.WhatIf(ctx, who, files)
	if err != nil {
		return problemInEdit(e, err, frameOf(ctx).trace)
	}
	ch := &views.PolicyChanges{Diff: *toDiff(w.Version, w.Diff, w.Ends), Checked: hashText(fmt.Sprintf("%d\n%s", e.Base, e.Text))}
	ch.Diff.Partial, ch.Diff.TwoPersons, ch.Diff.Second, ch.Diff.Warnings = w.Partial, w.InForce, graves(w.Grave), problems(w.Warnings)
	r, err := d.broker.Replay(ctx, who, files, broker.MostReplayed)
	if err != nil {
		return e, err
	}
	ch.Replay = toReplay(r)
	runs, err := d.broker.RunPolicyTests(ctx, who, "", nil, files)
	if err != nil {
		return e, err
	}
	ch.Tests = testsOf(runs)
	done, err := d.broker.Apply(ctx, who, files, true)
	if ch.MayNot, err = refusal(err); err != nil {
		return e, err
	}
	ch.Alone = done.Alone
	e.Changes = ch
	return e, nil
}

// checkDeletion works out what deleting a policy would do.
func (d doors) checkDeletion(ctx context.Context, who broker.Caller, set *policy.Set, e views.PolicyEdit) (views.PolicyEdit, error) {
	doc, ok := set.Document(policy.KindPolicy, e.Name)
	if !ok {
		return e, noPolicy()
	}
	if e.Text, e.File, e.First = doc.Text, doc.File, doc.Line; hashText(doc.Text) != e.Was {
		e.Current, e.Was = doc.Text, hashText(doc.Text)
		return e, nil
	}
	e.Base = set.Version()
	w, err := d.broker.WithoutPolicy(ctx, who, access.PolicyName(e.Name))
	if err != nil {
		return problemInEdit(e, err, frameOf(ctx).trace)
	}
	ch := &views.PolicyChanges{Diff: *toDiff(w.Version, w.Diff, w.Ends), Replay: toReplay(w.Replay), Tests: testsOf(w.Tests), Alone: w.Alone,
		Checked: hashText(fmt.Sprintf("%d\ndelete %s\n%s", e.Base, e.Name, doc.Text))}
	ch.Diff.Partial, ch.Diff.TwoPersons, ch.Diff.Second, ch.Diff.Warnings = w.Partial, w.InForce, graves(w.Grave), problems(w.Warnings)
	if ch.MayNot, err = refusal(w.MayNot); err != nil {
		return e, err
	}
	e.Changes = ch
	return e, nil
}

// refusal is why somebody may not make a change, or may not make this one; what is wrong
// with the store or with us is no such thing.
func refusal(err error) (*api.Error, error) {
	switch access.KindOf(err) {
	case access.Denied, access.Conflict, access.Invalid:
		return problemOf(err, ""), nil
	}
	return nil, err
}

// problemInEdit shows what is wrong with documents beside the text; what is wrong with the
// call is an error.
func problemInEdit(e views.PolicyEdit, err error, trace string) (views.PolicyEdit, error) {
	p := problemOf(err, trace)
	if p.Kind != api.Invalid {
		return e, err
	}
	e.Problem = p
	return e, nil
}

// policyFile is what is typed as a file to apply: one policy, where it stood before. Its
// lines keep the numbers that they have there.
func (d doors) policyFile(set *policy.Set, e *views.PolicyEdit) (f policy.File, name string, err error) {
	if len(e.Text) > longestPolicy {
		return f, "", access.Fail(access.Invalid, "long-policy", words.PolicyTooLong).Try(words.PolicyTooLongNext)
	}
	e.File, e.First = "new-policy.yaml", 1
	if e.New {
		if docs, err := policy.Parse([]policy.File{{Name: "x", Text: e.Text}}); err == nil && len(docs) == 1 {
			e.File = docs[0].Name + ".yaml"
		}
	} else if doc, ok := set.Document(policy.KindPolicy, e.Name); ok {
		e.File, e.First = doc.File, doc.Line
	} else {
		return f, "", noPolicy()
	}
	f = policy.File{Name: e.File, Text: strings.Repeat("\n", e.First-1) + e.Text}
	docs, err := policy.Parse([]policy.File{f})
	if err != nil {
		return f, "", err
	}
	if len(docs) != 1 || docs[0].Kind != policy.KindPolicy || !e.New && docs[0].Name != e.Name {
		return f, "", access.Fail(access.Invalid, "other-policy", words.PolicyOtherName+cmp.Or(e.Name, words.PoliciesNew)).Try(words.PolicyOtherNameNext)
	}
	return f, docs[0].Name, nil
}

func toReplay(r broker.Rerun) api.PolicyReplay {
	out := api.PolicyReplay{Version: r.Version, Since: api.At(r.Since), Asked: r.Asked, Extensions: r.Extensions, Unknown: r.Unknown, Partial: r.Partial,
		Recorded: recorded, AsOfNow: asOfNow, Differ: []api.Replayed{}}
	for _, d := range r.Differ {
		out.Differ = append(out.Differ, api.Replayed{Request: string(d.Request), Principal: string(d.Ask.Principal.ID), Resource: string(d.Ask.Resource), Role: string(d.Ask.Role),
			Duration: api.FormatDuration(d.Ask.Duration), At: api.At(d.At), Was: outcome(d.Was), Before: toDecision(d.Before, nil), After: toDecision(d.After, nil)})
	}
	return out
}

func testsOf(runs []broker.PolicyTestRun) (out []views.PolicyTest) {
	for _, run := range runs {
		if run.Problem != "" {
			out = append(out, views.PolicyTest{Policy: string(run.Policy), Name: string(run.Policy), Why: []string{run.Problem}})
		}
		for _, r := range run.Results {
			x := views.PolicyTest{Policy: string(run.Policy), Name: r.Name, Source: r.Source, OK: r.OK, Outcome: string(outcome(r.Decision.Effect)), Why: r.Why}
			x.Reasons = append(x.Reasons, toDecision(r.Decision, nil).Reasons...)
			out = append(out, x)
		}
	}
	return out
}

// ApplyPolicy makes a change that was checked, or proposes it where that takes a second
// person: then it gives the proposal's id.
func (d doors) ApplyPolicy(ctx context.Context, v web.Visitor, e views.PolicyEdit) (name, proposal string, err error) {
	who, err := d.governing(ctx, v)
	if err == nil {
		err = d.writes.take(string(who.Principal.ID))
	}
	if err != nil {
		return "", "", err
	}
	set, err := d.broker.Documents(ctx)
	if err != nil {
		return "", "", err
	}
	var done broker.Applied
	if e.Mode == views.PolicyDeletes {
		done, err = d.broker.DeletePolicyOn(ctx, who, access.PolicyName(e.Name), e.Base)
	} else {
		var file policy.File
		if file, name, err = d.policyFile(set, &e); err != nil {
			return "", "", err
		}
		done, err = d.broker.ApplyOn(ctx, who, []policy.File{file}, e.Base)
	}
	if err != nil {
		return "", "", err
	}
	if done.Proposal != nil {
		proposal = string(done.Proposal.ID)
	}
	return name, proposal, nil
}

// PolicyTests are the tests of a policy and how they come out now; instead takes the place
// of what is kept.
func (d doors) PolicyTests(ctx context.Context, v web.Visitor, name string, instead *string) (views.PolicyTests, error) {
	out := views.PolicyTests{}
	who, err := d.governing(ctx, v)
	if err != nil {
		return out, err
	}
	kept, err := d.broker.PolicyTests(ctx, who)
	if err != nil {
		return out, err
	}
	out.Text = kept[access.PolicyName(name)].Text
	if instead != nil {
		out.Text = *instead
	}
	runs, err := d.broker.RunPolicyTests(ctx, who, access.PolicyName(name), instead, nil)
	if err != nil {
		p := problemOf(err, frameOf(ctx).trace)
		if p.Kind != api.Invalid {
			return out, err
		}
		out.Problem = p
		return out, nil
	}
	out.Results, out.Ran = testsOf(runs), true
	return out, nil
}

// KeepPolicyTests keeps tests with a policy.
func (d doors) KeepPolicyTests(ctx context.Context, v web.Visitor, name, text string) error {
	who, err := d.governing(ctx, v)
	if err == nil {
		err = d.writes.take(string(who.Principal.ID))
	}
	if err != nil {
		return err
	}
	return d.broker.SavePolicyTests(ctx, who, access.PolicyName(name), text)
}

// PolicyWho is who can have what on a resource.
func (d doors) PolicyWho(ctx context.Context, v web.Visitor, resource string, after int) (views.PolicyWho, error) {
	out := views.PolicyWho{Resource: resource}
	who, err := d.governing(ctx, v)
	if err != nil || resource == "" {
		return out, err
	}
	rows, err := d.broker.WhoCan(ctx, who, access.ResourceName(resource), "")
	if err != nil {
		p := problemOf(err, "")
		if p.Kind != api.NotFound {
			return out, err
		}
		out.Problem = p
		return out, nil
	}
	from := min(max(after, 0), len(rows))
	to := min(from+shownCan, len(rows))
	if to < len(rows) {
		out.Next = to
	}
	for _, e := range rows[from:to] {
		how := words.PolicyCanNow
		switch {
		case e.Effect == access.Deny:
			how = words.PolicyCanNever
		case e.BreakGlass:
			how = words.PolicyCanGlass
		case e.Effect == access.Approve:
			var asked []words.RuleApproval
			for _, q := range e.Approvals {
				asked = append(asked, words.RuleApproval{From: texts(q.From), Count: q.Count})
			}
			how = words.PolicyCanAfter(asked)
		}
		if e.When != "" || e.While != "" {
			how += words.PolicyCanIf
		}
		if e.Effect != access.Deny && e.MaxDuration > 0 {
			how += words.PolicyCanFor(e.MaxDuration)
		}
		out.Rows = append(out.Rows, views.PolicyCan{Who: words.Subject(string(e.Subject)), Role: string(e.Role), How: how, Policy: string(e.Policy), Source: e.Source})
	}
	return out, nil
}

// TryPolicy is what would be decided if somebody asked; administrators ask about others.
func (d doors) TryPolicy(ctx context.Context, v web.Visitor, t views.PolicyTry) (views.PolicyTry, error) {
	who, err := d.governing(ctx, v)
	if err == nil {
		err = d.writes.take(string(who.Principal.ID))
	}
	if err != nil {
		return t, err
	}
	as := principalID(t.Who)
	if as == "" {
		as = who.Principal.ID
	}
	span, err := api.ParseDuration(t.For)
	if err == nil {
		var x broker.Preview
		x, err = d.broker.PreviewOnCall(ctx, who, broker.Ask{Resource: access.ResourceName(t.Resource), Role: access.RoleName(t.Role), Duration: span, Reason: t.Reason, Ticket: t.Ticket}, as, t.OnCall)
		if err == nil {
			got := toExplanation(x)
			t.Answer = &got
			return t, nil
		}
	}
	p := problemOf(err, frameOf(ctx).trace)
	if p.Kind == api.Internal {
		return t, err
	}
	t.Problem = p
	return t, nil
}
