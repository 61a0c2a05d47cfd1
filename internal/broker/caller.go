package broker

import (
	"slices"

	"stint/internal/access"
	"stint/internal/policy"
)

// Caller is who calls, as sign-in found them.
type Caller struct {
	Principal access.Principal
	Actor     access.Actor
	Source    access.Source
	SealKey   []byte // the calling device's public key for credentials
	// Glass is set for a login by one-time codes, which is for break-glass access and
	// nothing else.
	Glass *access.Glass
}

var errNotFound = access.Fail(access.NotFound, "not-found", "there is no such request or grant, or it is not yours to see").
	Try("see what you hold with stint status, and what you asked for with stint get requests --mine")

var errGlassOnly = access.Fail(access.Denied, "break-glass-only", "this login is for break-glass access alone").
	Because("it was made with one-time codes").Try("ask with stint break-glass, or sign in with stint login when sign-in works again")

// noResource refuses a name that no resource has, with the nearest that one has.
func noResource(set *policy.Set, name access.ResourceName) error {
	var known []access.ResourceName
	for _, r := range set.Resources() {
		known = append(known, r.Name)
	}
	near := policy.DidYouMean(string(name), known)
	if near == "" {
		near = "stint get resources lists what there is"
	}
	return access.Fail(access.NotFound, "no-such-resource", "there is no resource "+string(name)).Try(near)
}

// admin refuses callers who do not administer Stint.
func (c Caller) admin() error {
	if c.Principal.Admin {
		return nil
	}
	return access.Fail(access.Denied, "not-yours", "this is for administrators").Because(string(c.Principal.ID) + " is not one")
}

// still refuses who was an administrator at the door and is none any more, or is kept out by
// now: of two who shut each other out at once, one stays.
func (c Caller) still(tx Tx) error {
	p, err := tx.Principal(c.Principal.ID)
	if err != nil {
		return err
	}
	if err := p.Usable(tx.Now()); err != nil {
		return err
	}
	return Caller{Principal: p}.admin()
}

// owns reports whether the caller owns the resource.
func (c Caller) owns(set *policy.Set, name access.ResourceName) bool {
	r, ok := set.Resource(name)
	return ok && c.Glass == nil && !c.Principal.Outside() && slices.ContainsFunc(r.Owners, c.Principal.In)
}

// ownsAll reports whether the caller owns every target, of which there is one.
func (c Caller) ownsAll(set *policy.Set, ts []access.Target) bool {
	return len(ts) > 0 && !slices.ContainsFunc(ts, func(t access.Target) bool { return !c.owns(set, t.Resource) })
}

// maySee reports whether the caller may see a request without being an owner of
// what it is about: it is their own, one they are or were asked to decide, or
// they may see any as administrator or auditor.
func (c Caller) maySee(r access.Request) bool {
	if c.Glass != nil {
		return c.opened(r)
	}
	return r.Principal == c.Principal.ID || c.Principal.Admin || c.Principal.Auditor || r.Asks(c.Principal) ||
		slices.ContainsFunc(r.Approvals, func(a access.Approval) bool { return a.By == c.Principal.ID })
}
