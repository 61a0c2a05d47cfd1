package envelope

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

type signer struct{ ed25519.PrivateKey }

func (s signer) Sign(m []byte) []byte      { return ed25519.Sign(s.PrivateKey, m) }
func (s signer) Public() ed25519.PublicKey { return s.PrivateKey.Public().(ed25519.PublicKey) }

func signerOf(n byte) signer {
	return signer{ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))}
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func sample() Call {
	return Call{ID: strings.Repeat("0a", 16), Installation: "inst", Epoch: 3, Host: "web1:22", IssuedAt: noon, NotAfter: noon.Add(3 * time.Second), Method: Provision,
		Claim: Claim{"inst", 3, "proof"}, Signs: true, Options: map[string]string{"a": "b"},
		Orders: []Order{{Entitlement: "ent_1", Tag: "t", Mechanism: "token", Person: "é<&>", Account: "deploy", Rights: []string{"x"}, ExpiresAt: noon.Add(time.Hour), Renew: 1}},
		SealTo: bytes.Repeat([]byte{9}, 32)}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestCall(t *testing.T) {
	key := signerOf(1)
	sent := must(sample().Seal(key))
	got, err := OpenCall(sent, signerOf(2).Public(), key.Public())
	want := sample()
	want.Version = version
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v", got, err)
	}
	if err := got.For("inst", "web1:22", noon.Add(time.Second)); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]struct {
		installation, host string
		now                time.Time
		code               string
	}{
		"other installation": {"other", "web1:22", noon, "other-installation"},
		"other host":         {"inst", "web2:22", noon, "other-host"},
		"host in capitals":   {"inst", "WEB1:22", noon, "other-host"},
		"late":               {"inst", "web1:22", noon.Add(3*time.Second + MaxSkew + 1), TooLate},
		"early":              {"inst", "web1:22", noon.Add(-MaxSkew - 1), "not-yet"},
	} {
		var e *access.Error
		if err := got.For(c.installation, c.host, c.now); !errors.As(err, &e) || e.Code != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := got.For("inst", "web1:22", noon.Add(3*time.Second+MaxSkew)); err != nil {
		t.Errorf("a host whose clock is a little ahead: %v", err)
	}
}

// forge signs whatever content with a key.
func forge(head, content string, s signer) Sealed {
	signed := head + "." + base64.RawURLEncoding.EncodeToString([]byte(content))
	return Sealed(signed + "." + base64.RawURLEncoding.EncodeToString(s.Sign([]byte(signed))))
}

func content(s Sealed) string {
	return string(must(base64.RawURLEncoding.DecodeString(strings.Split(string(s), ".")[1])))
}

