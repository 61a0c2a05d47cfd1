package keys

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestOrdersSigner(t *testing.T) {
	k := ringOf(1)
	sealed := must(k.NewOrdersKey("inst"))
	s, err := k.OrdersSigner("inst", sealed)
	if err != nil {
		t.Fatal(err)
	}
	if !ed25519.Verify(s.Public(), []byte("call"), s.Sign([]byte("call"))) {
		t.Error("its signature does not verify")
	}
	if again, err := k.OrdersSigner("inst", sealed); err != nil || !again.Public().Equal(s.Public()) {
		t.Errorf("opened again it is another: %v", err)
	}
	if other, err := k.OrdersSigner("inst", must(k.NewOrdersKey("inst"))); err != nil || other.Public().Equal(s.Public()) {
		t.Errorf("a second key is the first: %v", err)
	}
	if _, err := k.OrdersSigner("other", sealed); !errors.Is(err, ErrSealed) {
		t.Errorf("of another installation: %v", err)
	}
	if _, err := ringOf(2).OrdersSigner("inst", sealed); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("with another seal key: %v", err)
	}
	if _, err := k.OrdersSigner("inst", must(k.NewCheckpointKey(origin))); !errors.Is(err, ErrSealed) {
		t.Errorf("the log's key: %v", err)
	}
	if _, err := k.OrdersSigner("inst", must(k.Seal(ordersPurpose, "inst", []byte("short")))); err == nil {
		t.Error("a key of 5 bytes signs")
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if got := fmt.Sprintf(verb, s); got != "orders signer of inst" {
			t.Errorf("%s prints %q", verb, got)
		}
	}
	next := ringOf(9, 1)
	moved := must(next.ResealOrdersKey("inst", sealed))
	if again, err := next.OrdersSigner("inst", moved); err != nil || !next.Current(moved) || !again.Public().Equal(s.Public()) || strings.Contains(string(moved), string(sealed)) {
		t.Errorf("sealed anew: %v", err)
	}
}
