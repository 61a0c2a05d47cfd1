package passkey

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"stint/internal/access"
)

// Chain follows the passkeys and what they signed through the records of a log, in
// their order, and says what does not hold. Nothing of a server is asked: who may
// vouch, whose key is whose and what a vote was on are all in the records, and what
// they are worth leads back to the roots, which a verifier has pinned.
type Chain struct {
	roots    map[access.Digest]bool // pinned; none: the first of all is believed
	people   map[access.PrincipalID]*person
	passkeys map[access.PasskeyID]*access.Passkey
	any      bool
	asked    map[string]*asked // by request
	unasked  map[string]bool   // requests that nobody was asked about, without a grant yet

	report Report
}

// Report is what a Chain found.
type Report struct {
	Genesis  access.Digest // the first passkey of all; zero: there is none
	Roots    []Root        // passkeys that nobody vouched for, the first of all among them
	Enrolled int           // passkeys
	Alone    int           // of them, on the word of one administrator
	Removed  int
	Votes    int // by passkeys, that verify
	Problems []Problem
	// More is how many problems there are beyond those listed.
	More int
}

// Root is a passkey for which no other vouches.
type Root struct {
	Seq    int64
	ID     access.PasskeyID
	Digest access.Digest
	Person access.Person
	Anchor access.Anchor
	Pinned bool
}

// Problem is one record that does not hold.
type Problem struct {
	Seq    int64  // -1: of no record
	ID     string // of the record
	Entity string // what it is about
	What   string
}

func (p Problem) String() string {
	if p.Seq < 0 {
		return p.What
	}
	return fmt.Sprintf("record %d (%s): %s", p.Seq, p.Entity, p.What)
}

// maxProblems is how many are listed; nobody reads more.
const maxProblems = 20

// person is a login, as the log has it.
type person struct {
	admin, disabled bool
	person          access.Person
}

// asked is a request that can be voted on.
type asked struct {
	request access.Request // what was asked; its Digest is worked out anew
	needs   int            // persons who must approve with a passkey
	voted   map[access.Person]bool
	proved  map[access.Person]bool
	longest time.Duration // that the votes with a passkey leave
	rights  []string
	done    bool // approved
}

// NewChain begins before the first record. Without roots the first passkey is believed
// to be its person's; what a recovery code made is believed only if it is a root.
func NewChain(roots ...access.Digest) *Chain {
	c := &Chain{roots: map[access.Digest]bool{}, people: map[access.PrincipalID]*person{}, passkeys: map[access.PasskeyID]*access.Passkey{},
		asked: map[string]*asked{}, unasked: map[string]bool{}}
	for _, d := range roots {
		c.roots[d] = true
	}
	return c
}

// Record takes the next record of the log.
func (c *Chain) Record(seq int64, id string, e access.Event) {
	problem := func(what string) {
		if len(c.report.Problems) == maxProblems {
			c.report.More++
			return
		}
		c.report.Problems = append(c.report.Problems, Problem{seq, id, e.Entity, what})
	}
	var err error
	switch {
	case strings.HasPrefix(string(e.Type), "principal."):
		c.principal(e)
	case e.Type == Proposed, e.Type == Enrolled:
		err = c.passkey(seq, e)
	case e.Type == Removed:
		if p := c.passkeys[access.PasskeyID(e.Entity)]; p != nil {
			p.State = access.PasskeyRemoved
			c.report.Removed++
		}
	case e.Type == access.RequestSubmitted:
		err = c.submitted(e)
	case e.Type == access.RequestVoted, e.Type == access.RequestApproved, e.Type == access.RequestDenied:
		if err = c.vote(e); err == nil && e.Type == access.RequestApproved {
			err = c.approved(e)
		}
		if e.Type == access.RequestDenied {
			c.over(e.Entity)
		}
	case e.Type == access.RequestCancelled, e.Type == access.RequestExpired:
		c.over(e.Entity)
	case e.Type == access.GrantCreated:
		err = c.granted(e)
	case e.Type == access.GrantExtended:
		if a := c.asked[e.Facts["by_request"]]; a != nil && !a.done {
			err = fmt.Errorf("the grant was extended, and the request %s was not approved as was asked for", e.Facts["by_request"])
		}
		c.over(e.Facts["by_request"])
	}
	if err != nil {
		problem(err.Error())
	}
}

