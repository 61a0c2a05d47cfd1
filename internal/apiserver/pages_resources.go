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
	"stint/internal/connector"
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

// agentOf is the agent of a resource's host; nil where the resource has none.
func (d doors) agentOf(ctx context.Context, who broker.Caller, r policy.Resource, server string) (*views.HostAgent, error) {
	if r.Connection.Credential != "" || d.hosts.Register == nil || !d.broker.Types()[r.Connection.Type].NoCredential {
		return nil, nil
	}
	h, err := d.hosts.Register.Named(ctx, r.Connection.Address)
	if err != nil && access.KindOf(err) != access.NotFound {
		return nil, err
	}
	said := d.toHost(h, nil)
	out := &views.HostAgent{State: said.State, Seen: h.SeenAt}
	if said.Silent {
		out.State = "silent"
	}
	for _, k := range h.SSHKeys {
		out.Keys = append(out.Keys, k.Fingerprint)
	}
	if !h.Enrolled() && who.Principal.Admin {
		out.Enrol = views.EnrolCommands(string(r.Name), server)
	}
	return out, nil
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

// Wizard is the form for a type.
func (d doors) Wizard(ctx context.Context, v web.Visitor, kind string) (views.Wizard, error) {
	who, err := d.overseer(ctx, v, false)
	if err != nil {
		return views.Wizard{}, err
	}
	if !who.Principal.Admin {
		return views.Wizard{}, access.Fail(access.Denied, "not-yours", "adding a resource is for administrators").Because("it registers what Stint signs in with").Try("ask an administrator")
	}
	types := d.broker.Types()
	out := views.Wizard{Types: slices.Sorted(maps.Keys(types))}
	schema, ok := types[kind]
	if !ok {
		if kind != "" {
			return out, access.Fail(access.NotFound, "no-connector", "this server has no connector of that type").Try(policy.DidYouMean(kind, out.Types))
		}
		return out, nil
	}
	out.Chosen, out.Agent = kind, schema.NoCredential
	for _, name := range slices.Sorted(maps.Keys(schema.Connection)) {
		o := schema.Connection[name]
		out.Options = append(out.Options, views.WizardOption{Name: name, Doc: o.Doc, Default: o.Default, Values: o.Values, Required: o.Required, Long: strings.Contains(o.Doc, "PEM")})
	}
	slices.SortStableFunc(out.Options, func(a, b views.WizardOption) int { return cmp.Compare(btoi(b.Required), btoi(a.Required)) })
	return out, nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// AddResource checks a resource live and adds it. Until the check has passed nothing is
// kept; and a credential that was registered for documents which are then refused goes again.
func (d doors) AddResource(ctx context.Context, v web.Visitor, n views.NewResource, password api.Secret, only bool) (web.Added, error) {
	var out web.Added
	who, err := d.overseer(ctx, v, true)
	if err != nil {
		return out, err
	}
	form, err := d.Wizard(ctx, v, n.Type)
	if err != nil {
		return out, err
	}
	set, err := d.broker.Documents(ctx)
	if err != nil {
		return out, err
	}
	if _, ok := set.Resource(access.ResourceName(n.Name)); ok {
		return out, access.Fail(access.Conflict, "name-taken", words.WizardTaken).Try(words.WizardTakenNext)
	}
	if form.Agent {
		n.Credential = ""
	} else {
		n.Credential = cmp.Or(n.Credential, n.Name+"-connector")
	}
	text, err := newDocuments(n)
	if err != nil {
		return out, err
	}
	file := "resource-" + n.Name + ".yaml"
	if _, err := d.broker.Apply(ctx, who, []policy.File{{Name: file, Text: text}}, true); err != nil {
		return out, err
	}
	if form.Agent {
		if only {
			return out, access.Fail(access.Invalid, "not-enrolled", words.WizardCheckLater).Try(words.WizardLaterNext)
		}
		out.Proposal, err = d.applyText(ctx, who, file, text)
		out.Kept = err == nil
		return out, err
	}
	registered, err := d.registered(ctx, n)
	if err != nil {
		return out, err
	}
	secret := access.NewSecret([]byte(password.Reveal()))
	if !registered && (secret.Empty() || n.Username == "") {
		return out, access.Fail(access.Invalid, "incomplete-credential", words.WizardNoPassword).Try(words.WizardNoPassNext)
	}
	at := access.Connection{Type: n.Type, Address: n.Address, Credential: n.Credential, Options: n.Options}
	rep, err := d.broker.ProbeNew(ctx, who, access.ResourceName(n.Name), at, n.Username, secret)
	if err != nil {
		return out, err
	}
	out.Report = toReport(n.Name, rep)
	if only || !rep.OK() {
		return out, nil
	}
	if !secret.Empty() {
		if err := d.broker.SetCredential(ctx, who, access.Credential{Name: n.Credential, Type: n.Type, Address: n.Address, Username: n.Username}, secret); err != nil {
			return out, err
		}
	}
	out.Proposal, err = d.applyText(ctx, who, file, text)
	if err != nil {
		if !registered {
			if gone, e := d.logins.Delete(ctx, who.Actor, true, set, n.Credential); e == nil {
				d.broker.ForgetLogin(gone)
			} else {
				d.log.Warn("a credential was registered for documents that were refused, and could not be deleted", "credential", n.Credential, "error", e)
			}
		}
		return out, err
	}
	if out.Kept = true; out.Proposal == "" {
		err = d.broker.KeepProbe(ctx, who, access.ResourceName(n.Name), rep)
	}
	return out, err
}

func toReport(name string, rep connector.Report) api.CheckReport {
	out := api.CheckReport{Resource: name, OK: rep.OK(), Steps: []api.CheckStep{}}
	for _, st := range rep.Steps {
		out.Steps = append(out.Steps, api.CheckStep{Name: st.Name, OK: st.OK, Detail: st.Detail, Fix: st.Fix})
	}
	return out
}

// registered reports whether there is a credential of that name; one that is bound
// elsewhere is refused before anything is sent anywhere.
func (d doors) registered(ctx context.Context, n views.NewResource) (bool, error) {
	all, err := d.logins.List(ctx)
	if err != nil {
		return false, err
	}
	i := slices.IndexFunc(all, func(c access.Credential) bool { return c.Name == n.Credential })
	if i < 0 {
		return false, nil
	}
	if c := all[i]; c.Type != n.Type || c.Address != n.Address {
		return true, access.Fail(access.Conflict, "credential-bound-elsewhere", "the credential "+c.Name+" is bound to another address").
			Because("it is for " + c.Type + " at " + c.Address).Try("register it under another name")
	}
	return true, nil
}

// newDocuments are the documents of a new resource.
func newDocuments(n views.NewResource) (string, error) {
	labels, err := readLabels(n.Labels)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	field := func(indent, key string, v any) { b.WriteString(indent + key + ": " + flow(v) + "\n") }
	field("", "kind", policy.KindResource)
	field("", "name", n.Name)
	field("", "type", n.Type)
	if len(labels) > 0 {
		field("", "labels", labels)
	}
	field("", "criticality", n.Criticality)
	if owners := list(n.Owners); len(owners) > 0 {
		field("", "owners", owners)
	}
	b.WriteString("connection:\n")
	field("  ", "address", n.Address)
	if n.Credential != "" {
		field("  ", "credential", n.Credential)
	}
	for _, k := range slices.Sorted(maps.Keys(n.Options)) {
		field("  ", k, n.Options[k])
	}
	groups := list(n.Groups)
	if len(groups) == 0 && (n.Who != "" || n.Groups != "") {
		return "", access.Fail(access.Invalid, "no-groups", words.WizardNoRole).Try(words.WizardNoRoleNext)
	}
	if len(groups) == 0 {
		return b.String(), nil
	}
	b.WriteString("ceiling:\n")
	field("  ", "mechanisms", []string{string(access.Account)})
	field("  ", "memberOf", groups)
	field("  ", "maxDuration", n.Longest)
	role := n.Name + "-" + cmp.Or(n.Role, "reader")
	b.WriteString("---\n")
	field("", "kind", policy.KindRole)
	field("", "name", role)
	b.WriteString("resources: {names: " + flow([]string{n.Name}) + "}\n")
	field("", "mechanism", access.Account)
	b.WriteString(n.Type + ": {memberOf: " + flow(groups) + "}\n")
	field("", "maxDuration", n.Longest)
	if who := list(n.Who); len(who) > 0 {
		b.WriteString("---\n" + policyText(role, n.Name, role, who, n.Approve))
	}
	return b.String(), nil
}

// policyText is a policy that lets somebody ask for a role on a resource.
func policyText(name, resource, role string, who []string, approve bool) string {
	var b strings.Builder
	b.WriteString("kind: Policy\nname: " + flow(name) + "\nsubjects: " + flow(who) + "\nroles: " + flow([]string{role}) + "\nresources: {names: " + flow([]string{resource}) + "}\nrequire:\n  reason: {minLength: 10}\n")
	if approve {
		b.WriteString("  approvals: [{from: [owner], count: 1}]\n")
	}
	return b.String()
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
