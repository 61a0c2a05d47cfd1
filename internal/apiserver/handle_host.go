package apiserver

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/hosts"
)

// hostSilent is when an agent that is enrolled is called silent: it is seen every half
// a minute at least, and once in a while its host restarts.
const hostSilent = 2 * time.Minute

func (s *Server) addHostRoutes() {
	register(s, route{name: "enroll-as-host", method: post, path: "/v1/host/enroll", who: device, body: maxCode, tag: "Hosts",
		summary: "Exchange a one-time code for the enrolment of a host's agent", detail: "The proof must be by the device_jwk in the body, without a token."}, s.enrollAsHost)
	register(s, route{name: "poll-host", method: post, path: "/v1/host/poll", who: host, urgent: true, held: true, body: maxAnswers, tag: "Hosts",
		summary: "Bring answers, and ask for calls", detail: "Calls are signed with the orders key, answers with the agent's own. Held for wait_ms while there are no calls."}, s.pollHost)
	register(s, route{name: "trust-of-host", method: post, path: "/v1/host/trust", who: host, urgent: true, body: maxTrustAsk, tag: "Hosts",
		summary: "What the sshd of a host shall believe and show", detail: "Signed with the orders key, for this host and this question: the authorities, certificates for the host's own keys, and which certificates ended early."}, s.trustOfHost)
	s.addCommandRoutes()
	register(s, route{name: "list-hosts", method: get, path: "/v1/admin/hosts", who: auditors, tag: "Hosts",
		summary: "Hosts of resources, and whether an agent is enrolled there"}, s.listHosts)
	register(s, route{name: "enroll-host", method: post, path: "/v1/admin/hosts/{name}/enroll", who: admins, tag: "Hosts",
		summary: "A one-time code for the agent of a resource's host", detail: "Codes from before are worthless from then on; an agent that is enrolled stays so until another one takes its place."}, s.enrollHost)
	register(s, route{name: "revoke-host", method: post, path: "/v1/admin/hosts/{name}/revoke", who: admins, urgent: true, tag: "Hosts",
		summary: "End the enrolment of the agent of a resource's host", detail: "What it made still ends on time, by its own clock; the control plane cannot end it earlier any more, nor read it back."}, s.revokeHost)
}

// ofHost finds out whose agent a call is by. A store that is away does not say whether
// the proof was used before: what a replay could do is told apart by the agent and by
// the signatures of what it answers, and access has to end.
func (s *Server) ofHost(ctx context.Context, w http.ResponseWriter, c *call, p api.Proof) (err error) {
	if s.hosts.Register == nil {
		return noHosts()
	}
	if err := s.fresh(ctx, w, p); err != nil && access.KindOf(err) != access.Unavailable {
		return err
	}
	if c.host, err = s.hosts.Register.Of(ctx, access.DeviceID(p.Thumbprint)); err != nil {
		return err
	}
	return s.agents.take(p.Thumbprint)
}

func noHosts() error {
	return access.Fail(access.NotFound, "no-hosts", "this server serves no hosts").Try("an administrator looks at how it was started")
}

// enrollee is the key that an agent or a gateway enrols with: the one that proves this call,
// and no other.
func (c call) enrollee(jwk api.JWK) (ed25519.PublicKey, error) {
	id, err := jwk.Thumbprint()
	if err != nil {
		return nil, err
	}
	if access.DeviceID(id) != c.source.Device {
		return nil, &api.Error{Kind: api.Unauthenticated, Code: api.CodeBadProof, Message: "the proof of the call is not by the device it brings"}
	}
	return base64.RawURLEncoding.DecodeString(jwk.X) // which Thumbprint has looked at
}

func (s *Server) enrollAsHost(ctx context.Context, c call, in *struct{ Body api.HostEnroll }) (*reply[api.HostEnrolled], error) {
	if s.hosts.Register == nil {
		return nil, noHosts()
	}
	key, err := c.enrollee(in.Body.DeviceJWK)
	if err != nil {
		return nil, err
	}
	if _, err := hostKeys(in.Body.SSHKeys); err != nil { // before the code is used
		return nil, err
	}
	h, err := s.hosts.Register.Enrol(ctx, access.NewSecret([]byte(in.Body.Code.Reveal())), c.source.Device, key, in.Body.Version, c.source.IP)
	if err != nil {
		return nil, err
	}
	var trust api.HostTrust
	if in.Body.Nonce != "" {
		if trust, err = s.trustOf(ctx, h, in.Body.HostAsk); err != nil {
			return nil, err
		}
	}
	return answer(api.HostEnrolled{Host: h.Name, Installation: s.hosts.Installation, OrdersKey: s.hosts.Orders.Public(), HostTrust: trust}), nil
}

