package apiserver

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/envelope"
	"stint/internal/policy"
)

// gatewaySilent is when an enrolled gateway is called silent: it renews every 10 s.
const gatewaySilent = time.Minute

func (s *Server) addGatewayRoutes() {
	register(s, route{name: "enroll-as-gateway", method: post, path: "/v1/gateway/enroll", who: device, body: maxCode, tag: "Gateways",
		summary: "Exchange a one-time code for the enrolment of a gateway", detail: "The proof must be by the device_jwk in the body, without a token."}, s.enrollAsGateway)
	register(s, route{name: "trust-of-gateway", method: post, path: "/v1/gateway/trust", who: gateway, urgent: true, body: maxCode, tag: "Gateways",
		summary: "What a gateway has to know of its installation", detail: "Signed with the orders key, for this gateway and this question: the authorities, the key that recordings are sealed to, and which certificates ended early."}, s.trustOfGateway)
	register(s, route{name: "list-gateways", method: get, path: "/v1/admin/gateways", who: auditors, tag: "Gateways",
		summary: "Gateways, and whether they are heard of"}, s.listGateways)
	register(s, route{name: "enroll-gateway", method: post, path: "/v1/admin/gateways/{name}/enroll", who: admins, tag: "Gateways",
		summary: "A one-time code for a gateway", detail: "Codes from before are worthless from then on; a gateway that is enrolled stays so until another one takes its place. Its address, and what it carries, count from now on."}, s.enrollGateway)
	register(s, route{name: "carry-by-gateway", method: post, path: "/v1/admin/gateways/{name}/carries", who: admins, tag: "Gateways",
		summary: "Say which protocols' sessions a gateway may carry", detail: "All of them: what is not said it may not carry from now on. Sessions that are open go on."}, s.carryByGateway)
	register(s, route{name: "revoke-gateway", method: post, path: "/v1/admin/gateways/{name}/revoke", who: admins, urgent: true, tag: "Gateways",
		summary: "End the enrolment of a gateway", detail: "It opens no session any more, and its sessions are not renewed: they end within half a minute, or, where their role lets them go on, with their grants."}, s.revokeGateway)

	s.addGatewaySessionRoutes()
	s.addCarriedRoutes()
}

// ofGateway finds out which gateway a call is by. Unlike an agent's, its calls may lead to
// access: a proof that may have been used before is refused.
func (s *Server) ofGateway(ctx context.Context, w http.ResponseWriter, rt route, c *call, p api.Proof) (err error) {
	if s.hosts.Register == nil {
		return noGateways()
	}
	if err := s.fresh(ctx, w, p); err != nil {
		return err
	}
	if c.host, err = s.hosts.Register.OfGateway(ctx, access.DeviceID(p.Thumbprint)); err != nil {
		return err
	}
	c.gateway, _ = c.host.Gateway()
	if rt.lease {
		return s.renewals.take(p.Thumbprint)
	}
	if rt.door { // openGatewaySession takes
		return nil
	}
	return s.agents.take(p.Thumbprint)
}

func noGateways() error {
	return access.Fail(access.NotFound, "no-gateways", "this server serves no gateways").Try("an administrator looks at how it was started")
}

func (s *Server) enrollAsGateway(ctx context.Context, c call, in *struct{ Body api.GatewayEnroll }) (*reply[api.GatewayEnrolled], error) {
	if s.hosts.Register == nil {
		return nil, noGateways()
	}
	key, err := c.enrollee(in.Body.DeviceJWK)
	if err != nil {
		return nil, err
	}
	h, err := s.hosts.Register.EnrolGateway(ctx, access.NewSecret([]byte(in.Body.Code.Reveal())), c.source.Device, key, in.Body.Version, c.source.IP)
	if err != nil {
		return nil, err
	}
	name, _ := h.Gateway()
	return answer(api.GatewayEnrolled{Gateway: name, Address: h.Address, Installation: s.hosts.Installation, OrdersKey: s.hosts.Orders.Public()}), nil
}

// trustOfGateway says by whom a gateway knows persons and hosts, and what it seals to.
func (s *Server) trustOfGateway(ctx context.Context, c call, in *struct{ Body api.GatewayAsk }) (*reply[api.GatewayTrust], error) {
	if s.ssh.Users == nil || s.ssh.Hosts == nil {
		return nil, noAuthority()
	}
	list, err := s.revokedList(ctx)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(list)
	word, err := s.word(c, in.Body.Nonce, envelope.AboutTrust, api.GatewaySettings{Address: c.host.Address, Recordings: s.hosts.Recordings, Users: toAuthorities(s.ssh.Users), Hosts: toAuthorities(s.ssh.Hosts), Revoked: sum[:]})
	if err != nil {
		return nil, err
	}
	return answer(api.GatewayTrust{Word: word, Revoked: list, Rolls: s.hosts.Rolls}), nil
}

