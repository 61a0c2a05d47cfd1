package linux

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"strconv"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/crypt"
	"stint/internal/envelope"
)

// A host is not given the passwords of its vaulted accounts. It says how it hashes the one
// that an account has (its salt), and is given what the passwords of an order are when
// hashed so, and with a fresh salt where one is to be set. It compares, and sets.

// Words are what a host is told of an order's passwords.
type Words struct {
	Secret, Next string // crypt.Verifiers, or empty
	// unlike says that the host hashes in a way that we do not: what it has fits nothing.
	unlike bool
}

// Tell hashes the passwords of an order for a host that keeps the account's as settings
// say.
func Tell(o connector.Order, settings string) (w Words, err error) {
	verifier := func(s access.Secret, sets bool) (string, error) {
		if s.Empty() {
			return "", nil
		}
		same, err := crypt.Like(s.Reveal(), settings)
		if err != nil && !errors.Is(err, crypt.ErrUnknown) {
			return "", err
		}
		w.unlike = w.unlike || err != nil && settings != ""
		if same != "" && !sets {
			return same, nil
		}
		fresh, err := crypt.Fresh(s.Reveal(), rand.Reader)
		if err != nil || same == "" {
			return fresh, err
		}
		return fresh + " " + same, nil
	}
	if w.Secret, err = verifier(o.Secret, false); err == nil {
		w.Next, err = verifier(o.Next, true)
	}
	return w, err
}

// judge tells an account whose password is another from one of which nobody can know.
func (w Words) judge(o *connector.Observation) {
	if w.unlike && w.Next != "" && errors.Is(o.Err, access.Pending) && o.Presence == connector.NotKnown && o.Sessions == 0 {
		o.Err = access.Fail(access.Unavailable, "other-hash", "the host keeps the password in a form that is not understood here").
			Because("only SHA-512 is, which passwd writes where login.defs says ENCRYPT_METHOD SHA512").
			Try("leave the password out: Stint sets a fresh one then")
	}
}

// lent is what the holder of a vaulted account gets (api.Credential).
type lent struct {
	Type     string `json:"type"`
	Username string `json:"username"`
	Password string `json:"password"`
	Host     string `json:"host"`
	Port     uint16 `json:"port"`
}

// Lent completes the receipt of a host by the password that it lends and was not given.
func Lent(t connector.Target, o connector.Order, r connector.Receipt) (connector.Receipt, error) {
	if o.Renew == connector.Extend {
		return r, nil
	}
	secret := o.Secret
	if r.Turned {
		secret = o.Next
	}
	if r.Turned == o.Next.Empty() {
		return connector.Receipt{}, &connector.Error{Message: "the host did not do what was ordered: it does not say which password the account has"}
	}
	host, port, err := net.SplitHostPort(t.Connection.Address)
	n, e := strconv.ParseUint(port, 10, 16)
	if err != nil || e != nil {
		return connector.Receipt{}, &connector.Error{Message: "the resource's address is not HOST:PORT"}
	}
	b, err := json.Marshal(lent{Type, r.Account, string(secret.Reveal()), host, uint16(n)})
	r.Credential = access.NewSecret(b)
	return r, err
}

// told asks the host how it hashes, and makes what it is told, for those orders that have
// passwords. fail says of which orders it could not be made.
func (r *Remote) told(ctx context.Context, t connector.Target, os []connector.Order) (words []Words, fail []error) {
	var with []int
	for i, o := range os {
		if o.Mechanism == access.Checkout && !(o.Secret.Empty() && o.Next.Empty()) {
			with = append(with, i)
		}
	}
	words, fail = make([]Words, len(os)), make([]error, len(os))
	for part := range slices.Chunk(with, envelope.MaxOrders) {
		var at []int
		var orders []envelope.Order
		for _, i := range part {
			o, err := envelope.OrderOf(connector.Order{Tag: os[i].Tag, Mechanism: os[i].Mechanism, Account: os[i].Account})
			if err != nil {
				fail[i] = err
				continue
			}
			at, orders = append(at, i), append(orders, o)
		}
		if len(orders) == 0 {
			continue
		}
		a, err := r.call(ctx, t, envelope.Call{Method: envelope.Salts, Orders: orders})
		if err == nil {
			err = a.Failure.Err()
		}
		for n, i := range at {
			if err != nil {
				fail[i] = err
				continue
			}
			words[i], fail[i] = Tell(os[i], a.Salts[n])
		}
	}
	return words, fail
}