func (s *Server) pollHost(ctx context.Context, c call, in *struct{ Body api.HostPoll }) (*reply[api.HostCalls], error) {
	b := in.Body
	wait := time.Duration(b.WaitMillis) * time.Millisecond
	held, done := s.hold(ctx, wait+readWithin) // the desk keeps to the wait; this ends it when the server stops
	defer done()
	calls, err := s.hosts.Desk.Poll(held, c.host, hosts.Poll{Answers: b.Answers, Ends: b.RoomToEnd, Rest: b.Room, Wait: wait, Program: b.Version})
	if err != nil {
		return nil, err
	}
	out := api.HostCalls{Now: api.At(s.now()), Calls: []api.HostCall{}, Rolls: s.hosts.Rolls}
	for _, x := range calls {
		out.Calls = append(out.Calls, api.HostCall{Call: x.Call, LeftMillis: time.Until(x.DueAt).Milliseconds()})
	}
	return answer(out), nil
}

// hostOf is the host of a resource that is served by an agent.
func (s *Server) hostOf(ctx context.Context, name string) (string, error) {
	if s.hosts.Register == nil {
		return "", noHosts()
	}
	set, err := s.broker.Documents(ctx)
	if err != nil {
		return "", err
	}
	r, ok := set.Resource(access.ResourceName(name))
	if !ok {
		var names []string
		for _, r := range set.Resources() {
			names = append(names, string(r.Name))
		}
		return "", noSuch("resource", name, names)
	}
	if r.Connection.Credential != "" {
		return "", access.Fail(access.Invalid, "not-a-host", "the resource "+name+" is served without an agent").
			Because("its type is " + r.Connection.Type).Try("agents are for resources of type linux")
	}
	return r.Connection.Address, nil
}

func (s *Server) enrollHost(ctx context.Context, c call, in *ByName) (*reply[api.HostEnrolment], error) {
	at, err := s.hostOf(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	code, err := s.hosts.Register.Invite(ctx, c.asked(nil).Actor, at)
	if err != nil {
		return nil, err
	}
	return answer(api.HostEnrolment{Host: code.Host, Code: api.Secret(code.Text.Reveal()), ExpiresAt: api.At(code.Until)}), nil
}

func (s *Server) revokeHost(ctx context.Context, c call, in *ByName) (*reply[api.Host], error) {
	at, err := s.hostOf(ctx, in.Name)
	gone := err != nil
	if gone && s.hosts.Register == nil {
		return nil, err
	} else if gone {
		at = in.Name // the resource may be gone, and its agent still there
	}
	was, no := s.hosts.Register.Named(ctx, at)
	switch _, gateway := was.Gateway(); {
	case gone && (no != nil || gateway):
		return nil, err
	case no != nil && access.KindOf(no) != access.NotFound:
		return nil, no
	}
	h, err := s.hosts.Register.Revoke(ctx, c.asked(nil).Actor, at)
	if err != nil {
		return nil, err
	}
	if err := s.disown(ctx, c.asked(nil).Actor, was.SSHKeys, "the agent of the host was revoked"); err != nil {
		return nil, err
	}
	var of []string
	if !gone {
		of = append(of, in.Name)
	}
	return answer(s.toHost(h, of)), nil
}

func (s *Server) listHosts(ctx context.Context, _ call, _ *empty) (*reply[api.Page[api.Host]], error) {
	out := api.Page[api.Host]{Items: []api.Host{}}
	if s.hosts.Register == nil {
		return answer(out), nil
	}
	all, err := s.hosts.Register.List(ctx)
	if err != nil {
		return nil, err
	}
	set, err := s.broker.Documents(ctx)
	if err != nil {
		return nil, err
	}
	at := map[string][]string{}
	for _, r := range set.Resources() {
		if r.Connection.Credential == "" {
			at[r.Connection.Address] = append(at[r.Connection.Address], string(r.Name))
		}
	}
	for _, h := range all {
		out.Items = append(out.Items, s.toHost(h, at[h.Name]))
		delete(at, h.Name)
	}
	for name, resources := range at {
		out.Items = append(out.Items, s.toHost(access.Host{Name: name}, resources))
	}
	slices.SortFunc(out.Items, func(a, b api.Host) int { return strings.Compare(a.Host, b.Host) })
	return answer(out), nil
}

func (s *Server) toHost(h access.Host, resources []string) api.Host {
	now := s.now()
	out := api.Host{Host: h.Name, Resources: texts(resources), State: "none", Agent: string(h.Agent), Version: h.Program, SeenAt: api.At(h.SeenAt)}
	switch {
	case h.Enrolled():
		out.State, out.EnrolledAt = "enrolled", api.At(h.EnrolledAt)
		out.Silent = now.Sub(h.SeenAt) > hostSilent && now.Sub(h.EnrolledAt) > hostSilent
	case now.Before(h.CodeUntil):
		out.State = "waiting"
	case !h.RevokedAt.IsZero():
		out.State = "revoked"
	}
	if now.Before(h.CodeUntil) {
		out.CodeUntil = api.At(h.CodeUntil)
	}
	return out
}
