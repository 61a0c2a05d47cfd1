package broker

import (
	"cmp"
	"context"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/policy"
)

const (
	// sessionsOfGrant bounds the sessions that one grant has open at once.
	sessionsOfGrant = 256
	// permitOnTheWay is how long a session may be unknown to its gateway: a permit that
	// arrives later than that is not used.
	permitOnTheWay = 15 * time.Second
	// lostAfter is when a session is lost that its gateway has not named: twice as long
	// as a gateway goes on without being answered.
	lostAfter = time.Minute
	lostBatch = 100
	// alarmsAtOnce bounds what one report writes into the log one by one. Of the others it
	// says how many they were; the recording has all.
	alarmsAtOnce = 100
	// cutsGather lets many ends make one look, and cutsBackstop finds what nobody told of.
	cutsGather   = 20 * time.Millisecond
	cutsBackstop = 250 * time.Millisecond
	// CutsPulse is how often FollowCuts says that it is there.
	CutsPulse = 10 * time.Second
)

// GatewayPrincipal begins the principal of certificates that open sessions through
// gateways. A host has lines for tags only, which look otherwise.
const GatewayPrincipal = "stint-gateway-"

func gatewayPrincipal(g access.GrantID) string { return GatewayPrincipal + string(g) }

func throughGateway(p access.Permissions) bool { return p.Options["through"] == "gateway" }

// carriage is how sessions of a protocol are opened through gateways.
type carriage struct {
	resource   string // the type of the resources that it leads to
	kind       access.CertificateKind
	mechanisms []access.Mechanism
	command    string // by which people connect
}

var carriages = map[access.Protocol]carriage{
	access.SSH:      {hostType, access.UserCertificate, []access.Mechanism{access.Token, access.Account, access.Enable}, "stint ssh"},
	access.Postgres: {databaseType, access.DatabaseKey, []access.Mechanism{access.Account, access.Checkout}, "stint db"},
	access.HTTP:     {webType, access.WebKey, []access.Mechanism{access.Token}, "stint web"},
	access.TCP:      {tcpType, access.WebKey, []access.Mechanism{access.Token}, "stint proxy"},
}

// Knock is somebody at the door of a gateway: the certificate of the key that proved
// itself, what they want, and where they come from, as the gateway says.
type Knock struct {
	Gateway  string
	Protocol access.Protocol
	Serial   access.Serial
	Key      string // its fingerprint
	Resource access.ResourceName
	Login    string // "" where they named none
	Source   netip.AddrPort
	// Ticket is what a browser brought, and Key the challenge of the verifier that it has: it
	// proved no key.
	Ticket access.EntryTicket
}

// Permit is a session that was written down, with what its grant says of it.
type Permit struct {
	access.Session
	Options   map[string]string // the role's
	Principal string            // of the certificate by which it was opened
	Target    access.Target
	Remaining time.Duration
}

// BeginSession decides whether whoever knocks may have a session now, anew each time, and
// writes it down before it says so.
func (b *Broker) BeginSession(ctx context.Context, k Knock) (out Permit, err error) {
	err = b.update(ctx, func(tx Tx, fx *effects) error {
		g, e, err := b.decideSession(tx, k)
		if err != nil {
			return err
		}
		t := e.Target
		s := access.Session{ID: access.NewSessionID(tx.Now().UnixMilli(), b.entropy()), Gateway: k.Gateway, Protocol: k.Protocol, Grant: g.ID, Request: g.Request, Principal: g.Principal,
			Person: g.Person, Role: g.Role, Resource: t.Resource, Address: t.Connection.Address, Account: e.Account, Held: e.ID, Source: k.Source, Key: k.Key,
			Keeps: keeps(g, t), Strict: g.Permissions.Options["record"] == "strict", OverAt: g.ExpiresAt}
		by := access.Actor{Principal: g.Principal, Person: g.Person, Device: g.Device, Address: k.Source.Addr()}
		if !k.Ticket.Empty() { // it is used up, in the same breath
			by.Device = "" // the grant was asked for on one; which one the browser is on nobody knows
			if err := useTicket(tx, fx, k.Serial); err != nil {
				return err
			}
		}
		s, ev := s.Open(by, tx.Now())
		fx.event(ev)
		out = Permit{Session: s, Options: g.Permissions.Options, Principal: gatewayPrincipal(g.ID), Target: t, Remaining: g.ExpiresAt.Sub(tx.Now())}
		return tx.SaveSessions(s)
	})
	if err != nil {
		return Permit{}, err
	}
	return out, nil
}