// Report says what was found, after the last record: a root that is not in the log is a
// problem too, of no record.
func (c *Chain) Report() Report {
	r := c.report
	r.Problems = slices.Clone(r.Problems)
	for _, d := range slices.SortedFunc(maps.Keys(c.roots), func(a, b access.Digest) int { return bytes.Compare(a[:], b[:]) }) {
		if !slices.ContainsFunc(r.Roots, func(root Root) bool { return root.Digest == d }) {
			r.Problems = append(r.Problems, Problem{Seq: -1, What: "the pinned passkey " + d.String() + " is not a first one in this log"})
		}
	}
	return r
}

// principal follows who administers.
func (c *Chain) principal(e access.Event) {
	id := access.PrincipalID(e.Entity)
	p := c.people[id]
	if p == nil {
		p = &person{}
		c.people[id] = p
	}
	if who := e.Facts["person"]; who != "" {
		p.person = access.Person(who)
	}
	if v, ok := e.Facts["admin"]; ok {
		p.admin = v == "true"
	}
	if v, ok := e.Facts["disabled"]; ok {
		p.disabled = v == "true"
	}
	if strings.HasSuffix(string(e.Type), ".disabled") {
		p.disabled = true
	}
}

// others is what there was when a passkey was enrolled for the person.
func (c *Chain) others(of access.Person) (o Others) {
	o.Any = c.any
	for _, p := range c.passkeys {
		if p.State != access.PasskeyActive {
			continue
		}
		if p.Person == of {
			o.Own = append(o.Own, *p)
			continue
		}
		for _, who := range c.people {
			if who.person == p.Person && who.admin && !who.disabled {
				o.Admins = append(o.Admins, *p)
				break
			}
		}
	}
	return o
}

// roster is all passkeys as they are at this record.
func (c *Chain) roster() *Roster {
	r := &Roster{keys: make(map[access.PasskeyID]access.Passkey, len(c.passkeys))}
	for id, p := range c.passkeys {
		r.keys[id] = *p
	}
	return r
}

// passkey checks what was enrolled, and by whose word.
func (c *Chain) passkey(seq int64, e access.Event) error {
	p, err := access.DecodePasskey(e.Facts["passkey"])
	if err != nil {
		return fmt.Errorf("the passkey in it cannot be read: %w", err)
	}
	digest := p.Digest()
	switch before := c.passkeys[p.ID]; {
	case string(p.ID) != e.Entity:
		return fmt.Errorf("the passkey in it is %s", p.ID)
	case string(p.Principal) != e.Facts["principal"], string(p.Person) != e.Facts["person"], p.Name != e.Facts["name"]:
		return fmt.Errorf("it says of whom the passkey is, and the passkey says otherwise")
	case before != nil && before.State == access.PasskeyRemoved:
		return fmt.Errorf("the passkey was removed before")
	}
	if err := checkDraft(p); err != nil {
		return err
	}
	if e.Type == Proposed {
		p.State = access.PasskeyProposed
		c.passkeys[p.ID] = &p
		return nil
	}
	if e.Facts["digest"] != digest.String() {
		return fmt.Errorf("its digest is %s, not that of the passkey", e.Facts["digest"])
	}
	vouchers, err := decodeVouchers(e.Facts["vouchers"])
	if err != nil {
		return err
	}
	p.Anchor, p.State = access.Anchor(e.Facts["anchor"]), access.PasskeyActive
	if err := c.anchored(seq, p, digest, vouchers); err != nil {
		p.State = access.PasskeyProposed // nothing that it signs counts
		c.passkeys[p.ID] = &p
		return err
	}
	c.passkeys[p.ID] = &p
	c.any = true
	c.report.Enrolled++
	return nil
}

