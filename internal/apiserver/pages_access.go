package apiserver

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/broker"
	"stint/internal/ident"
	"stint/internal/policy"
	"stint/internal/web"
	"stint/internal/web/views"
)

const (
	// shownAtOnce is how many of each kind are in a window of what somebody holds.
	shownAtOnce = 50
	// shownEnded is how many of those that are over it shows, and shownAgain how many
	// different things it offers to ask for again, of the newest amongAgain requests.
	shownEnded, shownAgain, amongAgain = 5, 5, 100
	// foreseen is for how many grants it is worked out whether they can last longer.
	foreseen = 20
	// usualExtension is how much longer is offered.
	usualExtension = 30 * time.Minute
)

// Access is what the visitor holds, what is on its way to them, and what they might ask
// for again. All of it is their own, whatever else they may see.
func (d doors) Access(ctx context.Context, v web.Visitor, after string) (views.Access, error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return views.Access{}, err
	}
	who := callBy(c).asked(nil)
	out := views.Access{Now: d.now(), After: after}
	mark, err := endMark(after)
	if err != nil {
		return out, err
	}
	set, err := d.broker.Documents(ctx)
	if err != nil {
		return out, err
	}
	if stopped, why, err := d.broker.Stopped(ctx); err != nil {
		return out, err
	} else if stopped {
		out.Stopped = cmp.Or(why, "an administrator stopped it")
	}
	held := func(x broker.View) views.Held { return toHeld(set, x, out.Now) }
	live, err := d.broker.Held(ctx, who, mark, shownAtOnce)
	if err != nil {
		return out, err
	}
	for i, x := range live.Active {
		h := held(x)
		if i < foreseen {
			h.More = d.extension(ctx, who, x)
		}
		out.Active = append(out.Active, h)
	}
	for _, x := range live.Going {
		out.Going = append(out.Going, held(x))
	}
	slices.SortStableFunc(out.Going, func(a, b views.Held) int { return a.Grant.ExpiresAt.Compare(b.Grant.ExpiresAt.Time) })
	for _, x := range live.Coming {
		out.Coming = append(out.Coming, held(x))
	}
	out.Holds, out.Next = live.N[access.Active], ofEndMark(live.Next)
	out.MoreGoing = live.N[access.Ending] - len(out.Going)
	out.MoreComing = live.N[access.Scheduled] + live.N[access.Provisioning] - len(out.Coming)
	newest, err := d.broker.Requests(ctx, who, access.RequestQuery{Principal: c.Principal.ID, Limit: amongAgain})
	if err != nil {
		return out, err
	}
	pending, err := d.broker.Requests(ctx, who, access.RequestQuery{Principal: c.Principal.ID, States: []access.RequestState{access.RequestPending}, Limit: broker.MaxPending})
	if err != nil {
		return out, err
	}
	for _, x := range pending {
		out.Coming = append(out.Coming, held(x))
	}
	slices.SortStableFunc(out.Coming, func(a, b views.Held) int { return a.CreatedAt.Compare(b.CreatedAt.Time) })
	out.Ended, out.Again = over(newest, held), again(newest)
	out.Favourites, err = d.favourites(ctx, who)
	return out, err
}

// ofEndMark is a mark as an address has it, and endMark reads it.
func ofEndMark(m access.EndMark) string {
	if m.Grant == "" {
		return ""
	}
	return strconv.FormatInt(m.ExpiresAt.UnixMilli(), 10) + "." + string(m.Grant)
}

func endMark(text string) (access.EndMark, error) {
	if text == "" {
		return access.EndMark{}, nil
	}
	at, id, _ := strings.Cut(text, ".")
	ms, err := strconv.ParseInt(at, 10, 64)
	m := access.EndMark{ExpiresAt: time.UnixMilli(ms), Grant: access.GrantID(id)}
	if err != nil || ms <= 0 || len(id) > 64 || !strings.HasPrefix(id, "grt_") || ofEndMark(m) != text {
		return access.EndMark{}, access.Fail(access.Invalid, "bad-cursor", "that is no part of this list").Try("begin with what ends first: /")
	}
	return m, nil
}

