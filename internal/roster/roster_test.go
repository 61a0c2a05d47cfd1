package roster

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/passkey"
	"stint/internal/passkey/passkeytest"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// house is a host with a roster: omar and olga approve, ada too but on pages, and mira asks.
type house struct {
	t       *testing.T
	devices map[access.Person]*passkeytest.Device
	keys    map[access.Person]access.Passkey
	Roster
	uses []Use
}

func newHouse(t *testing.T) *house {
	h := &house{t: t, devices: map[access.Person]*passkeytest.Device{}, keys: map[access.Person]access.Passkey{}}
	for _, who := range []access.Person{"omar", "olga", "mira", "gone"} {
		h.devices[who] = passkeytest.Client()
	}
	h.devices["ada"] = passkeytest.New(passkey.EdDSA, "stint.example", "https://stint.example")
	for who, d := range h.devices {
		p := d.Passkey("user:"+access.PrincipalID(who), who, "laptop")
		p.ID, p.State = access.IDOf(p.Digest()), access.PasskeyActive
		h.keys[who] = p
		if who != "gone" {
			h.Passkeys = append(h.Passkeys, p)
		}
	}
	h.Ceiling.Rules = []access.CeilingRule{
		{Mechanisms: []access.Mechanism{access.Token}, Accounts: []string{"guest"}, Longest: time.Hour},
		{Mechanisms: []access.Mechanism{access.Token, access.Elevate, access.Member, access.Account}, Longest: 4 * time.Hour, Approvals: 2, Level: access.LevelClient, Fresh: time.Hour},
	}
	return h
}

// asks is a request of mira's for commands as root on web1, for an hour.
func asks(change ...func(*access.Request)) access.Request {
	r := access.Request{Principal: "user:mira", Person: "mira", Role: "operator", Duration: time.Hour, Reason: "INC-7", Nonce: [16]byte{7},
		Targets:     []access.Target{{Resource: "web1", Criticality: access.Critical, Connection: access.Connection{Type: "linux", Address: "web1:22"}, Account: "deploy"}},
		Permissions: access.Permissions{Mechanism: access.Elevate, Rights: []string{"/usr/bin/id -u", "/usr/bin/true"}}}
	for _, f := range change {
		f(&r)
	}
	asked, err := access.DecodeAsk(access.EncodeAsk(r))
	if err != nil {
		panic(err)
	}
	return asked
}

// says is a yes to a request, signed.
func (h *house) says(r access.Request, who access.Person, change func(*access.Statement), bends ...passkeytest.Bend) access.SignedVote {
	s := access.Statement{Request: r.Digest, By: "user:" + access.PrincipalID(who), Person: who, Approve: true, Duration: r.Duration, Rights: r.Permissions.Rights, At: now.Add(-time.Minute)}
	if change != nil {
		change(&s)
	}
	d := s.Digest()
	return access.SignedVote{Vote: access.EncodeStatement(s), Assertion: access.EncodeAssertion(h.devices[who].Sign(h.keys[who].ID, d[:], bends...))}
}

func (h *house) proof(r access.Request, votes ...access.SignedVote) access.Proof {
	if votes == nil {
		votes = []access.SignedVote{h.says(r, "omar", nil), h.says(r, "olga", nil)}
	}
	return access.Proof{Grant: "grt_1", Ask: access.EncodeAsk(r), Votes: votes}
}

func order(ps ...access.Proof) connector.Order {
	return connector.Order{Tag: "tag-1", Mechanism: access.Elevate, Person: "mira", Account: "deploy", Rights: []string{"/usr/bin/id -u", "/usr/bin/true"}, ExpiresAt: now.Add(time.Hour + 30*time.Second), Proofs: ps}
}

func (h *house) judge(o connector.Order, change ...func(*Case)) ([]Use, error) {
	c := Case{Host: "web1:22", Type: "linux", Order: o, Now: now,
		Shown: func(d access.Digest) (out []Use) {
			for _, u := range h.uses {
				if u.Request == d {
					out = append(out, u)
				}
			}
			return out
		},
		Under: func(tag access.Tag) (out []Use) {
			for _, u := range h.uses {
				if u.Tag == tag {
					out = append(out, u)
				}
			}
			return out
		}}
	for _, f := range change {
		f(&c)
	}
	return h.Judge(c)
}

