package roster

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"stint/internal/access"
	"stint/internal/passkey"
)

// Bounds of a roster.
const (
	maxText     = 1 << 20
	maxPasskeys = 1000
	maxRules    = 100

	// UsualFresh is how old a signature may be where a rule does not say, and MaxFresh is
	// the most that one can say: for so long at least it is remembered what was shown.
	UsualFresh = time.Hour
	MaxFresh   = 7 * 24 * time.Hour
)

// Roster is what a host believes by itself.
type Roster struct {
	Hosts   []string // that the file is for; empty: whichever it lies on
	Ceiling access.Ceiling
	// Passkeys are those of the people, as the file has them.
	Passkeys []access.Passkey
}

// file is the form on the disk.
type file struct {
	Format   int           `yaml:"format"`
	Hosts    []string      `yaml:"hosts"`
	Passkeys []passkeyFile `yaml:"passkeys"`
	Ceiling  []ruleFile    `yaml:"ceiling"`
}

type passkeyFile struct {
	Person     string `yaml:"person"`
	Principal  string `yaml:"principal"`
	Name       string `yaml:"name"`
	RPID       string `yaml:"rpId"`
	Origin     string `yaml:"origin"`
	Credential string `yaml:"credential"`
	Key        string `yaml:"key"`
}

type ruleFile struct {
	Mechanisms []string `yaml:"mechanisms"`
	Accounts   []string `yaml:"accounts,omitempty"`
	Rights     []string `yaml:"rights,omitempty"`
	RunAs      []string `yaml:"runAs,omitempty"`
	Longest    string   `yaml:"longest"`
	Approvals  *int     `yaml:"approvals"`
	Level      string   `yaml:"level,omitempty"`
	Fresh      string   `yaml:"fresh,omitempty"`
}

const format = 1

