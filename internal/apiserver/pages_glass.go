package apiserver

import (
	"context"
	"strings"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/broker"
	"stint/internal/ident"
	"stint/internal/web"
	"stint/internal/web/views"
)

// shownReviews is how many reviews a page lists.
const shownReviews = 50

// Emergencies are what the visitor could break the glass for.
func (d doors) Emergencies(ctx context.Context, v web.Visitor) ([]views.Choice, error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return nil, err
	}
	open, err := d.broker.Emergencies(ctx, callBy(c).asked(nil))
	if err != nil || len(open) == 0 {
		return nil, err
	}
	set, err := d.broker.Documents(ctx)
	if err != nil {
		return nil, err
	}
	var all []views.Choice
	for _, e := range open {
		x := views.Choice{Name: string(e.Name), Description: e.Description, Type: e.Type, Env: e.Labels[envLabel], Grade: string(e.Criticality), Owners: texts(e.Owners)}
		for _, o := range e.Offers {
			role, _ := set.Role(o.Role)
			x.Roles = append(x.Roles, views.RoleChoice{Name: string(o.Role), Description: role.Description, Longest: o.Duration})
		}
		all = append(all, x)
	}
	return all, nil
}

// Alarm is what breaking the glass would set off.
func (d doors) Alarm(ctx context.Context, v web.Visitor, resource string) (views.Alarm, error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return views.Alarm{}, err
	}
	a, err := d.broker.Alarm(ctx, callBy(c).asked(nil), access.ResourceName(resource))
	return views.Alarm{Told: texts(a.Told), More: a.More, Overdue: a.Overdue, ReviewBy: a.ReviewBy}, err
}

// BreakGlass breaks it, as the API does. A form that lacks only words is refused before
// anything is asked for: what is denied is on record.
func (d doors) BreakGlass(ctx context.Context, v web.Visitor, w views.GlassWish) (string, error) {
	c, err := d.caller(ctx, v)
	if err == nil {
		err = d.urgent.take(string(c.Principal.ID))
	}
	if err != nil {
		return "", err
	}
	who, err := d.asker(ctx, c, w.Device)
	if err != nil {
		return "", err
	}
	g := broker.Glass{Resource: access.ResourceName(w.Resource), Role: access.RoleName(w.Role), Reason: w.Reason, Drill: w.Drill}
	if w.For != "" {
		if g.Duration, err = api.ParseDuration(w.For); err != nil {
			return "", err
		}
	}
	said := []string{"glass", w.Resource, w.Role, w.For, w.Reason, w.Device}
	if w.Drill {
		said = append(said, "drill")
	}
	g.Key, g.Body = keyOf(views.Wish{Key: w.Key, Reason: strings.Join(said, "\x00")})
	_, x, err := d.broker.PreviewGlass(ctx, who, g)
	if err != nil {
		return "", err
	}
	if lacks := lacking(x); x.Decision.Effect == access.Deny && len(lacks) > 0 {
		return "", access.Fail(access.Invalid, "says-too-little", strings.Join(lacks, "; ")).Try("say a little more of why")
	}
	y, err := d.broker.BreakGlass(ctx, who, g)
	if err != nil {
		return "", err
	}
	if y.Request.State == access.RequestIsGranted {
		d.log.Warn("the glass is broken", "trace", frameOf(ctx).trace, "principal", c.Principal.ID, "resource", w.Resource, "request", y.Request.ID, "drill", w.Drill)
	}
	return string(y.Request.ID), nil
}

// Reviews are reviews that the visitor may see.
func (d doors) Reviews(ctx context.Context, v web.Visitor, closed bool, after string) (out views.Reviews, err error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return out, err
	}
	q := access.ReviewQuery{State: access.ReviewOpen, Before: access.ReviewID(after), Limit: shownReviews}
	if closed {
		q.State = access.ReviewClosed
	}
	vs, next, err := d.broker.Reviews(ctx, callBy(c).asked(nil), q)
	if err != nil {
		return out, err
	}
	out.Closed, out.Later, out.Next = closed, after != "", string(next)
	for _, r := range vs {
		x := toReview(r)
		if out.Items = append(out.Items, x); x.Yours && !closed {
			out.Mine++
		}
	}
	return out, nil
}

// Review is one, with what was done as far as the visitor may see that.
func (d doors) Review(ctx context.Context, v web.Visitor, id string) (out views.Review, err error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return out, err
	}
	who := callBy(c).asked(nil)
	r, err := d.broker.Review(ctx, who, id)
	if err != nil {
		return out, err
	}
	out.Review = toReview(r)
	x, err := d.broker.View(ctx, who, string(r.Request))
	if access.KindOf(err) == access.NotFound {
		return out, nil
	}
	out.Done = &views.Held{Request: toRequest(x), Now: x.Now}
	return out, err
}

// CloseReview closes one with a finding, as the API does.
func (d doors) CloseReview(ctx context.Context, v web.Visitor, id, finding, note string) error {
	c, err := d.caller(ctx, v)
	if err == nil {
		err = d.writes.take(string(c.Principal.ID))
	}
	if err != nil {
		return err
	}
	if note == "" { // as the API asks of its body
		return access.Fail(access.Invalid, "no-note", "a finding needs a word on what was found").Try("write down what you found")
	}
	_, err = d.broker.CloseReview(ctx, callBy(c).asked(nil), id, access.Finding(finding), note)
	return err
}

// glassOf is what the rail shows somebody of break-glass: whether it is open to them, and
// how many reviews wait for them. That it cannot be found out costs them the hint.
func (d doors) glassOf(ctx context.Context, c ident.Caller) (open bool, reviews int) {
	if c.Enrols {
		return false, 0
	}
	who := callBy(c).asked(nil)
	open, err := d.broker.OpensGlass(ctx, who)
	if err == nil {
		reviews, err = d.broker.ReviewsWaiting(ctx, who)
	}
	if err != nil {
		d.log.Debug("the rail of a page lacks its counts", "trace", frameOf(ctx).trace, "error", err)
	}
	return open, reviews
}
