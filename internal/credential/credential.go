// Package credential keeps the register of what connectors sign in to targets with,
// and Stint to its Integrations: which there are, which Resources and Integrations use
// them, what about them is probably not meant, and how one is deleted. It never sees a password: those are set by the broker,
// sealed, and opened there alone.
//
// Invariants, each held by a test (of the doors, on a real store):
//
//  1. Nothing that it gives out holds ciphertext, let alone a secret.
//  2. A credential goes only when no Resource or Integration names it, nothing live was made with it,
//     and it is known what everything made with it has left behind: access that cannot
//     be ended is worse than a login too many. In quarantine none of that is known.
//  3. What is deleted leaves its row behind, without the secret, so that the versions
//     in the log go on where somebody registers the name again. To everybody who asks
//     here it is not there any more.
package credential

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/policy"
)

// Deleted is the event of a deletion. Stored: only append.
const Deleted access.EventType = "credential.deleted"

// Store is the memory of the register: one serializable transaction each, whose
// function may run more than once.
type Store interface {
	Update(ctx context.Context, fn func(Tx) error) error
	View(ctx context.Context, fn func(Tx) error) error
}

// Tx is one transaction. Reads of what does not exist answer access.NotFound;
// SaveCredential replaces exactly the version before.
type Tx interface {
	Now() time.Time
	Append(evs ...access.Event) error
	Credential(name string) (access.Credential, error)
	Credentials() ([]access.Credential, error)
	SaveCredential(c access.Credential) error
	DocumentsEdition() (access.Edition, error)
	access.CredentialTx
}

// Register is safe for concurrent use and keeps nothing in memory.
type Register struct{ store Store }

// New makes a Register on a store.
func New(store Store) *Register { return &Register{store} }

// List gives all that are registered, by name, without what is sealed in them.
func (r *Register) List(ctx context.Context) (list []access.Credential, err error) {
	err = r.store.View(ctx, func(tx Tx) error {
		all, err := tx.Credentials()
		list = slices.DeleteFunc(all, access.Credential.Gone)
		for i := range list {
			list[i].Sealed = nil
		}
		return err
	})
	return list, err
}

// Delete removes a credential that no Resource of the set names and that can be let go
// where it is (access.Credential.LetGo), and gives back what was deleted; administrators
// only. The set must be of the newest documents: of a deletion and a Resource applied at
// the same time, only one passes.
func (r *Register) Delete(ctx context.Context, by access.Actor, admin bool, set *policy.Set, name string) (gone access.Credential, err error) {
	if !admin {
		return gone, access.Fail(access.Denied, "not-yours", "credentials of connectors are for administrators")
	}
	err = r.store.Update(ctx, func(tx Tx) error {
		c, err := tx.Credential(name)
		if access.KindOf(err) == access.NotFound || err == nil && c.Gone() {
			return r.unknown(tx, name)
		} else if err != nil {
			return err
		}
		if now, err := tx.DocumentsEdition(); err != nil {
			return err
		} else if now.Version != set.Version() {
			return access.Fail(access.Conflict, "documents-changed", "the documents changed in this moment").Try("try again")
		}
		if used := documents(set, name); len(used) > 0 {
			return access.Fail(access.Conflict, "in-use", "the credential "+name+" is used by "+strings.Join(used, ", ")).
				Try("apply that with another credential, or delete it: stint delete " + used[0])
		}
		if err := c.LetGo(tx); err != nil {
			return err
		}
		c.Version++
		c.Sealed, c.SetAt = []byte{}, tx.Now()
		if err := tx.SaveCredential(c); err != nil {
			return err
		}
		gone = c
		return tx.Append(access.Event{Type: Deleted, At: tx.Now(), Entity: "credential:" + name, Version: c.Version, Actor: by,
			Facts: map[string]string{"type": c.Type, "address": c.Address, "username": c.Username}})
	})
	return gone, err
}

// unknown names the nearest that there is.
func (r *Register) unknown(tx Tx, name string) error {
	all, err := tx.Credentials()
	if err != nil {
		return err
	}
	var names []string
	for _, c := range all {
		if !c.Gone() {
			names = append(names, c.Name)
		}
	}
	next := policy.DidYouMean(name, names)
	if next == "" {
		next = "stint admin credential list says which there are"
	}
	return access.Fail(access.NotFound, "no-such-credential", fmt.Sprintf("there is no credential %q", name)).Try(next)
}

// UsedBy are the Resources that name a credential.
func UsedBy(set *policy.Set, name string) (names []string) {
	for _, r := range set.Resources() {
		if r.Connection.Credential == name {
			names = append(names, string(r.Name))
		}
	}
	return names
}

