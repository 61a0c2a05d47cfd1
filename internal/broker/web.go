package broker

import (
	"context"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"stint/internal/access"
)

// webType is the type of the resources whose sessions a browser's ticket opens, or a key.
const webType = "http"

// tcpType is the type of the resources of which a session carries whatever speaks TCP.
const tcpType = "tcp"

// ticketFor is how long a browser may take from the sign-in to its gateway.
const ticketFor = time.Minute

// WebLogin is what a gateway logs in to a web application with. It is told sealed to one key.
type WebLogin struct {
	Kind   string   `json:"kind"`             // basic, bearer, header, certificate, form
	Header string   `json:"header,omitempty"` // of header
	User   string   `json:"user,omitempty"`   // of basic and form
	Secret string   `json:"secret"`
	Form   *WebForm `json:"form,omitempty"` // of form
}

// WebForm is how a login by form is sent. What is empty the gateway fills in.
type WebForm struct {
	Path     string   `json:"path"`
	Post     string   `json:"post,omitempty"`
	User     string   `json:"user,omitempty"` // the name of the field
	Password string   `json:"password,omitempty"`
	Token    string   `json:"token,omitempty"`
	Fields   []string `json:"fields,omitempty"` // NAME=VALUE
	Cookie   string   `json:"cookie,omitempty"`
	Shown    []string `json:"shown,omitempty"`
	Logout   string   `json:"logout,omitempty"`
}

// webForm is what a connection says of a login by form; nil where it is another.
func webForm(at access.Connection) *WebForm {
	if at.Options["login"] != "form" {
		return nil
	}
	list := func(name string) []string {
		if at.Options[name] == "" {
			return nil
		}
		return strings.Split(at.Options[name], ",")
	}
	return &WebForm{Path: at.Options["loginPath"], Post: at.Options["loginPost"], User: at.Options["loginUserField"], Password: at.Options["loginPasswordField"], Token: at.Options["loginToken"],
		Fields: list("loginFields"), Cookie: at.Options["loginCookie"], Shown: list("browserCookies"), Logout: at.Options["logout"]}
}

// webLogin finds the login of a web application, as its connection says.
func (b *Broker) webLogin(tx Tx, at access.Connection) (open func() ([]byte, error), err error) {
	kind := at.Options["login"]
	if kind == "" || kind == "none" {
		return nil, noLogin("its resource names none")
	}
	c, err := tx.Credential(at.Credential)
	switch {
	case missing(err):
		return nil, access.Fail(access.NotFound, "no-credential", "no credential "+at.Credential+" is registered").Try("tell an administrator: " + register(at))
	case err != nil:
		return nil, err
	case c.Gone():
		return nil, deleted(at)
	case c.Type != at.Type || c.Address != at.Address:
		return nil, boundElsewhere(at, c)
	case kind == "basic" && c.Username == "":
		return nil, access.Fail(access.Invalid, "incomplete-credential", "the credential "+c.Name+" has no user name").Because("its resource says login: basic").
			Try("an administrator registers it anew: stint admin credential set " + c.Name + " --username …")
	}
	return func() ([]byte, error) {
		secret, err := b.openLogin(c)
		if err != nil {
			return nil, err
		}
		defer secret.Wipe()
		return json.Marshal(WebLogin{Kind: kind, Header: at.Options["loginHeader"], User: c.Username, Secret: string(secret.Reveal()), Form: webForm(at)})
	}, nil
}

// TicketAsk is a browser that a gateway sent to be signed in, for one resource.
type TicketAsk struct {
	Resource  access.ResourceName
	Challenge string      // only who has the verifier of it can use the ticket (RFC 7636)
	Door      access.Door // that it came from: the ticket is good there and nowhere else
}