// toHeld is one of the visitor's own, with what the documents of the moment say of where
// it is.
func toHeld(set *policy.Set, x broker.View, now time.Time) views.Held {
	h := views.Held{Request: toRequest(x), Grade: gradeOf(x.Request), Now: now}
	for _, t := range x.Request.Targets {
		h.Type = t.Connection.Type
		if r, ok := set.Resource(t.Resource); ok {
			h.Env = r.Labels[envLabel]
		}
	}
	return h
}

// envLabel is the label whose value is shown beside a resource.
const envLabel = "env"

// over are the newest that came to their end.
func over(newest []broker.View, held func(broker.View) views.Held) (out []views.Held) {
	for _, x := range newest {
		gone := x.Grant != nil && x.Grant.Over() && x.Grant.State != access.Ending
		if x.Request.Extends != "" || !gone && (x.Grant != nil || x.Request.State == access.RequestPending || x.Request.State == access.RequestIsGranted) {
			continue
		}
		out = append(out, held(x))
	}
	slices.SortStableFunc(out, func(a, b views.Held) int { return b.Over().Compare(a.Over().Time) })
	return out[:min(len(out), shownEnded)]
}

// again are the last different things that were asked for, as stint again counts them.
func again(newest []broker.View) (out []views.Wish) {
	for _, x := range newest {
		r := x.Request
		if r.Extends != "" || r.Emergency.Is() || len(r.Targets) != 1 ||
			slices.ContainsFunc(out, func(w views.Wish) bool {
				return w.Resource == string(r.Targets[0].Resource) && w.Role == string(r.Role)
			}) {
			continue
		}
		if out = append(out, views.Wish{Resource: string(r.Targets[0].Resource), Role: string(r.Role), For: api.FormatDuration(r.Duration)}); len(out) == shownAgain {
			break
		}
	}
	return out
}

// extension says whether a grant can last longer: what policy says of exactly that, with
// the reason that the grant was asked for with in the place of the one to be typed.
func (d doors) extension(ctx context.Context, who broker.Caller, x broker.View) views.Extension {
	who = holding(who, *x.Grant)
	by := min(usualExtension, x.Grant.Duration).Truncate(time.Second)
	ask := func(by time.Duration) (views.Extension, broker.Preview) {
		got, err := d.broker.PreviewExtension(ctx, who, *x.Grant, broker.Ask{Duration: by, Reason: x.Request.Reason})
		switch {
		case err != nil:
			return views.Extension{No: problemOf(err, "").Message}, got
		case got.Decision.Effect == access.Deny:
			return views.Extension{No: reasonOf(got.Decision)}, got
		}
		return views.Extension{By: api.FormatDuration(by), Asks: got.Decision.Effect == access.Approve}, got
	}
	out, got := ask(by)
	for _, o := range got.Offers { // of the whole time that it would then have had
		if more := o.Duration - x.Grant.ExpiresAt.Sub(x.Grant.ActiveAt); out.By == "" && o.Role == x.Grant.Role && more >= time.Minute {
			if shorter, _ := ask(min(more, by).Truncate(time.Second)); shorter.By != "" {
				return shorter
			}
		}
	}
	return out
}

// holding is the caller as they ask for more time on a grant from a page: for the device
// that the grant is used on.
func holding(who broker.Caller, g access.Grant) broker.Caller {
	who.Source.Device, who.SealKey = g.Device, g.SealKey
	return who
}

// reasonOf is the first sentence of a decision.
func reasonOf(d access.Decision) string {
	for _, r := range d.Reasons {
		return r.Text
	}
	return "policy says no"
}

