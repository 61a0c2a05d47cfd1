package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/apiserver"
	"stint/internal/broker"
	"stint/internal/directory"
	"stint/internal/duty"
	"stint/internal/egress"
	"stint/internal/ident"
	"stint/internal/notify"
	"stint/internal/oidc"
	"stint/internal/provision"
	"stint/internal/store"
	"stint/internal/ticket"
)

// integrations are the schemas of all types of integration that this server knows.
func integrations() []access.Schema {
	return append(slices.Concat(notify.Schemas(), ticket.Schemas(), duty.Schemas()), provision.Schema(), provision.SignalsSchema(), directory.Schema(), oidc.Schema(), oidc.MachineSchema(), oidc.SPIFFESchema())
}

// newMessages makes what sends messages; it is started with everything else.
func (p *process) newMessages() *notify.Service {
	out := egress.New(p.settings.egress)
	site := notify.Site{Installation: p.identity.installation}
	if p.settings.publicURL != nil {
		site.URL = p.settings.publicURL.String()
		site.Requests = strings.TrimSuffix(site.URL, "/") + "/r/"
	}
	return notify.New(notify.Config{
		Source: messageLog{p.store}, Memory: messageMemory{p.store}, World: messageWorld{p.store, p.broker}, Outside: outside{p.store, p.broker},
		Owner: replica(), Site: site, HTTP: out.HTTP(), Dial: out.DialContext, TLS: out.TLS, People: chatPeople{p.store, ident.New(forIdent(p.store)), p.broker},
		Requesters: requesters{p.store}, Log: p.log.With("part", "messages"),
	})
}

// messageLog is the store's log for the channels.
type messageLog struct{ store *store.Store }

func (l messageLog) Records(ctx context.Context, after int64, limit int) ([]notify.Record, error) {
	recs, err := l.store.Records(ctx, store.LogQuery{After: after, Limit: limit})
	out := make([]notify.Record, len(recs))
	for i, r := range recs {
		out[i] = notify.Record{Seq: r.Seq, Encoded: r.Body}
	}
	return out, err
}

func (l messageLog) Wait(ctx context.Context, after int64) error { return wait(ctx, l.store, after) }

// messageMemory is where the store keeps how far the channels are.
type messageMemory struct{ store *store.Store }

func (m messageMemory) Begin(ctx context.Context, channel string, seq int64) error {
	return m.store.BeginChannel(ctx, store.Channel{Name: channel, Seq: seq})
}

func (m messageMemory) Turn(ctx context.Context, channel, owner string, lasts time.Duration) (int64, error) {
	c, err := m.store.TakeTurn(ctx, channel, owner, lasts)
	return c.Seq, err
}

func (m messageMemory) Read(ctx context.Context, channel, owner string, seq int64, concerns []notify.Concern, state []byte) error {
	all := make([]store.Concern, len(concerns))
	for i, c := range concerns {
		all[i] = store.Concern(c)
	}
	return m.store.SaveChannel(ctx, owner, store.Channel{Name: channel, Seq: seq, Body: state}, all)
}

func (m messageMemory) Due(ctx context.Context, channel string, limit int) ([]notify.Pending, time.Duration, error) {
	ms, next, err := m.store.DueMessages(ctx, channel, limit)
	out := make([]notify.Pending, len(ms))
	for i, x := range ms {
		out[i] = notify.Pending{Subject: x.Subject, Want: x.Want, Have: x.Have, State: x.Body}
	}
	return out, next, err
}

func (m messageMemory) Sent(ctx context.Context, channel, owner string, p notify.Pending, again time.Duration) error {
	return m.store.SaveMessage(ctx, owner, channel, store.ChannelMessage{Subject: p.Subject, Have: p.Have, Body: p.State}, again)
}

func (m messageMemory) States(ctx context.Context) (map[string][]byte, error) {
	cs, err := m.store.Channels(ctx)
	all := map[string][]byte{}
	for _, c := range cs {
		all[c.Name] = c.Body
	}
	return all, err
}

// messageWorld is what messages tell of.
type messageWorld struct {
	store  *store.Store
	broker *broker.Broker
}

func (w messageWorld) Request(ctx context.Context, id access.RequestID) (r access.Request, g *access.Grant, err error) {
	err = w.store.View(ctx, func(tx *store.Tx) error {
		g = nil
		if r, err = tx.Request(id); err != nil || r.Grant == "" {
			return err
		}
		found, err := tx.Grant(r.Grant)
		g = &found
		return err
	})
	return r, g, err
}

func (w messageWorld) Resource(ctx context.Context, name access.ResourceName) (notify.About, bool, error) {
	set, err := w.broker.Documents(ctx)
	if err != nil {
		return notify.About{}, false, err
	}
	r, ok := set.Resource(name)
	return notify.About{Criticality: r.Criticality, Labels: r.Labels}, ok, nil
}

// outside says which integrations there are, and opens what they sign in with.
type outside struct {
	store  *store.Store
	broker *broker.Broker
}

func (o outside) Integrations(ctx context.Context) ([]notify.Integration, error) {
	set, err := o.broker.Documents(ctx)
	if err != nil {
		return nil, err
	}
	var all []notify.Integration
	for _, i := range set.Integrations() {
		all = append(all, notify.Integration{Name: i.Name, Type: i.Type, Address: i.Address, Credential: i.Credential, Options: i.Options})
	}
	return all, nil
}

