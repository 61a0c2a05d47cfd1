package apiserver

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/broker"
	"stint/internal/envelope"
	"stint/internal/sshcert"
)

// maxReport is room for a report of as many sessions as there may be.
const maxReport = 8 << 20

func (s *Server) addGatewaySessionRoutes() {
	register(s, route{name: "open-session", method: post, path: "/v1/gateway/open", who: gateway, door: true, tag: "Gateways",
		summary: "Whether somebody who knocks may have a session now", detail: "It is decided anew at each call, and the session is written down before the answer."}, s.openGatewaySession)
	register(s, route{name: "sign-session", method: post, path: "/v1/gateway/sign", who: gateway, body: 64 << 10, tag: "Gateways",
		summary: "A certificate for a session's leg to its target", detail: "For one key of each session that this gateway has open. It is in the log first, and ends with the grant."}, s.signGatewaySession)
	register(s, route{name: "session-login", method: post, path: "/v1/gateway/login", who: gateway, body: maxCode, tag: "Gateways",
		summary: "The login for the target of a session with a database", detail: "Sealed to one key for each session that this gateway has open, and signed. It is in the log first."}, s.lendLogin)
	register(s, route{name: "gateway-doors", method: post, path: "/v1/gateway/doors", who: gateway, body: 64 << 10, tag: "Gateways",
		summary: "Say where this gateway takes connections of other protocols than SSH", detail: "The host is that of its address, which an administrator said."}, s.keepDoors)
	register(s, route{name: "renew-sessions", method: post, path: "/v1/gateway/renew", who: gateway, urgent: true, lease: true, body: maxReport, tag: "Gateways",
		summary: "Tell which sessions are open and which have ended, and hear which go on", detail: "A session that the answer leaves out is to end."}, s.renewGatewaySessions)
	register(s, route{name: "follow-cuts", method: get, path: "/v1/gateway/cuts", who: gateway, urgent: true, lease: true, held: true, tag: "Gateways",
		summary: "Sessions of this gateway that are to end, as it becomes known, as JSON lines", detail: "An empty line says that all is quiet."}, s.followCuts)
	register(s, route{name: "certify-gateway", method: post, path: "/v1/gateway/host-certificate", who: gateway, body: 64 << 10, tag: "Gateways",
		summary: "A certificate for the gateway's own host key", detail: "For the host of its address, so that nobody has to compare fingerprints."}, s.certifyGateway)
}

func badKnock(what string) error {
	return access.Fail(access.Invalid, "bad-knock", what)
}

// openGatewaySession takes the gateway's word for who proved a key, and not for whose
// key it is: the certificate is one that this installation signed and knows.
func (s *Server) openGatewaySession(ctx context.Context, c call, in *struct{ Body api.SessionKnock }) (*reply[api.SessionPermit], error) {
	b := in.Body
	// Whoever reaches a gateway makes it ask for the web or a database, with a key or a ticket
	// that is made up: that is not to use up what it may ask for SSH, nor the other door.
	measure := s.agents
	if p := access.Protocol(b.Protocol); p != access.SSH && slices.Contains(access.GatewayProtocols, p) {
		measure = s.strange[p]
	}
	if err := measure.take(string(c.source.Device)); err != nil {
		return nil, err
	}
	switch access.Protocol(b.Protocol) {
	case access.Postgres:
		return s.openDatabaseSession(ctx, c, b)
	case access.HTTP:
		return s.openWebSession(ctx, c, b)
	case access.TCP:
		return s.openTCPSession(ctx, c, b)
	}
	if s.ssh.Users == nil || s.ssh.Hosts == nil {
		return nil, noAuthority()
	}
	source, err := netip.ParseAddrPort(b.Source)
	if err != nil || !source.Addr().IsValid() {
		return nil, badKnock("the source is no address and port")
	}
	if len(b.Certificate) == 0 {
		return nil, access.Fail(access.Denied, "no-certificate", "a key alone opens nothing here").Try("connect with stint ssh, or write a configuration with stint ssh-config")
	}
	serial, key, err := s.ssh.Users.Read(b.Certificate, s.now())
	if err != nil {
		return nil, access.Fail(access.Denied, "bad-certificate", "the certificate is not taken").Because(err.Error()).Try("connect with stint ssh, which gets a new one")
	}
	if !bytes.Equal(key.Blob(), b.Key) {
		return nil, badKnock("the certificate is for another key than the one that proved itself")
	}
	p, err := s.broker.BeginSession(ctx, broker.Knock{Gateway: c.gateway, Protocol: access.Protocol(b.Protocol), Serial: access.Serial(serial), Key: key.Fingerprint(),
		Resource: access.ResourceName(b.Resource), Login: b.Login, Source: netip.AddrPortFrom(source.Addr().Unmap(), source.Port())})
	if err != nil {
		return nil, err
	}
	target, err := s.targetOf(ctx, p.Session)
	if err != nil {
		return nil, err
	}
	out := api.SessionPermit{Session: string(p.ID), Grant: string(p.Grant), Person: string(p.Person), Resource: string(p.Resource), End: api.At(p.OverAt),
		RemainingMillis: p.Remaining.Milliseconds(), Keep: p.Keeps, Strict: p.Strict, OmitTyped: p.Options["typed"] == "omit", Principal: p.Principal,
		Target: target, Rules: rulesOf(p.Options)}
	return s.permit(c, b.Nonce, out)
}