// IssueTicket decides whether a browser in which somebody is signed in may go back to its
// gateway with a ticket for one session, by the active grant of theirs that ends last. It is
// in the log when this returns, but for the ticket itself: who reads the log has none.
func (b *Broker) IssueTicket(ctx context.Context, c Caller, ask TicketAsk) (t access.EntryTicket, err error) {
	err = b.update(onBehalf(ctx, c.Principal.Person), func(tx Tx, fx *effects) error {
		g, err := b.webGrant(tx, c, ask.Resource)
		if err != nil {
			return err
		}
		if err := b.alive(tx, g); err != nil {
			return err
		}
		now := tx.Now()
		t = b.ticket()
		out := access.Certificate{Serial: t.Serial(), Kind: access.WebTicket, Grant: g.ID, Fingerprint: t.Print(ask.Challenge, ask.Door, ask.Resource), Principals: []string{gatewayPrincipal(g.ID)},
			KeyID:    "stint " + b.Installation + " grant=" + string(g.ID) + " person=" + string(g.Person) + " browser resource=" + string(ask.Resource) + " door=" + ask.Door.Domain + ":" + strconv.Itoa(int(ask.Door.Port)),
			IssuedAt: now, NotBefore: now, NotAfter: now.Add(ticketFor)}
		if g.ExpiresAt.Before(out.NotAfter) {
			out.NotAfter = g.ExpiresAt
		}
		fx.event(out.Issued(c.Actor, &g))
		return tx.SaveCertificates(out)
	})
	if err != nil {
		return access.EntryTicket{}, err
	}
	return t, nil
}

func (b *Broker) ticket() access.EntryTicket {
	var random [32]byte
	if _, err := io.ReadFull(b.Rand, random[:]); err != nil {
		panic("broker: no randomness: " + err.Error()) // as in entropy
	}
	return access.NewEntryTicket(random)
}

// broughtBy is what has to stand in the row that whoever knocks is known by: the key that
// proved itself, or what is kept of a ticket for the door and the resource that they knock at.
func broughtBy(tx Tx, k Knock) (string, error) {
	if k.Ticket.Empty() {
		return k.Key, nil
	}
	h, err := tx.Host(access.GatewayHost(k.Gateway))
	if err != nil {
		return "", err
	}
	at, _ := h.Door(access.HTTP) // one that is closed has no port, and no ticket is for it
	return k.Ticket.Print(k.Key, at, k.Resource), nil
}

// mostGrantsOf is how many active grants of one principal are looked through.
const mostGrantsOf = 1000

// webGrant is the caller's own active grant for a web application, of several the one that
// ends last.
func (b *Broker) webGrant(tx Tx, c Caller, resource access.ResourceName) (g access.Grant, err error) {
	none := access.Fail(access.Denied, "no-access", "you have no access to "+string(resource)).
		Try("ask for it with: stint web " + string(resource) + " --as ROLE --for DURATION --why TEXT, or on this site; then open the address again")
	if c.Glass != nil {
		return g, none.Because("what one-time codes opened is not used in a browser")
	}
	all, err := tx.GrantsByEnd(access.EndQuery{Principal: c.Principal.ID, State: access.Active, Limit: mostGrantsOf})
	if err != nil {
		return g, err
	}
	found := false
	for _, x := range all {
		if throughGateway(x.Permissions) && slices.ContainsFunc(x.Targets, func(t access.Target) bool { return t.Resource == resource && t.Connection.Type == webType }) {
			g, found = x, true // the latest end comes last
		}
	}
	if !found {
		return g, none
	}
	return g, nil
}

// useTicket takes a ticket that opens a session now out of use.
func useTicket(tx Tx, fx *effects, n access.Serial) error {
	c, err := tx.Certificate(n)
	if err != nil {
		return err
	}
	c, ev, err := c.Revoke(access.System, "used", tx.Now())
	if err != nil {
		return err
	}
	fx.event(ev)
	return tx.RevokeCertificate(c)
}

// WebGrant is the caller's own active grant of a request, for web applications, whose
// addresses its holder may be told.
func (b *Broker) WebGrant(ctx context.Context, c Caller, id string) (g access.Grant, err error) {
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
		r, err := b.find(tx, c, id)
		switch {
		case err != nil:
			return err
		case r.Principal != c.Principal.ID:
			return access.Fail(access.Denied, "not-yours", "the addresses are only for the holder of the grant")
		case r.Grant == "":
			return access.Fail(access.Conflict, "not-active", "the request is "+string(r.State)+"; there is nothing to open")
		}
		if g, err = tx.Grant(r.Grant); err != nil {
			return err
		}
		if slices.ContainsFunc(g.Targets, func(t access.Target) bool { return t.Connection.Type != webType }) {
			return noSuchSessions(r, access.HTTP)
		}
		return b.alive(tx, g)
	})
	return g, err
}
