package simstore_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"stint/internal/access"
	"stint/internal/store/storetest"
)

var place = storetest.TargetNamed("x").Connection.Place()

func (p *pair) entitlementIDs() (ids []access.EntitlementID) {
	ids = []access.EntitlementID{"ent_none"}
	for _, e := range p.mem.Entitlements(false) {
		ids = append(ids, e.ID)
	}
	return rapid.SliceOfN(rapid.SampledFrom(ids), 1, 4).Draw(p.t, "ids")
}

func (p *pair) lease() (op, bool) {
	owner := rapid.SampledFrom([]string{"w1", "w2", "x1"}).Draw(p.t, "owner")
	until := p.clock.Now().Add(time.Duration(rapid.SampledFrom([]int{-1, 0, 500, 60_000, 4_000_000}).Draw(p.t, "until")) * time.Millisecond)
	work := access.Work{Place: place, Removals: rapid.Bool().Draw(p.t, "removals")}
	limit := rapid.IntRange(1, 5).Draw(p.t, "limit")
	ids := p.entitlementIDs()
	none := func(err error) (any, error) { return nil, err }
	return rapid.SampledFrom([]op{
		{name: "claim", call: func(tx storetest.Tx) (any, error) { return tx.Claim(work, owner, until, limit) }},
		{name: "claim", call: func(tx storetest.Tx) (any, error) { return tx.Claim(work, owner, until, limit) }},
		{name: "lease", call: func(tx storetest.Tx) (any, error) { return none(tx.Lease(owner, until, ids...)) }},
		{name: "leased", call: func(tx storetest.Tx) (any, error) { return tx.Leased(owner, ids...) }},
		{name: "claimed", call: func(tx storetest.Tx) (any, error) { return tx.Claimed(owner, ids...) }},
		{name: "unlease", call: func(tx storetest.Tx) (any, error) { return none(tx.Unlease(owner, ids...)) }},
		{name: "unlease all", call: func(tx storetest.Tx) (any, error) { return none(tx.Unlease(owner)) }},
		{name: "renew", call: func(tx storetest.Tx) (any, error) { return none(tx.RenewLeases(owner, until)) }},
		{name: "cut", call: func(tx storetest.Tx) (any, error) { return none(tx.CutLeases(until, ids...)) }},
		{name: "take back", call: func(tx storetest.Tx) (any, error) { return tx.TakeBack("w", "w1") }},
		{name: "take back all", call: func(tx storetest.Tx) (any, error) { return tx.TakeBack("", "w") }},
	}).Draw(p.t, "call"), true
}

func (p *pair) dues() (op, bool) {
	limit := rapid.IntRange(1, 4).Draw(p.t, "limit")
	return rapid.SampledFrom([]op{
		{name: "ending next", call: func(tx storetest.Tx) (any, error) { return tx.EndingNext(limit) }},
		{name: "removals", call: func(tx storetest.Tx) (any, error) { return tx.Removals(limit) }},
		{name: "left group", call: func(tx storetest.Tx) (any, error) { return tx.LeftGroup(place, "group:mira:orders_read") }},
		{name: "due grants", call: func(tx storetest.Tx) (any, error) { return tx.DueGrants(limit) }},
		{name: "due requests", call: func(tx storetest.Tx) (any, error) { return tx.DueRequests(limit) }},
		{name: "due work", call: func(tx storetest.Tx) (any, error) { return tx.DueWork() }},
		{name: "next due", call: func(tx storetest.Tx) (any, error) { return tx.NextDue() }},
		{name: "next due", call: func(tx storetest.Tx) (any, error) { return tx.NextDue() }},
	}).Draw(p.t, "call"), true
}

