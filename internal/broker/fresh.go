package broker

import "stint/internal/access"

// fresh refuses something new to somebody of whom, or of whom who answers for them, is
// known only what was so too long ago. Break-glass does not ask, and neither does
// anything that ends access.
func (b *Broker) fresh(tx Tx, p access.Principal) error {
	if b.Fresh == nil {
		return nil
	}
	if err := b.Fresh(p); err != nil || p.AnsweredBy() == "" {
		return err
	}
	by, err := tx.Principal(p.AnsweredBy())
	if missing(err) {
		return nil // policy refuses whom nobody answers for
	}
	if err != nil {
		return err
	}
	return b.Fresh(by)
}

// stillFresh is the same for a grant that is about to begin, or to last longer.
func (b *Broker) stillFresh(tx Tx, g access.Grant) error {
	if b.Fresh == nil || g.Emergency.Is() {
		return nil
	}
	p, err := tx.Principal(g.Principal)
	if err != nil {
		return err
	}
	return b.fresh(tx, p)
}
