package broker

import "stint/internal/access"

// fresh refuses something new to somebody of whom is known only what was so too long
// ago. Break-glass does not ask, and neither does anything that ends access.
func (b *Broker) fresh(p access.Principal) error {
	if b.Fresh == nil {
		return nil
	}
	return b.Fresh(p)
}

// stillFresh is the same for a grant that is about to begin.
func (b *Broker) stillFresh(tx Tx, g access.Grant) error {
	if b.Fresh == nil || g.Emergency.Is() {
		return nil
	}
	p, err := tx.Principal(g.Principal)
	if err != nil {
		return err
	}
	return b.Fresh(p)
}
