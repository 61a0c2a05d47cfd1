package apiserver

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/broker"
	"stint/internal/policy"
	"stint/internal/web"
	"stint/internal/web/views"
	"stint/internal/web/words"
)

const (
	// resourcesShown and standingShown are how many a page lists.
	resourcesShown, standingShown = 50, 100
	// holdersShown bounds who is listed as holding a resource now.
	holdersShown = 100
)

// overseer is the visitor as they oversee resources.
func (d doors) overseer(ctx context.Context, v web.Visitor, writes bool) (broker.Caller, error) {
	c, err := d.caller(ctx, v)
	if err == nil && writes {
		err = d.writes.take(string(c.Principal.ID))
	}
	return callBy(c).asked(nil), err
}

// oversees reports whether there are resources that somebody has to look after.
func oversees(set *policy.Set, p access.Principal) bool {
	if p.Admin || p.Auditor || p.Author {
		return true
	}
	owns, _ := set.Offices(p)
	return len(owns) > 0
}

var errNoResources = access.Fail(access.Denied, "not-yours", "resources are looked after by administrators, auditors, policy authors and their owners").
	Try("see what you can ask for: stint request, or the page Request")

// Resources is a page of those that the visitor oversees.
func (d doors) Resources(ctx context.Context, v web.Visitor, query, view, after string) (views.Resources, error) {
	out := views.Resources{Query: query, View: view, After: after, ByView: map[string]int{}}
	who, err := d.overseer(ctx, v, false)
	if err != nil {
		return out, err
	}
	set, err := d.broker.Documents(ctx)
	if err != nil {
		return out, err
	}
	if !oversees(set, who.Principal) {
		return out, errNoResources
	}
	states, err := d.broker.ResourceStates(ctx, who)
	if err != nil {
		return out, err
	}
	out.Adds, out.All = who.Principal.Admin, len(states)
	asked := strings.Fields(strings.ToLower(query))
	var rows []views.ResourceRow
	for _, r := range set.Resources() {
		s, ok := states[r.Name]
		if !ok || !mentions(r, asked) {
			continue
		}
		row := toResourceRow(r, s)
		in := map[string]bool{views.AllResources: true, views.Failing: !row.Probe.At.IsZero() && !row.Probe.OK,
			views.Unchecked: row.Probe.At.IsZero(), views.WithStanding: row.Standing > 0}
		for k, is := range in {
			if is {
				out.ByView[k]++
			}
		}
		if in[view] {
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(a, b views.ResourceRow) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name))
	})
	out.Matching = len(rows)
	if kind, name, ok := strings.Cut(after, " "); ok {
		from, _ := slices.BinarySearchFunc(rows, views.ResourceRow{Type: kind, Name: name + "\x00"}, func(a, b views.ResourceRow) int {
			return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name))
		})
		rows = rows[from:]
	}
	if len(rows) > resourcesShown {
		rows = rows[:resourcesShown]
		last := rows[resourcesShown-1]
		out.Next = last.Type + " " + last.Name
	}
	out.Items = rows
	return out, nil
}

// mentions reports whether a resource is about all of some words.
func mentions(r policy.Resource, asked []string) bool {
	if len(asked) == 0 {
		return true
	}
	text := strings.ToLower(strings.Join(slices.Concat([]string{string(r.Name), r.Description, r.Type, string(r.Criticality), r.Connection.Address}, texts(r.Owners), labelTexts(r.Labels)), " "))
	return !slices.ContainsFunc(asked, func(w string) bool { return !strings.Contains(text, w) })
}

func labelTexts(labels map[string]string) (out []string) {
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, k+"="+labels[k])
	}
	return out
}

func toResourceRow(r policy.Resource, s broker.ResourceState) views.ResourceRow {
	return views.ResourceRow{Name: string(r.Name), Type: r.Type, Env: r.Labels[envLabel], Grade: string(r.Criticality), Address: r.Connection.Address,
		Owners: texts(r.Owners), Labels: labelTexts(r.Labels), Live: s.Live, Standing: s.Survey.Edges, Probe: toProbe(s.Probe)}
}

func toProbe(p access.Probe) views.Probe {
	out := views.Probe{At: p.At, By: string(p.By), OK: p.OK, Said: p.Said}
	for _, s := range p.Steps {
		out.Steps = append(out.Steps, api.CheckStep{Name: s.Name, OK: s.OK, Detail: s.Detail, Fix: s.Fix})
	}
	return out
}