func (p *pair) lists() (op, bool) {
	var grants []access.GrantID
	for _, g := range p.mem.Grants(false) {
		grants = append(grants, g.ID)
	}
	var requests []access.RequestID
	for _, r := range p.mem.Requests() {
		requests = append(requests, r.ID)
	}
	grants, requests = append(grants, "grt_none"), append(requests, "req_none")
	var (
		gid = rapid.SliceOfN(rapid.SampledFrom(grants), 1, 4).Draw(p.t, "grants")
		rid = rapid.SampledFrom(requests).Draw(p.t, "request")
		eid = p.entitlementIDs()
		rq  = access.RequestQuery{Limit: rapid.IntRange(0, 3).Draw(p.t, "limit")}
		gq  = access.GrantQuery{Limit: rq.Limit, Conditional: p.oneOf("conditional", 5), Watched: p.oneOf("watched", 4)}
		eq  = access.EntitlementQuery{Limit: rq.Limit}
		tq  = access.TallyQuery{Limit: 1000, Since: p.clock.Now().Add(-time.Duration(rapid.IntRange(0, 90_000).Draw(p.t, "since")) * time.Second)}
	)
	if p.oneOf("before", 3) {
		rq.Before, gq.Before, eq.After = rid, gid[0], eid[0]
	}
	if p.oneOf("by person", 3) {
		rq.Person, gq.Principal = "mira", "user:mira"
	}
	if p.oneOf("by resource", 3) {
		rq.Resource, gq.Resource, eq.Resource = "stock-db", "stock-db", "stock-db"
	}
	if p.oneOf("by place", 2) {
		eq.Place = place
	}
	if p.oneOf("by state", 2) {
		rq.States = []access.RequestState{access.RequestPending, access.RequestIsGranted}
		gq.States = []access.GrantState{access.Active, access.Ending}
		eq.States = []access.EntitlementState{access.Removing, access.Intended, access.Present}
	}
	return rapid.SampledFrom([]op{
		{name: "requests", call: func(tx storetest.Tx) (any, error) { return tx.Requests(rq) }},
		{name: "grants", call: func(tx storetest.Tx) (any, error) { return tx.Grants(gq) }},
		{name: "entitlements", call: func(tx storetest.Tx) (any, error) { return tx.Entitlements(eq) }},
		{name: "request", call: func(tx storetest.Tx) (any, error) { return tx.Request(rid) }},
		{name: "grant", call: func(tx storetest.Tx) (any, error) { return tx.Grant(gid[0]) }},
		{name: "entitlement", call: func(tx storetest.Tx) (any, error) { return tx.Entitlement(eid[0]) }},
		{name: "holds by", call: func(tx storetest.Tx) (any, error) { return tx.HoldsBy(gid...) }},
		{name: "holds of", call: func(tx storetest.Tx) (any, error) { return tx.HoldsOf(eid...) }},
		{name: "grants of", call: func(tx storetest.Tx) (any, error) { // in any order
			gs, err := tx.GrantsOf(gid...)
			slices.SortFunc(gs, func(a, b access.Grant) int { return strings.Compare(string(a.ID), string(b.ID)) })
			return gs, err
		}},
		{name: "entitlements of", call: func(tx storetest.Tx) (any, error) {
			es, err := tx.EntitlementsOf(eid...)
			slices.SortFunc(es, func(a, b access.Entitlement) int { return strings.Compare(string(a.ID), string(b.ID)) })
			return es, err
		}},
		{name: "request lines", call: func(tx storetest.Tx) (any, error) { return tx.RequestLines(tq) }},
		{name: "grant lines", call: func(tx storetest.Tx) (any, error) { return tx.GrantLines(tq) }},
		{name: "by end", call: func(tx storetest.Tx) (any, error) {
			return tx.GrantsByEnd(access.EndQuery{Principal: gq.Principal, State: access.Active, Limit: gq.Limit})
		}},
		{name: "live counts", call: func(tx storetest.Tx) (any, error) {
			return tx.LiveCounts(access.LiveQuery{Principal: gq.Principal, Limit: 1000})
		}},
		{name: "vote counts", call: func(tx storetest.Tx) (any, error) { return tx.VoteCounts(tq) }},
		{name: "live", call: func(tx storetest.Tx) (any, error) { return tx.LiveEntitlement(place, "group:mira:orders_read") }},
		{name: "sealed", call: func(tx storetest.Tx) (any, error) { return tx.Sealed(gid[0]) }},
	}).Draw(p.t, "call"), true
}

func (p *pair) find() (op, bool) {
	prefix := rapid.SampledFrom([]string{"", "0", "req_", "grt_0", "x!"}).Draw(p.t, "prefix")
	if r, ok := pick(p, "request", p.mem.Requests()); ok && !p.oneOf("odd prefix", 3) {
		prefix = string(r.ID)
		if r.Grant != "" && p.oneOf("by grant", 2) {
			prefix = string(r.Grant)
		}
		prefix = prefix[rapid.SampledFrom([]int{0, 4}).Draw(p.t, "from"):]
		prefix = prefix[:rapid.IntRange(1, len(prefix)).Draw(p.t, "length")]
		if p.oneOf("lower case", 3) {
			prefix = strings.ToLower(prefix)
		}
	}
	return op{name: "find " + prefix, call: func(tx storetest.Tx) (any, error) { return tx.FindRequest(prefix) }, mayFail: true}, true
}

