package apiserver

import (
	"context"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/broker"
	"stint/internal/ident"
	"stint/internal/web"
	"stint/internal/web/views"
)

// shownOwn is how many of the visitor's own requests a page lists.
const shownOwn = 30

// callBy is the visitor's call as the doors of the API have it.
func callBy(c ident.Caller) call {
	return call{Caller: c, source: access.Source{IP: c.Actor.Address, Device: c.Login.Device, Auth: c.Login.Auth}}
}

// Waiting are the requests that wait for the visitor.
func (d doors) Waiting(ctx context.Context, v web.Visitor, after string) (views.Inbox, error) {
	out := views.Inbox{View: views.ForMe, After: after}
	c, err := d.caller(ctx, v)
	if err != nil {
		return out, err
	}
	found, err := d.broker.Inbox(ctx, callBy(c).asked(nil), broker.InboxQuery{Oldest: true, From: access.RequestID(after), Limit: views.InboxEach})
	for _, x := range found.Views {
		out.Items = append(out.Items, toRequest(x))
	}
	out.Next, out.Waits, out.AtLeast = string(found.Next), found.Waits, found.AtLeast
	return out, err
}

// Own are the visitor's own.
func (d doors) Own(ctx context.Context, v web.Visitor, before string) ([]api.Request, string, error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return nil, "", err
	}
	mine, err := d.broker.Requests(ctx, callBy(c).asked(nil), access.RequestQuery{Principal: c.Principal.ID, Before: access.RequestID(before), Limit: shownOwn + 1})
	all, next := ownPage(mine)
	return all, next, err
}

// Request is one, as the visitor sees it.
func (d doors) Request(ctx context.Context, v web.Visitor, id string) (web.Case, error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return web.Case{}, err
	}
	who := callBy(c).asked(nil)
	x, err := d.broker.View(ctx, who, id)
	if err != nil {
		return web.Case{}, err
	}
	r := x.Request
	out := web.Case{Request: toRequest(x), Where: placesOf(r), Rights: r.Permissions.Rights, Grade: gradeOf(r), Mine: r.Principal == c.Principal.ID}
	me, err := d.broker.Voter(ctx, who)
	if err != nil {
		return web.Case{}, err
	}
	d.offerGlass(ctx, who, r, &out.Request)
	level, asked := access.LevelFor(r, me)
	if out.Decide = asked; asked {
		out.Level = level.String()
		k, err := d.keyring(ctx, v, c)
		if err != nil {
			return web.Case{}, err
		}
		out.Keys = len(k.ours())
		if out.Known, err = d.known(ctx, who, r); err != nil {
			return web.Case{}, err
		}
	}
	if x.Grant != nil && !x.Grant.Over() && x.Grant.State != access.Ending { // it was ended: a button would say that it was not
		switch {
		case out.Mine:
			out.End = "end"
		case d.mayRevoke(ctx, c.Principal, r):
			out.End = "revoke"
		}
	}
	return out, nil
}

// mayRevoke reports whether it makes sense to show the button; whether it may be done the
// broker says.
func (d doors) mayRevoke(ctx context.Context, p access.Principal, r access.Request) bool {
	if p.Admin {
		return true
	}
	owns, _ := d.officesOf(ctx, p)
	return !slices.ContainsFunc(r.Targets, func(t access.Target) bool { return !slices.Contains(owns, t.Resource) })
}

// placesOf is where the targets are: what is approved stays bound to that.
func placesOf(r access.Request) string {
	var at []string
	for _, t := range r.Targets {
		at = append(at, t.Connection.Type+" "+t.Connection.Address)
	}
	return strings.Join(at, ", ")
}

// gradeOf is the highest criticality of the targets.
func gradeOf(r access.Request) string {
	var most access.Criticality
	for _, t := range r.Targets {
		if slices.Index(access.Criticalities, t.Criticality) > slices.Index(access.Criticalities, most) {
			most = t.Criticality
		}
	}
	return string(most)
}

// voteOf is the vote that a page's form says. What was shown is always said.
func voteOf(b web.Ballot) (v access.Vote, err error) {
	v = access.Vote{Approve: b.Approve, Note: b.Note}
	if b.Approve {
		if v.Rights = b.Rights; b.For != "" {
			if v.Duration, err = api.ParseDuration(b.For); err != nil {
				return v, err
			}
		}
	}
	if v.Seen, err = access.ParseDigest(b.Digest); err == nil && v.Seen == (access.Digest{}) {
		err = otherRequest() // that of no request; to the broker it says that nothing was shown
	}
	return v, err
}

