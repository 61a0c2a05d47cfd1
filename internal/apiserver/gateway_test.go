package apiserver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"stint/internal/api"
	"stint/internal/envelope"
)

// enrolledGateway is a client that is a gateway.
func enrolledGateway(t *testing.T, w *world, admin *api.Client, name string, carries ...string) *api.Client {
	t.Helper()
	code, err := admin.EnrollGateway(t.Context(), name, api.GatewayInvite{Address: name + ".example:2022", Carries: carries})
	check(t, err)
	own := w.client()
	got, err := own.EnrollAsGateway(t.Context(), api.GatewayEnroll{Code: code.Code, DeviceJWK: own.Device.JWK(), Version: "v1"})
	check(t, err)
	if got.Gateway != name || got.Address != name+".example:2022" || got.Installation != "test" || !bytes.Equal(got.OrdersKey, w.orders.Public()) {
		t.Errorf("%+v", got)
	}
	return own
}

// settingsOf asks as the gateway edge, and reads what the orders key has signed for it.
func settingsOf(ctx context.Context, w *world, c *api.Client) (s api.GatewaySettings, err error) {
	nonce := envelope.NewID()
	got, err := c.TrustOfGateway(ctx, api.GatewayAsk{Nonce: nonce})
	if err != nil {
		return s, err
	}
	word, err := envelope.OpenWord(envelope.Sealed(got.Word), "test", "edge", nonce, envelope.AboutTrust, w.orders.Public())
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(word.Content, &s)
}

