package apiserver

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/broker"
	"stint/internal/web"
)

// Web applications through gateways. Whose a browser is says the sign-in of this server's own
// pages: a gateway sends it here with a challenge, and gets it back with a ticket for one
// session, which is worth something only to who has what the challenge is of (RFC 7636).

// webDomain is a domain in which resources have hosts, and challenge what one looks like.
var (
	webDomain = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	challenge = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)
)

const (
	enterPath = "/.stint/enter" // of a gateway, at the host of each resource
	httpsPort = 443
)

// challengeOf names a challenge as the log does.
func challengeOf(text string) string { return "S256:" + text }

// webHost is by which host and port a resource is reached at a door.
func webHost(d access.Door, r access.ResourceName) string {
	host := strings.ToLower(string(r)) + "." + d.Domain
	if d.Port == httpsPort {
		return host
	}
	return net.JoinHostPort(host, strconv.Itoa(int(d.Port)))
}

func webURL(d access.Door, r access.ResourceName, path string) string {
	if d.Protocol == access.TCP {
		return "tls://" + net.JoinHostPort(strings.ToLower(string(r))+"."+d.Domain, strconv.Itoa(int(d.Port)))
	}
	return (&url.URL{Scheme: "https", Host: webHost(d, r), Path: path}).String()
}

func toWebAccess(g access.Grant, gateway string, d access.Door) api.WebAccess {
	out := api.WebAccess{Request: string(g.Request), Grant: string(g.ID), ExpiresAt: api.At(g.ExpiresAt), Gateway: gateway, Certificate: d.Certificate, Addresses: []api.WebAddress{}}
	for _, t := range g.Targets {
		out.Addresses = append(out.Addresses, api.WebAddress{Resource: string(t.Resource), URL: webURL(d, t.Resource, "/")})
	}
	return out
}

// webAccess says where the web applications of a grant are.
func (s *Server) webAccess(ctx context.Context, c call, in *ByID) (*reply[api.WebAccess], error) {
	g, err := s.broker.WebGrant(ctx, c.asked(nil), in.ID)
	if err != nil {
		return nil, err
	}
	address, door, err := s.doorFor(ctx, access.HTTP)
	if err != nil {
		return nil, err
	}
	return answer(toWebAccess(g, address, door)), nil
}

// keyIn is a program's key for a grant.
type keyIn struct {
	ByID
	Body api.DoorKeyAsk
}

// registerWebKey has a key of a program's open sessions with web applications through gateways.
func (s *Server) registerWebKey(ctx context.Context, c call, in *keyIn) (*reply[api.WebKey], error) {
	return s.registerHostKey(ctx, c, in, access.HTTP)
}

// registerTCPKey does so with ports.
func (s *Server) registerTCPKey(ctx context.Context, c call, in *keyIn) (*reply[api.WebKey], error) {
	return s.registerHostKey(ctx, c, in, access.TCP)
}

// registerHostKey is both: resources that have a host each at the door of a gateway.
func (s *Server) registerHostKey(ctx context.Context, c call, in *keyIn, p access.Protocol) (*reply[api.WebKey], error) {
	if err := s.certs.take(string(c.Principal.ID)); err != nil {
		return nil, err
	}
	if err := doorKey(in.Body.PublicKey); err != nil {
		return nil, err
	}
	address, door, none := s.doorFor(ctx, p)
	o, err := s.broker.RegisterKey(ctx, c.asked(nil), in.ID, broker.KeyAsk{Protocol: p, Fingerprint: fingerprintOf(in.Body.PublicKey), Prepare: func(broker.CertificateOrder) error { return none }})
	if err != nil {
		return nil, err
	}
	return answer(api.WebKey{WebAccess: toWebAccess(o.Held, address, door), Serial: o.Serial.String(), Fingerprint: o.Fingerprint, ValidBefore: api.At(o.NotAfter)}), nil
}

// EnterWeb is where a browser goes that a gateway sent here, once somebody is signed in in it:
// back to that gateway, with a ticket. Nowhere else: the address has to be the one at which a
// gateway that may carry it said that it takes connections for the resource.
func (d doors) EnterWeb(ctx context.Context, v web.Visitor, resource string, w web.Entrance) (to string, err error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return "", err
	}
	// Whoever made the address wrote all of it: until it is known to be a gateway's, nothing
	// of it is said again, and no command suggested with it.
	bad := func(why string) error {
		return access.Fail(access.Invalid, "bad-entrance", "no gateway of this installation sent the browser here").Because(why).
			Try("open the address of the application again; stint web RESOURCE says which it is")
	}
	if !access.ValidName(resource) || !challenge.MatchString(w.Challenge) || w.State == "" || len(w.State) > 128 {
		return "", bad("what it brings is none of a gateway's")
	}
	at, is, err := d.doorAt(ctx, access.ResourceName(resource), w.Back)
	if err != nil {
		return "", err
	}
	if !is {
		return "", bad("no gateway takes connections for it at the address that it would be sent back to")
	}
	if err := d.certs.take(string(c.Principal.ID)); err != nil { // a page elsewhere can have a browser come here again and again
		return "", err
	}
	t, err := d.broker.IssueTicket(ctx, callBy(c).asked(nil), broker.TicketAsk{Resource: access.ResourceName(resource), Challenge: challengeOf(w.Challenge), Door: at})
	if err != nil {
		return "", err
	}
	return w.Back + "?" + url.Values{"ticket": {t.Reveal()}, "state": {w.State}}.Encode(), nil
}