// AskVote says what a passkey must sign for a vote: the request's digest with who votes
// and what the vote leaves. It is worked out from the request as it is stored; a page
// that showed another one has another digest in its form, and is refused.
func (d doors) AskVote(ctx context.Context, v web.Visitor, id string, b web.Ballot) (web.Step, error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return web.Step{}, err
	}
	vote, err := voteOf(b)
	if err != nil {
		return web.Step{}, err
	}
	who := callBy(c).asked(nil)
	x, err := d.broker.View(ctx, who, id)
	if err != nil {
		return web.Step{}, err
	}
	me, err := d.broker.Voter(ctx, who)
	if err != nil {
		return web.Step{}, err
	}
	r := x.Request
	level, asked := access.LevelFor(r, me)
	switch {
	case vote.Seen != r.Digest:
		return web.Step{}, otherRequest()
	case !asked || !vote.Approve || level < access.LevelPasskey:
		return web.Step{}, nil // the vote itself says what is wrong, if anything is
	case level > access.LevelPasskey:
		return web.Step{}, access.Fail(access.PasskeyNeeded, "passkey-needed", "this request is critical, and its yes is signed where you see for yourself what you sign").
			Try("approve it in a terminal, with: stint approve " + string(r.ID))
	}
	vote.Signed = d.now().UTC().Truncate(time.Millisecond)
	says, err := r.Says(c.Principal, vote)
	if err != nil {
		return web.Step{}, err
	}
	k, err := d.keyring(ctx, v, c)
	if err == nil {
		err = k.usable()
	}
	if err != nil {
		return web.Step{}, err
	}
	step := k.ask(says.Digest())
	step.Nonce = api.Secret(vote.Signed.Format(time.RFC3339Nano)) // the vote says it, and so it comes back
	return step, nil
}

func otherRequest() error {
	return access.Fail(access.Conflict, "other-request", "this is not the request that the page showed").Try("load the page again, and read it anew")
}

// Vote votes, as the API does.
func (d doors) Vote(ctx context.Context, v web.Visitor, id string, b web.Ballot) (api.Request, error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return api.Request{}, err
	}
	take := d.writes.take
	if !b.Approve {
		take = d.urgent.take
	}
	if err := take(string(c.Principal.ID)); err != nil {
		return api.Request{}, err
	}
	vote, err := voteOf(b)
	if err != nil {
		return api.Request{}, err
	}
	if len(b.Used) > 0 && b.Approve {
		k, err := d.keyring(ctx, v, c)
		if err != nil {
			return api.Request{}, err
		}
		if vote.Assertion, err = k.signed(b.Used[0]); err != nil {
			return api.Request{}, err
		}
		if b.Signed != "" {
			if vote.Signed, err = time.Parse(time.RFC3339Nano, b.Signed); err != nil {
				return api.Request{}, otherRequest()
			}
		}
	}
	x, err := d.broker.Vote(ctx, callBy(c).asked(nil), id, vote)
	if err != nil {
		return api.Request{}, err
	}
	return toRequest(x), nil
}

// Remark asks a question about a request, or answers.
func (d doors) Remark(ctx context.Context, v web.Visitor, id, text string, answer bool) error {
	c, err := d.caller(ctx, v)
	if err == nil {
		err = d.writes.take(string(c.Principal.ID))
	}
	if err != nil {
		return err
	}
	say := d.broker.Question
	if answer {
		say = d.broker.Answer
	}
	_, err = say(ctx, callBy(c).asked(nil), id, text)
	return err
}

// Withdraw withdraws the visitor's own request.
func (d doors) Withdraw(ctx context.Context, v web.Visitor, id string) error {
	c, err := d.caller(ctx, v)
	if err == nil {
		err = d.urgent.take(string(c.Principal.ID))
	}
	if err != nil {
		return err
	}
	_, err = d.broker.Cancel(ctx, callBy(c).asked(nil), id)
	return err
}

// End gives the visitor's own grant back, or revokes another's.
func (d doors) End(ctx context.Context, v web.Visitor, id, note string) error {
	c, err := d.caller(ctx, v)
	if err == nil {
		err = d.urgent.take(string(c.Principal.ID))
	}
	if err != nil {
		return err
	}
	who := callBy(c).asked(nil)
	x, err := d.broker.View(ctx, who, id)
	if err != nil {
		return err
	}
	if x.Request.Principal == c.Principal.ID {
		_, err = d.broker.End(ctx, who, string(x.Request.ID), "")
		return err
	}
	_, err = d.broker.Revoke(ctx, who, broker.Selector{Grant: string(x.Request.ID)}, note)
	return err
}