// anchored checks that a passkey leads back to a root.
func (c *Chain) anchored(seq int64, p access.Passkey, digest access.Digest, vouchers []access.Voucher) error {
	o, roster := c.others(p.Person), c.roster()
	persons := map[access.Person]bool{}
	for _, v := range vouchers {
		if _, err := roster.prove(v.Person, access.VoucherDigest(digest, v.By, v.Person), v.Assertion, true); err != nil {
			return fmt.Errorf("%s did not vouch for the passkey: %w", v.By, err)
		}
		persons[v.Person] = true
	}
	root := Root{seq, p.ID, digest, p.Person, p.Anchor, c.roots[digest]}
	switch p.Anchor {
	case access.AnchorGenesis:
		if o.Any || len(vouchers) > 0 {
			return fmt.Errorf("it is not the first passkey, and nobody vouched for it")
		}
		c.report.Genesis, c.report.Roots = digest, append(c.report.Roots, root)
		if len(c.roots) > 0 && !root.Pinned {
			return fmt.Errorf("the first passkey, %s of %s, is not the pinned one", digest, p.Person)
		}
		return nil
	case access.AnchorRecovery:
		c.report.Roots = append(c.report.Roots, root)
		if !root.Pinned {
			return fmt.Errorf("nobody vouched for the passkey %s of %s, which a recovery code made; ask %s whether it is theirs, and then pin it", digest, p.Person, p.Person)
		}
		return nil
	case access.AnchorOwn:
		if len(vouchers) == 1 && persons[p.Person] {
			return nil
		}
		return fmt.Errorf("no older passkey of the person vouched for it")
	case access.AnchorAdmins, access.AnchorOneAdmin:
		if persons[p.Person] || len(persons) != len(vouchers) {
			return fmt.Errorf("the same person vouched for it twice, or for their own")
		}
		for _, v := range vouchers {
			if who := c.people[v.By]; who == nil || !who.admin || who.disabled || who.person != v.Person {
				return fmt.Errorf("%s vouched for it and was no administrator", v.By)
			}
		}
		if want := min(Wanted, o.admins()); len(vouchers) < want || want == 0 {
			return fmt.Errorf("%d administrators vouched for it where %d could", len(vouchers), max(want, 1))
		}
		if len(vouchers) < Wanted {
			c.report.Alone++
		}
		return nil
	}
	return fmt.Errorf("it does not say by whose word the passkey is %s's", p.Person)
}

// submitted keeps what approvals bind to. A request that nobody is asked about has none.
func (c *Chain) submitted(e access.Event) error {
	text, ok := e.Facts["ask"]
	if !ok { // or an older version wrote the record
		c.unasked[e.Entity] = true
		return nil
	}
	r, err := access.DecodeAsk(text)
	if err != nil {
		return fmt.Errorf("what was asked cannot be read: %w", err)
	}
	needs := 0
	if n, ok := e.Facts["passkeys"]; ok {
		if needs, err = strconv.Atoi(n); err != nil || needs < 1 {
			return fmt.Errorf("how many passkeys are asked for cannot be read")
		}
	}
	c.asked[e.Entity] = &asked{request: r, needs: needs, longest: r.Duration, rights: r.Permissions.Rights,
		voted: map[access.Person]bool{}, proved: map[access.Person]bool{}}
	var names []string
	for _, t := range r.Targets {
		names = append(names, string(t.Resource))
	}
	for name, is := range map[string]string{"digest": r.Digest.String(), "principal": string(r.Principal), "person": string(r.Person),
		"resource": strings.Join(names, ","), "role": string(r.Role), "duration": r.Duration.String(), "reason": r.Reason, "ticket": r.Ticket,
		"rights": strings.Join(r.Permissions.Rights, ","), "mechanism": string(r.Permissions.Mechanism), "extends": string(r.Extends), "bundle": r.BundleText()} {
		if e.Facts[name] != is {
			return fmt.Errorf("its %s is not what was asked", name)
		}
	}
	return nil
}