// doorAt is the door at which a gateway takes browsers back at an address, for a resource.
func (s *Server) doorAt(ctx context.Context, r access.ResourceName, back string) (at access.Door, is bool, err error) {
	if s.hosts.Register == nil {
		return at, false, nil
	}
	all, err := s.hosts.Register.Gateways(ctx)
	for _, h := range all {
		if d, has := h.Door(access.HTTP); has && h.Enrolled() && back == webURL(d, r, enterPath) {
			return d, true, err
		}
	}
	return at, false, err
}

// openWebSession takes a program's key, as for databases, or a browser's ticket.
func (s *Server) openWebSession(ctx context.Context, c call, b api.SessionKnock) (*reply[api.SessionPermit], error) {
	again := "connect with stint proxy, which gets a new one"
	var knock broker.Knock
	var err error
	if b.Ticket == "" {
		knock, err = keyKnock(c, b, again)
	} else {
		knock, err = ticketKnock(c, b)
	}
	if err != nil {
		return nil, err
	}
	p, err := s.broker.BeginSession(ctx, knock)
	if err != nil {
		return nil, err
	}
	target, err := webTarget(p)
	if err != nil {
		return nil, err
	}
	return s.permit(c, b.Nonce, api.SessionPermit{Session: string(p.ID), Grant: string(p.Grant), Person: string(p.Person), Resource: string(p.Resource), End: api.At(p.OverAt),
		RemainingMillis: p.Remaining.Milliseconds(), Keep: p.Keeps, Strict: p.Strict, Principal: p.Principal, Target: target,
		Rules: api.SessionRules{Env: []string{}, Commands: []api.CommandRule{}, Forward: []string{}}, Limits: limitsOf(p.Options), Web: webOf(p)})
}

// openTCPSession takes a program's key likewise. Nothing is said of what may pass.
func (s *Server) openTCPSession(ctx context.Context, c call, b api.SessionKnock) (*reply[api.SessionPermit], error) {
	knock, err := keyKnock(c, b, "connect with stint proxy, which gets a new one")
	if err != nil {
		return nil, err
	}
	p, err := s.broker.BeginSession(ctx, knock)
	if err != nil {
		return nil, err
	}
	return s.permit(c, b.Nonce, api.SessionPermit{Session: string(p.ID), Grant: string(p.Grant), Person: string(p.Person), Resource: string(p.Resource), End: api.At(p.OverAt),
		RemainingMillis: p.Remaining.Milliseconds(), Keep: p.Keeps, Principal: p.Principal, Target: api.SessionTarget{Address: p.Address, HostKeys: []string{}, HostAuthorities: []string{}},
		Rules: api.SessionRules{Env: []string{}, Commands: []api.CommandRule{}, Forward: []string{}}, Limits: limitsOf(p.Options)})
}

// ticketKnock is the knock of a browser: the ticket has to be for the challenge of the
// verifier that it brings.
func ticketKnock(c call, b api.SessionKnock) (k broker.Knock, err error) {
	source, err := sourceOf(b)
	if err != nil {
		return k, err
	}
	ticket, ok := access.ReadEntryTicket(b.Ticket)
	if !ok || len(b.Key)+len(b.Certificate) > 0 || len(b.Verifier) != 43 {
		return k, badKnock("what the browser brings is no ticket and its verifier")
	}
	sum := sha256.Sum256([]byte(b.Verifier))
	return broker.Knock{Gateway: c.gateway, Protocol: access.HTTP, Serial: ticket.Serial(), Ticket: ticket, Key: challengeOf(base64.RawURLEncoding.EncodeToString(sum[:])),
		Resource: access.ResourceName(b.Resource), Source: source}, nil
}

// webTarget says how a gateway knows the application of a session.
func webTarget(p broker.Permit) (api.SessionTarget, error) {
	host, _, err := net.SplitHostPort(p.Address)
	if err != nil {
		return api.SessionTarget{}, access.Fail(access.Internal, "bad-address", "the resource has no address").Wrap(err)
	}
	o := p.Target.Connection.Options
	out := api.SessionTarget{Address: p.Address, Name: host, HostKeys: []string{}, HostAuthorities: []string{systemAuthorities}, Plain: o["tls"] == "off"}
	if o["serverName"] != "" {
		out.Name = o["serverName"]
	}
	if o["ca"] != "" {
		out.HostAuthorities = []string{o["ca"]}
	}
	if out.Plain {
		out.HostAuthorities = []string{}
	}
	return out, nil
}

// webOf are what a role's options say of sessions with web applications.
func webOf(p broker.Permit) *api.SessionWeb {
	o := p.Options
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(o[name], 10, 64) // the schema has it a number, or not there
		return max(n, 0)
	}
	w := &api.SessionWeb{Rules: []api.WebRule{}, Host: p.Target.Connection.Options["host"], Drop: listed(o["drop"]), Assert: o["assert"] == "true", Bodies: int(number("bodies")), MostBody: number("maxBody")}
	for _, effect := range []string{"deny", "alarm", "allow"} {
		for _, text := range listed(o[effect]) {
			words := strings.Fields(text)
			if last := len(words) - 1; last > 0 { // the schema has it so
				w.Rules = append(w.Rules, api.WebRule{Effect: effect, Methods: words[:last], Path: words[last]})
			}
		}
	}
	return w
}