func (h *house) made(o connector.Order, change ...func(*Case)) {
	h.t.Helper()
	uses, err := h.judge(o, change...)
	if err != nil {
		h.t.Fatalf("refused: %v", err)
	}
	h.uses = append(h.uses, uses...)
}

func (h *house) refused(want string, o connector.Order, change ...func(*Case)) {
	h.t.Helper()
	uses, err := h.judge(o, change...)
	if err == nil || !strings.Contains(fmt.Sprintf("%#v %v", err, err), want) || len(uses) != 0 {
		h.t.Errorf("want %q, got %v", want, err)
	}
}

// known is what the host has after the order was carried out.
func known(o connector.Order, until time.Time) func(*Case) {
	return func(c *Case) {
		c.Known = Known{Order: access.Ordered{Mechanism: o.Mechanism, Account: o.Account, Rights: o.Rights, Options: o.Options}, Begun: now, Until: until}
	}
}

func TestApproved(t *testing.T) {
	h := newHouse(t)
	r := asks()
	o := order(h.proof(r))
	h.made(o)
	h.made(o, known(o, now.Add(62*time.Minute)))              // once more, as it was
	h.made(order(), known(o, now.Add(62*time.Minute)))        // and without what was shown before
	later := func(c *Case) { c.Now = now.Add(3 * time.Hour) } // when it is old, for the same
	h.made(o, later)
	if len(h.uses) != 2 || h.uses[0].Until.After(now.Add(63*time.Minute)) {
		t.Errorf("kept: %+v", h.uses)
	}
	less := order(h.proof(r))
	less.Rights = []string{"/usr/bin/true"}
	h.made(less)
	guest := connector.Order{Tag: "tag-9", Mechanism: access.Token, Account: "guest", ExpiresAt: now.Add(time.Hour)}
	h.made(guest)
}

