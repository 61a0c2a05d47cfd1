package passkey

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"stint/internal/access"
)

// The events of passkeys. Entity: the passkey. Stored: only append.
const (
	Proposed access.EventType = "passkey.proposed" // made, and waits for others to vouch for it
	Vouched  access.EventType = "passkey.vouched"  // by somebody whose word is not enough yet
	Enrolled access.EventType = "passkey.enrolled" // active from now on
	Removed  access.EventType = "passkey.removed"
	Refused  access.EventType = "passkey.refused" // its counter went back
)

// Limits.
const (
	ProposedFor = 7 * 24 * time.Hour
	MaxOwn      = 20 // passkeys of one person, removed ones apart
	maxName     = 64
	Wanted      = 2 // administrators who vouch, where there are so many
)

// Others is what has to be known of all passkeys to enrol one. Only active ones count.
type Others struct {
	Any    bool             // whether a passkey was ever enrolled
	Own    []access.Passkey // of the person
	Admins []access.Passkey // of enabled administrators who are other persons
}

// admins is how many persons could vouch as administrators.
func (o Others) admins() int {
	seen := map[access.Person]bool{}
	for _, p := range o.Admins {
		seen[p.Person] = true
	}
	return len(seen)
}

// Draft is a passkey to enrol.
type Draft struct {
	access.Passkey      // what it is; nothing of what becomes of it
	Admin          bool // its principal is an administrator
	Own            access.Assertion
	Recovered      bool // a recovery code was used up for it
}

// Propose makes a passkey: active at once where nobody else has to vouch for it, and
// proposed otherwise. The roster is that of the person's own passkeys.
func Propose(d Draft, o Others, r *Roster, actor access.Actor, now time.Time) (access.Passkey, access.Event, error) {
	p := d.Passkey
	fail := func(err error) (access.Passkey, access.Event, error) { return access.Passkey{}, access.Event{}, err }
	if err := checkDraft(p); err != nil {
		return fail(err)
	}
	digest := p.Digest()
	p.ID, p.Version, p.CreatedAt = access.IDOf(digest), 1, now
	p.Anchor, p.Vouchers, p.ExpiresAt = "", nil, time.Time{}
	switch {
	case !o.Any && !d.Admin:
		return fail(access.Fail(access.Conflict, "no-first-passkey", "the first passkey of all is an administrator's").
			Because("all others lead back to it").Try("ask an administrator to make theirs first: stint passkey add"))
	case !o.Any:
		p.State, p.Anchor = access.PasskeyActive, access.AnchorGenesis
	case !d.Own.IsZero():
		if _, err := r.prove(p.Person, access.VoucherDigest(digest, p.Principal, p.Person), d.Own, false); err != nil {
			return fail(err)
		}
		p.State, p.Anchor = access.PasskeyActive, access.AnchorOwn
		p.Vouchers = []access.Voucher{{By: p.Principal, Person: p.Person, Assertion: d.Own, At: now}}
	case d.Recovered && d.Admin && len(o.Own) == 0 && len(o.Admins) == 0:
		p.State, p.Anchor = access.PasskeyActive, access.AnchorRecovery
	default:
		p.State, p.ExpiresAt = access.PasskeyProposed, now.Add(ProposedFor)
		return p, event(Proposed, p, actor, now, "passkey", access.EncodePasskey(p), "expires_at", stamp(p.ExpiresAt)), nil
	}
	return p, enrolled(p, actor, now), nil
}

// Vouch records the word of an administrator, or of the person with an older passkey of
// theirs, for a proposed passkey; the one that completes what is asked for makes it
// active. The roster is that of the passkeys of who vouches.
func Vouch(p access.Passkey, admin access.Principal, a access.Assertion, o Others, r *Roster, actor access.Actor, now time.Time) (access.Passkey, access.Event, error) {
	fail := func(err error) (access.Passkey, access.Event, error) { return p, access.Event{}, err }
	switch {
	case p.State != access.PasskeyProposed:
		return fail(access.Fail(access.Conflict, "not-proposed", "the passkey is "+string(p.State)+" already"))
	case !now.Before(p.ExpiresAt):
		return fail(access.Fail(access.Expired, "proposal-expired", "nobody vouched for the passkey in time").Try("propose it again with: stint passkey add"))
	case admin.Person == p.Person && admin.ID.Kind() == access.User && admin.Usable(now) == nil:
		return vouchOwn(p, admin, a, r, actor, now)
	case !admin.Admin || admin.ID.Kind() != access.User || admin.Usable(now) != nil:
		return fail(access.Fail(access.Denied, "not-yours", "administrators vouch for passkeys").Because(string(admin.ID) + " is not one"))
	case slices.ContainsFunc(p.Vouchers, func(v access.Voucher) bool { return v.Person == admin.Person }):
		return fail(access.Fail(access.Conflict, "vouched-already", "you have vouched for this passkey already"))
	}
	if _, err := r.prove(admin.Person, access.VoucherDigest(p.Digest(), admin.ID, admin.Person), a, false); err != nil {
		return fail(err)
	}
	p.Vouchers = append(slices.Clone(p.Vouchers), access.Voucher{By: admin.ID, Person: admin.Person, Assertion: a, At: now})
	p.Version++
	if len(p.Vouchers) < min(Wanted, o.admins()) {
		return p, event(Vouched, p, actor, now, "vouchers", encodeVouchers(p.Vouchers)), nil
	}
	p.State, p.ExpiresAt, p.Anchor = access.PasskeyActive, time.Time{}, access.AnchorAdmins
	if len(p.Vouchers) < Wanted {
		p.Anchor = access.AnchorOneAdmin
	}
	return p, enrolled(p, actor, now), nil
}

