package main

import (
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"stint/internal/access"
	"stint/internal/audit"
	"stint/internal/passkey"
)

// provenLog is a log that verifies, and what became of the votes in it that passkeys
// signed.
type provenLog struct {
	audit.Report
	Passkeys passkey.Report
}

// verifyLog verifies an export, and follows the passkeys through it.
func verifyLog(r io.Reader, key string, roots []access.Digest, pinned ...*audit.Checkpoint) (provenLog, error) {
	chain := passkey.NewChain(roots...)
	report, err := audit.VerifyEach(r, key, func(seq int64, rec audit.Record) { chain.Record(seq, rec.ID, rec.Event) }, pinned...)
	if err != nil {
		return provenLog{}, err
	}
	return provenLog{report, chain.Report()}, nil
}

// readRoots reads what --genesis names.
func readRoots(texts []string) (roots []access.Digest, err error) {
	for _, t := range texts {
		d, err := access.ParseDigest(t)
		if err != nil {
			return nil, usageError{errors.New("--genesis " + quote(t) + " is not the digest of a passkey; one is written sha256:…")}
		}
		roots = append(roots, d)
	}
	return roots, nil
}

// roots are those given, or else those pinned; of a recovery both count, because it does
// not replace the first passkey.
func (p pin) roots(given []access.Digest) ([]access.Digest, error) {
	have, err := readRoots(p.Roots)
	if err != nil {
		return nil, err
	}
	return append(slices.Clone(given), have...), nil
}

// pinRoots pins the first passkey when it is first seen, and what was given and found.
func (p *pin) pinRoots(r passkey.Report, given []access.Digest) {
	for _, root := range r.Roots {
		d := root.Digest.String()
		first := root.Anchor == access.AnchorGenesis && len(p.Roots) == 0 && len(given) == 0
		if (first || root.Pinned) && !slices.Contains(p.Roots, d) {
			p.Roots = append(p.Roots, d)
		}
	}
}

// passkeysView is what programs see of the passkeys in a log.
type passkeysView struct {
	Genesis  string        `json:"genesis"`
	Pinned   bool          `json:"pinned"` // the genesis was known before
	Enrolled int           `json:"enrolled"`
	Removed  int           `json:"removed"`
	Alone    int           `json:"alone"` // on the word of one administrator
	Votes    int           `json:"votes"` // signed by a passkey, and good
	Problems []problemView `json:"problems,omitempty"`
	More     int           `json:"more_problems,omitempty"`
}

type problemView struct {
	Seq    int64  `json:"seq"`
	ID     string `json:"id"`
	Entity string `json:"entity"`
	What   string `json:"what"`
}

func viewOf(r passkey.Report) *passkeysView {
	if len(r.Roots) == 0 && len(r.Problems) == 0 {
		return nil
	}
	v := &passkeysView{Enrolled: r.Enrolled, Removed: r.Removed, Alone: r.Alone, Votes: r.Votes, More: r.More}
	for _, root := range r.Roots {
		if root.Anchor == access.AnchorGenesis {
			v.Genesis, v.Pinned = root.Digest.String(), root.Pinned
		}
	}
	for _, p := range r.Problems {
		v.Problems = append(v.Problems, problemView(p))
	}
	return v
}

// facts are for people.
func (v *passkeysView) facts() string {
	if v == nil {
		return ""
	}
	pinned := ""
	if v.Genesis != "" && !v.Pinned {
		pinned = ", not pinned before"
	}
	return facts("first passkey", v.Genesis+pinned, "passkeys", strconv.Itoa(v.Enrolled)+" enrolled, "+strconv.Itoa(v.Removed)+" removed",
		"votes by passkey", strconv.Itoa(v.Votes))
}

// judge says what does not hold of the passkeys, and what is weak about them.
func (c *cli) judge(r passkey.Report) error {
	if r.Alone > 0 {
		c.say(plural(r.Alone, "passkey was", "passkeys were") + " enrolled on the word of one administrator, for there was no second one with a passkey")
	}
	if len(r.Problems) == 0 {
		if r.Votes > 0 {
			c.say("every vote by passkey verifies: " + plural(r.Votes, "vote", "votes") + ", " + plural(r.Enrolled, "passkey", "passkeys"))
		}
		return nil
	}
	var more []string
	for _, p := range r.Problems[1:] {
		more = append(more, p.String())
	}
	if r.More > 0 {
		more = append(more, "and "+strconv.Itoa(r.More)+" more")
	}
	c.fault(bracketed(printable(r.Problems[0].String()), "passkey-chain-broken"), printable(strings.Join(more, "; ")),
		"keep the log and the export as they are, and tell whoever is responsible for it: what those votes allowed was not allowed by who they name")
	return ended{exitFailure}
}