// Signed or not, what is not in the one form is refused.
func TestCallForms(t *testing.T) {
	key := signerOf(1)
	sent := must(sample().Seal(key))
	good := content(sent)
	if _, err := OpenCall(forge(callHead, good, key), key.Public()); err != nil {
		t.Fatalf("the forge does not make good calls: %v", err)
	}
	parts := strings.Split(string(sent), ".")
	for name, text := range map[string]Sealed{
		"empty":                  "",
		"other key":              must(sample().Seal(signerOf(2))),
		"as an answer":           forge(answerHead, good, key),
		"signed as an answer":    Sealed(callHead + strings.TrimPrefix(string(forge(answerHead, good, key)), answerHead)),
		"of another version":     forge("stint-call-2", good, key),
		"version in the content": forge(callHead, strings.Replace(good, `"v":1`, `"v":2`, 1), key),
		"no signature":           Sealed(parts[0] + "." + parts[1] + "."),
		"cut signature":          sent[:len(sent)-2],
		"four parts":             sent + ".x",
		"a line end":             sent + "\n",
		"content with padding":   Sealed(parts[0] + "." + parts[1] + "=." + parts[2]),
		"space before":           forge(callHead, " "+good, key),
		"something behind":       forge(callHead, good+"{}", key),
		"unknown name":           forge(callHead, `{"x":1,`+good[1:], key),
		"twice":                  forge(callHead, `{"host":"web9:22",`+good[1:], key),
		"other case":             forge(callHead, strings.Replace(good, `"host"`, `"Host"`, 1), key),
		"null":                   forge(callHead, "null", key),
		"no UTF-8":               forge(callHead, strings.Replace(good, "deploy", "\xff", 1), key),
		"another zone":           forge(callHead, strings.Replace(good, "12:00:00Z", "13:00:00+01:00", 1), key),
		"method":                 forge(callHead, strings.Replace(good, `"provision"`, `"format"`, 1), key),
		"no host":                forge(callHead, strings.Replace(good, `"web1:22"`, `""`, 1), key),
		"two orders":             forge(callHead, strings.Replace(good, `"orders":[`, `"orders":[{},`, 1), key),
		"good for long":          forge(callHead, strings.Replace(good, `12:00:03Z`, `12:02:01Z`, 1), key),
		"never good":             forge(callHead, strings.Replace(good, `12:00:03Z`, `12:00:00Z`, 1), key),
		"large":                  forge(callHead, strings.Replace(good, "web1:22", strings.Repeat("w", MaxCall), 1), key),
		"renewal":                forge(callHead, strings.Replace(good, `"renew":1`, `"renew":3`, 1), key),
		"id":                     forge(callHead, strings.Replace(good, "0a0a", "0A0a", 1), key),
	} {
		if _, err := OpenCall(text, key.Public()); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := OpenCall(sent); err == nil {
		t.Error("taken without a key")
	}
	if _, err := OpenCall(sent, key.Public()[:31]); err == nil {
		t.Error("taken with half a key")
	}
}

func TestSealRefuses(t *testing.T) {
	for name, change := range map[string]func(*Call){
		"no id": func(c *Call) { c.ID = "" }, "no host": func(c *Call) { c.Host = "" },
		"for ever":  func(c *Call) { c.NotAfter = c.IssuedAt.Add(MaxLife + 1) },
		"no UTF-8":  func(c *Call) { c.Orders[0].Account = "\xff" },
		"too large": func(c *Call) { c.Options = map[string]string{"x": strings.Repeat("x", MaxCall)} },
		"many":      func(c *Call) { c.Method, c.Orders = Verify, make([]Order, MaxOrders+1) },
	} {
		c := sample()
		change(&c)
		if _, err := c.Seal(signerOf(1)); err == nil {
			t.Errorf("%s: sealed", name)
		}
	}
}

func TestAnswer(t *testing.T) {
	orders, agent, other := signerOf(1), signerOf(5), signerOf(6)
	c := sample()
	sent := must(c.Seal(orders))
	a := Answer{ID: c.ID, Host: c.Host, At: noon, Receipt: &Receipt{Account: "deploy", Creation: "1000"}}
	text := must(a.Seal(sent, agent))
	if got, err := OpenAnswer(text, agent.Public(), c, sent); err != nil || got.Receipt.Creation != "1000" {
		t.Fatalf("%+v, %v", got, err)
	}
	if id, err := AnswerID(text); err != nil || id != c.ID {
		t.Errorf("its id is %q, %v", id, err)
	}
	for _, id := range []string{"", "a", strings.Repeat("g", 32), strings.ToUpper(c.ID[:31] + "f"), c.ID + "0", c.ID[:31] + "\n", strings.Repeat("0", 1<<20)} {
		forged := must(Answer{ID: id, Host: c.Host, At: noon}.Seal(sent, agent))
		if got, err := AnswerID(forged); err == nil {
			t.Errorf("%.40q is taken for the id of a call", got)
		}
	}
	again := c
	again.ID = NewID()
	resent := must(again.Seal(orders))
	verify := c
	verify.Method = Verify
	verifying := must(verify.Seal(orders))
	for name, x := range map[string]struct {
		text Sealed
		call Call
		sent Sealed
	}{
		"by another agent":      {must(a.Seal(sent, other)), c, sent},
		"to another call":       {text, again, resent},
		"id of another call":    {must(Answer{ID: again.ID, Host: c.Host, Receipt: a.Receipt}.Seal(sent, agent)), c, sent},
		"of another host":       {must(Answer{ID: c.ID, Host: "web2:22", Receipt: a.Receipt}.Seal(sent, agent)), c, sent},
		"the call itself":       {sent, c, sent},
		"no receipt":            {must(Answer{ID: c.ID, Host: c.Host}.Seal(sent, agent)), c, sent},
		"too few read back":     {must(Answer{ID: c.ID, Host: c.Host}.Seal(verifying, agent)), verify, verifying},
		"a presence of its own": {must(Answer{ID: c.ID, Host: c.Host, Observations: []Observation{{Presence: 3}}}.Seal(verifying, agent)), verify, verifying},
	} {
		if _, err := OpenAnswer(x.text, agent.Public(), x.call, x.sent); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	end := c
	end.Method, end.Orders = Remove, append(end.Orders, end.Orders...)
	ending := must(end.Seal(orders))
	for name, rs := range map[string][]Result{
		"too few": {{Outcome: 2}}, "too many": {{Outcome: 2}, {Outcome: 2}, {Outcome: 2}}, "no outcome": {{Outcome: 2}, {Outcome: 3}},
		"done, but": {{Outcome: 2}, {Outcome: 2, Err: &Failure{Message: "x"}}}, "undone without a word": {{Outcome: 2}, {}},
	} {
		if _, err := OpenAnswer(must(Answer{ID: end.ID, Host: end.Host, Results: rs}.Seal(ending, agent)), agent.Public(), end, ending); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	// What failed as a whole has no results.
	failed := must(Answer{ID: end.ID, Host: end.Host, Failure: FailureOf(ErrTooLate)}.Seal(ending, agent))
	if got, err := OpenAnswer(failed, agent.Public(), end, ending); err != nil || !errors.Is(got.Failure.Err(), access.Expired) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestFailure(t *testing.T) {
	if FailureOf(nil) != nil || (*Failure)(nil).Err() != nil {
		t.Error("nothing failed")
	}
	conflict := access.Fail(access.Conflict, "claimed", "it is another's").Because("mine").Try("ask").Wrap(errors.New("secret cause"))
	for _, err := range []error{
		conflict, fmt.Errorf("outside: %w", conflict), errors.New("plain"), context.DeadlineExceeded,
		&connector.Error{Outcome: connector.NotDone, Permanent: true, Message: "no", Next: "do", Cause: conflict},
		&connector.Error{Message: "late", Cause: context.DeadlineExceeded},
	} {
		f := FailureOf(err)
		got := f.Err()
		var was, now *connector.Error
		if errors.As(err, &was) != errors.As(got, &now) || was != nil && (was.Outcome != now.Outcome || was.Permanent != now.Permanent || was.Message != now.Message || was.Next != now.Next) {
			t.Errorf("%v became %v", err, got)
		}
		if errors.Is(err, access.Conflict) != errors.Is(got, access.Conflict) || errors.Is(err, context.DeadlineExceeded) != errors.Is(got, context.DeadlineExceeded) {
			t.Errorf("%v became %v", err, got)
		}
		if strings.Contains(got.Error(), "secret cause") {
			t.Errorf("%v tells its cause", got)
		}
	}
	// An agent cannot make a Provision that failed look as if it were done.
	if e := (&Failure{Connector: true, Outcome: uint8(connector.Done), Message: "x"}).Err().(*connector.Error); e.Outcome == connector.Done {
		t.Error("a failure that is done")
	}
}

func TestCredential(t *testing.T) {
	r := must(NewRecipient())
	secret := access.NewSecret([]byte("hunter2"))
	sealed := must(SealCredential(r.Public(), "id", secret))
	if got, err := r.Open("id", sealed); err != nil || !got.Equal(access.NewSecret([]byte("hunter2"))) {
		t.Errorf("%v", err)
	}
	if _, err := r.Open("other", sealed); err == nil {
		t.Error("opens for another call")
	}
	if _, err := must(NewRecipient()).Open("id", sealed); err == nil {
		t.Error("opens for somebody else")
	}
	if _, err := SealCredential(nil, "id", secret); err == nil {
		t.Error("sealed to nobody")
	}
	if fmt.Sprintf("%+v", r) != "recipient of credentials" {
		t.Error("a recipient prints its key")
	}
}

func TestRolls(t *testing.T) {
	a, b, c, x := signerOf(1), signerOf(2), signerOf(3), signerOf(9)
	ab, bc := must(SealRoll("inst", b.Public(), a)), must(SealRoll("inst", c.Public(), b))
	follow := func(from signer, rolls ...Sealed) ed25519.PublicKey {
		t.Helper()
		return must(Follow("inst", from.Public(), rolls))
	}
	if !follow(a, bc, ab).Equal(c.Public()) || !follow(b, ab, bc).Equal(c.Public()) || !follow(c, ab, bc).Equal(c.Public()) || !follow(a).Equal(a.Public()) {
		t.Error("the chain is not followed")
	}
	for name, rolls := range map[string][]Sealed{
		"by a stranger":      {must(SealRoll("inst", x.Public(), x))},
		"other installation": {must(SealRoll("other", x.Public(), a))},
		"half a key":         {must(SealRoll("inst", x.Public()[:16], a))},
		"a call":             {must(sample().Seal(a))},
		"garbage":            {"x", "", "a.b.c"},
	} {
		if !follow(a, rolls...).Equal(a.Public()) {
			t.Errorf("%s: followed", name)
		}
	}
	circle := []Sealed{ab, must(SealRoll("inst", a.Public(), b))}
	if !follow(a, circle...).Equal(b.Public()) {
		t.Error("a circle leads elsewhere")
	}
	if _, err := Follow("inst", a.Public(), make([]Sealed, MaxRolls+1)); err == nil {
		t.Error("any number is followed")
	}
}

// FuzzCall: whatever is taken encodes again to the very text but for its signature, and is
// from and for the same when only that is read.
func FuzzCall(f *testing.F) {
	key := signerOf(1)
	f.Add(content(must(sample().Seal(key))))
	f.Add(`{"v":1}`)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := OpenCall(forge(callHead, text, key), key.Public())
		strange, no := OpenStrange(forge(callHead, text, key), key.Public())
		if no == nil && !validID(strange.ID) {
			t.Errorf("%q has the id %q", text, strange.ID)
		}
		if err != nil {
			return
		}
		if no != nil || strange.ID != c.ID || strange.Host != c.Host || strange.Installation != c.Installation || strange.Method != c.Method {
			t.Errorf("%q is %+v, %v", text, strange, no)
		}
		if again, err := c.Seal(key); err != nil || content(again) != text {
			t.Errorf("%q became %q, %v", text, content(again), err)
		}
		for _, o := range c.Orders {
			if back, err := OrderOf(o.Ordered()); err != nil || !reflect.DeepEqual(back, o) {
				t.Errorf("the order %+v became %+v, %v", o, back, err)
			}
		}
	})
}

// FuzzAnswer: nothing that an agent sends breaks who reads it.
func FuzzAnswer(f *testing.F) {
	orders, agent := signerOf(1), signerOf(5)
	c := sample()
	sent := must(c.Seal(orders))
	f.Add(content(must(Answer{ID: c.ID, Host: c.Host, At: noon, Receipt: &Receipt{Account: "a"}}.Seal(sent, agent))))
	f.Add(content(must(Answer{ID: c.ID, Host: c.Host, Failure: &Failure{Message: "x", Kind: "denied", Connector: true}}.Seal(sent, agent))))
	f.Fuzz(func(t *testing.T, text string) {
		sealed := forge(answerHead, text, agent)
		_, _ = AnswerID(sealed)
		a, err := OpenAnswer(sealed, agent.Public(), c, sent)
		if err != nil {
			return
		}
		_ = a.Failure.Err()
		if a.Failure == nil && a.Receipt == nil {
			t.Error("a provision without a receipt")
		}
	})
}

// FuzzRolls: whatever stands in rolls, the key that is believed afterwards is one that
// the chain leads to.
func FuzzRolls(f *testing.F) {
	first, second := signerOf(1), signerOf(2)
	f.Add(content(must(SealRoll("i", second.Public(), first))), content(must(SealRoll("i", signerOf(3).Public(), second))))
	f.Add(`{"v":1,"installation":"i","next":""}`, "")
	f.Fuzz(func(t *testing.T, one, two string) {
		rolls := []Sealed{forge(rollHead, one, first), forge(rollHead, two, second)}
		next, err := Follow("i", first.Public(), rolls)
		if err != nil || len(next) != ed25519.PublicKeySize {
			t.Fatalf("%x, %v", next, err)
		}
		// Without the second's word nothing that it says counts.
		alone, err := Follow("i", first.Public(), rolls[1:])
		if err != nil || !alone.Equal(first.Public()) {
			t.Errorf("a stranger's roll leads to %x, %v", alone, err)
		}
		if other, err := Follow("j", first.Public(), rolls); err == nil && !strings.Contains(one, `"j"`) && !other.Equal(first.Public()) {
			t.Errorf("another installation's roll leads to %x", other)
		}
	})
}
