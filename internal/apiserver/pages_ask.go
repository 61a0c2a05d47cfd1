package apiserver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/broker"
	"stint/internal/ident"
	"stint/internal/policy"
	"stint/internal/shell"
	"stint/internal/web"
	"stint/internal/web/views"
)

// Catalogue is what the visitor could ask for, and the bundles that there are.
func (d doors) Catalogue(ctx context.Context, v web.Visitor) ([]views.Choice, []views.NamedBundle, error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return nil, nil, err
	}
	set, err := d.broker.Documents(ctx)
	if err != nil {
		return nil, nil, err
	}
	var all []views.Choice
	for _, o := range set.Catalogue(c.Principal, d.now()) {
		x := views.Choice{Name: string(o.Name), Description: o.Description, Type: o.Type, Env: o.Labels[envLabel], Grade: string(o.Criticality), Owners: texts(o.Owners)}
		for _, r := range o.Roles {
			x.Roles = append(x.Roles, views.RoleChoice{Name: string(r.Role), Description: r.Description, Votes: r.Votes, Longest: r.Longest})
		}
		all = append(all, x)
	}
	var kits []views.NamedBundle
	for _, b := range set.Bundles() {
		kits = append(kits, views.NamedBundle{Name: b.Name, Description: b.Description, Parts: toBundle(b).Parts})
	}
	return all, kits, nil
}

// Devices are where the visitor could use what they ask for.
func (d doors) Devices(ctx context.Context, v web.Visitor) ([]views.Place, error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return nil, err
	}
	all, err := d.devices(ctx, c)
	var out []views.Place
	for _, l := range all {
		out = append(out, views.Place{ID: string(l.Device), Client: l.Client, Mark: api.DeviceMark(string(l.Device)), Since: api.At(l.CreatedAt)})
	}
	return out, err
}

// asker is the visitor as they ask on a page: from where their browser is and as they
// signed in there, for a device of theirs.
func (d doors) asker(ctx context.Context, c ident.Caller, device string) (broker.Caller, error) {
	who := callBy(c).asked(nil)
	all, err := d.devices(ctx, c)
	if err != nil {
		return who, err
	}
	at := slices.IndexFunc(all, func(l access.Login) bool { return device == "" || string(l.Device) == device })
	switch {
	case len(all) == 0:
		return who, access.Fail(access.Conflict, "no-device", "you are signed in on no device that could use it").
			Because("access is sealed to the device that it is used on, and a browser has no key for that").Try("sign in there with: stint login")
	case at < 0:
		return who, access.Fail(access.Conflict, "no-such-device", "you are not signed in on that device any more").Try("choose another one, or sign in there with: stint login")
	}
	who.Source.Device, who.SealKey = all[at].Device, all[at].SealKey
	return who, nil
}

// wishOf reads a wish for one thing.
func wishOf(w views.Wish) (a broker.Ask, err error) {
	a = broker.Ask{Resource: access.ResourceName(w.Resource), Role: access.RoleName(w.Role), Reason: w.Reason, Ticket: w.Ticket}
	if a.Duration, err = api.ParseDuration(w.For); err != nil {
		return a, err
	}
	a.Start, err = w.Begins()
	return a, err
}

// kitOf reads a wish for a bundle.
func kitOf(set *policy.Set, w views.Wish) (a broker.BundleAsk, err error) {
	b, ok := set.Bundle(w.Bundle)
	if !ok {
		return a, noSuch("bundle", w.Bundle, namesOf(set.Bundles(), func(b policy.Bundle) string { return b.Name }))
	}
	a = broker.BundleAsk{Reason: w.Reason, Ticket: w.Ticket}
	if a.Start, err = w.Begins(); err != nil {
		return a, err
	}
	for _, p := range b.Parts {
		if w.For != "" || p.For == 0 {
			if p.For, err = api.ParseDuration(w.For); err != nil {
				return a, err
			}
		}
		a.Parts = append(a.Parts, broker.BundlePart{Resource: p.Resource, Role: p.Role, Duration: p.For})
	}
	return a, nil
}

// Foresee is what would become of a wish: the dry run of the API, of exactly that.
func (d doors) Foresee(ctx context.Context, v web.Visitor, w views.Wish) (out views.Outlook, err error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return out, err
	}
	out.Command, out.Verdict = w.Command(), views.Unclear
	who, err := d.asker(ctx, c, w.Device)
	if err == nil {
		err = d.foresee(ctx, who, c, w, &out)
	}
	if err != nil {
		out.Problem = d.Refusal(ctx, err)
	}
	return out, nil
}

