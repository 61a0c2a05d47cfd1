package envelope

import (
	"time"
	"unicode/utf8"

	"stint/internal/access"
	"stint/internal/connector"
)

const (
	maxOrderText  = 4096
	maxOrderTexts = 256
)

// Order is connector.Order.
type Order struct {
	Entitlement string            `json:"entitlement,omitempty"`
	Tag         string            `json:"tag,omitempty"`
	Mechanism   string            `json:"mechanism,omitempty"`
	Person      string            `json:"person,omitempty"`
	Account     string            `json:"account,omitempty"`
	Rights      []string          `json:"rights,omitempty"`
	Options     map[string]string `json:"options,omitempty"`
	ExpiresAt   time.Time         `json:"expires_at,omitzero"`
	Before      string            `json:"before,omitempty"`
	Creation    string            `json:"creation,omitempty"`
	Renew       uint8             `json:"renew,omitempty"`
}

// OrderOf is an order for the wire. One with a text that is not UTF-8 is refused:
// the wire would change it into another name.
func OrderOf(o connector.Order) (Order, error) {
	out := Order{Entitlement: string(o.Entitlement), Tag: string(o.Tag), Mechanism: string(o.Mechanism), Person: string(o.Person), Account: o.Account,
		Rights: o.Rights, Options: o.Options, ExpiresAt: utc(o.ExpiresAt), Before: o.Before, Creation: o.Creation, Renew: uint8(o.Renew)}
	return out, out.check()
}

// Ordered is the order as connectors have it.
func (o Order) Ordered() connector.Order {
	return connector.Order{Entitlement: access.EntitlementID(o.Entitlement), Tag: access.Tag(o.Tag), Mechanism: access.Mechanism(o.Mechanism), Person: access.Person(o.Person),
		Account: o.Account, Rights: o.Rights, Options: o.Options, ExpiresAt: o.ExpiresAt, Before: o.Before, Creation: o.Creation, Renew: connector.Renew(o.Renew)}
}

func (o Order) check() error {
	bad := func(why string) error {
		return access.Fail(access.Invalid, "bad-order", "the order is not in the form of one").Because(why)
	}
	if len(o.Rights) > maxOrderTexts || len(o.Options) > maxOrderTexts || o.Renew > uint8(connector.Rotate) {
		return bad("it says too much")
	}
	texts := append([]string{o.Entitlement, o.Tag, o.Mechanism, o.Person, o.Account, o.Creation}, o.Rights...)
	for name, value := range o.Options {
		texts = append(texts, name, value)
	}
	for _, s := range texts {
		if len(s) > maxOrderText {
			return bad("a text in it is too long")
		}
	}
	for _, s := range append(texts, o.Before) {
		if !utf8.ValidString(s) {
			return bad("a text in it is not UTF-8")
		}
	}
	if !inUTC(o.ExpiresAt) {
		return bad("its end is not in UTC")
	}
	if len(o.Before) > 64<<10 {
		return bad("its state before is too long")
	}
	return nil
}

// utc drops what of a time does not cross the wire.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Round(0)
}

// Weight is about how many bytes an order has on the wire, before it is encoded as
// text there.
func (o Order) Weight() int {
	n := 300 + len(o.Before)
	for _, s := range append([]string{o.Entitlement, o.Tag, o.Mechanism, o.Person, o.Account, o.Creation}, o.Rights...) {
		n += len(s) + 3
	}
	for name, value := range o.Options {
		n += len(name) + len(value) + 6
	}
	return n
}