// TestGatewayDoors: a gateway enrols with a code of its own, once; what is a host's or a
// person's opens nothing of a gateway's, and the other way around.
func TestGatewayDoors(t *testing.T) {
	w, admin := populated(t)
	ctx := t.Context()
	_, err := admin.Apply(ctx, api.Apply{Files: []api.File{{Name: "host.yaml", Text: agentDocuments}}})
	check(t, err)
	for name, in := range map[string]string{"no address": "", "no port": "gw.example", "a URL": "https://gw.example:1", "an option": "-oProxyCommand:1"} {
		if _, err := admin.EnrollGateway(ctx, "edge", api.GatewayInvite{Address: in}); problemOf(err, "").Kind != api.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := admin.EnrollGateway(ctx, "Not A Name", api.GatewayInvite{Address: "gw.example:1"}); problemOf(err, "").Code != "bad-name" {
		t.Errorf("a name that is none: %v", err)
	}
	code, err := admin.EnrollGateway(ctx, "edge", api.GatewayInvite{Address: "gw.example:2022"})
	check(t, err)
	hostCode, err := admin.EnrollHost(ctx, "web1")
	check(t, err)
	if !strings.HasPrefix(code.Code.Reveal(), "stint-gateway-") {
		t.Error("the code does not say what it is for")
	}
	own, stranger := w.client(), w.client()
	for name, call := range map[string]func() error{
		"a code of a host": func() error {
			_, err := stranger.EnrollAsGateway(ctx, api.GatewayEnroll{Code: hostCode.Code, DeviceJWK: stranger.Device.JWK()})
			return err
		},
		"a code of a gateway, as a host": func() error {
			_, err := stranger.EnrollAsHost(ctx, api.HostEnroll{Code: code.Code, DeviceJWK: stranger.Device.JWK()})
			return err
		},
		"a code of a host, dressed up": func() error {
			dressed := strings.Replace(hostCode.Code.Reveal(), "stint-host-", "stint-gateway-", 1)
			_, err := stranger.EnrollAsGateway(ctx, api.GatewayEnroll{Code: api.Secret(dressed), DeviceJWK: stranger.Device.JWK()})
			return err
		},
	} {
		if err := call(); problemOf(err, "").Code != "bad-code" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := stranger.EnrollAsGateway(ctx, api.GatewayEnroll{Code: code.Code, DeviceJWK: own.Device.JWK()}); problemOf(err, "").Code != api.CodeBadProof {
		t.Errorf("with the key of another: %v", err)
	}
	if _, err := settingsOf(ctx, w, stranger); problemOf(err, "").Code != "not-enrolled" {
		t.Errorf("a stranger is a gateway: %v", err)
	}
	_, err = own.EnrollAsGateway(ctx, api.GatewayEnroll{Code: code.Code, DeviceJWK: own.Device.JWK(), Version: "v1"})
	check(t, err)
	if _, err := stranger.EnrollAsGateway(ctx, api.GatewayEnroll{Code: code.Code, DeviceJWK: stranger.Device.JWK()}); problemOf(err, "").Code != "bad-code" {
		t.Errorf("a code twice: %v", err)
	}
	got, err := settingsOf(ctx, w, own)
	check(t, err)
	if got.Address != "gw.example:2022" || len(got.Users) == 0 || len(got.Hosts) == 0 || len(got.Revoked) != sha256.Size {
		t.Errorf("%+v", got)
	}

	// A gateway's key is no agent's and no person's; an agent's and a person's are no gateway's.
	agent := w.client()
	_, err = agent.EnrollAsHost(ctx, api.HostEnroll{Code: hostCode.Code, DeviceJWK: agent.Device.JWK(), Version: "v1"})
	check(t, err)
	if _, err := own.PollHost(ctx, api.HostPoll{Room: 1}); problemOf(err, "").Code != "not-enrolled" {
		t.Errorf("a gateway asks for calls of a host: %v", err)
	}
	if _, err := settingsOf(ctx, w, agent); problemOf(err, "").Code != "not-enrolled" {
		t.Errorf("an agent is a gateway: %v", err)
	}
	if _, err := settingsOf(ctx, w, agent); problemOf(err, "").Code != "not-enrolled" { // known by now
		t.Errorf("an agent is a gateway: %v", err)
	}
	if _, err := settingsOf(ctx, w, admin); problemOf(err, "").Code != "not-enrolled" {
		t.Errorf("an administrator is a gateway: %v", err)
	}
	if g := w.send(w.raw(&api.Client{Server: own.Server, Device: own.Device}, http.MethodGet, "/v1/sessions", "")); g.status != http.StatusUnauthorized {
		t.Errorf("a gateway is somebody: %d", g.status)
	}
	hosts, err := admin.Hosts(ctx)
	check(t, err)
	gateways, err := admin.Gateways(ctx)
	check(t, err)
	if len(hosts.Items) != 1 || len(gateways.Items) != 1 || gateways.Items[0].Gateway != "edge" || gateways.Items[0].State != "enrolled" || gateways.Items[0].Address != "gw.example:2022" {
		t.Errorf("hosts %+v\ngateways %+v", hosts.Items, gateways.Items)
	}
	if _, err := admin.RevokeGateway(ctx, "west"); problemOf(err, "").Kind != api.NotFound {
		t.Errorf("one that is not there: %v", err)
	}
	_, line := sshPublic(t)
	made, err := own.CertifyGateway(ctx, api.KeyAsk{Key: line.Marshal()})
	check(t, err)
	public, err := ssh.ParsePublicKey(made.Certificate)
	check(t, err)
	shown := public.(*ssh.Certificate)
	if w.krlOf().Revokes(shown.SignatureKey.Marshal(), shown.Key.Marshal(), shown.Serial, shown.KeyId) {
		t.Error("its certificate is revoked while it is enrolled")
	}
	_, err = admin.RevokeGateway(ctx, "edge")
	check(t, err)
	if !w.krlOf().Revokes(shown.SignatureKey.Marshal(), shown.Key.Marshal(), shown.Serial, shown.KeyId) {
		t.Error("clients still believe the certificate of a gateway that was revoked")
	}
	if _, err := settingsOf(ctx, w, own); problemOf(err, "").Code != "not-enrolled" {
		t.Errorf("revoked, it goes on: %v", err)
	}
}