// TestHostile has each row refused, and says which one.
func TestHostile(t *testing.T) {
	two := func(h *house, r access.Request, change func(*access.Statement), bends ...passkeytest.Bend) access.Proof {
		return h.proof(r, h.says(r, "omar", nil), h.says(r, "olga", change, bends...))
	}
	for name, attack := range map[string]func(t *testing.T, h *house){
		"a control plane with the right key and no proof": func(_ *testing.T, h *house) { h.refused("no-proof", order()) },
		"forged assertion": func(_ *testing.T, h *house) {
			r := asks()
			h.refused("does not verify", order(two(h, r, nil, passkeytest.Bend{Unsigned: func(a *access.Assertion) { a.Signature[len(a.Signature)-1] ^= 1 }})))
		},
		"assertion over another request": func(_ *testing.T, h *house) {
			r, other := asks(), asks(func(r *access.Request) { r.Reason = "harmless" })
			h.refused("another request", order(h.proof(r, h.says(r, "omar", nil), h.says(other, "olga", nil))))
		},
		"statement with the assertion of another": func(_ *testing.T, h *house) {
			r, other := asks(), asks(func(r *access.Request) { r.Reason = "harmless" })
			v := h.says(r, "olga", nil)
			v.Assertion = h.says(other, "olga", nil).Assertion
			h.refused("something else", order(h.proof(r, h.says(r, "omar", nil), v)))
		},
		"replayed for another grant": func(_ *testing.T, h *house) {
			o := order(h.proof(asks()))
			h.made(o)
			o.Tag = "tag-2"
			h.refused("used-before", o)
			o = order(h.proof(asks()))
			o.Proofs[0].Grant = "grt_2"
			h.refused("used-before", o)
		},
		"replayed for another host": func(_ *testing.T, h *house) {
			h.refused("other-host", order(h.proof(asks())), func(c *Case) { c.Host = "web2:22" })
		},
		"replayed for a longer end": func(_ *testing.T, h *house) {
			o := order(h.proof(asks()))
			h.made(o)
			o.ExpiresAt = now.Add(2 * time.Hour)
			h.refused("too-long", o, known(o, now.Add(62*time.Minute)))
			h.refused("too-long", o, func(c *Case) { c.Now = now.Add(40 * time.Minute) })
		},
		"requester approves itself": func(_ *testing.T, h *house) {
			r := asks()
			h.refused("nobody approves for themselves", order(h.proof(r, h.says(r, "omar", nil), h.says(r, "mira", nil))))
		},
		"requester approves by another's name": func(_ *testing.T, h *house) {
			r := asks()
			h.devices["olga"], h.keys["olga"] = h.devices["mira"], h.keys["mira"]
			h.refused("not a passkey of yours", order(h.proof(r, h.says(r, "omar", nil), h.says(r, "olga", nil))))
		},
		"same person twice": func(_ *testing.T, h *house) {
			r := asks()
			h.refused("omar signed twice", order(h.proof(r, h.says(r, "omar", nil), h.says(r, "omar", func(s *access.Statement) { s.Note = "again" }))))
		},
		"one of two": func(_ *testing.T, h *house) {
			r := asks()
			h.refused("1 of 2 count", order(h.proof(r, h.says(r, "omar", nil))))
		},
		"unknown key": func(_ *testing.T, h *house) {
			r := asks()
			h.refused("not a passkey of yours", order(h.proof(r, h.says(r, "omar", nil), h.says(r, "gone", nil))))
		},
		"wrong RP": func(_ *testing.T, h *house) {
			h.refused("another site", order(two(h, asks(), nil, passkeytest.Bend{RPID: "evil.example"})))
		},
		"wrong origin": func(_ *testing.T, h *house) {
			h.refused("another site", order(two(h, asks(), nil, passkeytest.Bend{Origin: "https://localhost.evil.example"})))
		},
		"within a page of another": func(_ *testing.T, h *house) {
			h.refused("another site", order(two(h, asks(), nil, passkeytest.Bend{More: `,"crossOrigin":true`})))
		},
		"UV flag missing": func(_ *testing.T, h *house) {
			h.refused("without checking who", order(two(h, asks(), nil, passkeytest.Bend{Flags: 1})))
		},
		"UP flag missing": func(_ *testing.T, h *house) {
			h.refused("nobody there", order(two(h, asks(), nil, passkeytest.Bend{Flags: 4})))
		},
		"signed on a page of the server": func(_ *testing.T, h *house) {
			r := asks()
			h.refused("on a page of the server", order(h.proof(r, h.says(r, "omar", nil), h.says(r, "ada", nil))))
		},
		"another ceremony": func(_ *testing.T, h *house) {
			h.refused("something else", order(two(h, asks(), nil, passkeytest.Bend{Type: "webauthn.create"})))
		},
		"stale": func(_ *testing.T, h *house) {
			o := order(h.proof(asks()))
			o.ExpiresAt = now.Add(3 * time.Hour)
			h.refused("too old", o, func(c *Case) { c.Now = now.Add(2 * time.Hour) })
		},
		"from the future": func(_ *testing.T, h *house) {
			h.refused("future", order(two(h, asks(), func(s *access.Statement) { s.At = now.Add(time.Hour) })))
		},
		"without a time": func(_ *testing.T, h *house) {
			h.refused("does not say when", order(two(h, asks(), func(s *access.Statement) { s.At = time.Time{} })))
		},
		"before its start": func(_ *testing.T, h *house) {
			h.refused("for later", order(h.proof(asks(func(r *access.Request) { r.Start = now.Add(time.Hour) }))))
		},
		"long after its start": func(_ *testing.T, h *house) {
			h.refused("too old", order(h.proof(asks(func(r *access.Request) { r.Start = now.Add(-3 * time.Hour) }), func() []access.SignedVote {
				r := asks(func(r *access.Request) { r.Start = now.Add(-3 * time.Hour) })
				back := func(s *access.Statement) { s.At = now.Add(-4 * time.Hour) }
				return []access.SignedVote{h.says(r, "omar", back), h.says(r, "olga", back)}
			}()...)))
		},
		"a no": func(_ *testing.T, h *house) {
			h.refused("said no", order(two(h, asks(), func(s *access.Statement) { s.Approve, s.Duration, s.Rights = false, 0, nil })))
		},
		"order asks more rights": func(_ *testing.T, h *house) {
			o := order(h.proof(asks()))
			o.Rights = append(o.Rights, "/bin/sh")
			h.refused("more-than-approved", o)
		},
		"order asks more rights than one approver left": func(_ *testing.T, h *house) {
			h.refused("approved of less", order(two(h, asks(), func(s *access.Statement) { s.Rights = s.Rights[:1] })))
		},
		"order asks longer than one approver left": func(_ *testing.T, h *house) {
			h.refused("too-long", order(two(h, asks(), func(s *access.Statement) { s.Duration = 10 * time.Minute })))
		},
		"order for another account": func(_ *testing.T, h *house) {
			o := order(h.proof(asks()))
			o.Account = "root"
			h.refused("more-than-approved", o)
		},
		"order for another person": func(_ *testing.T, h *house) {
			o := order(h.proof(asks()))
			o.Person = "eve"
			h.refused("more-than-approved", o)
		},
		"order by another mechanism": func(_ *testing.T, h *house) {
			o := order(h.proof(asks()))
			o.Mechanism = access.Member
			h.refused("more-than-approved", o)
		},
		"order with other settings": func(_ *testing.T, h *house) {
			o := order(h.proof(asks()))
			o.Options = map[string]string{"runAs": "postgres"}
			h.refused("more-than-approved", o)
			o = order(h.proof(asks(func(r *access.Request) { r.Permissions.Options = map[string]string{"sudo": "refuse"} })))
			h.refused("more-than-approved", o)
		},
		"a host with other settings": func(_ *testing.T, h *house) {
			h.refused("more-than-approved", order(h.proof(asks())), func(c *Case) { c.Connection = map[string]string{"x": "y"} })
		},
		"what no rule holds": func(_ *testing.T, h *house) {
			o := order(h.proof(asks()))
			o.Mechanism = access.Enable
			h.refused("host-never", o)
		},
		"longer than the ceiling": func(_ *testing.T, h *house) {
			r := asks(func(r *access.Request) { r.Duration = 10 * time.Hour })
			o := order(h.proof(r))
			o.ExpiresAt = now.Add(10 * time.Hour)
			h.refused("host-longest", o)
			guest := connector.Order{Tag: "tag-9", Mechanism: access.Token, Account: "guest", ExpiresAt: now.Add(2 * time.Hour)}
			h.refused("host-longest", guest)
			h.refused("host-longest", guest, known(guest, time.Time{})) // nor little by little
		},
		"root where guest is free": func(_ *testing.T, h *house) {
			h.refused("no-proof", connector.Order{Tag: "tag-9", Mechanism: access.Token, Account: "root", ExpiresAt: now.Add(time.Minute)})
		},
		"made anew, beside what was shown for less": func(_ *testing.T, h *house) {
			o := order(h.proof(asks()))
			h.made(o)
			more := order()
			more.Rights = []string{"/bin/sh"}
			h.refused("no-proof", more, known(o, now.Add(62*time.Minute)))
		},
		"extension of another grant": func(_ *testing.T, h *house) {
			h.made(order(h.proof(asks())))
			x := asks(func(r *access.Request) { r.Extends, r.Nonce = "grt_9", [16]byte{8} })
			o := order(h.proof(x))
			o.ExpiresAt = now.Add(2 * time.Hour)
			h.refused("other-grant", o)
			o.Proofs[0].Grant = "grt_9"
			h.refused("other-grant", o)
		},
		"extension shown twice": func(_ *testing.T, h *house) {
			h.made(order(h.proof(asks())))
			o := order(h.proof(asks(func(r *access.Request) { r.Extends, r.Nonce = "grt_1", [16]byte{8} })))
			o.ExpiresAt = now.Add(2 * time.Hour)
			h.made(o)
			o.ExpiresAt = now.Add(3 * time.Hour)
			h.refused("too-long", o)
		},
		"truncated proof": func(_ *testing.T, h *house) {
			good := h.proof(asks())
			for _, bend := range []func(*access.Proof){
				func(p *access.Proof) { p.Ask = p.Ask[:len(p.Ask)/2] }, func(p *access.Proof) { p.Ask = "" }, func(p *access.Proof) { p.Ask += " " },
				func(p *access.Proof) { p.Votes[0].Vote = p.Votes[0].Vote[:20] }, func(p *access.Proof) { p.Votes[0].Assertion = p.Votes[0].Assertion[:40] },
				func(p *access.Proof) { p.Votes = nil }, func(p *access.Proof) { p.Votes[1] = access.SignedVote{} },
			} {
				p := good
				p.Votes = append([]access.SignedVote{}, good.Votes...)
				bend(&p)
				h.refused("proof", order(p))
			}
		},
		"oversized proof": func(_ *testing.T, h *house) {
			r := asks()
			p := h.proof(r)
			p.Ask += strings.Repeat(" ", access.MaxAskText)
			h.refused("bad-proof", order(p))
			many := h.proof(r)
			for range access.MaxVotes {
				many.Votes = append(many.Votes, many.Votes[0])
			}
			h.refused("bad-proof", order(many))
			h.refused("bad-proof", order(make([]access.Proof, access.MaxProofs+1)...))
			long := h.proof(r)
			long.Votes[0].Assertion = strings.Repeat("x", access.MaxProofText+1)
			h.refused("1 of 2 count", order(long))
		},
	} {
		t.Run(name, func(t *testing.T) { attack(t, newHouse(t)) })
	}
}

