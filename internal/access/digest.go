package access

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"maps"
	"slices"
	"time"
)

// The version words. A change of what is covered, or of its order, gets a new
// word; old digests stay as they are.
const (
	requestDigestV1 = "stint request 1"
	// emergencyDigestV1 is for break-glass requests: what requestDigestV1 covers, then
	// the kind of emergency. Every other request keeps its digest.
	emergencyDigestV1 = "stint emergency request 1"
	// taskDigestV1 is for requests of agents: what requestDigestV1 covers, then the task.
	taskDigestV1 = "stint task request 1"
	// bundledDigestV1 is for parts of a bundle: what requestDigestV1 covers, then the
	// digest of the bundle. bundleDigestV1 is that one: the digests that the parts would
	// have alone, in order.
	bundledDigestV1  = "stint bundled request 1"
	bundleDigestV1   = "stint bundle 1"
	approvalDigestV1 = "stint approval 1" // of votes at the level console
	approvalDigestV2 = "stint approval 2" // of others: with the level, and what a passkey signed
	approvalDigestV3 = "stint approval 3" // of votes for somebody: what V2 covers, then for whom
)

// fields writes length-prefixed fields, so that no two different lists of
// fields have the same encoding.
type fields struct{ h hash.Hash }

func (f fields) bytes(b []byte) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(b)))
	f.h.Write(n[:])
	f.h.Write(b)
}

func (f fields) text(s string) { f.bytes([]byte(s)) }

func (f fields) number(n int64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(n))
	f.bytes(b[:])
}

func (f fields) time(t time.Time) {
	if t.IsZero() {
		f.bytes(nil)
		return
	}
	f.number(t.UnixMilli())
}

func (f fields) list(ss []string) {
	f.number(int64(len(ss)))
	for _, s := range ss {
		f.text(s)
	}
}

func (f fields) dict(m map[string]string) {
	f.number(int64(len(m)))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		f.text(k)
		f.text(m[k])
	}
}

func (f fields) flag(b bool) {
	if b {
		f.number(1)
	} else {
		f.number(0)
	}
}

func (f fields) permissions(p Permissions) {
	f.text(string(p.Mechanism))
	f.list(p.Rights)
	f.dict(p.Options)
	f.flag(p.Exclusive)
}

func (f fields) sum() (d Digest) {
	f.h.Sum(d[:0])
	return d
}

// requestDigest covers exactly what was asked. Fields in order: version word,
// principal, person, device, its seal key, targets (resource, criticality, type, address,
// credential, options, account), role, permissions, endings, clock, duration,
// start, reason, ticket, grant to extend, version of the documents, nonce;
// of a break-glass request, with a version word of its own, also the kind of emergency;
// of an agent's, with another, also its task; of a part of a bundle also the digest of the
// bundle, with a word of its own where it is no agent's.
func requestDigest(r Request) Digest {
	f := fields{sha256.New()}
	switch {
	case r.Emergency.Is(): // which no agent asks for, and no bundle has
		f.text(emergencyDigestV1)
	case r.Task != "": // the bundle, if there is one, is a field more
		f.text(taskDigestV1)
	case r.Bundle != (Digest{}):
		f.text(bundledDigestV1)
	default:
		f.text(requestDigestV1)
	}
	f.text(string(r.Principal))
	f.text(string(r.Person))
	f.text(string(r.Device))
	f.bytes(r.SealKey)
	f.number(int64(len(r.Targets)))
	for _, t := range r.Targets {
		f.text(string(t.Resource))
		f.text(string(t.Criticality))
		f.text(t.Connection.Type)
		f.text(t.Connection.Address)
		f.text(t.Connection.Credential)
		f.dict(t.Connection.Options)
		f.text(t.Account)
	}
	f.text(string(r.Role))
	f.permissions(r.Permissions)
	f.flag(r.Endings.OnLogout)
	f.number(r.Endings.OnIdle.Milliseconds())
	f.text(string(r.Clock))
	f.number(r.Duration.Milliseconds())
	f.time(r.Start)
	f.text(r.Reason)
	f.text(r.Ticket)
	f.text(string(r.Extends))
	f.number(r.Documents)
	f.bytes(r.Nonce[:])
	if r.Emergency.Is() {
		f.text(string(r.Emergency))
	}
	if r.Task != "" {
		f.text(string(r.Task))
	}
	if r.Bundle != (Digest{}) {
		f.bytes(r.Bundle[:])
	}
	return f.sum()
}

// BundleDigest covers everything that the parts of a bundle ask for, in their order: of
// each what its digest would cover if it were asked for alone.
func BundleDigest(parts []Request) Digest {
	f := fields{sha256.New()}
	f.text(bundleDigestV1)
	f.number(int64(len(parts)))
	for _, r := range parts {
		r.Bundle = Digest{}
		r.Start = r.Start.UTC().Truncate(time.Millisecond)
		d := requestDigest(r)
		f.bytes(d[:])
	}
	return f.sum()
}

// bundleFact is empty for what is no part of a bundle.
func bundleFact(d Digest) string {
	if d == (Digest{}) {
		return ""
	}
	return d.String()
}

// ApprovalDigest is the digest of an approval of what asked for the permissions, for
// who verifies records.
func ApprovalDigest(a Approval, p Permissions) Digest { return approvalDigest(a, p) }

// approvalDigest covers the request's digest, the voter, the vote, and what the
// vote leaves of duration and permissions. Of a vote that is not of the ordinary level
// it also covers the level and the passkey's assertion, of one for somebody whose it is. It cannot be what the passkey
// signs: nobody knows beforehand when the vote will be recorded. That is the
// approval's Statement.
func approvalDigest(a Approval, p Permissions) Digest {
	f := fields{sha256.New()}
	forOther := a.For != "" || a.ForPerson != ""
	ordinary := a.Level == LevelConsole && a.Assertion.IsZero() && !forOther
	switch {
	case forOther:
		f.text(approvalDigestV3)
	case ordinary:
		f.text(approvalDigestV1)
	default:
		f.text(approvalDigestV2)
	}
	f.bytes(a.Request[:])
	f.text(string(a.By))
	f.text(string(a.Person))
	f.flag(a.Approve)
	f.number(a.Duration.Milliseconds())
	p.Rights = a.Rights
	f.permissions(p)
	f.text(a.Note)
	f.time(a.At)
	if !ordinary {
		f.number(int64(a.Level))
		f.assertion(a.Assertion)
		if !a.Signed.IsZero() {
			f.time(a.Signed)
		}
	}
	if forOther {
		f.text(string(a.For))
		f.text(string(a.ForPerson))
	}
	return f.sum()
}

// BundleText is the digest of the bundle that the request is part of; empty for what was
// asked for alone.
func (r Request) BundleText() string { return bundleFact(r.Bundle) }
