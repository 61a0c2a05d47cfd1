package broker

// Poke has what is due to be surveyed looked for now.
func (b *Broker) Poke() { b.surveying.poke() }
