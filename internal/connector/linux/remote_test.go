package linux

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/envelope"
)

type testSigner struct{ ed25519.PrivateKey }

func newTestSigner(t *testing.T) testSigner {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return testSigner{key}
}

func (s testSigner) Sign(m []byte) []byte      { return ed25519.Sign(s.PrivateKey, m) }
func (s testSigner) Public() ed25519.PublicKey { return s.PrivateKey.Public().(ed25519.PublicKey) }

// turned is an agent that somebody else has: it answers with the key that is enrolled,
// and says what it likes.
type turned struct {
	key     testSigner
	orders  ed25519.PublicKey
	account string
	failure *envelope.Failure
}

func (a turned) Carry(_ context.Context, p Parcel) (envelope.Sealed, ed25519.PublicKey, error) {
	c, err := envelope.OpenCall(p.Call, a.orders)
	if err != nil {
		return "", nil, err
	}
	text, err := envelope.Answer{ID: c.ID, Host: c.Host, At: time.Now(), Failure: a.failure, Receipt: &envelope.Receipt{Account: a.account}}.Seal(p.Call, a.key)
	return text, a.key.Public(), err
}

// TestAccountOfReceipt: the account that an agent says it lent is the one that was
// ordered. OpenSSH's configuration on people's machines is made of it.
func TestAccountOfReceipt(t *testing.T) {
	tag := access.Tag(strings.Repeat("a", 26) + "_" + strings.Repeat("7", 16))
	named := connector.Order{Tag: tag, Mechanism: access.Token, Account: "deploy", Person: "mira", ExpiresAt: time.Now().Add(time.Hour).UTC()}
	made, nameless := named, named
	made.Mechanism, made.Account = access.Account, ""
	nameless.Account = ""
	const own = "s-mira-7777777777777777"
	for _, x := range []struct {
		order connector.Order
		says  string
		ok    bool
	}{
		{named, "deploy", true}, {named, "root", false}, {named, "", false},
		{named, "deploy\nProxyCommand id", false}, {named, own, false},
		{made, own, true}, {made, "root", false}, {made, "", false}, {made, "s-noor-7777777777777777", false},
		{made, "s-mira-8888888888888888", false}, {made, "x\nProxyCommand id\n#-7777777777777777", false}, {made, strings.Repeat("a", 5000), false},
		{nameless, "root", false}, {nameless, "", false},
	} {
		orders, key := newTestSigner(t), newTestSigner(t)
		doubted := false
		r, err := New(Config{Courier: turned{key, orders.Public(), x.says, nil}, Signer: orders, Installation: "test", Epoch: 1, Distrust: func(string, error) { doubted = true }})
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Provision(t.Context(), connector.Target{Connection: access.Connection{Type: Type, Address: "web1:22"}}, x.order)
		var ce *connector.Error
		switch {
		case x.ok && (err != nil || got.Account != x.says):
			t.Errorf("%s %q: got %+v, %v", x.order.Mechanism, x.says, got, err)
		case !x.ok && (!errors.As(err, &ce) || ce.Outcome != connector.Unknown || !doubted):
			t.Errorf("%s %q: got %+v, %v, doubted %v; want what nobody knows, and a doubt", x.order.Mechanism, x.says, got, err, doubted)
		}
	}
}

// TestAgentTooOld: what an agent does not know, and its control plane does, is said to be a
// matter of the agent's version, and what to do; its other refusals stay what they are.
func TestAgentTooOld(t *testing.T) {
	observe := func(m access.Mechanism, says error) *access.Error {
		orders, key := newTestSigner(t), newTestSigner(t)
		r, err := New(Config{Courier: turned{key, orders.Public(), "", envelope.FailureOf(says)}, Signer: orders, Installation: "test", Epoch: 1, Distrust: func(string, error) { t.Error("it is distrusted") }})
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Observe(t.Context(), connector.Target{Connection: access.Connection{Type: Type, Address: "web1:22"}}, connector.Order{Mechanism: m, Account: "deploy", ExpiresAt: time.Now().UTC()})
		var ours *access.Error
		if !errors.As(err, &ours) {
			t.Fatal(err)
		}
		return ours
	}
	bad := access.Fail(access.Invalid, "bad-mechanism", "a Linux host does not serve the mechanism checkout")
	if e := observe(access.Checkout, bad); e.Code != "agent-too-old" || e.Kind != access.Invalid || !strings.Contains(e.Message, "web1:22") || !strings.Contains(e.Next, "update stint-agent") {
		t.Errorf("%+v", e)
	}
	if e := observe("nonsense", bad); e.Code != "bad-mechanism" {
		t.Errorf("of what nobody knows: %+v", e)
	}
	if e := observe(access.Checkout, access.Fail(access.Denied, "no-such-account", "there is no such account")); e.Code != "no-such-account" {
		t.Errorf("%+v", e)
	}
}
