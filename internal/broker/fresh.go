package broker

import (
	"stint/internal/access"
	"stint/internal/policy"
)

// fresh refuses something new to somebody of whom is known only what was so too long
// ago, or who is answered for by such a one: an agent may have no more than its human.
// Break-glass does not ask, and neither does anything that ends access.
func (b *Broker) fresh(tx Tx, set *policy.Set, p access.Principal) error {
	if b.Fresh == nil {
		return nil
	}
	if err := b.Fresh(tx, set, p); err != nil {
		return err
	}
	if p.AnsweredBy() == "" {
		return nil
	}
	by, err := tx.Principal(p.AnsweredBy())
	switch {
	case missing(err):
		return nil // policy refuses whom nobody answers for
	case err != nil:
		return err
	}
	return b.Fresh(tx, set, by)
}

// freshStill is the same for what was asked for before and is about to be had, or to
// be had for longer.
func (b *Broker) freshStill(tx Tx, set *policy.Set, id access.PrincipalID, e access.Emergency) error {
	if b.Fresh == nil || e.Is() {
		return nil
	}
	p, err := tx.Principal(id)
	if err != nil {
		return err
	}
	return b.fresh(tx, set, p)
}