// keeps reports whether sessions go on while their gateway is cut off: where the role says
// so, and no more than the resource's criticality allows.
func keeps(g access.Grant, t access.Target) bool {
	return g.Permissions.Options["onPartition"] == "keep" && (t.Criticality == access.Low || t.Criticality == access.Medium)
}

func noEntry(w carriage) error {
	return access.Fail(access.Denied, "no-access", "there is no access by this certificate").
		Because("it is not known, or its grant is over").Try("connect with " + w.command + ", which gets a new one")
}

// decideSession finds the grant of a certificate, and what of it the session is for.
func (b *Broker) decideSession(tx Tx, k Knock) (g access.Grant, e access.Entitlement, err error) {
	w, known := carriages[k.Protocol]
	if !known {
		return g, e, access.Fail(access.Invalid, "bad-protocol", "no gateway carries this protocol").Because("it is " + strconv.Quote(string(k.Protocol)))
	}
	if err := carries(tx, k.Gateway, k.Protocol); err != nil {
		return g, e, err
	}
	if err := b.certain(tx); err != nil {
		return g, e, err
	}
	brought, err := broughtBy(tx, k)
	if err != nil {
		return g, e, err
	}
	c, err := tx.Certificate(k.Serial)
	switch {
	case missing(err):
		return g, e, noEntry(w)
	case err != nil:
		return g, e, err
	case c.Kind != kindOf(w, k) || !access.SamePrint(c.Fingerprint, brought) || !c.RevokedAt.IsZero() || !tx.Now().Before(c.NotAfter):
		return g, e, noEntry(w)
	}
	if g, err = tx.Grant(c.Grant); err != nil {
		return g, e, err
	}
	set, err := b.documents(tx)
	if err != nil {
		return g, e, err
	}
	switch {
	case g.State != access.Active || g.ExpiresAt.Sub(tx.Now()) < worthwhile:
		return g, e, access.Fail(access.Expired, "grant-ended", "the access has ended").Because("the grant is " + string(g.State)).Try("ask again with " + w.command + " " + string(k.Resource))
	case !throughGateway(g.Permissions) || !slices.Contains(c.Principals, gatewayPrincipal(g.ID)):
		return g, e, access.Fail(access.Denied, "not-through-gateway", "this access does not go through a gateway").Try("connect with " + w.command + " " + string(k.Resource))
	}
	if _, no := b.stillAllowed(tx, &effects{}, set, g, policy.Alive); no != nil {
		return g, e, no
	}
	if e, err = heldFor(tx, g, k, w); err != nil {
		return g, e, err
	}
	if err := from(g.Permissions.Options["sourceAddress"], k.Source.Addr()); err != nil {
		return g, e, err
	}
	open, err := tx.Sessions(access.SessionQuery{Grant: g.ID, Live: true, Limit: sessionsOfGrant})
	if err == nil && len(open) >= sessionsOfGrant {
		err = access.Fail(access.TooMany, "too-many-sessions", "the grant has as many sessions open as it may").Try("close some of them")
	}
	return g, e, err
}

// kindOf is what whoever knocks has to have brought.
func kindOf(w carriage, k Knock) access.CertificateKind {
	if !k.Ticket.Empty() {
		return access.WebTicket
	}
	return w.kind
}

// carries refuses a gateway sessions of a protocol that no administrator said it carries.
func carries(tx Tx, gateway string, p access.Protocol) error {
	h, err := tx.Host(access.GatewayHost(gateway))
	if missing(err) {
		return access.Fail(access.Denied, "not-carried", "no gateway of this name is enrolled")
	} else if err != nil {
		return err
	}
	return h.CarryOnly(p)
}