// TestShared has a membership that several are lent, each by a request of their own.
func TestShared(t *testing.T) {
	h := newHouse(t)
	in := func(n byte, groups ...string) access.Request {
		return asks(func(r *access.Request) {
			r.Nonce, r.Permissions = [16]byte{n}, access.Permissions{Mechanism: access.Member, Rights: groups, Options: map[string]string{"sessions": "keep"}}
		})
	}
	o := connector.Order{Tag: "tag-1", Mechanism: access.Member, Account: "deploy", Person: "mira", Rights: []string{"dba"}, ExpiresAt: now.Add(time.Hour)}
	both := in(1, "adm", "dba")
	o.Proofs = []access.Proof{h.proof(both)}
	h.made(o)
	second := o
	second.Tag, second.Rights = "tag-2", []string{"adm"} // the other group of the same request
	h.made(second)
	second.Tag = "tag-3"
	h.refused("used-before", second)
	for _, again := range [][]string{{"adm", "adm"}, {"dba", "adm"}, {"adm", "dba"}, nil} { // nor by another spelling
		second.Rights = again
		h.refused("names one group", second)
	}
	// A second grant with a later end shares the first group.
	other := h.proof(in(2, "dba"))
	other.Grant = "grt_2"
	o.Proofs, o.ExpiresAt = append(o.Proofs, other), now.Add(80*time.Minute)
	at := func(c *Case) { c.Now = now.Add(30 * time.Minute) }
	h.made(o, at, known(o, now.Add(62*time.Minute)))
	o.Options = map[string]string{"sessions": "end"}
	h.refused("more-than-approved", o)
}