// Resource is one of them.
func (d doors) Resource(ctx context.Context, v web.Visitor, name string) (views.Resource, error) {
	var out views.Resource
	who, err := d.overseer(ctx, v, false)
	if err != nil {
		return out, err
	}
	set, err := d.broker.Documents(ctx)
	if err != nil {
		return out, err
	}
	r, ok := set.Resource(access.ResourceName(name))
	if !ok {
		return out, noSuch("resource", name, namesOf(set.Resources(), func(r policy.Resource) access.ResourceName { return r.Name }))
	}
	probe, err := d.broker.LastProbe(ctx, who, r.Name) // refuses whoever does not oversee it
	if err != nil {
		return out, err
	}
	states, err := d.broker.ResourceStates(ctx, who)
	if err != nil {
		return out, err
	}
	s := states[r.Name]
	s.Probe = probe
	owns, _ := set.Offices(who.Principal)
	mine := who.Principal.Admin || slices.Contains(owns, r.Name)
	out = views.Resource{ResourceRow: toResourceRow(r, s), Description: r.Description, Credential: r.Connection.Credential,
		Checks: mine, Edits: mine || who.Principal.Author, Survey: toSurvey(s)}
	if out.Agent, err = d.agentOf(ctx, who, r, v.Base.String()); err != nil {
		return out, err
	}
	for _, k := range slices.Sorted(maps.Keys(r.Connection.Options)) {
		out.Options = append(out.Options, [2]string{k, r.Connection.Options[k]})
	}
	out.Edit = views.ResourceEdit{Owners: strings.Join(texts(r.Owners), ", "), Criticality: string(r.Criticality), Labels: strings.Join(labelTexts(r.Labels), ", ")}
	for _, e := range set.WhoCan(r.Name, "") {
		effect := map[access.Effect]string{access.Allow: words.EffectAllow, access.Approve: words.EffectApprove, access.Deny: words.EffectDeny}[e.Effect]
		if e.BreakGlass {
			effect = words.EffectGlass
		}
		x := views.Reach{Subject: string(e.Subject), Role: string(e.Role), Policy: string(e.Policy), Effect: effect}
		if e.Effect != access.Deny {
			x.Longest = api.FormatDuration(e.MaxDuration)
		}
		out.Reach = append(out.Reach, x)
	}
	if mine || who.Principal.Auditor {
		held, err := d.broker.WhoHas(ctx, who, r.Name)
		if err != nil {
			return out, err
		}
		for _, x := range held[:min(len(held), holdersShown)] {
			out.Holders = append(out.Holders, views.Holder{ID: string(x.Request.ID), Who: string(x.Grant.Principal), Role: string(x.Grant.Role), Until: x.Grant.ExpiresAt})
		}
	}
	found, err := d.broker.Standing(ctx, who, access.StandingQuery{Resource: r.Name, Limit: standingShown + 1})
	out.More = len(found) > standingShown
	out.Found = toStands(found[:min(len(found), standingShown)])
	return out, err
}

func toSurvey(s broker.ResourceState) views.Survey {
	return views.Survey{Can: s.Surveyable, Tried: !s.Survey.TriedAt.IsZero(), At: s.Survey.At, Edges: s.Survey.Edges, Accounts: s.Survey.Accounts, Said: s.Survey.Said}
}

func toStands(all []access.Standing) (out []views.Stand) {
	for _, s := range all {
		out = append(out, views.Stand{Resource: string(s.Resource), Account: s.Account, Privilege: s.Privilege, Undo: s.Undo, Note: s.Note, Since: s.FirstSeen})
	}
	return out
}

// CheckResource has it checked live.
func (d doors) CheckResource(ctx context.Context, v web.Visitor, name string) error {
	who, err := d.overseer(ctx, v, true)
	if err == nil {
		_, err = d.broker.CheckResource(ctx, who, access.ResourceName(name))
	}
	return err
}

// SurveyResource asks the target who has privileged access there.
func (d doors) SurveyResource(ctx context.Context, v web.Visitor, name string) error {
	who, err := d.overseer(ctx, v, true)
	if err == nil {
		_, err = d.broker.Survey(ctx, who, access.ResourceName(name))
	}
	return err
}