// vote checks a vote that a passkey signed.
func (c *Chain) vote(e access.Event) error {
	by, who := access.PrincipalID(e.Facts["approver"]), access.Person(e.Facts["approver_person"])
	a := c.asked[e.Entity]
	signed, has := e.Facts["assertion"]
	if by == "" && !has {
		return nil // Stint itself, such as when the person was disabled
	}
	if a != nil {
		switch {
		case who == a.request.Person || who == "":
			return fmt.Errorf("%s decided on a request of their own", by)
		case a.voted[who]:
			return fmt.Errorf("%s voted twice", who)
		}
		a.voted[who] = true
	}
	level := access.LevelConsole
	if text, ok := e.Facts["level"]; ok {
		var err error
		if level, err = access.ParseLevel(text); err != nil {
			return err
		}
	}
	switch {
	case level >= access.LevelPasskey && !has:
		return fmt.Errorf("the vote by %s says that a passkey signed it, and there is no signature", by)
	case !has:
		return nil
	case a == nil:
		return fmt.Errorf("the log does not have the request that the vote by %s is on", by)
	}
	s, err := access.DecodeStatement(e.Facts["vote"])
	if err != nil {
		return fmt.Errorf("the vote by %s cannot be read: %w", by, err)
	}
	assertion, err := access.DecodeAssertion(signed)
	if err != nil {
		return fmt.Errorf("what the passkey of %s signed cannot be read: %w", by, err)
	}
	switch {
	case s.Request != a.request.Digest:
		return fmt.Errorf("the vote by %s is not on what was asked: it is on %s, and what was asked is %s", by, s.Request, a.request.Digest)
	case s.By != by || s.Person != who:
		return fmt.Errorf("the vote by %s is that of %s", by, s.By)
	case s.Approve != (e.Type != access.RequestDenied) || s.Note != e.Facts["note"]:
		return fmt.Errorf("the record says otherwise than %s voted", by)
	case s.Duration > a.request.Duration || s.Approve && s.Duration <= 0 || slices.ContainsFunc(s.Rights, func(r string) bool { return !slices.Contains(a.request.Permissions.Rights, r) }):
		return fmt.Errorf("the vote by %s leaves more than was asked", by)
	case e.Type == access.RequestVoted && (e.Facts["duration"] != s.Duration.String() || e.Facts["rights"] != strings.Join(s.Rights, ",")):
		return fmt.Errorf("the record says otherwise than %s voted", by)
	}
	got, err := c.roster().Prove(who, s.Digest(), assertion, true)
	if err != nil {
		return fmt.Errorf("the vote by %s was not signed by a passkey of %s: %w", by, who, err)
	}
	if got != level {
		return fmt.Errorf("the vote by %s is of level %s, not %s", by, got, level)
	}
	x := access.Approval{By: by, Person: who, Approve: s.Approve, Duration: s.Duration, Rights: s.Rights, Note: s.Note, At: e.At, Request: s.Request,
		Level: level, Assertion: assertion, Signed: s.At, For: access.PrincipalID(e.Facts["for"]), ForPerson: access.Person(e.Facts["for_person"])}
	if d := access.ApprovalDigest(x, a.request.Permissions); e.Facts["approval_digest"] != d.String() {
		return fmt.Errorf("the digest of the vote by %s is %s, not %s", by, e.Facts["approval_digest"], d)
	}
	c.report.Votes++
	if s.Approve {
		a.proved[who] = true
		a.longest = min(a.longest, s.Duration)
		a.rights = slices.DeleteFunc(slices.Clone(a.rights), func(r string) bool { return !slices.Contains(s.Rights, r) })
	}
	return nil
}

// approved checks that the passkeys that were asked for have signed, and that no more
// was approved than they left.
func (c *Chain) approved(e access.Event) error {
	a := c.asked[e.Entity]
	if a == nil {
		return nil
	}
	if len(a.proved) < a.needs {
		return fmt.Errorf("it was approved by %d passkeys where %d are asked for", len(a.proved), a.needs)
	}
	a.done = true
	return a.covers(e)
}

// covers checks that no more came of a request than was approved.
func (a *asked) covers(e access.Event) error {
	d, err := time.ParseDuration(e.Facts["duration"])
	if err != nil || d <= 0 || d > a.longest {
		return fmt.Errorf("its duration of %s is longer than the %s that were approved", e.Facts["duration"], a.longest)
	}
	if rights := e.Facts["rights"]; rights != "" {
		for r := range strings.SplitSeq(rights, ",") {
			if !slices.Contains(a.rights, r) {
				return fmt.Errorf("its right %q was not approved", r)
			}
		}
	}
	return nil
}

// over forgets a request of which nothing can come any more.
func (c *Chain) over(id string) {
	delete(c.asked, id)
	delete(c.unasked, id)
}

// granted checks that a grant comes from an approved request.
func (c *Chain) granted(e access.Event) error {
	id := e.Facts["request"]
	a, free := c.asked[id], c.unasked[id]
	c.over(id)
	switch {
	case a == nil && free:
		return nil
	case a == nil:
		return fmt.Errorf("there is a grant, and the log does not have its request %s", id)
	case !a.done:
		return fmt.Errorf("there is a grant, and its request %s was not approved as was asked for", id)
	case e.Facts["digest"] != a.request.Digest.String():
		return fmt.Errorf("the grant is not of what was asked: its digest is %s, and what was asked is %s", e.Facts["digest"], a.request.Digest)
	}
	return a.covers(e)
}