// Since finds the record of the newest documents.
func (o outside) Since(ctx context.Context) (int64, error) {
	var of access.Edition
	err := o.store.View(ctx, func(tx *store.Tx) (err error) { of, err = tx.DocumentsEdition(); return err })
	if err != nil {
		return 0, err
	}
	recs, err := o.store.Records(ctx, store.LogQuery{After: -1, Limit: 1, Type: broker.DocumentsApplied, Since: time.UnixMilli(of.MadeMS)})
	if err != nil {
		return 0, err
	}
	if len(recs) == 0 {
		return 0, access.Fail(access.Pending, "not-numbered", "the record of the documents has no number yet")
	}
	return recs[0].Seq, nil
}

func (o outside) Login(ctx context.Context, integration, credential string) (notify.Login, error) {
	set, err := o.broker.Documents(ctx)
	if err != nil {
		return notify.Login{}, err
	}
	i, ok := set.Integration(integration)
	if !ok {
		return notify.Login{}, access.Fail(access.NotFound, "no-such-integration", "there is no integration "+integration)
	}
	l, err := o.broker.OpenLogin(ctx, i, credential)
	return notify.Login{Username: l.Username, Secret: l.Secret}, err
}

// channels is the service for the doors.
type channels struct {
	service     *notify.Service
	directories *provision.Directories
	store       *store.Store
}

func (c channels) Serves(typ string) bool { return notify.Serves(typ) }

// Behind is the smallest lag of each: a channel that moved has an older cursor besides.
func (c channels) Behind(ctx context.Context) (map[string]int64, error) {
	head, err := c.store.Head(ctx)
	if err != nil {
		return nil, err
	}
	all, err := c.store.Channels(ctx)
	out := map[string]int64{}
	for _, ch := range all {
		end := strings.LastIndex(ch.Name, "@")
		if end < 0 || strings.Contains(ch.Name[end:], " ") { // those of requesters, beside the channel's own
			continue
		}
		lag := max(0, head.Size-1-ch.Seq)
		if was, known := out[ch.Name[:end]]; !known || lag < was {
			out[ch.Name[:end]] = lag
		}
	}
	return out, err
}

func (c channels) Try(ctx context.Context, by access.PrincipalID, name string) error {
	return c.service.Try(ctx, by, name)
}

func (c channels) Troubles(ctx context.Context) (map[string]apiserver.Trouble, error) {
	ts, err := c.service.Troubles(ctx)
	all := map[string]apiserver.Trouble{}
	for name, t := range ts {
		all[name] = apiserver.Trouble(t)
	}
	if err != nil {
		return all, err
	}
	states, err := c.directories.States(ctx)
	for name, st := range states {
		switch {
		case st.Why != "":
			all[name] = apiserver.Trouble{Why: st.Why, Since: st.Since}
		case st.Held != nil:
			all[name] = apiserver.Trouble{Why: "more people are gone than is believed; see stint admin directory show " + name}
		}
	}
	return all, err
}

// requesters are those who ask, as messages reach them: in a chat by the user whom they
// linked to themselves, by mail at the address that a provider has verified or an
// administrator has set.
type requesters struct{ store *store.Store }

func (r requesters) Reach(ctx context.Context, integration, typ string, id access.PrincipalID) (to string, quiet bool, err error) {
	var p access.Principal
	err = r.store.View(ctx, func(tx *store.Tx) (err error) { p, err = tx.Principal(id); return err })
	if access.KindOf(err) == access.NotFound || err == nil && p.Usable(time.Now()) != nil {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	quiet = p.Attributes[access.MessagesAttribute] == access.MessagesFew
	if typ == notify.Slack {
		_, user, _ := strings.Cut(p.Subject(integration), "/")
		return user, quiet, nil
	}
	if to = p.Attributes[access.MailAttribute]; !access.ValidMail(to) {
		return "", quiet, nil
	}
	return to, quiet, nil
}

// chatPeople are those who click in a chat, once they linked themselves to its user.
type chatPeople struct {
	store  *store.Store
	ident  *ident.Ident
	broker *broker.Broker
}

func (c chatPeople) Vote(ctx context.Context, k notify.Click) error {
	p, err := c.ident.Linked(ctx, access.Identity{Provider: k.Integration, Subject: k.Subject})
	if err != nil {
		return err
	}
	who := broker.Caller{Principal: p, Actor: access.Actor{Principal: p.ID, Person: p.Person}}
	_, err = c.broker.Vote(ctx, who, string(k.Request), access.Vote{Approve: k.Approve, Note: k.Note, Seen: k.Seen, Level: access.LevelChat})
	return err
}

func (c chatPeople) Offer(ctx context.Context, integration, subject, shows string) (string, error) {
	code, err := c.ident.OfferLink(ctx, access.Identity{Provider: integration, Subject: subject}, shows)
	return string(code.Reveal()), err
}

func (c chatPeople) Fresh(ctx context.Context, call string, until time.Time) (bool, error) {
	return c.store.SeenProof(ctx, call, until)
}
