package apiserver

import (
	"cmp"
	"context"
	"maps"
	"slices"
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