const sample = `format: 1
hosts: [web1:22]
passkeys:
- {person: omar, principal: "user:omar", name: laptop, rpId: localhost, origin: "http://localhost", credential: CREDENTIAL, key: KEY}
ceiling:
- {mechanisms: [token], accounts: [guest], longest: 1h, approvals: 0}
- {mechanisms: [elevate, token], longest: 4h, approvals: 1, fresh: 30m}
`

func written(t testing.TB) string {
	d := passkeytest.Client()
	return strings.NewReplacer("CREDENTIAL", base64.RawURLEncoding.EncodeToString(d.ID), "KEY", base64.RawURLEncoding.EncodeToString(d.COSE)).Replace(sample)
}

func TestParse(t *testing.T) {
	good := written(t)
	r, err := Parse([]byte(good))
	if err != nil || len(r.Passkeys) != 1 || len(r.Ceiling.Rules) != 2 || r.Ceiling.Rules[1].Level != access.LevelClient || r.Ceiling.Rules[1].Fresh != 30*time.Minute {
		t.Fatalf("%+v, %v", r, err)
	}
	if r.For("web1:22") != nil || r.For("web2:22") == nil {
		t.Error("whose the file is")
	}
	for old, bent := range map[string]string{
		"format: 1":           "format: 2",
		"hosts:":              "host:",
		"person: omar":        "person: ''",
		"rpId: localhost":     "rpId: stint.example",
		"credential: ":        "credential: '!'\n  #",
		"approvals: 1, ":      "",
		"approvals: 1":        "approvals: 2", // there is one person
		"longest: 4h":         "longest: 0s",
		"longest: 1h":         "longest: ''",
		"fresh: 30m":          "fresh: 30d",
		"mechanisms: [token]": "mechanisms: [tokens]",
		"approvals: 0":        "approvals: 0, level: client",
		"ceiling:":            "ceilings:",
		"- {mechanisms":       "- {mechanism",
	} {
		if text := strings.Replace(good, old, bent, 1); text == good {
			t.Errorf("%q is not in it", old)
		} else if _, err := Parse([]byte(text)); err == nil {
			t.Errorf("%q was taken", bent)
		}
	}
	lines := strings.SplitAfter(good, "\n")
	twice := strings.Join(lines[:4], "") + strings.Replace(lines[3], "omar", "olga", 1) + strings.Join(lines[4:], "")
	if _, err := Parse([]byte(twice)); err == nil || !strings.Contains(err.Error(), "same passkey") {
		t.Errorf("one authenticator as two persons: %v", err)
	}
	for _, text := range []string{"", good + "---\n" + good, strings.Join(lines[:4], ""), strings.Repeat("#", maxText+1)} {
		if _, err := Parse([]byte(text)); err == nil {
			t.Errorf("%.20q was taken", text)
		}
	}
}