func (p *pair) people() (op, bool) {
	now := p.clock.Now()
	n := byte(rapid.IntRange(1, 3).Draw(p.t, "which"))
	id := rapid.SampledFrom([]access.PrincipalID{"user:mira", "service:ci", "robot:x"}).Draw(p.t, "principal")
	who := access.Principal{ID: id, Person: rapid.SampledFrom([]access.Person{"mira", "mira", ""}).Draw(p.t, "person"),
		Disabled: p.oneOf("disabled", 2), Version: int64(rapid.IntRange(0, 3).Draw(p.t, "version")), CreatedAt: now}
	login := access.Login{Token: access.Digest{n}, Principal: id, Device: access.DeviceID(fmt.Sprint("d", n/2)), CreatedAt: now,
		ExpiresAt: now.Add(time.Duration(rapid.IntRange(0, 2).Draw(p.t, "hours")) * time.Hour), Revoked: p.oneOf("revoked", 3)}
	code := access.Enrolment{Code: access.Digest{n}, Principal: id, ExpiresAt: login.ExpiresAt}
	return rapid.SampledFrom([]op{
		{name: "save principal", call: func(tx storetest.Tx) (any, error) { return nil, tx.SavePrincipals(who) }},
		{name: "principal", call: func(tx storetest.Tx) (any, error) { return tx.Principal(id) }},
		{name: "principals", call: func(tx storetest.Tx) (any, error) { return tx.Principals(id.Kind()) }},
		{name: "save login", call: func(tx storetest.Tx) (any, error) { return nil, tx.SaveLogin(login) }},
		{name: "login", call: func(tx storetest.Tx) (any, error) { return tx.Login(login.Token) }},
		{name: "revoke login", call: func(tx storetest.Tx) (any, error) { return nil, tx.RevokeLogin(login.Token) }},
		{name: "drop logins", call: func(tx storetest.Tx) (any, error) { return nil, tx.DropLogins(id) }},
		{name: "save enrolment", call: func(tx storetest.Tx) (any, error) { return nil, tx.SaveEnrolment(code) }},
		{name: "enrolment", call: func(tx storetest.Tx) (any, error) { return tx.Enrolment(code.Code) }},
		{name: "use enrolment", call: func(tx storetest.Tx) (any, error) { return tx.UseEnrolment(code.Code) }, mayFail: true},
	}).Draw(p.t, "call"), true
}

func (p *pair) settings() (op, bool) {
	version := int64(rapid.IntRange(0, 4).Draw(p.t, "version"))
	value := rapid.SampledFrom([][]byte{nil, {}, {1}}).Draw(p.t, "value")
	cred := access.Credential{Name: "orders", Type: "postgres", Address: fmt.Sprint("db", version), Version: version, Sealed: []byte{1}, SetAt: p.clock.Now().Truncate(time.Millisecond)}
	m := access.Remembered{Principal: "user:mira", Key: fmt.Sprint(version), Result: "req_1", At: p.clock.Now()}
	return rapid.SampledFrom([]op{
		{name: "save setting", call: func(tx storetest.Tx) (any, error) { return nil, tx.SaveSetting("stop", value) }},
		{name: "setting", call: func(tx storetest.Tx) (any, error) { return tx.Setting("stop") }},
		{name: "save documents", call: func(tx storetest.Tx) (any, error) { return nil, tx.SaveDocuments(version, value) }},
		{name: "documents", call: func(tx storetest.Tx) (any, error) {
			v, body, e1 := tx.Documents()
			again, e2 := tx.DocumentsEdition()
			return []any{v, body, again}, errors.Join(e1, e2)
		}},
		{name: "documents at", call: func(tx storetest.Tx) (any, error) { return tx.DocumentsAt(version) }},
		{name: "save credential", call: func(tx storetest.Tx) (any, error) { return nil, tx.SaveCredential(cred) }},
		{name: "credential", call: func(tx storetest.Tx) (any, error) { return tx.Credential("orders") }},
		{name: "remember", call: func(tx storetest.Tx) (any, error) { return nil, tx.Remember(m) }},
		{name: "recall", call: func(tx storetest.Tx) (any, error) {
			got, err := tx.Recall(m.Principal, m.Key)
			return got, err
		}},
	}).Draw(p.t, "call"), true
}

func (p *pair) sealed() (op, bool) {
	g, ok := pick(p, "grant", append(p.mem.Grants(false), access.Grant{ID: "grt_none"}))
	x := access.Sealed{Grant: g.ID, Entitlement: p.entitlementIDs()[0], Resource: "orders-db", Rev: int64(rapid.IntRange(1, 3).Draw(p.t, "rev")), Blob: []byte("x"), At: p.clock.Now().Truncate(time.Millisecond)}
	return rapid.SampledFrom([]op{
		{name: "save sealed", call: func(tx storetest.Tx) (any, error) { return nil, tx.SaveSealed(x) }},
		{name: "sealed", call: func(tx storetest.Tx) (any, error) { return tx.Sealed(g.ID) }},
		{name: "drop sealed", call: func(tx storetest.Tx) (any, error) { return nil, tx.DropSealed(g.ID) }},
	}).Draw(p.t, "call"), ok
}

func (p *pair) record() (op, bool) {
	ev := access.Event{Type: "test.happened", At: p.clock.Now(), Entity: rapid.SampledFrom([]string{"a", "b", ""}).Draw(p.t, "entity"),
		Version: int64(rapid.IntRange(0, 4).Draw(p.t, "version")), Actor: access.System}
	return op{name: "record", call: func(tx storetest.Tx) (any, error) { return nil, tx.Append(ev) }}, true
}