// UsedOutside are the Integrations that name a credential.
func UsedOutside(set *policy.Set, name string) (names []string) {
	for _, i := range set.Integrations() {
		if slices.Contains(i.Logins(), name) {
			names = append(names, i.Name)
		}
	}
	return names
}

// documents are all that name a credential, as `stint delete` takes them.
func documents(set *policy.Set, name string) (all []string) {
	for _, r := range UsedBy(set, name) {
		all = append(all, "resource "+r)
	}
	for _, i := range UsedOutside(set, name) {
		all = append(all, "integration "+i)
	}
	return all
}

// Doubts are what is legal about a registered credential and probably not meant.
func Doubts(set *policy.Set, c access.Credential) (doubts []policy.Problem) {
	users, elsewhere := 0, ""
	for _, r := range set.Resources() {
		switch {
		case r.Connection.Credential == c.Name:
			users++
			if r.Connection.Type != c.Type || r.Connection.Address != c.Address {
				doubts = append(doubts, bound(r, c))
			}
		case r.Connection.Address == c.Address && r.Connection.Credential != "":
			elsewhere = fmt.Sprintf("resource %s, at that address, names the credential %q", r.Name, r.Connection.Credential)
		}
	}
	for _, i := range set.Integrations() {
		if slices.Contains(i.Logins(), c.Name) {
			users++
			if i.Type != c.Type || i.Address != c.Address {
				doubts = append(doubts, boundOutside(i, c))
			}
		} else if i.Address == c.Address && len(i.Logins()) > 0 {
			elsewhere = fmt.Sprintf("integration %s, at that address, names the credential %q", i.Name, i.Logins()[0])
		}
	}
	if users == 0 {
		next := "check the address; it is used once a resource or integration that names it is applied"
		if elsewhere != "" {
			next = elsewhere
		}
		doubts = append(doubts, policy.Problem{Message: fmt.Sprintf("no resource or integration names the credential %q yet, so that nothing says whether %s is right", c.Name, c.Address), Hint: next})
	}
	return doubts
}

// Missing are the credentials that the Resources and Integrations of a set name and that
// would not serve them: not registered, or bound to another address.
func Missing(set *policy.Set, registered []access.Credential) (problems []policy.Problem) {
	var names []string
	known := map[string]access.Credential{}
	for _, c := range registered {
		names, known[c.Name] = append(names, c.Name), c
	}
	for _, i := range set.Integrations() {
		for _, name := range i.Logins() {
			c, ok := known[name]
			switch {
			case !ok:
				problems = append(problems, aboutOutside(i, register(name, i.Type, i.Address, names), "integration %s names the credential %q, which is not registered", i.Name, name))
			case c.Type != i.Type || c.Address != i.Address:
				problems = append(problems, boundOutside(i, c))
			}
		}
	}
	for _, r := range set.Resources() {
		at := r.Connection
		if at.Credential == "" { // of a type that needs none
			continue
		}
		c, ok := known[at.Credential]
		switch {
		case !ok:
			problems = append(problems, about(r, register(at.Credential, at.Type, at.Address, names), "resource %s names the credential %q, which is not registered", r.Name, at.Credential))
		case c.Type != at.Type || c.Address != at.Address:
			problems = append(problems, bound(r, c))
		}
	}
	return problems
}

func bound(r policy.Resource, c access.Credential) policy.Problem {
	return about(r, "register it again for the address that is right, or mend the document",
		"resource %s is %s at %s, and its credential %q is bound to %s at %s: Stint cannot sign in there", r.Name, r.Connection.Type, r.Connection.Address, c.Name, c.Type, c.Address)
}

func about(r policy.Resource, next, format string, args ...any) policy.Problem {
	file, line := r.At()
	return policy.Problem{File: file, Line: line, Message: fmt.Sprintf(format, args...), Hint: next}
}

// register says how a credential that is missing is registered, or which was meant.
func register(name, typ, address string, known []string) string {
	if next := policy.DidYouMean(name, known); next != "" {
		return next
	}
	return "stint admin credential set " + name + " --type " + typ + " --address " + address + " --username … --password-file …"
}

func boundOutside(i policy.Integration, c access.Credential) policy.Problem {
	return aboutOutside(i, "register it again for the address that is right, or mend the document",
		"integration %s is %s at %s, and its credential %q is bound to %s at %s: Stint sends it nowhere", i.Name, i.Type, i.Address, c.Name, c.Type, c.Address)
}

func aboutOutside(i policy.Integration, next, format string, args ...any) policy.Problem {
	file, line := i.At()
	return policy.Problem{File: file, Line: line, Message: fmt.Sprintf(format, args...), Hint: next}
}
