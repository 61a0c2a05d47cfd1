package agent

import (
	"context"
	"maps"
	"slices"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/envelope"
)

// A tag stands for one privilege from its first order to its end. What the ledger has
// under it is what was judged when it was made; a later call with the same tag renews that
// or ends that, and cannot put something else in its place.

// renews reports whether an order is about what the ledger has under its tag. An account
// that is made has its name only afterwards. Settings are the same too, but for what
// several share: there those in which its holders do not agree fall away.
func (e entry) renews(o envelope.Order) bool {
	k := e.Order
	if o.Mechanism != k.Mechanism || o.Person != k.Person || !slices.Equal(o.Rights, k.Rights) {
		return false
	}
	switch access.Mechanism(o.Mechanism) {
	case access.Account:
		return maps.Equal(o.Options, k.Options) && (o.Account == "" || k.Account == "" || o.Account == k.Account)
	case access.Member:
		return o.Account == k.Account // its settings say only what becomes of sessions
	case access.Enable, access.Checkout:
		return o.Account == k.Account && maps.Equal(o.Options, agreed(o.Options, k.Options))
	}
	return o.Account == k.Account && maps.Equal(o.Options, k.Options)
}

// renewal is how an order is carried out that renews an entry: what the entry knows and
// needs for its end is not for the control plane to change.
func (e entry) renewal(o connector.Order) connector.Order {
	o.Account, o.Before = e.Order.Account, e.Order.Before
	return o
}

// ending is how an entry is ended where the control plane says o. Of a membership sessions
// stay only where both say so; the secrets of a vaulted account the ledger does not have.
func (e entry) ending(o connector.Order) connector.Order {
	own := e.Order.Ordered()
	switch own.Mechanism {
	case access.Member:
		own.Options = agreed(own.Options, o.Options)
	case access.Checkout:
		own.Secret, own.Next = o.Secret, o.Next
	}
	return own
}

// agreed keeps the settings in which two orders agree.
func agreed(a, b map[string]string) map[string]string {
	both := map[string]string{}
	for k, v := range a {
		if w, ok := b[k]; ok && v == w {
			both[k] = v
		}
	}
	return both
}

// endThese does one step of the way out. What is in the ledger ends as it was made,
// whatever the call says it is; where that is something else, it is done as well, since
// ending is never refused. Out of the ledger goes only what is then seen to be gone: the
// rest stays for the agent's own clock.
func (a *Agent) endThese(ctx context.Context, m envelope.Method, t connector.Target, os []connector.Order) []connector.Result {
	tags := make([]access.Tag, len(os))
	for i, o := range os {
		tags[i] = o.Tag
	}
	defer a.tags.lock(tags...)()
	do := a.Connector.Revoke
	switch m {
	case envelope.Terminate:
		do = a.Connector.TerminateSessions
	case envelope.Remove:
		do = a.Connector.Remove
	}
	own := slices.Clone(os)
	var kept, other []int // of those that the ledger has, and that are something else there
	for i, o := range os {
		e, ok := a.Ledger.get(o.Tag)
		if !ok || !e.live() {
			continue
		}
		kept, own[i] = append(kept, i), e.ending(o)
		if o.Mechanism != own[i].Mechanism || o.Account != "" && own[i].Account != "" && o.Account != own[i].Account {
			other = append(other, i)
		}
	}
	rs := do(ctx, t, own)
	if len(other) > 0 {
		for n, r := range do(ctx, t, at(os, other)) {
			i := other[n]
			a.Log.Warn("an end names something else than what is there under its tag; both are ended", "tag", string(tags[i]), "there", string(own[i].Mechanism)+" "+own[i].Account, "named", string(os[i].Mechanism)+" "+os[i].Account)
			if rs[i].Outcome == connector.Done {
				rs[i] = r
			}
		}
	}
	if m != envelope.Remove {
		return rs
	}
	kept = slices.DeleteFunc(kept, func(i int) bool { return rs[i].Outcome != connector.Done })
	if len(kept) == 0 {
		return rs
	}
	var gone []access.Tag
	for n, v := range a.Connector.Verify(ctx, t, at(own, kept)) {
		i := kept[n]
		if v.Gone() {
			gone = append(gone, tags[i])
			continue
		}
		a.Log.Warn("it was removed, and is not seen to be gone; it stays in the ledger", "tag", string(tags[i]), "reading", v.Err, "presence", v.Presence.String(), "sessions", v.Sessions)
	}
	if err := a.Ledger.bury(gone...); err != nil {
		a.Log.Error("what was removed is not in the ledger as such; it is removed again after a restart", "error", err)
	}
	return rs
}

// at picks orders.
func at(os []connector.Order, is []int) []connector.Order {
	out := make([]connector.Order, len(is))
	for n, i := range is {
		out[n] = os[i]
	}
	return out
}