func TestDoubts(t *testing.T) {
	r, err := Parse([]byte(strings.Replace(written(t), "mechanisms: [token], accounts: [guest]", "mechanisms: [token, elevate, group, account, enable]", 1)))
	if err != nil {
		t.Fatal(err)
	}
	count := func(what string) (n int) {
		for _, d := range r.Doubts() {
			if strings.Contains(d, what) {
				n++
			}
		}
		return n
	}
	if count("asks for no approval") != 5 || count("rule 2 asks for one approval") != 2 || len(r.Doubts()) != 7 {
		t.Errorf("%q", r.Doubts())
	}
	r.Ceiling.Rules[1].Approvals = 2 // and what a guest is lent is not root
	r.Ceiling.Rules[0].Mechanisms, r.Ceiling.Rules[0].Accounts = []access.Mechanism{access.Token}, []string{"guest"}
	if len(r.Doubts()) != 0 {
		t.Errorf("%q", r.Doubts())
	}
}

// TestText writes what Parse reads.
func TestText(t *testing.T) {
	h := newHouse(t)
	text, err := Text(h.Passkeys, []string{"web1:22"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Parse([]byte(text))
	if err != nil || len(r.Passkeys) != len(h.Passkeys) || r.Passkeys[0].ID != h.Passkeys[0].ID || r.Ceiling.Rules[0].Approvals != 2 || !strings.Contains(text, h.Passkeys[1].Digest().String()) {
		t.Errorf("%+v, %v\n%s", r, err, text)
	}
}

// TestTextOfPages: a roster of passkeys that pages ask for holds as much as it can, and not nothing; and
// what a control plane says of names stays in their lines.
func TestTextOfPages(t *testing.T) {
	var keys []access.Passkey
	for _, who := range []access.Person{"ada", "eve\nceiling: []"} {
		d := passkeytest.New(passkey.EdDSA, "stint.example", "https://stint.example")
		p := d.Passkey("user:"+access.PrincipalID(who), who, "laptop\nformat: 2")
		p.ID, p.State = access.IDOf(p.Digest()), access.PasskeyActive
		keys = append(keys, p)
	}
	for n, want := range []int{0, 1, 2} {
		text, err := Text(keys[:n], nil)
		if n == 0 {
			if err == nil {
				t.Errorf("a ceiling of nobody's approval is written:\n%s", text)
			}
			continue
		}
		r, perr := Parse([]byte(text))
		if err != nil || perr != nil || len(r.Passkeys) != n || len(r.Ceiling.Rules) != 1 || r.Ceiling.Rules[0].Approvals != want || r.Ceiling.Rules[0].Level != access.LevelPasskey {
			t.Errorf("of %d: %+v, %v, %v\n%s", n, r.Ceiling, err, perr, text)
		}
	}
}

// FuzzProof judges what anybody could send: nothing but what was signed is taken.
func FuzzProof(f *testing.F) {
	h := newHouse(&testing.T{})
	p := h.proof(asks())
	f.Add(p.Ask, p.Votes[0].Vote, p.Votes[0].Assertion, p.Votes[1].Vote, p.Votes[1].Assertion)
	f.Add("", "{}", "{}", "", "")
	f.Fuzz(func(t *testing.T, ask, v1, a1, v2, a2 string) {
		if _, err := h.judge(order(access.Proof{Grant: "grt_1", Ask: ask, Votes: []access.SignedVote{{Vote: v1, Assertion: a1}, {Vote: v2, Assertion: a2}}})); err == nil {
			if ask != p.Ask {
				t.Errorf("another request was taken: %q", ask)
			}
		}
	})
}

// FuzzParse reads files that are none.
func FuzzParse(f *testing.F) {
	f.Add(written(f))
	f.Add("format: 1\nceiling: [{mechanisms: [token], longest: 1h, approvals: 0}]\n")
	f.Fuzz(func(t *testing.T, text string) {
		if r, err := Parse([]byte(text)); err == nil && len(r.Ceiling.Rules) == 0 {
			t.Error("a roster without a ceiling")
		}
	})
}