// heldFor is the entitlement of a grant that a session on a resource is for.
func heldFor(tx Tx, g access.Grant, k Knock, w carriage) (access.Entitlement, error) {
	holds, err := tx.HoldsBy(g.ID)
	if err != nil {
		return access.Entitlement{}, err
	}
	var ids []access.EntitlementID
	for _, h := range holds {
		if h.ReleasedAt.IsZero() {
			ids = append(ids, h.Entitlement)
		}
	}
	es, err := tx.EntitlementsOf(ids...)
	if err != nil {
		return access.Entitlement{}, err
	}
	for _, e := range es {
		if e.Target.Resource != k.Resource || e.Target.Connection.Type != w.resource || !slices.Contains(w.mechanisms, e.Mechanism) {
			continue
		}
		if e.State != access.Present && e.State != access.Refreshing {
			return e, access.Fail(access.Unavailable, "not-present", "the access is not on its target at this moment").Try("try again in a moment")
		}
		if k.Login != "" && k.Login != e.Account {
			return e, access.Fail(access.Denied, "other-account", "the access is not for this account").Because("it is for " + e.Account).Try("connect as " + e.Account + "@" + string(k.Resource))
		}
		return e, nil
	}
	return access.Entitlement{}, access.Fail(access.Denied, "other-resource", "the access is not for "+string(k.Resource)).Try("connect with " + w.command + " " + string(k.Resource))
}

// from refuses a source that a role does not allow.
func from(allowed string, source netip.Addr) error {
	if allowed == "" {
		return nil
	}
	for part := range strings.SplitSeq(allowed, ",") {
		p, err := netip.ParsePrefix(part)
		if a, e := netip.ParseAddr(part); e == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err == nil && p.Contains(source.Unmap()) {
			return nil
		}
	}
	return access.Fail(access.Denied, "wrong-source", "sessions may not come from "+source.String()).Because("the role allows " + allowed)
}

// CertifySession decides about the certificate by which a gateway logs in to the target
// of a session that it has open, for the one key that it made for it. As with Certify, it
// is in the log when this returns.
func (b *Broker) CertifySession(ctx context.Context, gateway string, id access.SessionID, ask CertificateAsk) (out CertificateOrder, err error) {
	err = b.update(ctx, func(tx Tx, fx *effects) error {
		s, g, err := b.sessionOf(tx, gateway, id)
		if err != nil {
			return err
		}
		if s.Protocol != access.SSH {
			return access.Fail(access.Conflict, "no-certificate", "no certificate opens the target of this session").Because("it speaks " + string(s.Protocol))
		}
		if s.Certified != "" && s.Certified != ask.Fingerprint {
			return access.Fail(access.Conflict, "certified-already", "another key was certified for this session").Because("a session has one")
		}
		if out, err = b.orderCertificate(tx, g, ask); err != nil {
			return err
		}
		e, err := tx.Entitlement(s.Held)
		if err != nil {
			return err
		}
		if e.State != access.Present && e.State != access.Refreshing {
			return access.Fail(access.Unavailable, "not-present", "the access is not on its host at this moment").Try("try again in a moment")
		}
		// Only this session's place, and from wherever the gateway is: where the person
		// comes from was looked at before.
		out.Gateway, out.Principals, out.Sources = false, []string{"stint-" + string(e.Tag)}, nil
		out.KeyID += " session=" + string(s.ID)
		if err := ask.Prepare(out); err != nil {
			return err
		}
		if s.Certified == "" {
			s.Certified = ask.Fingerprint
			if err := tx.SaveSessions(s); err != nil { // bookkeeping of the same version: the certificate has an event of its own
				return err
			}
		}
		fx.event(out.Issued(access.Actor{Principal: access.System.Principal, Person: g.Person}, &g))
		return tx.SaveCertificates(out.Certificate)
	})
	if err != nil {
		return CertificateOrder{}, b.doubtSession(ctx, gateway, id, ask.Fingerprint, err)
	}
	return out, nil
}