// word signs an answer to the gateway that asks.
func (s *Server) word(c call, nonce string, about envelope.About, content any) (string, error) {
	text, err := json.Marshal(content)
	if err != nil {
		return "", err
	}
	sealed, err := envelope.Word{Installation: s.hosts.Installation, Gateway: c.gateway, Nonce: nonce, About: about, IssuedAt: s.now(), Content: text}.Seal(s.hosts.Orders)
	return string(sealed), err
}

func (s *Server) listGateways(ctx context.Context, _ call, _ *empty) (*reply[api.Page[api.Gateway]], error) {
	out := api.Page[api.Gateway]{Items: []api.Gateway{}}
	if s.hosts.Register == nil {
		return answer(out), nil
	}
	all, err := s.hosts.Register.Gateways(ctx)
	for _, h := range all {
		out.Items = append(out.Items, s.toGateway(h))
	}
	return answer(out), err
}

type enrollGatewayIn struct {
	ByName
	Body api.GatewayInvite
}

func (s *Server) enrollGateway(ctx context.Context, c call, in *enrollGatewayIn) (*reply[api.GatewayEnrolment], error) {
	if s.hosts.Register == nil {
		return nil, noGateways()
	}
	if !policy.ValidAddress(in.Body.Address) {
		return nil, access.Fail(access.Invalid, "bad-address", "that is no address").Because("an address is a host and a port").Try("say where persons reach the gateway, like gw.example:2022")
	}
	if len(in.Body.Carries) == 0 {
		in.Body.Carries = []string{string(access.SSH)}
	}
	carries, err := access.Carried(in.Body.Carries)
	if err != nil {
		return nil, err
	}
	code, err := s.hosts.Register.InviteGateway(ctx, c.asked(nil).Actor, in.Name, in.Body.Address, carries)
	if err != nil {
		return nil, err
	}
	return answer(api.GatewayEnrolment{Gateway: in.Name, Address: in.Body.Address, Carries: texts(carries), Code: api.Secret(code.Text.Reveal()), ExpiresAt: api.At(code.Until)}), nil
}

func (s *Server) carryByGateway(ctx context.Context, c call, in *struct {
	ByName
	Body api.GatewayCarries
}) (*reply[api.Gateway], error) {
	if s.hosts.Register == nil {
		return nil, noGateways()
	}
	carries, err := access.Carried(in.Body.Carries)
	if err != nil {
		return nil, err
	}
	h, err := s.hosts.Register.SetCarries(ctx, c.asked(nil).Actor, in.Name, carries)
	if err != nil {
		return nil, err
	}
	return answer(s.toGateway(h)), nil
}

func (s *Server) revokeGateway(ctx context.Context, c call, in *ByName) (*reply[api.Gateway], error) {
	if s.hosts.Register == nil {
		return nil, noGateways()
	}
	h, err := s.hosts.Register.RevokeGateway(ctx, c.asked(nil).Actor, in.Name)
	if err != nil {
		return nil, err
	}
	// Clients know it by its certificate, and ask before they connect which were taken back.
	if err := s.broker.RevokeHostCertificates(ctx, c.asked(nil).Actor, access.ResourceName(access.GatewayHost(in.Name)), "the gateway was revoked"); err != nil {
		return nil, err
	}
	return answer(s.toGateway(h)), nil
}

func (s *Server) toGateway(h access.Host) api.Gateway {
	now := s.now()
	name, _ := h.Gateway()
	out := api.Gateway{Gateway: name, Address: h.Address, Carries: []string{}, State: "none", Key: string(h.Agent), Version: h.Program, SeenAt: api.At(h.SeenAt)}
	for _, p := range access.GatewayProtocols {
		if h.MayCarry(p) {
			out.Carries = append(out.Carries, string(p))
		}
	}
	switch {
	case h.Enrolled():
		out.State, out.EnrolledAt = "enrolled", api.At(h.EnrolledAt)
		out.Silent = now.Sub(h.SeenAt) > gatewaySilent && now.Sub(h.EnrolledAt) > gatewaySilent
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