// permit answers with a permit, signed where it was asked for with a nonce.
func (s *Server) permit(c call, nonce string, out api.SessionPermit) (*reply[api.SessionPermit], error) {
	if nonce == "" {
		return answer(out), nil
	}
	word, err := s.word(c, nonce, envelope.AboutPermit, out)
	if err != nil {
		return nil, err
	}
	return answer(api.SessionPermit{Target: api.SessionTarget{HostKeys: []string{}, HostAuthorities: []string{}}, Rules: api.SessionRules{Env: []string{}, Commands: []api.CommandRule{}, Forward: []string{}}, Word: word}), nil
}

// targetOf says by what the target of a session is known: the keys that its agent told of,
// and certificates for them.
func (s *Server) targetOf(ctx context.Context, x access.Session) (api.SessionTarget, error) {
	host, _, err := net.SplitHostPort(x.Address)
	if err != nil {
		return api.SessionTarget{}, access.Fail(access.Internal, "bad-address", "the resource has no address").Wrap(err)
	}
	out := api.SessionTarget{Address: x.Address, Name: host, Account: x.Account, HostKeys: []string{}, HostAuthorities: []string{}}
	for _, k := range s.ssh.Hosts.Keys() {
		out.HostAuthorities = append(out.HostAuthorities, k.Line())
	}
	if s.hosts.Register == nil {
		return out, nil
	}
	keys, err := s.hosts.Register.KeysOf(ctx, x.Address)
	for _, k := range keys {
		out.HostKeys = append(out.HostKeys, k.Line)
	}
	return out, err
}

// environment is what sessions may set, on every host.
var environment = []string{"LANG", "LC_*", "TZ", "COLORTERM"}

// rulesOf are what a role's options say of sessions. Without a word about something, a
// session may do what a direct one may, but for forwarding, of which the role always says.
func rulesOf(o map[string]string) api.SessionRules {
	r := api.SessionRules{Shell: true, Exec: true, Pty: true, Files: "write", Env: environment, Commands: []api.CommandRule{}, Forward: []string{}}
	switch o["files"] {
	case "none":
		r.Files = ""
	case "read":
		r.Files = "read"
	}
	for _, effect := range []string{"allow", "deny", "alarm"} {
		for _, p := range listed(o[effect+"Commands"]) {
			r.Commands = append(r.Commands, api.CommandRule{Effect: effect, Pattern: p})
		}
	}
	if o["allowCommands"] != "" { // in a shell, and by writing files, anything could be run
		r.Shell = false
		if o["files"] == "" {
			r.Files = ""
		}
	}
	forwarding := listed(o["forwarding"])
	if slices.Contains(forwarding, "ports") {
		if r.Forward = listed(o["forwardTo"]); len(r.Forward) == 0 {
			r.Forward = []string{"*:*"}
		}
	}
	r.Agent, r.X11 = slices.Contains(forwarding, "agent"), slices.Contains(forwarding, "x11")
	return r
}

func listed(text string) []string {
	if text == "" {
		return []string{}
	}
	return strings.Split(text, ",")
}

func (s *Server) signGatewaySession(ctx context.Context, c call, in *struct{ Body api.SessionSign }) (*reply[api.SignedKey], error) {
	ca := s.ssh.Users
	if ca == nil {
		return nil, noAuthority()
	}
	key, err := sshcert.ParseBlob(in.Body.Key)
	if err != nil {
		return nil, badKey(err)
	}
	if err := ca.Ready(); err != nil {
		return nil, err
	}
	var draft sshcert.Draft
	o, err := s.broker.CertifySession(ctx, c.gateway, access.SessionID(in.Body.Session), broker.CertificateAsk{Fingerprint: key.Fingerprint(), Authority: ca.Keys()[0].Fingerprint(),
		Prepare: func(o broker.CertificateOrder) (err error) { draft, err = prepare(ca, key, o); return err }})
	if err != nil {
		return nil, err
	}
	cert, err := draft.Sign(rand.Reader)
	if err != nil {
		return nil, notSigned(err)
	}
	return answer(api.SignedKey{Certificate: cert.Blob(), ValidBefore: api.At(o.NotAfter)}), nil
}