// EditResource changes what its document says of owners, criticality and labels.
func (d doors) EditResource(ctx context.Context, v web.Visitor, name string, e views.ResourceEdit) (string, error) {
	who, err := d.overseer(ctx, v, true)
	if err != nil {
		return "", err
	}
	set, err := d.broker.Documents(ctx)
	if err != nil {
		return "", err
	}
	r, ok := set.Resource(access.ResourceName(name))
	if !ok {
		return "", noSuch("resource", name, namesOf(set.Resources(), func(r policy.Resource) access.ResourceName { return r.Name }))
	}
	docs := set.Documents()
	i := slices.IndexFunc(docs, func(x policy.Document) bool { return x.Kind == policy.KindResource && x.Name == string(r.Name) })
	if i < 0 {
		return "", access.Fail(access.NotFound, "no-document", words.ResourceGone).Try(words.ResourceGoneNext)
	}
	labels, err := readLabels(e.Labels)
	if err != nil {
		return "", err
	}
	text := docs[i].Text
	for _, f := range []struct {
		key, value string
		same       bool
	}{
		{"owners", flow(list(e.Owners)), slices.Equal(list(e.Owners), texts(r.Owners))},
		{"criticality", quoted(e.Criticality), e.Criticality == string(r.Criticality)},
		{"labels", flow(labels), maps.Equal(labels, r.Labels)},
	} {
		if f.same {
			continue
		}
		if text, ok = withField(text, f.key, f.value); !ok {
			return "", access.Fail(access.Invalid, "not-editable", words.ResourceNotBlock).Because(words.ResourceNotBlockWhy).Try(words.ResourceNotBlockNext)
		}
	}
	return d.applyText(ctx, who, cmp.Or(docs[i].File, "resource-"+name+".yaml"), text)
}

// applyText applies documents as whoever sends them with the command line, and gives the
// proposal that they became.
func (d doors) applyText(ctx context.Context, who broker.Caller, file, text string) (string, error) {
	done, err := d.broker.Apply(ctx, who, []policy.File{{Name: file, Text: text}}, false)
	if err != nil {
		return "", err
	}
	if done.Proposal != nil {
		return string(done.Proposal.ID), nil
	}
	return "", nil
}

// withField puts a field of a document's own level in the place of what is there, or at
// its end. It reports false for a document whose fields are not lines of their own; that
// the outcome is what was meant, the check of documents says.
func withField(text, key, value string) (string, bool) {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "kind:") }) {
		return text, false
	}
	var out []string
	done, inside := false, false
	for _, l := range lines {
		if inside && (l == "" || strings.HasPrefix(l, " ") || strings.HasPrefix(l, "\t") || strings.HasPrefix(l, "-") && !strings.HasPrefix(l, "---") || strings.HasPrefix(l, "}") || strings.HasPrefix(l, "]")) {
			continue // of the value before
		}
		if inside = strings.HasPrefix(l, key+":"); inside {
			if done {
				return text, false
			}
			done = true
			l = key + ": " + value
		}
		out = append(out, l)
	}
	if !done {
		out = append(out, key+": "+value)
	}
	return strings.Join(out, "\n") + "\n", true
}

// quoted is a text as documents can have it: JSON is YAML.
func quoted(s string) string { return flow(s) }

func flow(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return `""` // texts always encode
	}
	return string(b)
}

// list reads texts with commas between them.
func list(s string) []string {
	out := []string{}
	for _, x := range strings.Split(s, ",") {
		if x = strings.TrimSpace(x); x != "" {
			out = append(out, x)
		}
	}
	return out
}

func readLabels(s string) (map[string]string, error) {
	out := map[string]string{}
	for _, x := range list(s) {
		k, v, ok := strings.Cut(x, "=")
		if !ok {
			return nil, access.Fail(access.Invalid, "bad-label", strconv.Quote(x)+" is no label").Because("a label is name=value").Try(words.ResourceLabelsHint)
		}
		out[strings.TrimSpace(k)] = strings.TrimSpace(v)
	}
	return out, nil
}

// Standing is a page of the standing privileges of all resources.
func (d doors) Standing(ctx context.Context, v web.Visitor, after string) (views.StandingList, error) {
	var out views.StandingList
	who, err := d.overseer(ctx, v, false)
	if err != nil {
		return out, err
	}
	q := access.StandingQuery{Limit: standingShown + 1}
	if q.After, err = standingAfter(after); err != nil {
		return out, err
	}
	found, err := d.broker.Standing(ctx, who, q)
	if err != nil {
		return out, err
	}
	states, err := d.broker.ResourceStates(ctx, who)
	if err != nil {
		return out, err
	}
	for _, name := range slices.Sorted(maps.Keys(states)) {
		s := states[name].Survey
		out.Edges, out.Accounts = out.Edges+s.Edges, out.Accounts+s.Accounts
		if s.Said != "" {
			out.Failed = append(out.Failed, string(name))
		}
	}
	if len(found) > standingShown {
		found = found[:standingShown]
		out.Next = standingCursor(found[standingShown-1].Key())
	}
	out.Items = toStands(found)
	return out, nil
}

