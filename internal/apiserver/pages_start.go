package apiserver

import (
	"context"
	"slices"
	"strings"

	"stint/internal/access"
	"stint/internal/audit"
	"stint/internal/broker"
	"stint/internal/policy"
	"stint/internal/web"
	"stint/internal/web/views"
	"stint/internal/web/words"
)

// startLooks bounds how many requests and records are looked at for one line.
const startLooks = 200

// Start looks at how far a new installation is. Nothing of it is remembered: each line is
// what the store, the documents and the log say now.
func (d doors) Start(ctx context.Context, v web.Visitor) (views.Start, error) {
	var out views.Start
	c, err := d.caller(ctx, v)
	if err != nil {
		return out, err
	}
	who := callBy(c).asked(nil)
	if !c.Principal.Admin {
		return out, access.Fail(access.Denied, "not-yours", "the list for a new installation is for administrators").Because(string(c.Principal.ID) + " is not one").Try("your own page shows what you can do: /")
	}
	if out.Away, err = d.broker.StartAway(ctx); err != nil {
		return out, err
	}
	set, err := d.broker.Documents(ctx)
	if err != nil {
		return out, err
	}
	for _, line := range []func(context.Context, broker.Caller, *policy.Set) (views.StartLine, error){d.startSignIn, d.startResource, d.startApprovers, d.startMessage, d.startRequest, d.startRestore} {
		l, err := line(ctx, who, set)
		if err != nil {
			d.log.Warn("a line of the list for new installations cannot be told", "line", l.Key, "error", err)
			l.Unknown, l.Done = true, false
		}
		out.Lines = append(out.Lines, l)
	}
	return out, nil
}

// startSignIn: there is a provider, or whoever looks has a passkey.
func (d doors) startSignIn(ctx context.Context, who broker.Caller, _ *policy.Set) (views.StartLine, error) {
	l := views.StartLine{Key: "sign-in", Title: words.StartSignIn, Note: words.StartSignInN, Href: "/passkeys", Label: words.RailPasskeys, Command: "stint apply -f sign-in.yaml"}
	ways, err := d.providers(ctx)
	if err != nil {
		return l, err
	}
	keys, err := d.broker.OwnPasskeys(ctx, who)
	l.Done = len(ways) > 0 || keys > 0
	return l, err
}

// startResource: the last probe of some resource passed.
func (d doors) startResource(ctx context.Context, who broker.Caller, set *policy.Set) (views.StartLine, error) {
	l := views.StartLine{Key: "resource", Title: words.StartFirst, Note: words.StartFirstN, Href: "/resources/new", Label: words.ResourcesAdd}
	states, err := d.broker.ResourceStates(ctx, who)
	for name, s := range states {
		if s.Probe.OK {
			l.Done, l.Said = true, string(name)
		} else if !l.Done && !s.Probe.At.IsZero() {
			l.Said = string(name) + ": " + s.Probe.Said
		}
	}
	if len(set.Resources()) > 0 {
		l.Href, l.Label = "/resources", words.ResourcesTitle
	}
	return l, err
}

// startApprovers: two persons who can sign in are named by approvals of policies.
func (d doors) startApprovers(ctx context.Context, _ broker.Caller, set *policy.Set) (views.StartLine, error) {
	l := views.StartLine{Key: "approvers", Title: words.StartApprove, Note: words.StartApproveN, Href: "/policies", Label: words.Policies}
	people, err := d.broker.People(ctx)
	if err != nil {
		return l, err
	}
	var asked []access.Subject
	for _, r := range set.Resources() {
		for _, e := range set.WhoCan(r.Name, "") {
			for _, a := range e.Approvals {
				asked = append(asked, a.From...)
			}
		}
	}
	slices.Sort(asked) // the same few are named for many resources
	asked = slices.Compact(asked)
	persons := map[access.Person]bool{}
	var names []string
	for _, p := range people {
		if p.Usable(d.now()) == nil && !persons[p.Person] && slices.ContainsFunc(asked, p.In) {
			persons[p.Person] = true
			names = append(names, p.ID.Name())
		}
	}
	if len(names) > 0 {
		slices.Sort(names)
		l.Said = words.StartPeople(strings.Join(names[:min(len(names), 5)], ", "))
	}
	l.Done = len(persons) >= 2
	return l, nil
}

// startMessage: a test message was sent and arrived, by an integration that is still there.
func (d doors) startMessage(ctx context.Context, _ broker.Caller, set *policy.Set) (views.StartLine, error) {
	l := views.StartLine{Key: "message", Title: words.StartMessage, Note: words.StartMessageN, Href: "/settings", Label: words.Settings}
	err := d.inLog(ctx, LogQuery{Type: broker.IntegrationTested}, func(ev access.Event) {
		if i, ok := set.Integration(ev.Facts["integration"]); ok {
			if l.Done = l.Done || ev.Facts["ok"] == "yes"; l.Done {
				l.Said = i.Name
			}
		}
	})
	return l, err
}

// startRequest: whoever looks asked, and another person's yes granted it.
func (d doors) startRequest(ctx context.Context, who broker.Caller, _ *policy.Set) (views.StartLine, error) {
	l := views.StartLine{Key: "request", Title: words.StartRequest, Note: words.StartRequestN, Href: "/request", Label: words.TitleAsk}
	mine, err := d.broker.Requests(ctx, who, access.RequestQuery{Principal: who.Principal.ID, Limit: startLooks})
	for _, x := range mine {
		if x.Grant == nil || x.Grant.ActiveAt.IsZero() || l.Done {
			continue
		}
		for _, a := range x.Request.Approvals {
			if a.Approve && a.Person != who.Principal.Person {
				l.Done, l.Said = true, string(a.By)
			}
		}
	}
	return l, err
}

// startRestore: the log has a restore.
func (d doors) startRestore(ctx context.Context, _ broker.Caller, _ *policy.Set) (views.StartLine, error) {
	l := views.StartLine{Key: "restore", Title: words.StartRestore, Note: words.StartRestoreN, Command: "stint admin backup --out stint.backup"}
	err := d.inLog(ctx, LogQuery{Type: broker.InstallationRestored, Entity: broker.Installation}, func(access.Event) { l.Done = true })
	return l, err
}

// inLog tells of the records that a query selects, of the first so many.
func (d doors) inLog(ctx context.Context, q LogQuery, tell func(access.Event)) error {
	q.After, q.Limit = -1, startLooks
	recs, err := d.audit.Records(ctx, q)
	for _, r := range recs {
		rec, err := audit.Decode(r.Encoded)
		if err != nil {
			return err
		}
		tell(rec.Event)
	}
	return err
}

// PutStartAway puts the list away.
func (d doors) PutStartAway(ctx context.Context, v web.Visitor) error {
	who, err := d.overseer(ctx, v, true)
	if err != nil {
		return err
	}
	return d.broker.PutStartAway(ctx, who)
}