func (d doors) foresee(ctx context.Context, who broker.Caller, c ident.Caller, w views.Wish, out *views.Outlook) error {
	var asks []broker.Ask
	var xs []broker.Preview
	if w.Bundle != "" {
		set, err := d.broker.Documents(ctx)
		if err != nil {
			return err
		}
		a, err := kitOf(set, w)
		if err != nil {
			return err
		}
		if xs, err = d.broker.PreviewBundle(ctx, who, a); err != nil {
			return err
		}
		for _, p := range a.Parts {
			asks = append(asks, a.Ask(p))
		}
	} else {
		a, err := wishOf(w)
		if err != nil {
			return err
		}
		x, err := d.broker.Preview(ctx, who, a, "")
		if err != nil {
			return err
		}
		asks, xs = []broker.Ask{a}, []broker.Preview{x}
	}
	if out.Verdict = views.AtOnce; strings.TrimSpace(w.Reason) == "" {
		out.Lacks = append(out.Lacks, "Say why before you send it.")
	}
	for i, x := range xs {
		r := preview(callBy(c), asks[i], x)
		out.Parts = append(out.Parts, r)
		switch lacks := lacking(x); {
		case x.Decision.Effect == access.Deny && len(lacks) > 0:
			out.Lacks = append(out.Lacks, lacks...)
			if out.Verdict != views.Closed {
				out.Verdict = views.Lacking
			}
		case x.Decision.Effect == access.Deny:
			out.Verdict = views.Closed
			d.instead(ctx, who, asks[i], x, out)
		case x.Decision.Effect == access.Approve && out.Verdict == views.AtOnce:
			out.Verdict = views.Asks
		}
	}
	return nil
}

// lacking is what alone keeps a policy from applying that else would: words that are
// still to be typed.
func lacking(x broker.Preview) []string {
	for _, t := range x.Trials {
		typed := !slices.ContainsFunc(t.Misses, func(m policy.Miss) bool { return m.What != "reason" && m.What != "ticket" })
		if t.Effect != "deny" && len(t.Misses) > 0 && typed {
			var out []string
			for _, m := range t.Misses {
				out = append(out, m.Text)
			}
			return out
		}
	}
	return nil
}

// instead says what would be allowed in the place of what is not, and whether the glass
// could be broken for it.
func (d doors) instead(ctx context.Context, who broker.Caller, a broker.Ask, x broker.Preview, out *views.Outlook) {
	for _, o := range x.Offers {
		out.Nearest = append(out.Nearest, views.Wish{Resource: string(a.Resource), Role: string(o.Role), For: api.FormatDuration(o.Duration)})
	}
	r := access.Request{Principal: who.Principal.ID, Role: a.Role, Targets: []access.Target{{Resource: a.Resource}}}
	open, err := d.broker.GlassFor(ctx, who, r)
	if err == nil && len(open) > 0 { // that nothing can be said costs them the hint
		out.Glass = shell.Line("stint", "break-glass", string(a.Resource), "--as", string(open[0].Role), "--why", strings.TrimSpace(a.Reason))
	}
}

// Ask asks for it, as the API does.
func (d doors) Ask(ctx context.Context, v web.Visitor, w views.Wish) (string, error) {
	c, err := d.caller(ctx, v)
	if err == nil {
		err = d.writes.take(string(c.Principal.ID))
	}
	if err != nil {
		return "", err
	}
	who, err := d.asker(ctx, c, w.Device)
	if err != nil {
		return "", err
	}
	key, body := keyOf(w)
	if w.Bundle != "" {
		set, err := d.broker.Documents(ctx)
		if err != nil {
			return "", err
		}
		a, err := kitOf(set, w)
		if err != nil {
			return "", err
		}
		a.Key, a.Body = key, body
		_, _, err = d.broker.SubmitBundle(ctx, who, a)
		return "", err
	}
	a, err := wishOf(w)
	if err != nil {
		return "", err
	}
	a.Key, a.Body = key, body
	x, err := d.broker.Submit(ctx, who, a)
	if err != nil {
		return "", err
	}
	return string(x.Request.ID), nil
}

// keyOf makes a form that is sent twice one request, and one that was changed in between
// another: the key covers what the form says.
func keyOf(w views.Wish) (key string, body access.Digest) {
	h := sha256.New()
	for _, s := range []string{w.Key, w.Resource, w.Role, w.Bundle, w.For, w.Reason, w.Ticket, w.Start, w.Device} {
		n := sha256.Sum256([]byte(s))
		h.Write(n[:])
	}
	body = access.Digest(h.Sum(nil))
	if w.Key == "" {
		return "", body
	}
	return "page-" + hex.EncodeToString(body[:16]), body
}