// standingCursor is what is known of a standing privilege as an address can have it.
func standingCursor(k access.StandingKey) string {
	return base64.RawURLEncoding.EncodeToString([]byte(flow([]string{string(k.Resource), k.Account, k.Privilege})))
}

func standingAfter(s string) (access.StandingKey, error) {
	if s == "" {
		return access.StandingKey{}, nil
	}
	var parts []string
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(b, &parts)
	}
	if err != nil || len(parts) != 3 || parts[0] == "" {
		return access.StandingKey{}, access.Fail(access.Invalid, "bad-cursor", "the cursor is not one of this list").Try("use the next of the page before")
	}
	return access.StandingKey{Resource: access.ResourceName(parts[0]), Account: parts[1], Privilege: parts[2]}, nil
}

// Eligible is how to turn a standing privilege into one that is asked for: a policy for
// the user of the same name, or whom the resource maps the account to, to ask for the role
// that gives its group and least besides.
func (d doors) Eligible(ctx context.Context, v web.Visitor, resource, account, privilege string) (views.Eligible, error) {
	var out views.Eligible
	who, err := d.overseer(ctx, v, false)
	if err != nil {
		return out, err
	}
	set, err := d.broker.Documents(ctx)
	if err != nil {
		return out, err
	}
	found, err := d.broker.Standing(ctx, who, access.StandingQuery{Resource: access.ResourceName(resource), Limit: broker.StandingKept})
	if err != nil {
		return out, err
	}
	i := slices.IndexFunc(found, func(s access.Standing) bool { return s.Account == account && s.Privilege == privilege })
	if i < 0 {
		return out, access.Fail(access.NotFound, "no-such-standing", words.EligibleGone).Because(words.EligibleGoneWhy).Try(words.EligibleGoneNext)
	}
	s := found[i]
	r, _ := set.Resource(s.Resource)
	out.Stand = toStands(found[i : i+1])[0]
	user, known := d.userOf(ctx, r, account)
	out.Nobody = !known
	name := policyName("eligible-"+user, resource)
	role, ok := leastRole(set, r, s.Right)
	out.NeverLent = s.Kind != access.StandingMember
	switch {
	case ok:
		out.Text = policyText(name, resource, role, []string{"user:" + user}, true)
	case s.Kind == access.StandingMember && !strings.HasPrefix(s.Right, "pg_"):
		out.NewRole = true
		role = policyName(s.Right, resource)
		out.Text = "kind: Role\nname: " + flow(role) + "\nresources: {names: " + flow([]string{resource}) + "}\nmechanism: account\n" + r.Type + ": {memberOf: " + flow([]string{s.Right}) +
			"}\nmaxDuration: 1h\n---\n" + policyText(name, resource, role, []string{"user:" + user}, true)
	default:
		out.Text = policyText(name, resource, "ROLE", []string{"user:" + user}, true)
	}
	return out, nil
}

// userOf is the user whom an account of a target belongs to, as far as its name says.
func (d doors) userOf(ctx context.Context, r policy.Resource, account string) (string, bool) {
	for person, at := range r.Persons {
		if at == account {
			return person, true
		}
	}
	set, err := d.broker.People(ctx)
	name := strings.ToLower(account)
	if err == nil && slices.ContainsFunc(set, func(p access.Principal) bool { return p.ID.Name() == name }) {
		return name, true
	}
	return "NAME", false
}

// leastRole is the role that gives a group on a resource and the fewest besides; without a
// group, the one that gives the fewest.
func leastRole(set *policy.Set, r policy.Resource, group string) (name string, ok bool) {
	best := 0
	for _, x := range set.Roles() {
		if !x.Covers(&r) || x.Mechanism == access.Enable || group != "" && !slices.Contains(x.Rights, group) {
			continue
		}
		if !ok || len(x.Rights) < best {
			name, best, ok = string(x.Name), len(x.Rights), true
		}
	}
	return name, ok
}

// policyName makes a name of texts, as far as names go.
func policyName(parts ...string) string {
	s := strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
			return c
		}
		return '-'
	}, strings.ToLower(strings.Join(parts, "-")))
	return strings.TrimLeft(s[:min(len(s), 63)], "._-")
}

// MakeEligible applies it.
func (d doors) MakeEligible(ctx context.Context, v web.Visitor, resource, text string) (string, error) {
	who, err := d.overseer(ctx, v, true)
	if err != nil {
		return "", err
	}
	return d.applyText(ctx, who, "eligible-"+resource+".yaml", text)
}