// vouchOwn makes a passkey active on the word of an older one of the same person. A
// browser asks for the passkeys of one site at a time, so that one for the pages cannot
// sign in the ceremony in which one for the person's own client is made, nor the other
// way around: it signs afterwards.
func vouchOwn(p access.Passkey, by access.Principal, a access.Assertion, r *Roster, actor access.Actor, now time.Time) (access.Passkey, access.Event, error) {
	if !r.Active() {
		return p, access.Event{}, access.Fail(access.Denied, "own-passkey", "nobody vouches for their own passkey but with an older one of theirs").
			Because("you have none that is active").Try("ask administrators to vouch for it")
	}
	if _, err := r.prove(by.Person, access.VoucherDigest(p.Digest(), by.ID, by.Person), a, false); err != nil {
		return p, access.Event{}, err
	}
	p.Vouchers = []access.Voucher{{By: by.ID, Person: by.Person, Assertion: a, At: now}}
	p.Version++
	p.State, p.ExpiresAt, p.Anchor = access.PasskeyActive, time.Time{}, access.AnchorOwn
	return p, enrolled(p, actor, now), nil
}

// Remove ends a passkey. Votes of it that were not acted on yet count no more.
func Remove(p access.Passkey, why string, actor access.Actor, now time.Time) (access.Passkey, access.Event, error) {
	if p.State == access.PasskeyRemoved {
		return p, access.Event{}, access.Fail(access.Conflict, "passkey-removed", "the passkey is removed already")
	}
	p.State, p.ExpiresAt = access.PasskeyRemoved, time.Time{}
	p.Version++
	return p, event(Removed, p, actor, now, "note", why), nil
}

// Suspect notes that a passkey's counter went back. It stays as it is: whose copy is the
// wrong one nobody can say, and its person or an administrator removes it.
func Suspect(p access.Passkey, actor access.Actor, now time.Time) (access.Passkey, access.Event) {
	p.Version++
	return p, event(Refused, p, actor, now, "note", "its counter went back: there may be a copy of it")
}

// checkDraft holds what can be held of a passkey that others will read about.
func checkDraft(p access.Passkey) error {
	if p.Principal.Kind() != access.User || p.Person == "" {
		return access.Fail(access.Denied, "not-a-person", "only people have passkeys").Because(string(p.Principal) + " is not a user")
	}
	if p.Name == "" || len(p.Name) > maxName || strings.TrimSpace(p.Name) != p.Name || !utf8.ValidString(p.Name) {
		return access.Fail(access.Invalid, "bad-name", "a passkey's name is 1 to "+strconv.Itoa(maxName)+" bytes of text").Try("name the device it is on: --name laptop")
	}
	for _, c := range p.Name {
		if !unicode.IsPrint(c) || unicode.In(c, unicode.Other_Default_Ignorable_Code_Point) {
			return access.Fail(access.Invalid, "bad-name", "the passkey's name has a character that cannot be seen")
		}
	}
	if p.RPID == "" || p.Origin == "" || len(p.Credential) == 0 || len(p.Credential) > maxCredential {
		return access.Fail(access.Internal, "incomplete-passkey", "the passkey lacks its site or its credential")
	}
	_, err := ParseKey(p.Key)
	return err
}

func enrolled(p access.Passkey, actor access.Actor, now time.Time) access.Event {
	vouchers := ""
	if len(p.Vouchers) > 0 {
		vouchers = encodeVouchers(p.Vouchers)
	}
	return event(Enrolled, p, actor, now, "passkey", access.EncodePasskey(p), "anchor", string(p.Anchor), "vouchers", vouchers,
		"digest", p.Digest().String())
}

func event(t access.EventType, p access.Passkey, actor access.Actor, now time.Time, kv ...string) access.Event {
	facts := map[string]string{"principal": string(p.Principal), "person": string(p.Person), "name": p.Name}
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i+1] != "" {
			facts[kv[i]] = kv[i+1]
		}
	}
	return access.Event{Type: t, At: now, Entity: string(p.ID), Version: p.Version, Actor: actor, Facts: facts}
}

func stamp(t time.Time) string { return t.UTC().Format(access.Stamp) }

type voucherText struct {
	By        access.PrincipalID `json:"by"`
	Person    access.Person      `json:"person"`
	Assertion json.RawMessage    `json:"assertion"`
}

// encodeVouchers writes who vouched, and what they signed.
func encodeVouchers(vs []access.Voucher) string {
	texts := make([]voucherText, len(vs))
	for i, v := range vs {
		texts[i] = voucherText{v.By, v.Person, json.RawMessage(access.EncodeAssertion(v.Assertion))}
	}
	b, err := json.Marshal(texts)
	if err != nil {
		panic("passkey: " + err.Error()) // texts only
	}
	return string(b)
}

func decodeVouchers(text string) ([]access.Voucher, error) {
	if text == "" {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	var texts []voucherText
	if err := d.Decode(&texts); err != nil {
		return nil, bad("bad-vouchers", "who vouched cannot be read").Wrap(err)
	}
	vs := make([]access.Voucher, len(texts))
	for i, t := range texts {
		a, err := access.DecodeAssertion(string(t.Assertion))
		if err != nil {
			return nil, err
		}
		vs[i] = access.Voucher{By: t.By, Person: t.Person, Assertion: a}
	}
	if encodeVouchers(vs) != text {
		return nil, bad("bad-vouchers", "who vouched is not in its canonical form")
	}
	return vs, nil
}
