package main

import (
	"context"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/broker"
	"stint/internal/notify"
	"stint/internal/store"
)

// mostListed is how much a chat lists: it is for a glance.
const mostListed = 20

// Order asks, lists and ends for who linked themselves to a chat's user. What is asked for
// is sealed to the device that they last signed in on, and used there: a chat has no key,
// and nothing of a sign-in that a policy could ask about.
func (c chatPeople) Order(ctx context.Context, o notify.Order) (string, error) {
	p, err := c.ident.Linked(ctx, access.Identity{Provider: o.Integration, Subject: o.Subject})
	if err != nil {
		return "", err
	}
	who := broker.Caller{Principal: p, Actor: access.Actor{Principal: p.ID, Person: p.Person}}
	switch o.Verb {
	case "list":
		return c.list(ctx, who)
	case "end":
		return c.end(ctx, who, o.ID)
	}
	l, err := c.device(ctx, p.ID)
	if err != nil {
		return "", err
	}
	who.SealKey, who.Source.Device = l.SealKey, l.Device
	d, err := api.ParseDuration(o.For)
	if err != nil {
		return "", err
	}
	v, err := c.broker.Submit(ctx, who, broker.Ask{Resource: access.ResourceName(o.Resource), Role: access.RoleName(o.Role), Duration: d, Reason: o.Why})
	if err != nil {
		return "", err
	}
	return lineOf(v), nil
}

// device is the newest device that somebody is signed in on.
func (c chatPeople) device(ctx context.Context, p access.PrincipalID) (newest access.Login, err error) {
	err = c.store.View(ctx, func(tx *store.Tx) error {
		newest = access.Login{}
		all, err := tx.Logins(p)
		for _, l := range all {
			if l.Is() == access.DeviceLogin && !l.Revoked && tx.Now().Before(l.ExpiresAt) && len(l.SealKey) > 0 && l.Auth.Provider != access.ByRecovery && l.CreatedAt.After(newest.CreatedAt) {
				newest = l
			}
		}
		return err
	})
	if err == nil && newest.Device == "" {
		err = access.Fail(access.Conflict, "no-device", "what you ask for here is used on a device that you are signed in on, and there is none").Try("sign in there with stint login, then ask again")
	}
	return newest, err
}

func (c chatPeople) list(ctx context.Context, who broker.Caller) (string, error) {
	vs, err := c.broker.Requests(ctx, who, access.RequestQuery{Principal: who.Principal.ID, States: []access.RequestState{access.RequestPending, access.RequestIsGranted}, Limit: 5 * mostListed})
	if err != nil {
		return "", err
	}
	var lines []string
	for _, v := range vs {
		if v.Grant != nil && v.Grant.Over() {
			continue
		}
		if lines = append(lines, lineOf(v)); len(lines) == mostListed {
			break
		}
	}
	if len(lines) == 0 {
		return "You have nothing, and have asked for nothing that waits.", nil
	}
	return strings.Join(lines, "\n"), nil
}

// end gives back what was granted, or withdraws what was not.
func (c chatPeople) end(ctx context.Context, who broker.Caller, id string) (string, error) {
	v, err := c.broker.View(ctx, who, id)
	if err != nil {
		return "", err
	}
	if v.Request.State == access.RequestPending && v.Request.Principal == who.Principal.ID {
		v, err = c.broker.Cancel(ctx, who, id)
	} else {
		v, err = c.broker.End(ctx, who, id, "")
	}
	if err != nil {
		return "", err
	}
	return lineOf(v), nil
}

// lineOf is a request in a line.
func lineOf(v broker.View) string {
	r := v.Request
	var on []string
	for _, t := range r.Targets {
		on = append(on, string(t.Resource))
	}
	state := "waits for a decision until " + r.ExpiresAt.UTC().Format(time.DateTime) + " UTC"
	switch g := v.Grant; {
	case r.State == access.RequestIsDenied:
		state = "denied"
		if n := len(r.Decision.Reasons); n > 0 {
			state += ": " + r.Decision.Reasons[n-1].Text
		}
	case r.State == access.RequestWithdrawn:
		state = "withdrawn"
	case r.State == access.RequestTimedOut:
		state = "not answered in time"
	case g != nil && g.State == access.Active:
		state = "active until " + g.ExpiresAt.UTC().Format(time.DateTime) + " UTC"
	case g != nil && g.Over():
		state = "ended"
	case r.State == access.RequestIsGranted:
		state = "approved, being set up; stint status " + string(r.ID)
	}
	return string(r.ID) + ": " + string(r.Role) + " on " + strings.Join(on, ", ") + ", " + state
}