// Parse reads a roster. Whatever is not understood is an error: a rule with a slip of the
// pen must not become one that holds more.
func Parse(text []byte) (Roster, error) {
	if len(text) > maxText {
		return Roster{}, bad("it is longer than a roster can be")
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	var f file
	if err := d.Decode(&f); err != nil {
		return Roster{}, bad("it is not in the form of one").Wrap(err)
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return Roster{}, bad("something follows it")
	}
	switch {
	case f.Format != format:
		return Roster{}, bad(fmt.Sprintf("its format is %d, and this program knows %d", f.Format, format))
	case len(f.Passkeys) > maxPasskeys || len(f.Ceiling) > maxRules:
		return Roster{}, bad("it says more than a roster can")
	case len(f.Ceiling) == 0:
		return Roster{}, bad("it has no ceiling: without a rule nothing would ever be done").Try("give it a rule, or take the file away")
	}
	r := Roster{Hosts: f.Hosts}
	for i, x := range f.Passkeys {
		p, err := x.passkey()
		if err != nil {
			return Roster{}, bad(fmt.Sprintf("passkey %d, of %q", i+1, x.Person)).Wrap(err)
		}
		for _, other := range r.Passkeys {
			// One authenticator in two hands would be two persons.
			if bytes.Equal(other.Key, p.Key) || bytes.Equal(other.Credential, p.Credential) {
				return Roster{}, bad(fmt.Sprintf("%q of %q and %q of %q are the same passkey", other.Name, other.Person, p.Name, p.Person))
			}
		}
		r.Passkeys = append(r.Passkeys, p)
	}
	for i, x := range f.Ceiling {
		rule, err := x.rule()
		if err == nil && rule.Approvals > r.persons(rule.Level) {
			err = fmt.Errorf("it asks for %d persons with passkeys of level %s, and there are %d", rule.Approvals, rule.Level, r.persons(rule.Level))
		}
		if err != nil {
			return Roster{}, bad(fmt.Sprintf("rule %d of the ceiling", i+1)).Wrap(err)
		}
		r.Ceiling.Rules = append(r.Ceiling.Rules, rule)
	}
	return r, nil
}

func (x passkeyFile) passkey() (access.Passkey, error) {
	p := access.Passkey{State: access.PasskeyActive, Principal: access.PrincipalID(x.Principal), Person: access.Person(x.Person), Name: x.Name, RPID: x.RPID, Origin: x.Origin}
	var err error
	switch {
	case x.Person == "" || x.Principal == "" || x.RPID == "" || x.Origin == "":
		return p, errors.New("it says not whose it is, and for which pages: person, principal, rpId, origin, credential and key are needed")
	case (x.Origin == access.ClientOrigin) != (x.RPID == access.ClientRPID):
		return p, errors.New("its rpId and its origin do not belong together")
	}
	if p.Credential, err = base64.RawURLEncoding.Strict().DecodeString(x.Credential); err != nil || len(p.Credential) == 0 {
		return p, errors.New("its credential is not base64 (URL form, without =)")
	}
	if p.Key, err = base64.RawURLEncoding.Strict().DecodeString(x.Key); err != nil {
		return p, errors.New("its key is not base64 (URL form, without =)")
	}
	if _, err := passkey.ParseKey(p.Key); err != nil {
		return p, err
	}
	p.ID = access.IDOf(p.Digest())
	return p, nil
}

func (x ruleFile) rule() (access.CeilingRule, error) {
	r := access.CeilingRule{Accounts: x.Accounts, Rights: x.Rights, RunAs: x.RunAs, Level: access.LevelClient, Fresh: UsualFresh}
	var err error
	for _, name := range x.Mechanisms {
		m := access.Mechanism(name)
		if !slices.Contains(mechanisms, m) {
			return r, fmt.Errorf("there is no mechanism %q", name)
		}
		r.Mechanisms = append(r.Mechanisms, m)
	}
	switch {
	case len(r.Mechanisms) == 0:
		return r, errors.New("it names no mechanism")
	case x.Approvals == nil:
		return r, errors.New("it does not say how many approvals it asks for; 0 is none")
	case *x.Approvals < 0 || *x.Approvals > access.MaxVotes:
		return r, fmt.Errorf("%d is no number of approvals", *x.Approvals)
	case *x.Approvals == 0 && (x.Level != "" || x.Fresh != ""):
		return r, errors.New("it asks for no approval, and says of which kind")
	}
	r.Approvals = *x.Approvals
	if r.Longest, err = time.ParseDuration(x.Longest); err != nil || r.Longest <= 0 || r.Longest > access.MaxDuration {
		return r, fmt.Errorf("longest is %q, and not a duration up to %s", x.Longest, access.MaxDuration)
	}
	if x.Level != "" {
		if r.Level, err = access.ParseLevel(x.Level); err != nil || r.Level < access.LevelPasskey {
			return r, fmt.Errorf("level is %q, and not passkey or client", x.Level)
		}
	}
	if x.Fresh != "" {
		if r.Fresh, err = time.ParseDuration(x.Fresh); err != nil || r.Fresh < time.Minute || r.Fresh > MaxFresh {
			return r, fmt.Errorf("fresh is %q, and not a duration from 1m to %s", x.Fresh, MaxFresh)
		}
	}
	return r, nil
}

var mechanisms = []access.Mechanism{access.Account, access.Member, access.Enable, access.Token, access.Elevate}

// persons is how many have a passkey of at least the level.
func (r Roster) persons(l access.Level) int {
	var all []access.Person
	for _, p := range r.Passkeys {
		if p.Level() >= l && !slices.Contains(all, p.Person) {
			all = append(all, p.Person)
		}
	}
	return len(all)
}

// For checks that the roster is this host's.
func (r Roster) For(host string) error {
	if len(r.Hosts) == 0 || slices.Contains(r.Hosts, host) {
		return nil
	}
	return bad(fmt.Sprintf("it is for %q, and this host is %q", r.Hosts, host))
}

// rooted are groups whose members are root, or as good as root.
var rooted = []string{"root", "sudo", "wheel", "admin", "adm", "docker", "lxd", "libvirt", "disk", "shadow", "kmem", "kvm"}

// Doubts are what whoever wrote the ceiling may not have meant: what it lets a control
// plane do alone, or with one approver, that is as good as root.
func (r Roster) Doubts() (out []string) {
	for i, rule := range r.Ceiling.Rules {
		say := func(what string) {
			switch rule.Approvals {
			case 0:
				out = append(out, fmt.Sprintf("rule %d asks for no approval, and %s: whoever has the control plane is root here", i+1, what))
			case 1:
				out = append(out, fmt.Sprintf("rule %d asks for one approval, and %s: whoever has the control plane and one of the approvers is root here", i+1, what))
			}
		}
		if rule.Approvals > 1 {
			continue
		}
		for _, m := range rule.Mechanisms {
			switch {
			case m == access.Elevate && (len(rule.RunAs) == 0 || slices.Contains(rule.RunAs, "root")):
				say("lends commands as root")
			case (m == access.Member || m == access.Account) && len(rule.Rights) == 0:
				say("lends every group")
			case (m == access.Member || m == access.Account) && slices.ContainsFunc(rule.Rights, func(g string) bool { return slices.Contains(rooted, g) }):
				say("lends groups that are as good as root")
			case (m == access.Token || m == access.Enable) && (len(rule.Accounts) == 0 || slices.Contains(rule.Accounts, "root")):
				say("opens the account root")
			}
		}
	}
	return out
}

// Text writes a roster as Parse reads it, for somebody to look at, compare and install.
func Text(passkeys []access.Passkey, hosts []string) (string, error) {
	f := file{Format: format, Hosts: hosts}
	var b strings.Builder
	b.WriteString("# A roster for stint-agent, made of what the control plane says of passkeys.\n" +
		"# COMPARE IT BEFORE YOU INSTALL IT: a control plane that was taken over would put its\n" +
		"# own keys in here. Each person reads the digest of their passkey to you, over another\n" +
		"# way, as stint passkey add showed it when it was made; what the server lists is no proof.\n" +
		"# Then: install -o root -g root -m 0644 roster.yaml /etc/stint/roster.yaml\n")
	for _, p := range passkeys {
		f.Passkeys = append(f.Passkeys, passkeyFile{string(p.Person), string(p.Principal), p.Name, p.RPID, p.Origin,
			base64.RawURLEncoding.EncodeToString(p.Credential), base64.RawURLEncoding.EncodeToString(p.Key)})
	}
	rule := ruleFile{Mechanisms: names(mechanisms), Longest: "4h"}
	all := Roster{Passkeys: passkeys}
	two := min(2, all.persons(access.LevelClient))
	if two == 0 { // where there are only passkeys of pages, those are what can be asked for
		two, rule.Level = min(2, all.persons(access.LevelPasskey)), access.LevelPasskey.String()
	}
	if two == 0 {
		return "", bad("nobody of them has a passkey that could sign: a ceiling that asks for no approval holds nothing")
	}
	rule.Approvals = &two
	f.Ceiling = []ruleFile{rule}
	text, err := yaml.Marshal(f)
	if err != nil {
		return "", err
	}
	for _, p := range passkeys {
		fmt.Fprintf(&b, "#   %s  %q  %q\n", p.Digest(), p.Person, p.Name)
	}
	b.Write(text)
	return b.String(), nil
}

func names(ms []access.Mechanism) (out []string) {
	for _, m := range ms {
		out = append(out, string(m))
	}
	return out
}

func bad(why string) *access.Error {
	return access.Fail(access.Invalid, "bad-roster", "the roster cannot be used").Because(why).Try("see: stint-agent roster check")
}