// sessionOf is an open session of a gateway whose grant goes on.
func (b *Broker) sessionOf(tx Tx, gateway string, id access.SessionID) (s access.Session, g access.Grant, err error) {
	if s, err = tx.Session(id); missing(err) || err == nil && s.Gateway != gateway {
		return s, g, errNoSession // in the same words for those of others
	}
	if err != nil {
		return s, g, err
	}
	if err := carries(tx, gateway, s.Protocol); err != nil {
		return s, g, err
	}
	if g, err = tx.Grant(s.Grant); err != nil {
		return s, g, err
	}
	l := access.LiveSession{Session: s, State: g.State, ExpiresAt: g.ExpiresAt}
	if !s.ClosedAt.IsZero() || l.Over(tx.Now()) || g.ExpiresAt.Sub(tx.Now()) < worthwhile {
		return s, g, access.Fail(access.Expired, "session-over", "the session is over")
	}
	return s, g, b.certain(tx)
}

// SessionReport is what a gateway tells of its sessions.
type SessionReport struct {
	Gateway string
	Live    []access.SessionID
	Ended   []SessionEnding
	Alarms  []SessionAlarm
	LeftOut []SessionLeftOut
}

// SessionLeftOut says how many more alarms a session had than are told one by one.
type SessionLeftOut struct {
	ID     access.SessionID
	Alarms int64
}

// SessionEnding says that no byte of a session passes any more.
type SessionEnding struct {
	ID           access.SessionID
	Reason, Text string
	At           time.Time // by the gateway's clock
	Took         time.Duration
}

// SessionAlarm says that a command rule matched.
type SessionAlarm struct {
	ID            access.SessionID
	Pattern, Text string
	At            time.Time // by the gateway's clock
}

// SessionRenewal says of a session that it goes on for so long, or has to be cut.
type SessionRenewal struct {
	ID        access.SessionID
	Remaining time.Duration
	Cut       *SessionCut
	Paused    bool
}

// SessionCut says that a session is to end now.
type SessionCut struct {
	ID           access.SessionID
	Reason, Text string
	Look         bool // nothing ends: the session was paused, or goes on, which a renewal tells
}