// certifyGateway certifies a key for the host of the gateway's address. Who calls has
// proved to be the gateway, and an administrator said where it is reached.
func (s *Server) certifyGateway(ctx context.Context, c call, in *struct{ Body api.KeyAsk }) (*reply[api.SignedKey], error) {
	key, err := sshcert.ParseBlob(in.Body.Key)
	if err != nil {
		return nil, badKey(err)
	}
	host, _, err := net.SplitHostPort(c.host.Address)
	if err != nil {
		return nil, access.Fail(access.Conflict, "no-address", "nobody said where the gateway is reached").Try("an administrator enrols it anew: stint admin gateway enroll " + c.gateway + " --address HOST:PORT")
	}
	actor := access.System
	actor.Device, actor.Address = c.source.Device, c.source.IP
	cert, err := s.CertifyHost(ctx, actor, access.ResourceName(access.GatewayHost(c.gateway)), []string{host}, key.Line())
	if err != nil {
		return nil, err
	}
	blob, err := sshcert.BlobOf(cert.Certificate)
	if err != nil {
		return nil, err
	}
	return answer(api.SignedKey{Certificate: blob, ValidBefore: api.At(cert.NotAfter)}), nil
}

func (s *Server) renewGatewaySessions(ctx context.Context, c call, in *struct{ Body api.SessionReport }) (*reply[api.SessionRenewals], error) {
	r := broker.SessionReport{Gateway: c.gateway}
	for _, id := range in.Body.Live {
		r.Live = append(r.Live, access.SessionID(id))
	}
	for _, e := range in.Body.Ended {
		r.Ended = append(r.Ended, broker.SessionEnding{ID: access.SessionID(e.Session), Reason: e.Reason, Text: e.Text, At: e.At.Time, Took: time.Duration(e.TookMillis) * time.Millisecond})
	}
	for _, a := range in.Body.Alarms {
		r.Alarms = append(r.Alarms, broker.SessionAlarm{ID: access.SessionID(a.Session), Pattern: a.Pattern, Text: a.Text, At: a.At.Time})
	}
	for _, x := range in.Body.LeftOut {
		r.LeftOut = append(r.LeftOut, broker.SessionLeftOut{ID: access.SessionID(x.Session), Alarms: x.Alarms})
	}
	renewed, err := s.broker.RenewSessions(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := s.hosts.Register.Seen(ctx, c.host); err != nil {
		s.log.Debug("a gateway was not noted as seen", "gateway", c.gateway, "error", err)
	}
	out := api.SessionRenewals{Renewals: []api.SessionRenewal{}}
	for _, x := range renewed {
		a := api.SessionRenewal{Session: string(x.ID), RemainingMillis: x.Remaining.Milliseconds(), Paused: x.Paused}
		if x.Cut != nil {
			a.Cut = &api.SessionCut{Session: string(x.Cut.ID), Reason: x.Cut.Reason, Text: x.Cut.Text}
		}
		out.Renewals = append(out.Renewals, a)
	}
	if in.Body.Nonce == "" {
		return answer(out), nil
	}
	word, err := s.word(c, in.Body.Nonce, envelope.AboutRenewals, out)
	if err != nil {
		return nil, err
	}
	return answer(api.SessionRenewals{Renewals: []api.SessionRenewal{}, Word: word}), nil
}

// followCuts streams until the gateway goes, is revoked, or the server stops.
func (s *Server) followCuts(_ context.Context, c call, _ *empty) (*lines, error) {
	return &lines{ContentType: linesType, Body: func(hc huma.Context) {
		held, release := s.hold(hc.Context(), streamLife)
		defer release()
		err := s.sendCuts(held, newStream(hc), c.gateway, func() error {
			_, err := s.hosts.Register.OfGateway(held, c.source.Device)
			return err
		})
		if err != nil {
			s.log.Debug("a stream of cuts ended", "gateway", c.gateway, "trace", c.trace, "error", err)
		}
	}}, nil
}

// sendCuts sends what of a carrier's sessions is to end. still is asked whenever all was
// quiet for a while, and ends it.
func (s *Server) sendCuts(ctx context.Context, out *stream, carrier string, still func() error) error {
	if err := out.line(); err != nil { // so that it is known to stand
		return err
	}
	return s.broker.FollowCuts(ctx, carrier, func(cuts []broker.SessionCut) error {
		if len(cuts) == 0 {
			if err := still(); err != nil {
				return err
			}
			return out.line()
		}
		for _, x := range cuts {
			text, err := json.Marshal(api.SessionCut{Session: string(x.ID), Reason: x.Reason, Text: x.Text, Look: x.Look})
			if err != nil {
				return err
			}
			if err := out.line(text); err != nil {
				return err
			}
		}
		return out.flush()
	})
}
