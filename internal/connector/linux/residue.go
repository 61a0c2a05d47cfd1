package linux

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"stint/internal/access"
	"stint/internal/connector"
)

// mostTraces is how many are told of one order.
const mostTraces = 100

// Residue says which differences between two fingerprints each order can have made: what
// is its account's, or in that one's home. Whoever could be root can have made all of
// them, and others that nobody finds: that is never known.
func Residue(before, after []byte, os []connector.Order) ([]connector.Residue, error) {
	b, err := readFingerprint(before)
	if err != nil {
		return nil, err
	}
	a, err := readFingerprint(after)
	if err != nil {
		return nil, err
	}
	var fresh []Trail
	for _, t := range a.Lines {
		if _, was := slices.BinarySearchFunc(b.Lines, t, compareTrails); !was {
			fresh = append(fresh, t)
		}
	}
	rs := make([]connector.Residue, len(os))
	for i, o := range os {
		rs[i] = residueOf(o, b, a, fresh)
	}
	return rs, nil
}

func readFingerprint(text []byte) (f Fingerprint, err error) {
	if err := json.Unmarshal(text, &f); err != nil {
		return f, access.Fail(access.Invalid, "bad-fingerprint", "a fingerprint of the host cannot be read").Wrap(err)
	}
	f.Sort() // it was stored by somebody else
	return f, nil
}

func residueOf(o connector.Order, before, after Fingerprint, fresh []Trail) (r connector.Residue) {
	uid, err := strconv.Atoi(o.Creation)
	if err != nil {
		uid = -1
	}
	name := o.Account
	why := beRoot(o, name, before, after)
	for _, t := range fresh {
		mine := uid > 0 && t.UID == uid || name != "" && (t.Of == name || filepath.Base(t.Path) == name)
		if why != "" || mine {
			if len(r.Traces) < mostTraces {
				r.Traces = append(r.Traces, t.trace())
			}
		}
	}
	switch {
	case why != "":
		r.State, r.Note = access.ResidueUnknowable, why
	case uid <= 0:
		r.State, r.Note = access.ResidueUnknowable, "which account it was is not known"
	case len(before.Gaps)+len(after.Gaps) > 0:
		r.State, r.Note = access.ResidueUnknowable, "not all of the host could be read: "+append(slices.Clone(before.Gaps), after.Gaps...)[0]
	case len(r.Traces) > 0:
		r.State = access.ResidueFound
	default:
		r.State = access.ResidueNone
	}
	return r
}

// beRoot says why an order's holder could have been root; empty when not.
func beRoot(o connector.Order, name string, fs ...Fingerprint) string {
	if o.Mechanism == access.Elevate {
		return "commands ran as " + orElse(o.Options["runAs"], "root") + ", and what they changed cannot be told"
	}
	for _, right := range o.Rights {
		if slices.Contains(Powerful, right) {
			return "the group " + right + " can become root"
		}
	}
	for _, f := range fs {
		if how, ok := f.Rooted[name]; ok {
			return name + " can become root by itself: " + how
		}
	}
	return ""
}

func orElse(s, without string) string {
	if s == "" {
		return without
	}
	return s
}

// trace tells a trail to people, with what takes it away.
func (t Trail) trace() access.Trace {
	x := access.Trace{Kind: t.Kind, What: t.Path, By: "uid " + strconv.Itoa(t.UID)}
	switch t.Kind {
	case TrailSetuid:
		x.Undo = "chmod a-s " + shellQuote(t.Path)
	case TrailCaps:
		x.Undo = "setcap -r " + shellQuote(t.Path)
	case TrailProcess:
		pid, _, _ := strings.Cut(t.Path, " ")
		x.Undo = "kill " + pid
	case TrailAccount:
		x.Undo = "usermod --lock --expiredate 1 " + shellQuote(t.Path)
	case TrailMember:
		who, group, _ := strings.Cut(t.Path, " in ")
		x.Undo = "gpasswd --delete " + shellQuote(who) + " " + shellQuote(group)
	case TrailLinger:
		x.Undo = "loginctl disable-linger " + shellQuote(filepath.Base(t.Path))
	case TrailCron, TrailAt, TrailKeys, TrailUnit, TrailStart, TrailSudo, TrailPAM, TrailSSHD:
		x.Undo = "less " + shellQuote(t.Path) // whether it is to go is for somebody to judge
	}
	return x
}

// shellQuote makes one word of a text for the person who will run it.
func shellQuote(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-") == "" && s != "" && s[0] != '-' {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