// RenewSessions writes down what a gateway tells, and answers for each session that it
// has. What it leaves out is none of that gateway's, or closed. What is the gateway's and
// is not named any more is lost.
func (b *Broker) RenewSessions(ctx context.Context, r SessionReport) (out []SessionRenewal, err error) {
	err = b.update(ctx, func(tx Tx, fx *effects) error {
		out = nil
		live, err := tx.LiveSessions(r.Gateway)
		if err != nil {
			return err
		}
		known := map[access.SessionID]*access.LiveSession{}
		for i := range live {
			known[live[i].ID] = &live[i]
		}
		r := r // what is changed of it is this run's
		if r.Ended, err = because(tx, known, r.Ended); err != nil {
			return err
		}
		if err := told(tx, fx, known, r); err != nil {
			return err
		}
		if err := tx.RenewSessions(r.Gateway); err != nil {
			return err
		}
		over := overdue(live, tx.Now())
		cuts, err := reasons(tx, over)
		if err != nil {
			return err
		}
		for _, id := range r.Live {
			l := known[id]
			if l == nil || !l.ClosedAt.IsZero() {
				continue
			}
			a := SessionRenewal{ID: id, Remaining: l.ExpiresAt.Sub(tx.Now()), Paused: !l.PausedAt.IsZero()}
			if i := slices.IndexFunc(cuts, func(c SessionCut) bool { return c.ID == id }); i >= 0 {
				a.Cut = &cuts[i]
			}
			out = append(out, a)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// targetGone is a gateway's reason for a session that its target closed.
const targetGone = "target-gone"

// because gives sessions that their target closed the reason for which it did: the host
// ends them, too, and may be faster than the gateway hears of it.
func because(tx Tx, known map[access.SessionID]*access.LiveSession, ends []SessionEnding) ([]SessionEnding, error) {
	var over []access.LiveSession
	for _, e := range ends {
		if l := known[e.ID]; l != nil && e.Reason == targetGone && l.Over(tx.Now()) {
			over = append(over, *l)
		}
	}
	cuts, err := reasons(tx, over)
	if err != nil || len(cuts) == 0 {
		return ends, err
	}
	ends = slices.Clone(ends)
	for i, e := range ends {
		if at := slices.IndexFunc(cuts, func(c SessionCut) bool { return c.ID == e.ID }); at >= 0 && e.Reason == targetGone {
			ends[i].Reason, ends[i].Text = cuts[at].Reason, "the host ended it"
		}
	}
	return ends, nil
}

// told writes down alarms and endings, and what the gateway does not know of any more.
func told(tx Tx, fx *effects, known map[access.SessionID]*access.LiveSession, r SessionReport) error {
	changed := map[access.SessionID]bool{}
	var order []access.SessionID
	note := func(id access.SessionID) {
		if !changed[id] {
			changed[id], order = true, append(order, id)
		}
	}
	// Each version is saved as it is made: rows follow each other one by one.
	save := func(s access.Session) error { return tx.SaveSessions(s) }
	for _, a := range r.Alarms[:min(len(r.Alarms), alarmsAtOnce)] {
		l := known[a.ID]
		if l == nil {
			continue
		}
		var ev access.Event
		l.Session, ev = l.Alarm(a.Pattern, a.Text, a.At, tx.Now())
		fx.event(ev)
		if err := save(l.Session); err != nil {
			return err
		}
		note(a.ID)
	}
	for _, x := range leftOut(r) {
		l := known[x.ID]
		if l == nil {
			continue
		}
		var ev access.Event
		n := strconv.FormatInt(x.Alarms, 10)
		l.Session, ev = l.Alarm("", n+" more alarms are not told one by one; the recording has all", tx.Now(), tx.Now())
		l.Session.Alarms += x.Alarms - 1 // itself is none
		ev.Facts["left_out"] = n
		fx.event(ev)
		if err := save(l.Session); err != nil {
			return err
		}
		note(x.ID)
	}
	named := map[access.SessionID]bool{}
	for _, id := range r.Live {
		named[id] = true
	}
	ends := r.Ended
	for _, e := range r.Ended {
		named[e.ID] = true
	}
	for _, l := range sorted(known) {
		if !named[l.ID] && tx.Now().Sub(l.OpenedAt) > permitOnTheWay {
			ends = append(slices.Clip(ends), SessionEnding{ID: l.ID, Reason: access.SessionLost, Text: "its gateway does not know it", At: tx.Now()})
		}
	}
	for _, e := range ends {
		l := known[e.ID]
		if l == nil || !l.ClosedAt.IsZero() {
			continue
		}
		s, ev, err := l.Close(e.Reason, e.Text, e.At, e.Took, tx.Now())
		if err != nil {
			return err
		}
		l.Session = s
		fx.event(ev)
		if err := save(s); err != nil {
			return err
		}
		note(e.ID)
	}
	for _, id := range order { // wakes pages
		fx.changed = append(fx.changed, known[id].Request)
	}
	return nil
}

// leftOut is how many alarms of each session are not told one by one: those that its
// gateway had left out, and those that are too many here.
func leftOut(r SessionReport) []SessionLeftOut {
	many := map[access.SessionID]int64{}
	for _, x := range r.LeftOut {
		many[x.ID] += x.Alarms
	}
	for _, a := range r.Alarms[min(len(r.Alarms), alarmsAtOnce):] {
		many[a.ID]++
	}
	var out []SessionLeftOut
	for _, id := range slices.Sorted(maps.Keys(many)) {
		out = append(out, SessionLeftOut{ID: id, Alarms: many[id]})
	}
	return out
}

func sorted(known map[access.SessionID]*access.LiveSession) []*access.LiveSession {
	all := make([]*access.LiveSession, 0, len(known))
	for _, l := range known {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b *access.LiveSession) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

func overdue(live []access.LiveSession, now time.Time) (over []access.LiveSession) {
	for _, l := range live {
		if l.ClosedAt.IsZero() && l.Over(now) {
			over = append(over, l)
		}
	}
	return over
}

// reasons says why sessions are over, in the words that gateways have.
func reasons(tx Tx, over []access.LiveSession) ([]SessionCut, error) {
	if len(over) == 0 {
		return nil, nil
	}
	var ids []access.GrantID
	for _, l := range over {
		ids = append(ids, l.Grant)
	}
	known, err := byKey(ids, tx.GrantsOf, tx.Grant, func(g access.Grant) access.GrantID { return g.ID })
	if err != nil {
		return nil, err
	}
	cuts := make([]SessionCut, 0, len(over))
	for _, l := range over {
		g := known[l.Grant]
		c := SessionCut{ID: l.ID, Reason: string(access.ByTime)}
		switch {
		case g.State == access.Active && tx.Now().Before(g.ExpiresAt):
			c.Reason, c.Text = "killed", l.EndNote
		case g.State == access.Active, g.EndReason == access.ByTime:
		case g.EndReason == access.ByHolder, g.EndReason == access.ByPerson:
			c.Reason, c.Text = string(g.EndReason), g.EndNote
		default:
			c.Reason, c.Text = string(access.ByPolicy), g.EndNote
		}
		cuts = append(cuts, c)
	}
	return cuts, nil
}

// FollowCuts calls each with what of a gateway's sessions is to end, as soon as it is
// known here or at another replica, and with nothing every CutsPulse, until ctx is done
// or each fails. What is over is told once; a renewal tells it again.
func (b *Broker) FollowCuts(ctx context.Context, gateway string, each func([]SessionCut) error) error {
	stirred, leave := b.watch.stirs()
	defer leave()
	said := map[access.SessionID]bool{}
	var paused map[access.SessionID]bool // as the gateway was told; nil: it asks first
	backstop := cutsBackstop
	if b.Peers == nil {
		backstop = time.Second // every change is this process's own
	}
	quiet := time.Now()
	for {
		began := time.Now()
		var cuts []SessionCut
		var waits map[access.SessionID]bool
		open := map[access.SessionID]bool{}
		err := b.Store.View(ctx, func(tx Tx) error {
			cuts, open = nil, map[access.SessionID]bool{}
			live, err := tx.LiveSessions(gateway)
			if err != nil {
				return err
			}
			fresh := slices.DeleteFunc(overdue(live, tx.Now()), func(l access.LiveSession) bool { return said[l.ID] })
			for _, l := range live {
				open[l.ID] = true
			}
			if cuts, err = reasons(tx, fresh); err != nil {
				return err
			}
			now := map[access.SessionID]bool{}
			for _, l := range live {
				if is := !l.PausedAt.IsZero(); is {
					now[l.ID] = true
				}
				if paused != nil && paused[l.ID] != now[l.ID] {
					cuts = append(cuts, SessionCut{ID: l.ID, Look: true})
				}
			}
			waits = now
			return nil
		})
		if err != nil {
			return err
		}
		for id := range said {
			if !open[id] {
				delete(said, id)
			}
		}
		if len(cuts) > 0 || time.Since(quiet) >= CutsPulse {
			if err := each(cuts); err != nil {
				return err
			}
			quiet = time.Now()
		}
		paused = waits
		for _, c := range cuts {
			said[c.ID] = said[c.ID] || !c.Look
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-stirred:
			if !pause(ctx, cutsGather-time.Since(began)) {
				return ctx.Err()
			}
		case <-time.After(backstop):
		}
	}
}

// CloseLost closes sessions that no gateway can be carrying any more: theirs died, or was
// cut off and has ended them by itself.
func (b *Broker) CloseLost(ctx context.Context) error {
	for {
		var lost []access.Session
		err := b.Store.View(ctx, func(tx Tx) (err error) {
			lost, err = tx.LostSessions(tx.Now().Add(-lostAfter), lostBatch)
			return err
		})
		if err != nil || len(lost) == 0 {
			return err
		}
		err = b.update(ctx, func(tx Tx, fx *effects) error {
			lost, err := tx.LostSessions(tx.Now().Add(-lostAfter), lostBatch)
			if err != nil {
				return err
			}
			for _, s := range lost {
				s, ev, err := s.Close(access.SessionLost, "its gateway was not heard of", tx.Now(), 0, tx.Now())
				if err != nil {
					return err
				}
				fx.event(ev)
				fx.changed = append(fx.changed, s.Request)
				if err := tx.SaveSessions(s); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || len(lost) < lostBatch {
			return err
		}
	}
}