// Extend asks for more time on one of the visitor's own.
func (d doors) Extend(ctx context.Context, v web.Visitor, id, by, why string) (api.Request, error) {
	c, err := d.caller(ctx, v)
	if err == nil {
		err = d.writes.take(string(c.Principal.ID))
	}
	if err != nil {
		return api.Request{}, err
	}
	span, err := api.ParseDuration(by)
	if err != nil {
		return api.Request{}, err
	}
	who := callBy(c).asked(nil)
	x, err := d.broker.View(ctx, who, id)
	if err != nil {
		return api.Request{}, err
	}
	if x.Grant == nil || x.Grant.Principal != c.Principal.ID {
		return api.Request{}, access.Fail(access.Conflict, "not-active", "there is no active grant of yours to extend")
	}
	y, err := d.broker.Extend(ctx, holding(who, *x.Grant), string(x.Request.ID), broker.Ask{Duration: span, Reason: why})
	if err != nil {
		return api.Request{}, err
	}
	return toRequest(y), nil
}

// Voted are requests that the visitor voted on.
func (d doors) Voted(ctx context.Context, v web.Visitor, before string) ([]api.Request, string, error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return nil, "", err
	}
	vs, err := d.broker.Voted(ctx, callBy(c).asked(nil), access.RequestID(before), shownOwn+1)
	all, next := ownPage(vs)
	return all, next, err
}

// ownPage is one page of requests, and where the next one begins.
func ownPage(vs []broker.View) (all []api.Request, next string) {
	if len(vs) > shownOwn {
		vs = vs[:shownOwn]
		next = string(vs[shownOwn-1].Request.ID)
	}
	for _, x := range vs {
		all = append(all, toRequest(x))
	}
	return all, next
}

// Favourites are what the visitor keeps, by name.
func (d doors) Favourites(ctx context.Context, v web.Visitor) ([]views.Favourite, error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return nil, err
	}
	return d.favourites(ctx, callBy(c).asked(nil))
}

func (d doors) favourites(ctx context.Context, who broker.Caller) (out []views.Favourite, err error) {
	kept, err := d.broker.Favourites(ctx, who)
	for _, f := range kept {
		out = append(out, views.Favourite{Name: f.Name, Wish: views.Wish{Resource: string(f.Resource), Role: string(f.Role), For: api.FormatDuration(f.Duration)}})
	}
	return out, err
}

// Keep keeps a wish as a favourite of the visitor's.
func (d doors) Keep(ctx context.Context, v web.Visitor, name string, w views.Wish) error {
	c, err := d.caller(ctx, v)
	if err == nil {
		err = d.writes.take(string(c.Principal.ID))
	}
	if err != nil {
		return err
	}
	span, err := api.ParseDuration(w.For)
	if err != nil {
		return err
	}
	_, err = d.broker.SaveFavourite(ctx, callBy(c).asked(nil), access.Favourite{Name: name, Resource: access.ResourceName(w.Resource), Role: access.RoleName(w.Role), Duration: span})
	return err
}

// Forget forgets one.
func (d doors) Forget(ctx context.Context, v web.Visitor, name string) error {
	c, err := d.caller(ctx, v)
	if err == nil {
		err = d.writes.take(string(c.Principal.ID))
	}
	if err != nil {
		return err
	}
	return d.broker.DropFavourite(ctx, callBy(c).asked(nil), name)
}

// devices are those that the visitor is signed in on, the newest first: what is asked for
// on a page is used there, for a browser has no key that anything could be sealed to.
func (d doors) devices(ctx context.Context, c ident.Caller) ([]access.Login, error) {
	all, err := d.ident.Sessions(ctx, c)
	seen := map[access.DeviceID]bool{}
	return slices.DeleteFunc(all, func(l access.Login) bool {
		usable := l.Is() == access.DeviceLogin && len(l.SealKey) == 32 && l.Auth.Provider != access.ByRecovery && l.Glass == nil && !seen[l.Device]
		seen[l.Device] = true
		return !usable
	}), err
}
